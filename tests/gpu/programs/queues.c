/* Which streams wait for each other because they share one of the device's queues: queues [STREAMS [KIB]]
 *
 * One stream is made to wait for a word in memory, or for a kernel that waits for one, and another does something that has
 * nothing to do with it, copies of so many KiB among it (the driver puts small ones elsewhere than large ones). Says for
 * each kind of stream and of work how many of the waiting streams it passed within 5 ms, then for how many that wait at once
 * it did. CUDA_DEVICE_MAX_CONNECTIONS says how many queues there are. Prints a line of JSON for each case.
 */
#define FUNCTIONS(F)                                                                                     \
    F(cuInit, (unsigned))                                                                                \
    F(cuDevicePrimaryCtxRetain, (void **, int))                                                          \
    F(cuCtxSetCurrent, (void *))                                                                         \
    F(cuCtxSynchronize, (void))                                                                          \
    F(cuCtxGetStreamPriorityRange, (int *, int *))                                                       \
    F(cuModuleLoadData, (void **, const void *))                                                         \
    F(cuModuleGetFunction, (void **, void *, const char *))                                              \
    F(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, S, void **, void **)) \
    F(cuMemAlloc_v2, (D *, size_t))                                                                      \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                                                       \
    F(cuMemHostGetDevicePointer_v2, (D *, void *, unsigned))                                             \
    F(cuStreamCreateWithPriority, (S *, unsigned, int))                                                  \
    F(cuMemcpyHtoDAsync_v2, (D, const void *, size_t, S))                                                \
    F(cuMemcpyDtoHAsync_v2, (void *, D, size_t, S))                                                      \
    F(cuStreamCreate, (S *, unsigned))                                                                   \
    F(cuStreamQuery, (S))                                                                                \
    F(cuEventCreate, (void **, unsigned))                                                                \
    F(cuEventRecord, (void *, S))                                                                        \
    F(cuStreamWaitEvent, (S, void *, unsigned))                                                          \
    F(cuStreamWaitValue32_v2, (S, D, uint32_t, unsigned))                                                \
    F(cuStreamWriteValue32_v2, (S, D, uint32_t, unsigned))

#include "driver.h"

static const char *MODULE =
    ".version 6.0\n.target sm_60\n.address_size 64\n"
    ".visible .entry hold(.param .u64 word, .param .u32 number)\n{\n"
    "  .reg .u64 %w; .reg .u32 %v, %n; .reg .pred %p;\n"
    "  ld.param.u64 %w, [word];\n  ld.param.u32 %n, [number];\n"
    "look:\n  ld.volatile.u32 %v, [%w];\n  sub.u32 %v, %v, %n;\n  setp.lt.s32 %p, %v, 0;\n  @%p bra look;\n  ret;\n}\n"
    ".visible .entry nothing()\n{\n  ret;\n}\n";

enum { GEQ = 0, BIG = 1 << 20 };
static size_t bytes = 16;
static volatile uint32_t *words;
static unsigned char *host;
static D words_at, memory;
static void *hold, *nothing;

/* words[0] is what the first stream waits for, words[1] says that the other has come through, words[2] is always far on. */
static const char *WAITS[] = {"a word", "a word after a copy", "a kernel, then copies", "a kernel, then a word"};
static void make_wait(int how, S stream, uint32_t number) {
    void *arguments[] = {&words_at, &number};
    switch (how) {
    case 1:
        TRY(cuMemcpyHtoDAsync_v2(memory, host, bytes, stream));
        /* fall through */
    case 0:
        TRY(cuStreamWaitValue32_v2(stream, words_at, number, GEQ));
        break;
    case 2:
        TRY(cuLaunchKernel(hold, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL));
        TRY(cuMemcpyHtoDAsync_v2(memory, host, bytes, stream));
        TRY(cuMemcpyDtoHAsync_v2(host, memory, bytes, stream));
        break;
    case 3:
        TRY(cuLaunchKernel(hold, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL));
        TRY(cuStreamWaitValue32_v2(stream, words_at, number, GEQ));
    }
}

