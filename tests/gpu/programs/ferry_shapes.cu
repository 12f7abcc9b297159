// What shape of kernel leaves most of the bus to a small copy beside it. Needs no Missile; built by ferry_shapes.py.
//
//   ferry_shapes small DIRECTION SECONDS    256 KiB copies by the engine every 500 us: a line "when us" for each
//   ferry_shapes bulk DIRECTION SECONDS     each shape for so long, 64 MiB a time: a line "shape|begin end|GB/s" for each
//
// A shape is BLOCKSxTHREADSxLOADS (16-byte loads that a thread has under way), in pieces of so many MiB: `plain` in the
// copies' own stream; `handed` in another one that waits for the copies' stream to ask and answers it, as Missile's ferry
// did (docs/decisions/020); with `pace` no faster than so many MB/s, by the GPU's clock. `engine` is the engine.
#include "check.cuh"

#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

constexpr size_t MIB = 1 << 20, BULK = 64 * MIB, SMALL = 256 << 10;
constexpr double PERIOD = 500e-6, WARM = 0.05;
enum Word { STARTED, CANCELLED, LEFT, DONE, ASKED = 16 };

__device__ unsigned arrived, departed, verdict;

__device__ unsigned long long clock_ns() {
    unsigned long long time;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
    return time;
}

template <int LOADS>
__device__ void copy(char* to, const char* from, size_t bytes, unsigned pace) {
    size_t at = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) * 16, stride = size_t(gridDim.x) * blockDim.x * 16;
    unsigned long long begun = clock_ns(), moved = 0;
    for (; at + stride * (LOADS - 1) < bytes; at += stride * LOADS) {
        uint4 value[LOADS];
#pragma unroll
        for (int i = 0; i < LOADS; i++) value[i] = __ldcs(reinterpret_cast<const uint4*>(from + at + stride * i));
#pragma unroll
        for (int i = 0; i < LOADS; i++) __stcs(reinterpret_cast<uint4*>(to + at + stride * i), value[i]);
        moved += stride * LOADS;
        while (pace && clock_ns() < begun + moved * 1000 / pace) {}
    }
    for (; at < bytes; at += stride) *reinterpret_cast<uint4*>(to + at) = *reinterpret_cast<const uint4*>(from + at);
}

template <int LOADS>
__global__ void plain(char* to, const char* from, size_t bytes, unsigned pace) {
    copy<LOADS>(to, from, bytes, pace);
}

template <int LOADS>
__global__ void handed(char* to, const char* from, size_t bytes, volatile unsigned* words, unsigned ticket) {
    __shared__ bool goes;
    if (threadIdx.x == 0) {
        volatile unsigned* said = &verdict;
        if (atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1) {
            words[STARTED] = ticket;
            __threadfence_system();
            *said = ticket * 2 + (static_cast<int>(words[CANCELLED] - ticket) >= 0);
        }
        unsigned heard;
        do heard = *said;
        while (heard >> 1 != ticket);
        goes = !(heard & 1);
    }
    __syncthreads();
    if (goes) copy<LOADS>(to, from, bytes, 0);
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x == 0 && atomicInc(&departed, gridDim.x - 1) == gridDim.x - 1) {
        __threadfence_system();
        words[goes ? DONE : LEFT] = ticket;
    }
}

struct Shape {
    std::string way;
    int blocks, threads, loads;
    unsigned pace;
    size_t piece;
};

int small_copies(bool back, double seconds) {
    void *host, *device;
    cudaStream_t stream;
    CHECK(cudaHostAlloc(&host, SMALL, 0));
    CHECK(cudaMalloc(&device, SMALL));
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    std::vector<std::pair<double, double>> took;
    double begun = now(), due = begun;
    while (now() - begun < seconds) {
        while (now() < due) {}
        double start = now();
        if (back) CHECK(cudaMemcpyAsync(host, device, SMALL, cudaMemcpyDeviceToHost, stream));
        else CHECK(cudaMemcpyAsync(device, host, SMALL, cudaMemcpyHostToDevice, stream));
        CHECK(cudaStreamSynchronize(stream));
        double end = now();
        took.emplace_back(start, (end - start) * 1e6);
        due = std::max(due + PERIOD, end);
    }
    for (auto& [start, us] : took) printf("%.6f %.1f\n", start, us);
    return 0;
}

