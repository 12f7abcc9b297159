/* A tenant that always has work on the GPU: busy [MICROSECONDS]
 *
 * Launches a kernel of one thread that takes about so long, and the next one before it has ended, until a line is said.
 * Prints {"at": "going"} after the first, and {"launches": n} at the end.
 */
#include <poll.h>

#define FUNCTIONS(F)                                                                                     \
    F(cuInit, (unsigned))                                                                                \
    F(cuDevicePrimaryCtxRetain, (void **, int))                                                          \
    F(cuCtxSetCurrent, (void *))                                                                         \
    F(cuCtxSynchronize, (void))                                                                          \
    F(cuModuleLoadData, (void **, const void *))                                                         \
    F(cuModuleGetFunction, (void **, void *, const char *))                                              \
    F(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, S, void **, void **)) \
    F(cuStreamCreate, (S *, unsigned))                                                                   \
    F(cuEventCreate, (void **, unsigned))                                                                \
    F(cuEventRecord, (void *, S))                                                                        \
    F(cuEventSynchronize, (void *))

#include "driver.h"

static const char *MODULE =
    ".version 6.0\n.target sm_60\n.address_size 64\n"
    "// simgpu: spin\n.visible .entry spin(.param .u64 cycles)\n{\n"
    "  .reg .u64 %c, %b, %n; .reg .pred %p;\n"
    "  ld.param.u64 %c, [cycles];\n  mov.u64 %b, %clock64;\n"
    "look:\n  mov.u64 %n, %clock64;\n  sub.u64 %n, %n, %b;\n  setp.lt.u64 %p, %n, %c;\n  @%p bra look;\n  ret;\n}\n";

/* About those of a microsecond: it need not be exact. */
enum { NON_BLOCKING = 1, TIMELESS_BLOCKING = 3, AHEAD = 2, CYCLES = 1800 };

int main(int argc, char **argv) {
    uint64_t cycles = CYCLES * (uint64_t)(argc > 1 ? atoi(argv[1]) : 200);
    void *context, *module, *spin, *events[AHEAD], *arguments[] = {&cycles};
    S stream;
    load_driver();
    TRY(cuInit(0));
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuModuleLoadData(&module, MODULE));
    TRY(cuModuleGetFunction(&spin, module, "spin"));
    TRY(cuStreamCreate(&stream, NON_BLOCKING));
    for (int i = 0; i < AHEAD; i++) TRY(cuEventCreate(&events[i], TIMELESS_BLOCKING));
    struct pollfd input = {0, POLLIN, 0};
    unsigned long long launches = 0;
    double begun = now();
    while (poll(&input, 1, 0) == 0) {
        /* The one before it is still there when the one before that has ended. */
        if (launches >= AHEAD) TRY(cuEventSynchronize(events[launches % AHEAD]));
        TRY(cuLaunchKernel(spin, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL));
        TRY(cuEventRecord(events[launches % AHEAD], stream));
        if (launches++ == 0) printf("{\"at\": \"going\"}\n"), fflush(stdout);
    }
    TRY(cuCtxSynchronize());
    printf("{\"launches\": %llu, \"seconds\": %.3f}\n", launches, now() - begun);
    return 0;
}
