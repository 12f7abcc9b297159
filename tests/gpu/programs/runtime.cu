// A program of the CUDA runtime: memory of every plain kind, copies, streams, events, graphs, the driver's entry points
// and threads. Whatever the GPU computes is computed on the host as well and compared.
//
// Prints one line of JSON with a digest of all results. --hold then waits for a line of input, --linger SECONDS waits
// that long. --fault writes one number far past the end of an allocation instead, for a memory checker to find.

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        cudaError_t error_ = (call);                                                                                   \
        if (error_ != cudaSuccess) {                                                                                   \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #call, cudaGetErrorString(error_));                         \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_DRIVER(call)                                                                                             \
    do {                                                                                                               \
        CUresult error_ = (call);                                                                                      \
        if (error_ != CUDA_SUCCESS) {                                                                                  \
            fprintf(stderr, "line %d: %s: error %d\n", __LINE__, #call, (int)error_);                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

using Numbers = std::vector<uint32_t>;
using Word = uint32_t;

static uint64_t digest = 0xcbf29ce484222325;

static void add_to_digest(const Numbers &numbers) {
    const unsigned char *bytes = reinterpret_cast<const unsigned char *>(numbers.data());
    for (size_t i = 0; i < numbers.size() * sizeof(Word); i++) {
        digest = (digest ^ bytes[i]) * 0x100000001b3;
    }
}

__host__ __device__ Word mixed(Word value, size_t index, Word salt) {
    value ^= (Word)index * 2654435761u + salt;
    value ^= value >> 15;
    value *= 0x2c1b3c6du;
    return value ^ (value >> 12);
}

__global__ void mix(Word *data, size_t count, Word salt) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
        data[i] = mixed(data[i], i, salt);
    }
}

__global__ void past_the_end(Word *data, size_t count) { data[count] = 1; }

__device__ Word table[1024];

__global__ void mix_table(Word salt) { table[threadIdx.x] = mixed(table[threadIdx.x], threadIdx.x, salt); }

static Numbers some(size_t count, Word seed) {
    Numbers numbers(count);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = mixed(seed, i, seed);
    }
    return numbers;
}

static void mix_here(Numbers &numbers, Word salt) {
    for (size_t i = 0; i < numbers.size(); i++) {
        numbers[i] = mixed(numbers[i], i, salt);
    }
}

static void expect(const Numbers &found, const Numbers &right, const char *what) {
    if (found != right) {
        size_t wrong = 0;
        for (size_t i = 0; i < right.size(); i++) {
            wrong += found[i] != right[i];
        }
        fprintf(stderr, "%s: %zu of %zu numbers are wrong\n", what, wrong, right.size());
        exit(1);
    }
    add_to_digest(found);
}

// Memory of the host that is pinned, for as long as this lives.
struct Pinned {
    Word *data;
    size_t count;

    explicit Pinned(const Numbers &numbers) : count(numbers.size()) {
        CHECK(cudaMallocHost((void **)&data, bytes()));
        memcpy(data, numbers.data(), bytes());
    }
    Pinned(const Pinned &) = delete;
    ~Pinned() { CHECK(cudaFreeHost(data)); }
    size_t bytes() const { return count * sizeof(Word); }
    Numbers numbers() const { return Numbers(data, data + count); }
};

static void plain() {
    for (size_t count : {1000, 512 << 10, 4 << 20}) {
        Numbers numbers = some(count, 1), back(count);
        Word *device;
        CHECK(cudaMalloc((void **)&device, count * sizeof(Word)));
        cudaPointerAttributes attributes;
        CHECK(cudaPointerGetAttributes(&attributes, device));
        if (attributes.type != cudaMemoryTypeDevice) {
            fprintf(stderr, "an allocation is no memory of the device\n");
            exit(1);
        }
        CHECK(cudaMemcpy(device, numbers.data(), count * sizeof(Word), cudaMemcpyHostToDevice));
        mix<<<256, 256>>>(device, count, 2);
        CHECK(cudaGetLastError());
        CHECK(cudaMemcpy(back.data(), device, count * sizeof(Word), cudaMemcpyDeviceToHost));
        mix_here(numbers, 2);
        expect(back, numbers, "cudaMalloc");
        CHECK(cudaMemset(device, 0x5a, count * sizeof(Word)));
        CHECK(cudaMemcpy(back.data(), device, count * sizeof(Word), cudaMemcpyDeviceToHost));
        expect(back, Numbers(count, 0x5a5a5a5a), "cudaMemset");
        CHECK(cudaFree(device));
    }
}

static void pool() {
    const size_t count = 2 << 20;
    Numbers numbers = some(count, 3);
    Pinned host(numbers);
    cudaStream_t stream;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    Word *device;
    CHECK(cudaMallocAsync((void **)&device, host.bytes(), stream));
    CHECK(cudaMemcpyAsync(device, host.data, host.bytes(), cudaMemcpyHostToDevice, stream));
    mix<<<256, 256, 0, stream>>>(device, count, 4);
    CHECK(cudaMemcpyAsync(host.data, device, host.bytes(), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaFreeAsync(device, stream));
    CHECK(cudaStreamSynchronize(stream));
    mix_here(numbers, 4);
    expect(host.numbers(), numbers, "cudaMallocAsync");
    CHECK(cudaStreamDestroy(stream));
}

static void add_one(void *number) { ++*static_cast<int *>(number); }

static void events() {
    const size_t count = 1 << 20;
    Numbers numbers = some(count, 5);
    Pinned host(numbers);
    cudaStream_t first, second;
    cudaEvent_t begun, ready, done;
    CHECK(cudaStreamCreate(&first));
    CHECK(cudaStreamCreateWithPriority(&second, cudaStreamNonBlocking, 0));
    CHECK(cudaEventCreate(&begun));
    CHECK(cudaEventCreateWithFlags(&ready, cudaEventDisableTiming));
    CHECK(cudaEventCreate(&done));
    Word *device;
    CHECK(cudaMalloc((void **)&device, host.bytes()));
    int called = 0;
    CHECK(cudaEventRecord(begun, first));
    CHECK(cudaMemcpyAsync(device, host.data, host.bytes(), cudaMemcpyHostToDevice, first));
    CHECK(cudaEventRecord(ready, first));
    CHECK(cudaStreamWaitEvent(second, ready, 0));
    mix<<<64, 256, 0, second>>>(device, count, 6);
    CHECK(cudaLaunchHostFunc(second, add_one, &called));
    CHECK(cudaMemcpyAsync(host.data, device, host.bytes(), cudaMemcpyDeviceToHost, second));
    CHECK(cudaEventRecord(done, second));
    CHECK(cudaEventSynchronize(done));
    float milliseconds = -1;
    CHECK(cudaEventElapsedTime(&milliseconds, begun, done));
    if (called != 1 || milliseconds < 0) {
        fprintf(stderr, "the host function ran %d times, %f ms went by\n", called, milliseconds);
        exit(1);
    }
    mix_here(numbers, 6);
    expect(host.numbers(), numbers, "streams and events");
    CHECK(cudaFree(device));
    CHECK(cudaEventDestroy(begun));
    CHECK(cudaEventDestroy(ready));
    CHECK(cudaEventDestroy(done));
    CHECK(cudaStreamDestroy(first));
    CHECK(cudaStreamDestroy(second));
}

static void other_memory() {
    const size_t width = 1000, height = 700, row = width * sizeof(Word);
    Numbers numbers = some(width * height, 7), back(numbers.size());
    void *pitched;
    size_t pitch;
    CHECK(cudaMallocPitch(&pitched, &pitch, row, height));
    CHECK(cudaMemcpy2D(pitched, pitch, numbers.data(), row, row, height, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy2D(back.data(), row, pitched, pitch, row, height, cudaMemcpyDeviceToHost));
    expect(back, numbers, "cudaMemcpy2D");
    CHECK(cudaFree(pitched));

    Numbers symbol = some(1024, 8);
    CHECK(cudaMemcpyToSymbol(table, symbol.data(), sizeof table));
    mix_table<<<1, 1024>>>(9);
    mix_here(symbol, 9);
    Numbers symbol_back(1024);
    CHECK(cudaMemcpyFromSymbol(symbol_back.data(), table, sizeof table));
    expect(symbol_back, symbol, "a symbol");

    // The kernel reaches over the bus.
    const size_t bytes = 1 << 20;
    void *registered = aligned_alloc(4096, bytes), *seen;
    Numbers far = some(bytes / sizeof(Word), 10);
    memcpy(registered, far.data(), bytes);
    CHECK(cudaHostRegister(registered, bytes, cudaHostRegisterMapped));
    CHECK(cudaHostGetDevicePointer(&seen, registered, 0));
    mix<<<32, 256>>>((Word *)seen, far.size(), 11);
    CHECK(cudaDeviceSynchronize());
    mix_here(far, 11);
    expect(Numbers((Word *)registered, (Word *)registered + far.size()), far, "registered memory");
    CHECK(cudaHostUnregister(registered));
    free(registered);
}

// Captures work of a stream, launches it so many times and destroys it.
template <typename Work> static void graph(int times, cudaStream_t stream, Work work) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    work();
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&executable, graph, 0));
    for (int i = 0; i < times; i++) {
        CHECK(cudaGraphLaunch(executable, stream));
    }
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaGraphExecDestroy(executable));
    CHECK(cudaGraphDestroy(graph));
}