struct Bulk {
    bool back;
    char *to, *from;
    unsigned *words, ticket = 0;
    cudaStream_t stream, other;

    template <int LOADS>
    void launch(const Shape& shape, size_t at) {
        if (shape.way == "plain") {
            plain<LOADS><<<shape.blocks, shape.threads, 0, stream>>>(to + at, from + at, shape.piece, shape.pace);
            return;
        }
        auto word = [&](Word which) { return reinterpret_cast<CUdeviceptr>(words + which); };
        ticket++;
        // The asking first: CUDA loads a kernel when it is first launched, and waits for the device to do so.
        CHECK(cuStreamWriteValue32(stream, word(ASKED), ticket, 0));
        CHECK(cuStreamWaitValue32(other, word(ASKED), ticket, CU_STREAM_WAIT_VALUE_GEQ));
        handed<LOADS><<<shape.blocks, shape.threads, 0, other>>>(to + at, from + at, shape.piece, words, ticket);
        CHECK(cuStreamWaitValue32(stream, word(DONE), ticket, CU_STREAM_WAIT_VALUE_GEQ));
    }

    void once(const Shape& shape) {
        for (size_t at = 0; at < BULK; at += shape.piece) {
            auto kind = back ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice;
            if (shape.way == "engine") CHECK(cudaMemcpyAsync(to + at, from + at, shape.piece, kind, stream));
            else if (shape.loads == 4) launch<4>(shape, at);
            else if (shape.loads == 8) launch<8>(shape, at);
            else launch<16>(shape, at);
            CHECK(cudaGetLastError());
        }
        CHECK(cudaStreamSynchronize(stream));
    }
};

int bulk_copies(bool back, double seconds) {
    char *host, *device;
    Bulk bulk{back};
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&host), BULK, 0));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&device), BULK));
    memset(host, 1, BULK);
    bulk.to = back ? host : device, bulk.from = back ? device : host;
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&bulk.words), 4096, cudaHostAllocMapped));
    memset(bulk.words, 0, 4096);
    CHECK(cudaStreamCreateWithFlags(&bulk.stream, cudaStreamNonBlocking));
    CHECK(cudaStreamCreateWithFlags(&bulk.other, cudaStreamNonBlocking));
    std::vector<Shape> shapes{{"engine", 0, 0, 0, 0, BULK}};
    if (back) {
        for (int blocks : {1, 2, 4})
            for (unsigned pace : {0u, 45000u, 48000u, 50000u}) shapes.push_back({"plain", blocks, 512, 4, pace, BULK});
    } else {
        for (auto way : {"plain", "handed"})
            for (auto [blocks, threads, loads] : {std::array{1, 1024, 8}, {1, 512, 16}, {2, 512, 8}, {3, 512, 4}, {4, 512, 4}, {8, 256, 4}})
                shapes.push_back({way, blocks, threads, loads, 0, BULK});
        for (size_t piece : {MIB, 2 * MIB, 4 * MIB, 16 * MIB})
            for (auto way : {"plain", "handed"}) shapes.push_back({way, 2, 512, 8, 0, piece});
        shapes.push_back({"plain", 4, 512, 4, 48000, BULK});
    }
    for (auto& shape : shapes) {
        double begun = 0, moved = 0;
        for (double limit : {WARM, seconds})
            for (begun = now(), moved = 0; now() - begun < limit; moved += BULK) bulk.once(shape);
        double end = now();
        printf("%s %dx%dx%d pace %u, %zu MiB|%.6f %.6f|%.2f\n", shape.way.c_str(), shape.blocks, shape.threads, shape.loads,
               shape.pace, shape.piece / MIB, begun, end, moved / (end - begun) / 1e9);
    }
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    CHECK(cudaFree(nullptr));
    bool back = !strcmp(argv[2], "d2h");
    return !strcmp(argv[1], "small") ? small_copies(back, atof(argv[3])) : bulk_copies(back, atof(argv[3]));
}
