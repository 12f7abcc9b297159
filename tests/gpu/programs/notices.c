/* What it costs a copy past the engine to look for notices and to rest: notices FERRY.PTX [SECONDS]
 *
 * Copies 64 MiB to the device over and over by the library's kernel (shim/src/ferry.ptx), while a thread gives notice of
 * copies that nobody makes. Prints a line of JSON for each period and size of these. Needs no MPS.
 */
#define FUNCTIONS(F)                                                                                     \
    F(cuInit, (unsigned))                                                                                \
    F(cuDevicePrimaryCtxRetain, (void **, int))                                                          \
    F(cuCtxSetCurrent, (void *))                                                                         \
    F(cuModuleLoadData, (void **, const void *))                                                         \
    F(cuModuleGetFunction, (void **, void *, const char *))                                              \
    F(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, S, void **, void **)) \
    F(cuMemAlloc_v2, (D *, size_t))                                                                      \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                                                       \
    F(cuMemHostGetDevicePointer_v2, (D *, void *, unsigned))                                             \
    F(cuStreamCreate, (S *, unsigned))                                                                   \
    F(cuStreamSynchronize, (S))

#include "driver.h"
#include <pthread.h>

/* As shim/src/ferry/kernel.rs launches it, and region/src/handover.rs has its words. */
enum { BLOCKS = 2, THREADS = 544, DONE = 3, CANCELLED = 16, BULK = 64 << 20 };

static volatile uint32_t *words, *notice;
static volatile int period_us, kib;
static volatile unsigned given;

static void *give(void *unused) {
    unsigned number = 0;
    for (double due = now();; due += period_us * 1e-6) {
        if (!period_us) due = now();
        while (now() < due) {}
        if (period_us) *notice = ++number << 20 | kib, given++;
    }
    return unused;
}

static void *page(D *device) {
    void *host;
    TRY(cuMemHostAlloc(&host, 4096, 2));
    memset(host, 0, 4096);
    TRY(cuMemHostGetDevicePointer_v2(device, host, 0));
    return host;
}

int main(int argc, char **argv) {
    double seconds = argc > 2 ? atof(argv[2]) : 0.2;
    FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;
    static char text[1 << 16];
    if (!file || !fread(text, 1, sizeof text - 1, file)) { fprintf(stderr, "usage: notices FERRY.PTX [SECONDS]\n"); return 2; }
    void *context, *module, *kernel, *host;
    load_driver();
    D to, from, words_at, notice_at;
    S stream;
    TRY(cuInit(0));
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuModuleLoadData(&module, text));
    TRY(cuModuleGetFunction(&kernel, module, "missile_ferry"));
    TRY(cuMemAlloc_v2(&to, BULK));
    TRY(cuMemHostAlloc(&host, BULK, 2));
    memset(host, 1, BULK);
    TRY(cuMemHostGetDevicePointer_v2(&from, host, 0));
    words = page(&words_at), notice = page(&notice_at);
    TRY(cuStreamCreate(&stream, 1));
    pthread_t thread;
    pthread_create(&thread, NULL, give, NULL);

    static const int NOTICES[][2] = {{0, 0}, {500, 0}, {500, 256}, {2000, 2048}, {2000, 16384}, {100, 1}};
    uint32_t ticket = 0, rest = 0;
    for (unsigned which = 0; which < sizeof NOTICES / sizeof *NOTICES; which++) {
        kib = NOTICES[which][1], period_us = NOTICES[which][0];
        int copies = 0;
        double begun = 0, limits[] = {0.03, seconds};
        for (int run = 0; run < 2; run++)
            for (begun = now(), copies = 0, given = 0; now() - begun < limits[run]; copies++) {
                size_t whole = BULK;
                words[CANCELLED] = ticket++;
                void *arguments[] = {&to, &from, &whole, &rest, &words_at, &ticket, &notice_at};
                TRY(cuLaunchKernel(kernel, BLOCKS, 1, 1, THREADS, 1, 1, 0, stream, arguments, NULL));
                TRY(cuStreamSynchronize(stream));
                if (words[DONE] != ticket) { fprintf(stderr, "copy %u was not done\n", ticket); return 1; }
            }
        double took = now() - begun;
        printf("{\"every_us\": %d, \"kib\": %d, \"copy_us\": %.1f, \"gbps\": %.2f, \"notices_a_copy\": %.2f}\n",
               period_us, kib, took / copies * 1e6, (double)copies * BULK / took / 1e9, (double)given / copies);
        fflush(stdout);
        period_us = 0;
    }
    return 0;
}