static void graphs() {
    const size_t count = 1 << 20;
    const int times = 10;
    Numbers numbers = some(count, 12);
    Pinned host(numbers);
    cudaStream_t stream;
    Word *device;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMalloc((void **)&device, host.bytes()));
    graph(times, stream, [&] {
        CHECK(cudaMemcpyAsync(device, host.data, host.bytes(), cudaMemcpyHostToDevice, stream));
        mix<<<64, 256, 0, stream>>>(device, count, 13);
        CHECK(cudaMemcpyAsync(host.data, device, host.bytes(), cudaMemcpyDeviceToHost, stream));
    });
    for (int i = 0; i < times; i++) {
        mix_here(numbers, 13);
    }
    expect(host.numbers(), numbers, "a graph");
    CHECK(cudaFree(device));

    // With memory that belongs to the graph.
    graph(times, stream, [&] {
        Word *own;
        CHECK(cudaMallocAsync((void **)&own, host.bytes(), stream));
        CHECK(cudaMemcpyAsync(own, host.data, host.bytes(), cudaMemcpyHostToDevice, stream));
        mix<<<64, 256, 0, stream>>>(own, count, 14);
        CHECK(cudaMemcpyAsync(host.data, own, host.bytes(), cudaMemcpyDeviceToHost, stream));
        CHECK(cudaFreeAsync(own, stream));
    });
    for (int i = 0; i < times; i++) {
        mix_here(numbers, 14);
    }
    expect(host.numbers(), numbers, "a graph with memory nodes");
    CHECK(cudaStreamDestroy(stream));
}

