// What page-table entries of 4 KiB cost beside those of 2 MiB: `pte_cost MASK [LIBCUBLAS]`, under Missile.
//
// Two buffers: A, which is to be small enough to be coloured, and B, which is to be too large. Kernels find pages by a
// list, for both alike. With a MASK (hexadecimal) B's list has as many pages of B as A has, all of A's side; with 0 both
// lists are in order. Every figure is the rate of one run; runs on A and on B take turns. cuBLAS works on the first
// bytes of each buffer, since it takes no list. Prints one line of JSON, then waits for a line of input.
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

constexpr uint64_t PAGE = 4096, A_BYTES = 512ull << 20, B_BYTES = 1100ull << 20, SMALL_BYTES = 16ull << 20;
constexpr uint32_t PAGES = A_BYTES / PAGE, SMALL_PAGES = SMALL_BYTES / PAGE;
constexpr int THREADS = 256, BLOCKS_AN_SM = 8, RUNS = 9;
constexpr int LINE = 128, READS = 256;

struct Extent {
    uint64_t va, bytes, phys;
};

[[noreturn]] void fail(const std::string& what) {
    printf("{\"error\": \"%s\"}\n", what.c_str());
    fflush(stdout);
    exit(1);
}

void check(cudaError_t error, const char* what) {
    if (error != cudaSuccess) fail(std::string(what) + ": " + cudaGetErrorString(error));
}
#define CHECK(call) check(call, #call)

__device__ void mix(uint4& sum, uint4 value) {
    sum.x ^= value.x, sum.y ^= value.y, sum.z ^= value.z, sum.w ^= value.w;
}

// Reads all pages of the list again and again, whole pages by each block, four in flight. `groups` of four pages are a
// power of two.
__global__ void __launch_bounds__(THREADS, BLOCKS_AN_SM)
    stream(const char* base, const uint4* list, uint32_t groups, uint32_t passes, uint4* sink) {
    const char* mine = base + threadIdx.x * sizeof(uint4);
    const uint32_t all = groups * passes;
    uint4 sum{}, next = __ldg(list + (blockIdx.x & (groups - 1)));
    for (uint32_t i = blockIdx.x; i < all; i += gridDim.x) {
        const uint4 now = next;
        next = __ldg(list + ((i + gridDim.x) & (groups - 1)));
        const uint4 a = __ldcg((const uint4*)(mine + now.x * PAGE));
        const uint4 b = __ldcg((const uint4*)(mine + now.y * PAGE));
        const uint4 c = __ldcg((const uint4*)(mine + now.z * PAGE));
        const uint4 d = __ldcg((const uint4*)(mine + now.w * PAGE));
        mix(sum, a), mix(sum, b), mix(sum, c), mix(sum, d);
    }
    if (sum.x == 0x12345678 && sum.y == 0x9abcdef0) *sink = sum;
}

// Reads lines at random, eight threads a line. `lines` is a power of two.
__global__ void __launch_bounds__(THREADS, BLOCKS_AN_SM)
    scattered(const char* base, const uint32_t* list, uint32_t lines, uint4* sink) {
    const uint32_t group = (blockIdx.x * THREADS + threadIdx.x) / 8, part = threadIdx.x & 7;
    uint64_t state = group * 0x9E3779B97F4A7C15ull + 12345;
    uint4 sum{};
#pragma unroll 4
    for (int i = 0; i < READS; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        const uint32_t line = (uint32_t)(state >> 33) & (lines - 1);
        const uint32_t page = __ldg(list + line / (PAGE / LINE));
        mix(sum, __ldcg((const uint4*)(base + page * PAGE + line % (PAGE / LINE) * LINE) + part));
    }
    if (sum.x == 0x12345678 && sum.y == 0x9abcdef0) *sink = sum;
}

// Numbers between -1 and 1, the same in every buffer.
__global__ void fill(__half* out, uint64_t count) {
    for (uint64_t i = blockIdx.x * (uint64_t)blockDim.x + threadIdx.x; i < count; i += gridDim.x * (uint64_t)blockDim.x) {
        uint32_t h = (uint32_t)i * 2654435761u;
        h = (h ^ h >> 15) * 2246822519u;
        out[i] = __float2half((int)((h ^ h >> 13) & 2047) / 1024.0f - 1.0f);
    }
}

