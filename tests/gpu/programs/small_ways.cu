// How a small copy may go beside a bulk copier that has the copy engine to itself. Needs no Missile; decision 024 rests on it.
//
//   nvcc -O2 -std=c++17 -arch=native small_ways.cu -o small_ways -ldl && ./small_ways SECONDS      (under MPS)
//
// One line a direction, size and way, alone and beside 64 MiB copies by the engine: `engine`, as the program asks for it; by
// a kernel of BLOCKSxLOADS (512 threads, so many 16-byte loads each under way) in the copy's own stream; or `handed` to a
// kernel in another stream, which the copy's stream waits for as in shim/src/ferry (with its answer in host or device memory,
// and without a look whether the copy was cancelled).
#include "check.cuh"

#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

constexpr size_t KIB = 1 << 10, MIB = 1 << 20, BULK = 64 * MIB, MOST = 16 * MIB;
enum Word { STARTED, LEFT, DONE, CANCELLED = 16 };
enum Direction { NOWHERE, TO_DEVICE, TO_HOST };

__device__ unsigned arrived, departed, verdict;

template <int LOADS>
__device__ void copy(char* to, const char* from, size_t bytes) {
    size_t at = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) * 16, stride = size_t(gridDim.x) * blockDim.x * 16;
    for (; at + stride * (LOADS - 1) < bytes; at += stride * LOADS) {
        uint4 value[LOADS];
#pragma unroll
        for (int i = 0; i < LOADS; i++) value[i] = __ldcs(reinterpret_cast<const uint4*>(from + at + stride * i));
#pragma unroll
        for (int i = 0; i < LOADS; i++) __stcs(reinterpret_cast<uint4*>(to + at + stride * i), value[i]);
    }
    for (; at < bytes; at += stride) *reinterpret_cast<uint4*>(to + at) = *reinterpret_cast<const uint4*>(from + at);
}

template <int LOADS>
__global__ void plain(char* to, const char* from, size_t bytes) {
    copy<LOADS>(to, from, bytes);
}

template <int LOADS>
__global__ void handed(char* to, const char* from, size_t bytes, volatile unsigned* words, volatile unsigned* device_words, unsigned ticket, bool looks) {
    __shared__ bool goes;
    if (threadIdx.x == 0) {
        volatile unsigned* said = &verdict;
        if (atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1) {
            words[STARTED] = ticket;
            if (looks) __threadfence_system();
            unsigned cancelled = looks ? words[CANCELLED] : device_words[CANCELLED];
            *said = ticket * 2 + (static_cast<int>(cancelled - ticket) >= 0);
        }
        unsigned heard;
        do heard = *said;
        while (heard >> 1 != ticket);
        goes = !(heard & 1);
    }
    __syncthreads();
    if (goes) copy<LOADS>(to, from, bytes);
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x == 0 && atomicInc(&departed, gridDim.x - 1) == gridDim.x - 1) {
        __threadfence_system();
        device_words[0] = ticket;
        words[goes ? DONE : LEFT] = ticket;
    }
}

// What the two processes share: what the bulk copier is to do, and what it did.
struct Board {
    volatile double bytes;
    volatile int way, ready;
};

[[noreturn]] void bulk_copies(Board* board) {
    char *host, *device;
    cudaStream_t stream;
    cudaEvent_t ends[2];
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&host), BULK, 0));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&device), BULK));
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (auto& end : ends) CHECK(cudaEventCreateWithFlags(&end, cudaEventDisableTiming));
    board->ready = 1;
    for (int i = 0;; i++) {
        int way = board->way;
        if (way == NOWHERE) {
            CHECK(cudaStreamSynchronize(stream));
            while ((way = board->way) == NOWHERE) usleep(200);
        }
        if (way == TO_DEVICE) CHECK(cudaMemcpyAsync(device, host, BULK, cudaMemcpyHostToDevice, stream));
        else CHECK(cudaMemcpyAsync(host, device, BULK, cudaMemcpyDeviceToHost, stream));
        CHECK(cudaEventRecord(ends[i & 1], stream));
        CHECK(cudaEventSynchronize(ends[(i + 1) & 1]));
        board->bytes = board->bytes + BULK;
    }
}

struct Way {
    const char* name;
    char kind;  // Engine, in the stream (K), handed with the answer in Host or Device memory, and with No look
    int blocks, loads;
};