static const char *WORK[] = {"copy", "wait, copy", "kernel", "wait, kernel", "write"};
static int passes(int what, S stream, uint32_t number) {
    if (what == 1 || what == 3) TRY(cuStreamWaitValue32_v2(stream, words_at + 8, number, GEQ));
    if (what == 0 || what == 1) TRY(cuMemcpyHtoDAsync_v2(memory + BIG, host, bytes, stream));
    if (what == 2 || what == 3) TRY(cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
    TRY(cuStreamWriteValue32_v2(stream, words_at + 4, number, 0));
    for (double begun = now(); now() - begun < 5e-3;)
        if (words[1] == number) return 1;
    return 0;
}

/* Whether a stream in which nothing is but a wait says that it has work to do (600) or none (0). */
static void query(S other, uint32_t *number) {
    S stream[3] = {NULL, NULL, (S)2};
    static const char *KINDS[] = {"non-blocking", "blocking", "per-thread"};
    void *event;
    TRY(cuStreamCreate(&stream[0], 1));
    TRY(cuStreamCreate(&stream[1], 0));
    TRY(cuEventCreate(&event, 2));
    for (int i = 0; i < 3; i++)
        for (int by_event = 0; by_event < 2; by_event++) {
            int before = cuStreamQuery(stream[i]);
            ++*number;
            if (by_event) {
                TRY(cuStreamWaitValue32_v2(other, words_at, *number, GEQ));
                TRY(cuEventRecord(event, other));
                TRY(cuStreamWaitEvent(stream[i], event, 0));
            } else TRY(cuStreamWaitValue32_v2(stream[i], words_at, *number, GEQ));
            int meanwhile = cuStreamQuery(stream[i]);
            words[0] = *number;
            TRY(cuCtxSynchronize());
            printf("{\"query\": \"%s\", \"wait\": \"%s\", \"before\": %d, \"meanwhile\": %d, \"after\": %d}\n", KINDS[i],
                   by_event ? "event" : "word", before, meanwhile, cuStreamQuery(stream[i]));
        }
}

int main(int argc, char **argv) {
    int streams = argc > 1 ? atoi(argv[1]) : 12, least, greatest;
    if (argc > 2) bytes = (size_t)atoi(argv[2]) << 10;
    if (bytes > BIG) return 2;
    void *context, *module;
    load_driver();
    TRY(cuInit(0));
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuModuleLoadData(&module, MODULE));
    TRY(cuModuleGetFunction(&hold, module, "hold"));
    TRY(cuModuleGetFunction(&nothing, module, "nothing"));
    TRY(cuMemAlloc_v2(&memory, 2 * BIG));
    TRY(cuMemHostAlloc((void **)&host, BIG, 2));
    TRY(cuMemHostAlloc((void **)&words, 4096, 2));
    TRY(cuMemHostGetDevicePointer_v2(&words_at, (void *)words, 0));
    TRY(cuCtxGetStreamPriorityRange(&least, &greatest));
    memset((void *)words, 0, 4096);
    words[2] = 1 << 30;

    S waiting[64], other[16];
    int priorities[16], others = 0, number = 0;
    if (streams > 64) streams = 64;
    for (int i = 0; i < streams; i++) TRY(cuStreamCreateWithPriority(&waiting[i], 1, 0));
    for (int i = 0; i < 2; i++) priorities[others++] = 0;
    for (int priority = least; priority >= greatest && others < 16; priority--) if (priority) priorities[others++] = priority;
    for (int i = 0; i < others; i++) TRY(cuStreamCreateWithPriority(&other[i], 1, priorities[i]));
    /* All is loaded and used once before anything waits. */
    words[0] = 1 << 29;
    for (int i = 0; i < streams + others; i++) {
        S stream = i < streams ? waiting[i] : other[i - streams];
        make_wait(2, stream, ++number);
        for (int what = 0; what < 5; what++) if (!passes(what, stream, ++number)) fprintf(stderr, "stream %d is slow\n", i);
    }
    TRY(cuCtxSynchronize());
    words[0] = number;
    uint32_t numbers = number;
    query(waiting[0], &numbers);
    number = numbers;
    for (int how = 0; how < 4; how++)
        for (int what = 0; what < 5; what++) {
            printf("{\"waits for\": \"%s\", \"work\": \"%s\", \"streams\": %d, \"passed\": {", WAITS[how], WORK[what], streams);
            for (int i = 0; i < others; i++) {
                int passed = 0;
                for (int k = 0; k < streams; k++) {
                    make_wait(how, waiting[k], ++number);
                    passed += passes(what, other[i], number);
                    words[0] = number;
                    TRY(cuCtxSynchronize());
                }
                printf("%s\"%d%s\": %d", i ? ", " : "", priorities[i], i == 1 ? " again" : "", passed);
            }
            printf("}}\n");
            fflush(stdout);
        }
    for (int how = 0; how < 4; how++)
        for (int what = 0; what < 4; what++) {
            printf("{\"wait at once for\": \"%s\", \"work\": \"%s\", \"passed so many\": {", WAITS[how], WORK[what]);
            for (int i = 0; i < others; i += others - 1) {
                printf("%s\"%d\": [", i ? ", " : "", priorities[i]);
                for (int some = 1, first = 1; some <= streams; some++) {
                    number++;
                    for (int k = 0; k < some; k++) make_wait(how, waiting[k], number);
                    if (passes(what, other[i], number)) printf("%s%d", first ? "" : ", ", some), first = 0;
                    words[0] = number;
                    TRY(cuCtxSynchronize());
                }
                printf("]");
            }
            printf("}}\n");
            fflush(stdout);
        }
    return 0;
}