// cuBLAS by its C interface, found when the program runs: what it takes to link it is not everywhere.
struct Cublas {
    using Create = int (*)(void**);
    using Hgemm = int (*)(void*, int, int, int, int, int, const __half*, const __half*, int, const __half*, int,
                          const __half*, __half*, int);
    void* handle = nullptr;
    Hgemm hgemm = nullptr;
    std::string why_not;

    explicit Cublas(const char* path) {
        void* library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
        const char* said = path ? dlerror() : "no library was named";
        if (!library) {
            why_not = said ? said : "it does not load";
            return;
        }
        const auto create = (Create)dlsym(library, "cublasCreate_v2");
        hgemm = (Hgemm)dlsym(library, "cublasHgemm");
        const int status = create && hgemm ? create(&handle) : -1;
        if (status != 0) {
            why_not = "cublasCreate answered " + std::to_string(status);
            handle = nullptr;
        }
    }
};

struct Buffer {
    char* base;
    uint32_t* list;
};

struct Work {
    const char* name;
    const char* unit;
    // GB or TFLOP of one run.
    double amount;
    std::function<void(const Buffer&)> run;
    std::vector<double> rates[2];
};

int side_of(uint64_t phys, uint64_t mask) { return __builtin_parityll(phys & mask); }

std::vector<uint64_t> pages_of(const char* base, uint64_t bytes, size_t& extents) {
    using Extents = int (*)(uint64_t, uint64_t, Extent*, size_t);
    const auto ask = (Extents)dlsym(RTLD_DEFAULT, "missile_extents");
    if (!ask) fail("there is no missile_extents: this runs under `missile run`");
    std::vector<Extent> found(1 << 19);
    const int count = ask((uint64_t)base, bytes, found.data(), found.size());
    if (count <= 0 || (size_t)count > found.size()) fail("missile_extents answered " + std::to_string(count));
    extents = count;
    std::vector<uint64_t> pages;
    for (int i = 0; i < count; i++)
        for (uint64_t offset = 0; offset < found[i].bytes; offset += PAGE) pages.push_back(found[i].phys + offset);
    if (pages.size() != bytes / PAGE) fail("missile_extents told " + std::to_string(pages.size()) + " pages");
    return pages;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

std::string quoted(std::string text) {
    for (char& c : text)
        if (c == '"' || c == '\\' || (unsigned char)c < 32) c = ' ';
    return '"' + text + '"';
}

int main(int count, char** words) {
    if (count < 2) fail("usage: pte_cost MASK [LIBCUBLAS]");
    const uint64_t mask = strtoull(words[1], nullptr, 16);
    cudaDeviceProp device;
    CHECK(cudaGetDeviceProperties(&device, 0));
    Buffer buffers[2];
    const uint64_t sizes[2] = {A_BYTES, B_BYTES};
    std::vector<uint64_t> pages[2];
    size_t extents[2];
    for (int i = 0; i < 2; i++) {
        CHECK(cudaMalloc(&buffers[i].base, sizes[i]));
        pages[i] = pages_of(buffers[i].base, sizes[i], extents[i]);
        fill<<<device.multiProcessorCount * 8, 256>>>((__half*)buffers[i].base, sizes[i] / 2);
    }
    const int side = side_of(pages[0][0], mask);
    uint32_t on_side = 0;
    for (uint64_t phys : pages[0]) on_side += side_of(phys, mask) == side;
    std::vector<uint32_t> lists[2];
    for (uint32_t page = 0; page < PAGES; page++) lists[0].push_back(page);
    for (uint32_t page = 0; page < B_BYTES / PAGE && lists[1].size() < PAGES; page++)
        if (side_of(pages[1][page], mask) == side) lists[1].push_back(page);
    if (lists[1].size() < PAGES) fail("B has only " + std::to_string(lists[1].size()) + " pages of A's side");
    for (int i = 0; i < 2; i++) {
        CHECK(cudaMalloc(&buffers[i].list, PAGES * sizeof(uint32_t)));
        CHECK(cudaMemcpy(buffers[i].list, lists[i].data(), PAGES * sizeof(uint32_t), cudaMemcpyHostToDevice));
    }
    uint4* sink;
    CHECK(cudaMalloc(&sink, sizeof(uint4)));
    CHECK(cudaDeviceSynchronize());

    const int blocks = device.multiProcessorCount * BLOCKS_AN_SM;
    const double scattered_bytes = (double)blocks * THREADS / 8 * READS * LINE;
    std::vector<Work> works;
    const auto streaming = [&](const char* name, uint32_t pages, uint32_t passes) {
        works.push_back({name, "GB/s", (double)pages * PAGE * passes / 1e9, [=](const Buffer& buffer) {
                             stream<<<blocks, THREADS>>>(buffer.base, (const uint4*)buffer.list, pages / 4, passes, sink);
                         }, {}});
    };
    const auto scattering = [&](const char* name, uint32_t pages) {
        works.push_back({name, "GB/s", scattered_bytes / 1e9, [=](const Buffer& buffer) {
                             scattered<<<blocks, THREADS>>>(buffer.base, buffer.list, pages * (PAGE / LINE), sink);
                         }, {}});
    };
    streaming("stream 512 MiB", PAGES, 4);
    streaming("stream 16 MiB", SMALL_PAGES, 100);
    scattering("random 128 B in 512 MiB", PAGES);
    scattering("random 128 B in 16 MiB", SMALL_PAGES);

    Cublas cublas(count > 2 ? words[2] : nullptr);
    int refused = 0;
    const auto multiplying = [&](const char* name, int m, int repeats) {
        // The weights change each time, so that they come from DRAM; inputs and outputs stay.
        constexpr int N = 4096;
        constexpr uint64_t MATRIX = (uint64_t)N * N, WEIGHTS = A_BYTES / 2 / MATRIX - 2;
        works.push_back({name, "TFLOP/s", 2.0 * N * N * m * repeats / 1e12, [&, m, repeats](const Buffer& buffer) {
                             const __half one = __float2half(1), zero = __float2half(0);
                             __half* data = (__half*)buffer.base;
                             __half *in = data + WEIGHTS * MATRIX, *out = in + MATRIX;
                             for (int i = 0; i < repeats; i++)
                                 refused |= cublas.hgemm(cublas.handle, 1, 0, N, m, N, &one, data + i % WEIGHTS * MATRIX,
                                                         N, in, N, &zero, out, N);
                         }, {}});
    };
    if (cublas.handle) {
        multiplying("GEMM 4096 x 4096 x 4096", 4096, 14);
        multiplying("GEMM m = 512", 512, 28);
        multiplying("GEMM m = 8", 8, 56);
    }

    cudaEvent_t begun, done;
    CHECK(cudaEventCreate(&begun));
    CHECK(cudaEventCreate(&done));
    for (Work& work : works)
        for (int run = 0; run < RUNS; run++)
            for (int turn = 0; turn < 2; turn++) {
                // A B, B A, A B: neither is always the first.
                const int which = (turn + run) % 2;
                work.run(buffers[which]);
                CHECK(cudaEventRecord(begun));
                work.run(buffers[which]);
                CHECK(cudaEventRecord(done));
                CHECK(cudaEventSynchronize(done));
                float ms;
                CHECK(cudaEventElapsedTime(&ms, begun, done));
                work.rates[which].push_back(work.amount / ms * 1e3);
            }
    CHECK(cudaDeviceSynchronize());

    printf("{\"gpu\": %s, \"mask\": \"%#llx\", \"side\": %d, ", quoted(device.name).c_str(), (unsigned long long)mask, side);
    printf("\"a_on_side\": %.6f, \"extents\": [%zu, %zu], ", (double)on_side / PAGES, extents[0], extents[1]);
    const std::string library = cublas.handle ? words[2] : "no: " + cublas.why_not;
    printf("\"cublas\": %s, \"refused\": %d, \"works\": [", quoted(library).c_str(), refused);
    for (size_t i = 0; i < works.size(); i++) {
        const Work& work = works[i];
        const double medians[2] = {median(work.rates[0]), median(work.rates[1])};
        printf("%s{\"name\": \"%s\", \"unit\": \"%s\", ", i ? ", " : "", work.name, work.unit);
        printf("\"a\": %.3f, \"b\": %.3f, \"ratio\": %.4f", medians[0], medians[1], medians[0] / medians[1]);
        for (int which = 0; which < 2; which++) {
            printf(", \"%s\": [", which ? "each_b" : "each_a");
            for (int run = 0; run < RUNS; run++) printf("%s%.3f", run ? ", " : "", work.rates[which][run]);
            printf("]");
        }
        printf("}");
    }
    printf("]}\n");
    fflush(stdout);
    getchar();
    return 0;
}