template <typename Function> static void by_version(const char *name, unsigned version, Function &function) {
    void *found = nullptr;
    cudaDriverEntryPointQueryResult state;
    CHECK(cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &state));
    if (state != cudaDriverEntryPointSuccess || !found) {
        fprintf(stderr, "%s: no entry point (%d)\n", name, (int)state);
        exit(1);
    }
    function = reinterpret_cast<Function>(found);
}

template <typename Function> static void by_name(const char *name, Function &function) {
    void *found = nullptr;
    cudaDriverEntryPointQueryResult state;
    CHECK(cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &state));
    if (state != cudaDriverEntryPointSuccess || !found) {
        fprintf(stderr, "%s: no entry point (%d)\n", name, (int)state);
        exit(1);
    }
    function = reinterpret_cast<Function>(found);
}

static void entry_points() {
    CUresult (*allocate)(CUdeviceptr *, size_t);
    CUresult (*release)(CUdeviceptr);
    CUresult (*set)(CUdeviceptr, unsigned, size_t);
    CUresult (*to_host)(void *, CUdeviceptr, size_t);
    CUresult (*memory)(size_t *, size_t *);
    CUresult (*launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream,
                       void **, void **);
    by_version("cuMemAlloc", 12000, allocate);
    by_name("cuMemFree", release);
    by_version("cuMemsetD32", 12000, set);
    by_name("cuMemcpyDtoH", to_host);
    by_version("cuMemGetInfo", 12000, memory);
    by_version("cuLaunchKernel", 12000, launch);

    size_t count = 1 << 20, free_bytes = 0, all_bytes = 0;
    CHECK_DRIVER(memory(&free_bytes, &all_bytes));
    if (free_bytes == 0 || free_bytes > all_bytes) {
        fprintf(stderr, "%zu of %zu bytes are free\n", free_bytes, all_bytes);
        exit(1);
    }
    CUdeviceptr device;
    CHECK_DRIVER(allocate(&device, count * sizeof(Word)));
    CHECK_DRIVER(set(device, 15, count));
    cudaFunction_t function;
    CHECK(cudaGetFuncBySymbol(&function, (const void *)mix));
    Word salt = 16;
    void *parameters[] = {&device, &count, &salt};
    CHECK_DRIVER(launch((CUfunction)function, 64, 1, 1, 256, 1, 1, 0, nullptr, parameters, nullptr));
    CHECK(cudaDeviceSynchronize());
    Numbers back(count), right(count, 15);
    CHECK_DRIVER(to_host(back.data(), device, count * sizeof(Word)));
    mix_here(right, 16);
    expect(back, right, "the driver's entry points");
    CHECK_DRIVER(release(device));
}

