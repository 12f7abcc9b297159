/* Copies that wait for a flag of the host, beside a stream that is free: flags STREAMS
 *
 * Each of so many streams waits for a word in pinned memory (cuStreamWaitValue32) and has a copy to the device behind it.
 * A free stream copies and is synchronized before the program sets the words. Then everything is synchronized
 * and every byte checked. Prints {"right": bool, "free_ms": n, "all_ms": n}, the time of the free stream and of the rest.
 */
#define FUNCTIONS(F)                                                    \
    F(cuInit, (unsigned))                                               \
    F(cuDevicePrimaryCtxRetain, (void **, int))                         \
    F(cuCtxSetCurrent, (void *))                                        \
    F(cuCtxSynchronize, (void))                                         \
    F(cuMemAlloc_v2, (D *, size_t))                                     \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                      \
    F(cuMemHostGetDevicePointer_v2, (D *, void *, unsigned))            \
    F(cuMemcpyHtoDAsync_v2, (D, const void *, size_t, S))               \
    F(cuMemcpyDtoHAsync_v2, (void *, D, size_t, S))                     \
    F(cuStreamCreate, (S *, unsigned))                                  \
    F(cuStreamSynchronize, (S))                                         \
    F(cuStreamWaitValue32_v2, (S, D, uint32_t, unsigned))

#include "driver.h"

enum { MOST = 16, BYTES = 8 << 20, DEVICE_MAP = 2, NON_BLOCKING = 1, GEQ = 0, SIZES = 3 };
static const size_t sizes[SIZES] = {4 << 10, 256 << 10, BYTES};

/* A stream with what it copies to the device and back. */
typedef struct { S stream; D device; unsigned char *from, *to; } Lane;

static void prepare(Lane *lane, unsigned seed) {
    TRY(cuStreamCreate(&lane->stream, NON_BLOCKING));
    TRY(cuMemAlloc_v2(&lane->device, BYTES));
    TRY(cuMemHostAlloc((void **)&lane->from, BYTES, 0));
    TRY(cuMemHostAlloc((void **)&lane->to, BYTES, 0));
    for (size_t i = 0; i < BYTES; i++) seed = seed * 1664525 + 1013904223, lane->from[i] = (unsigned char)(seed >> 24);
    memset(lane->to, 0, BYTES);
}

static void there_and_back(Lane *lane, size_t bytes) {
    TRY(cuMemcpyHtoDAsync_v2(lane->device, lane->from, bytes, lane->stream));
    TRY(cuMemcpyDtoHAsync_v2(lane->to, lane->device, bytes, lane->stream));
}

int main(int argc, char **argv) {
    int streams = argc > 1 ? atoi(argv[1]) : 2;
    if (streams < 1 || streams > MOST) return 2;
    load_driver();
    void *context;
    volatile uint32_t *flags;
    D flags_at;
    Lane waiting[MOST], free_lane;
    TRY(cuInit(0));
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuMemHostAlloc((void **)&flags, 4096, DEVICE_MAP));
    memset((void *)flags, 0, 4096);
    TRY(cuMemHostGetDevicePointer_v2(&flags_at, (void *)flags, 0));
    for (int i = 0; i < streams; i++) prepare(&waiting[i], 17 + i);
    prepare(&free_lane, 5);
    /* A wait goes to the queue of its stream's last command: to one of the four for copies under MPS, and not to one of the
     * two for kernels, which two waits would fill. */
    for (int i = 0; i < streams; i++) there_and_back(&waiting[i], sizes[0]);
    TRY(cuCtxSynchronize());

    for (int i = 0; i < streams; i++) {
        TRY(cuStreamWaitValue32_v2(waiting[i].stream, flags_at + 64 * i, 1, GEQ));
        TRY(cuMemcpyHtoDAsync_v2(waiting[i].device, waiting[i].from, BYTES, waiting[i].stream));
    }
    double begun = now();
    int right = 1;
    for (int i = 0; i < SIZES; i++) {
        there_and_back(&free_lane, sizes[i]);
        TRY(cuStreamSynchronize(free_lane.stream));
        right = right && !memcmp(free_lane.from, free_lane.to, sizes[i]);
    }
    double free_done = now();
    for (int i = 0; i < streams; i++) flags[16 * i] = 1;
    TRY(cuCtxSynchronize());
    double all_done = now();
    for (int i = 0; i < streams; i++) TRY(cuMemcpyDtoHAsync_v2(waiting[i].to, waiting[i].device, BYTES, waiting[i].stream));
    TRY(cuCtxSynchronize());
    for (int i = 0; i < streams; i++) right = right && !memcmp(waiting[i].from, waiting[i].to, BYTES);
    printf("{\"right\": %s, \"free_ms\": %.2f, \"all_ms\": %.2f}\n", right ? "true" : "false", (free_done - begun) * 1e3, (all_done - free_done) * 1e3);
    return !right;
}
