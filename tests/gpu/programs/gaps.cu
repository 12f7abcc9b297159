// How long the copy engine has to be left alone between two pieces for it to look at another process's copy. Needs no
// Missile; decision 025 rests on it.
//
//   nvcc -O2 -std=c++17 -arch=native gaps.cu -o gaps -ldl -lpthread && ./gaps SECONDS      (under MPS)
//
// One process copies 64 MiB in pieces of 2 MiB, each behind a wait that a thread opens so many us after the piece before is
// done (-1: one piece ahead). The other makes a copy of 256 KiB every 700 us: alone in its stream, behind a write, an event
// and a write, a kernel of 60 us and a write, or that while the pieces are held back meanwhile. Times are the device's, from
// an event before the copy, which may have waited itself: fewer copies than elsewhere say that it did.
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
#include <thread>
#include <unistd.h>
#include <vector>

constexpr size_t MIB = 1 << 20, BULK = 64 * MIB, PIECE = 2 * MIB, SMALL = 256 << 10;
constexpr double PERIOD = 700e-6;
constexpr long KERNEL_CYCLES = 110000;
enum Word { GATE, DONE = 16 };
enum Direction { NOWHERE, TO_DEVICE, TO_HOST };

using Operation = CUresult (*)(CUstream, CUdeviceptr, cuuint32_t, unsigned);
Operation wait32, write32;

void look_up() {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    wait32 = reinterpret_cast<Operation>(dlsym(driver, "cuStreamWaitValue32_v2"));
    write32 = reinterpret_cast<Operation>(dlsym(driver, "cuStreamWriteValue32_v2"));
}

__global__ void spin(long cycles) {
    long begun = clock64();
    while (clock64() - begun < cycles) {}
}

// What the two processes share.
struct Board {
    volatile double bytes, gap_us;
    volatile int way, ready, hold;
};

unsigned* pinned_words() {
    unsigned* words;
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&words), 4096, cudaHostAllocMapped));
    memset(words, 0, 4096);
    return words;
}

// Opens the gate for one piece after the other.
[[noreturn]] void let_go(Board* board, volatile unsigned* words) {
    words[GATE] = 1;
    for (unsigned done = 1;; done++) {
        while (static_cast<int>(words[DONE] - done) < 0) {}
        double until = now() + board->gap_us * 1e-6;
        while (now() < until || board->hold) {}
        words[GATE] = done + 1 + (board->gap_us < 0);
    }
}

[[noreturn]] void bulk_copies(Board* board) {
    look_up();
    char *host, *device;
    cudaStream_t stream;
    cudaEvent_t ends[2];
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&host), BULK, 0));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&device), BULK));
    auto* words = pinned_words();
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (auto& end : ends) CHECK(cudaEventCreateWithFlags(&end, cudaEventDisableTiming));
    CHECK(cudaEventRecord(ends[1], stream));
    std::thread(let_go, board, words).detach();
    board->ready = 1;
    unsigned ticket = 0;
    for (int i = 0;; i++) {
        int way = board->way;
        if (way == NOWHERE) {
            CHECK(cudaStreamSynchronize(stream));
            while ((way = board->way) == NOWHERE) usleep(200);
        }
        for (size_t at = 0; at < BULK; at += PIECE) {
            ticket++;
            CHECK(wait32(stream, reinterpret_cast<CUdeviceptr>(words + GATE), ticket, CU_STREAM_WAIT_VALUE_GEQ));
            if (way == TO_DEVICE) CHECK(cudaMemcpyAsync(device + at, host + at, PIECE, cudaMemcpyHostToDevice, stream));
            else CHECK(cudaMemcpyAsync(host + at, device + at, PIECE, cudaMemcpyDeviceToHost, stream));
            CHECK(write32(stream, reinterpret_cast<CUdeviceptr>(words + DONE), ticket, 0));
        }
        CHECK(cudaEventRecord(ends[i & 1], stream));
        CHECK(cudaEventSynchronize(ends[(i + 1) & 1]));
        board->bytes = board->bytes + BULK;
    }
}

enum Before { NOTHING, A_WRITE, AN_EVENT, A_KERNEL, A_KERNEL_AND_HELD, WAYS };
const char* const NAMES[] = {"plain", "write", "event, write", "kernel, write", "kernel, pieces held"};

int main(int argc, char** argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0.25;
    auto* board = static_cast<Board*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t child = fork();
    if (child == 0) bulk_copies(board);
    look_up();
    char *host, *device;
    unsigned ticket = 0;
    cudaStream_t stream;
    cudaEvent_t mark, begin, end;
    CHECK(cudaHostAlloc(reinterpret_cast<void**>(&host), SMALL, 0));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&device), SMALL));
    auto* words = pinned_words();
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (auto* event : {&mark, &begin, &end}) CHECK(cudaEventCreate(event));
    while (!board->ready) usleep(1000);
    for (int direction : {TO_DEVICE, TO_HOST}) {
        board->way = direction, usleep(20000);
        for (double gap : {-1.0, 0.0, 5.0, 10.0, 20.0, 40.0, 80.0})
            for (int before = NOTHING; before < WAYS; before++) {
                board->gap_us = gap;
                std::vector<double> took;
                double begun = 0, moved = 0;
                for (double limit : {0.02, seconds}) {
                    took.clear(), begun = now(), moved = board->bytes;
                    for (double due = begun; now() - begun < limit;) {
                        while (now() < due) {}
                        if (before == AN_EVENT) CHECK(cudaEventRecord(mark, stream));
                        if (before >= A_KERNEL) spin<<<1, 1, 0, stream>>>(KERNEL_CYCLES);
                        CHECK(cudaEventRecord(begin, stream));
                        board->hold = before == A_KERNEL_AND_HELD;
                        if (before >= A_WRITE) CHECK(write32(stream, reinterpret_cast<CUdeviceptr>(words), ++ticket, 0));
                        if (direction == TO_DEVICE) CHECK(cudaMemcpyAsync(device, host, SMALL, cudaMemcpyHostToDevice, stream));
                        else CHECK(cudaMemcpyAsync(host, device, SMALL, cudaMemcpyDeviceToHost, stream));
                        CHECK(cudaEventRecord(end, stream));
                        CHECK(cudaStreamSynchronize(stream));
                        board->hold = 0;
                        float ms;
                        CHECK(cudaEventElapsedTime(&ms, begin, end));
                        took.push_back(ms * 1e3);
                        due = std::max(due + PERIOD, now());
                    }
                }
                double rate = (board->bytes - moved) / (now() - begun) / 1e9;
                std::sort(took.begin(), took.end());
                auto at = [&](size_t percent) { return took[took.size() * percent / 100]; };
                printf("%s gap %5.1f us  %-20s p50 %6.1f p90 %6.1f p99 %6.1f max %7.1f  bulk %5.2f GB/s, %zu\n",
                       direction == TO_DEVICE ? "h2d" : "d2h", gap, NAMES[before], at(50), at(90), at(99), took.back(), rate, took.size());
                fflush(stdout);
            }
        board->gap_us = 0, board->way = NOWHERE, usleep(50000);
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}