static void launches() {
    size_t count = 1 << 20;
    Word salt = 17, *device;
    Numbers numbers = some(count, 18), back(count);
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMalloc((void **)&device, count * sizeof(Word)));
    CHECK(cudaMemcpy(device, numbers.data(), count * sizeof(Word), cudaMemcpyHostToDevice));
    // Where each thread has a default stream of its own, it does not wait for others, nor they for it.
    CHECK(cudaDeviceSynchronize());
    void *parameters[] = {&device, &count, &salt};
    CHECK(cudaLaunchKernel((const void *)mix, dim3(64), dim3(256), parameters, 0, stream));
    CHECK(cudaLaunchCooperativeKernel((const void *)mix, dim3(32), dim3(128), parameters, 0, stream));
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = 2;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(64);
    config.blockDim = dim3(256);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    CHECK(cudaLaunchKernelExC(&config, (const void *)mix, parameters));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaMemcpy(back.data(), device, count * sizeof(Word), cudaMemcpyDeviceToHost));
    for (int i = 0; i < 3; i++) {
        mix_here(numbers, 17);
    }
    expect(back, numbers, "other ways to launch");
    CHECK(cudaFree(device));
    CHECK(cudaStreamDestroy(stream));
}

static void on_a_thread(Word seed, Numbers &back) {
    Numbers numbers = some(1 << 20, seed);
    back.resize(numbers.size());
    Word *device;
    CHECK(cudaMalloc((void **)&device, numbers.size() * sizeof(Word)));
    for (Word i = 0; i < 10; i++) {
        CHECK(cudaMemcpyAsync(device, numbers.data(), numbers.size() * sizeof(Word), cudaMemcpyHostToDevice, 0));
        mix<<<64, 256>>>(device, numbers.size(), i);
        CHECK(cudaMemcpyAsync(numbers.data(), device, numbers.size() * sizeof(Word), cudaMemcpyDeviceToHost, 0));
        CHECK(cudaStreamSynchronize(0));
    }
    CHECK(cudaFree(device));
    back = numbers;
}

static void threads() {
    const Word count = 4;
    std::vector<Numbers> results(count);
    std::vector<std::thread> running;
    for (Word i = 0; i < count; i++) {
        running.emplace_back(on_a_thread, 20 + i, std::ref(results[i]));
    }
    for (Word i = 0; i < count; i++) {
        running[i].join();
        Numbers right = some(1 << 20, 20 + i);
        for (Word salt = 0; salt < 10; salt++) {
            mix_here(right, salt);
        }
        expect(results[i], right, "a thread");
    }
}

int main(int argc, char **argv) {
    bool hold = false, fault = false;
    double linger = 0;
    for (int i = 1; i < argc; i++) {
        std::string word = argv[i];
        if (word == "--hold") {
            hold = true;
        } else if (word == "--fault") {
            fault = true;
        } else if (word == "--linger" && i + 1 < argc) {
            linger = atof(argv[++i]);
        } else {
            fprintf(stderr, "usage: %s [--hold] [--linger SECONDS] [--fault]\n", argv[0]);
            return 2;
        }
    }
    if (fault) {
        Word *device;
        CHECK(cudaMalloc((void **)&device, 4 << 20));
        past_the_end<<<1, 1>>>(device, (4ull << 30) / sizeof(Word));
        cudaDeviceSynchronize();
    } else {
        plain();
        pool();
        events();
        other_memory();
        graphs();
        entry_points();
        launches();
        threads();
    }
    printf("{\"digest\": \"%016llx\", \"pid\": %d}\n", (unsigned long long)digest, (int)getpid());
    fflush(stdout);
    usleep((useconds_t)(linger * 1e6));
    if (hold) {
        while (getchar() != '\n' && !feof(stdin)) {
        }
    }
    return 0;
}