int main(int argc, char** argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0.25;
    auto* board = static_cast<Board*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t child = fork();
    if (child == 0) bulk_copies(board);
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    auto wait32 = reinterpret_cast<CUresult (*)(CUstream, CUdeviceptr, cuuint32_t, unsigned)>(dlsym(driver, "cuStreamWaitValue32_v2"));
    char *host, *device;
    unsigned *words, *device_words, ticket = 0;
    cudaStream_t stream, other;
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&host), MOST, 0));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&device), MOST));
    memset(host, 1, MOST);
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&words), 4096, cudaHostAllocMapped));
    memset(words, 0, 4096);
    CHECK(cudaMalloc(reinterpret_cast<void**>(&device_words), 4096));
    CHECK(cudaMemset(device_words, 0, 4096));
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    while (!board->ready) usleep(1000);

    const std::vector<Way> ways{{"engine", 'E', 0, 0},          {"in stream 4x4", 'K', 4, 4},       {"in stream 8x4", 'K', 8, 4},
                                {"in stream 16x4", 'K', 16, 4}, {"in stream 32x4", 'K', 32, 4},     {"in stream 16x2", 'K', 16, 2},
                                {"in stream 32x1", 'K', 32, 1}, {"handed, host 8x4", 'H', 8, 4},    {"handed, device 8x4", 'D', 8, 4},
                                {"handed, no look 8x4", 'N', 8, 4}, {"handed, no look 16x4", 'N', 16, 4}};
    const std::vector<std::pair<size_t, double>> sizes{{64 * KIB, 300e-6}, {256 * KIB, 500e-6}, {MIB, 1e-3}, {2 * MIB, 2e-3}, {8 * MIB, 3e-3}};
    for (int direction : {TO_DEVICE, TO_HOST})
        for (bool beside : {false, true}) {
            if (beside) board->way = direction, usleep(50000);
            for (auto [size, period] : sizes)
                for (auto& way : ways) {
                    if (size > 2 * MIB && way.kind != 'E' && way.kind != 'K') continue;
                    char *to = direction == TO_DEVICE ? device : host, *from = direction == TO_DEVICE ? host : device;
                    size_t bytes = size;
                    auto by_kernel = [&](auto in_stream, auto by_hand) {
                        if (way.kind == 'K') {
                            in_stream<<<way.blocks, 512, 0, stream>>>(to, from, bytes);
                            return;
                        }
                        ticket++;
                        by_hand<<<way.blocks, 512, 0, other>>>(to, from, bytes, words, device_words, ticket, way.kind != 'N');
                        auto answer = reinterpret_cast<CUdeviceptr>(way.kind == 'H' ? words + DONE : device_words);
                        CHECK(wait32(stream, answer, ticket, CU_STREAM_WAIT_VALUE_GEQ));
                    };
                    std::vector<double> took;
                    double begun = 0, before = 0;
                    for (double limit : {0.01, seconds}) {
                        took.clear(), begun = now(), before = board->bytes;
                        for (double due = begun; now() - begun < limit;) {
                            while (now() < due) {}
                            double start = now();
                            if (way.kind == 'E') CHECK(cudaMemcpyAsync(to, from, bytes, direction == TO_DEVICE ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost, stream));
                            else if (way.loads == 4) by_kernel(plain<4>, handed<4>);
                            else if (way.loads == 2) by_kernel(plain<2>, handed<2>);
                            else by_kernel(plain<1>, handed<1>);
                            CHECK(cudaGetLastError());
                            CHECK(cudaStreamSynchronize(stream));
                            double end = now();
                            took.push_back((end - start) * 1e6);
                            due = std::max(due + period, end);
                        }
                    }
                    double rate = (board->bytes - before) / (now() - begun) / 1e9;
                    std::sort(took.begin(), took.end());
                    auto at = [&](size_t percent) { return took[took.size() * percent / 100]; };
                    printf("%s %5zu KiB %-22s %-7s p50 %6.1f p90 %6.1f p99 %6.1f max %7.1f  bulk %5.2f GB/s, %zu\n",
                           direction == TO_DEVICE ? "h2d" : "d2h", size / KIB, way.name, beside ? "beside" : "alone", at(50), at(90), at(99),
                           took.back(), rate, took.size());
                    fflush(stdout);
                }
            board->way = NOWHERE, usleep(50000);
        }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}
