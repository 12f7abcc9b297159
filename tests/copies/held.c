/* A kernel that has every SM and waits for a copy: it must arrive, whatever the program does meanwhile.
 *
 *   held MEANWHILE [FIRST]
 *
 *   MEANWHILE         stream, event, context, query, fetch, free, free_host, unregister, unload; or cooperative, where
 *                     the kernel is launched as a cooperative one; two, where a second stream copies as well; await, where
 *                     a second stream waits for the copies; late,
 *                     where the copies come behind 100 ms of work, which makes what they copy, and device memory is freed
 *                     meanwhile
 *
 *   FIRST             how large copies are that go before, for others to notice them: large, small or none; or again, for
 *                     large ones after some in a context that was destroyed
 *
 * Prints {"right": bool, "let_go": bool, "took_ms": n}, where "let_go" says that the kernel did not end by its copy; waits for a line, and copies once more. The kernel is
 * let go after half a minute in any case.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long D;
typedef void *S;

#define FUNCTIONS(F)                                                                                     \
    F(cuInit, (unsigned))                                                                                \
    F(cuDevicePrimaryCtxRetain, (void **, int))                                                          \
    F(cuCtxCreate_v2, (void **, unsigned, int))                                                          \
    F(cuCtxDestroy_v2, (void *))                                                                         \
    F(cuCtxSetCurrent, (void *))                                                                         \
    F(cuCtxSynchronize, (void))                                                                          \
    F(cuDeviceGetAttribute, (int *, int, int))                                                           \
    F(cuModuleLoadData, (void **, const void *))                                                         \
    F(cuModuleUnload, (void *))                                                                          \
    F(cuModuleGetFunction, (void **, void *, const char *))                                              \
    F(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, S, void **, void **)) \
    F(cuLaunchCooperativeKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, S, void **)) \
    F(cuMemAlloc_v2, (D *, size_t))                                                                      \
    F(cuMemFree_v2, (D))                                                                                 \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                                                       \
    F(cuMemFreeHost, (void *))                                                                           \
    F(cuMemHostRegister_v2, (void *, size_t, unsigned))                                                  \
    F(cuMemHostUnregister, (void *))                                                                     \
    F(cuMemsetD8_v2, (D, unsigned char, size_t))                                                         \
    F(cuStreamCreate, (S *, unsigned))                                                                   \
    F(cuStreamSynchronize, (S))                                                                          \
    F(cuLaunchHostFunc, (S, void (*)(void *), void *))                                                   \
    F(cuStreamQuery, (S))                                                                                \
    F(cuEventCreate, (void **, unsigned))                                                                \
    F(cuEventRecord, (void *, S))                                                                        \
    F(cuEventSynchronize, (void *))                                                                      \
    F(cuStreamWaitEvent, (S, void *, unsigned))                                                          \
    F(cuMemcpyDtoH_v2, (void *, D, size_t))                                                              \
    F(cuMemcpyHtoDAsync_v2, (D, const void *, size_t, S))                                                \
    F(cuMemcpyDtoHAsync_v2, (void *, D, size_t, S))

#define FIELD(name, parameters) static int(*name) parameters;
FUNCTIONS(FIELD)
#define LOOK_UP(name, parameters) if (!(name = (int(*) parameters)dlsym(cuda, #name))) { fprintf(stderr, "no %s\n", #name); return 1; }
#define TRY(call) do { int code_ = (call); if (code_) { fprintf(stderr, "%s: %d\n", #call, code_); exit(1); } } while (0)

static const char *HOLD =
    ".version 6.0\n.target sm_60\n.address_size 64\n"
    "// simgpu: hold\n.visible .entry hold(.param .u64 word)\n{\n"
    "  .reg .u64 %w; .reg .u32 %v; .reg .pred %p;\n"
    "  ld.param.u64 %w, [word];\n"
    "look:\n  ld.volatile.global.u32 %v, [%w];\n  setp.eq.u32 %p, %v, 0;\n  @%p bra look;\n  ret;\n}\n";

enum { BYTES = 8 << 20, MULTIPROCESSORS = 16 };

static void *context;
static unsigned char *from, *to;
static uint32_t *flag;
static D device, word, other;
static S copies, late;
static volatile int over, had_to_let_go;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fill(unsigned char seed) {
    for (size_t i = 0; i < BYTES; i++) from[i] = (unsigned char)(i * 7 + i / 4096 + seed);
}

static int arrived(void) {
    memset(to, 0, BYTES);
    TRY(cuMemcpyDtoH_v2(to, device, BYTES));
    return !memcmp(from, to, BYTES);
}

static void rest(void *unused) {
    (void)unused;
    usleep(100000);
    fill(1);
}

/* Ends the kernel where nothing else does. */
static void *let_go(void *unused) {
    (void)unused;
    for (int i = 0; i < 3000 && !over; i++) usleep(10000);
    if (!over) {
        had_to_let_go = 1;
        cuCtxSetCurrent(context);
        cuMemcpyHtoDAsync_v2(word, flag, 4, late);
    }
    return NULL;
}

/* Copies in a context that does not last. */
static void in_another_context(void) {
    void *other_context, *host;
    D there;
    S stream;
    TRY(cuCtxCreate_v2(&other_context, 0, 0));
    TRY(cuMemHostAlloc(&host, BYTES, 0));
    TRY(cuMemAlloc_v2(&there, BYTES));
    TRY(cuStreamCreate(&stream, 1));
    for (double begun = now(); now() - begun < 0.2;) {
        TRY(cuMemcpyHtoDAsync_v2(there, host, BYTES, stream));
        TRY(cuStreamSynchronize(stream));
    }
    TRY(cuMemcpyHtoDAsync_v2(there, host, BYTES, stream));
    TRY(cuCtxDestroy_v2(other_context));
}

int main(int argc, char **argv) {
    const char *meanwhile = argc > 1 ? argv[1] : "stream", *first = argc > 2 ? argv[2] : "large";
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (!cuda) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    FUNCTIONS(LOOK_UP)
    void *module, *hold, *event, *unused_host, *registered = aligned_alloc(4096, 1 << 20);
    int sms;
    S kernels;
    TRY(cuInit(0));
    if (!strcmp(first, "again")) in_another_context();
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuDeviceGetAttribute(&sms, MULTIPROCESSORS, 0));
    TRY(cuModuleLoadData(&module, HOLD));
    TRY(cuModuleGetFunction(&hold, module, "hold"));
    TRY(cuMemHostAlloc((void **)&from, BYTES, 0));
    TRY(cuMemHostAlloc((void **)&to, BYTES, 0));
    TRY(cuMemHostAlloc((void **)&flag, 4096, 0));
    TRY(cuMemHostAlloc(&unused_host, 1 << 20, 0));
    TRY(cuMemHostRegister_v2(registered, 1 << 20, 0));
    TRY(cuMemAlloc_v2(&device, BYTES));
    TRY(cuMemAlloc_v2(&other, BYTES));
    TRY(cuMemAlloc_v2(&word, 4096));
    TRY(cuMemsetD8_v2(word, 0, 4096));
    TRY(cuStreamCreate(&kernels, 1));
    TRY(cuStreamCreate(&copies, 1));
    TRY(cuStreamCreate(&late, 1));
    TRY(cuEventCreate(&event, 0));
    *flag = 1;

    fill(0);
    int large = !strcmp(first, "large") || !strcmp(first, "again");
    size_t size = large ? BYTES : 1 << 20;
    for (double begun = now(); strcmp(first, "none") && now() - begun < 0.3;) {
        for (int i = 0; i < 3; i++) TRY(cuMemcpyHtoDAsync_v2(device, from, size, copies));
        TRY(cuStreamSynchronize(copies));
    }
    int right = !large || arrived();

    void *arguments[] = {&word};
    if (!strcmp(meanwhile, "cooperative")) TRY(cuLaunchCooperativeKernel(hold, 2 * sms, 1, 1, 1024, 1, 1, 0, kernels, arguments));
    else TRY(cuLaunchKernel(hold, 2 * sms, 1, 1, 1024, 1, 1, 0, kernels, arguments, NULL));
    usleep(5000);
    pthread_t thread;
    pthread_create(&thread, NULL, let_go, NULL);
    /* What comes late copies what is there then. */
    fill(strcmp(meanwhile, "late") ? 1 : 3);
    double begun = now();
    if (!strcmp(meanwhile, "late")) TRY(cuLaunchHostFunc(copies, rest, NULL));
    TRY(cuMemcpyHtoDAsync_v2(device, from, BYTES, copies));
    TRY(cuMemcpyHtoDAsync_v2(device, from, BYTES / 2, copies));
    TRY(cuMemcpyHtoDAsync_v2(word, flag, 4, copies));
    if (!strcmp(meanwhile, "two")) {
        TRY(cuMemcpyHtoDAsync_v2(other, from, BYTES, late));
        TRY(cuStreamSynchronize(late));
    } else if (!strcmp(meanwhile, "await")) {
        TRY(cuEventRecord(event, copies));
        TRY(cuStreamWaitEvent(late, event, 0));
        TRY(cuStreamSynchronize(late));
    } else if (!strcmp(meanwhile, "event")) {
        TRY(cuEventRecord(event, copies));
        TRY(cuEventSynchronize(event));
    } else if (!strcmp(meanwhile, "context")) TRY(cuCtxSynchronize());
    else if (!strcmp(meanwhile, "query")) while (cuStreamQuery(copies) == 600) {}
    else if (!strcmp(meanwhile, "fetch")) TRY(cuMemcpyDtoH_v2(to, other, BYTES));
    else if (!strcmp(meanwhile, "free") || !strcmp(meanwhile, "late")) TRY(cuMemFree_v2(other));
    else if (!strcmp(meanwhile, "free_host")) TRY(cuMemFreeHost(unused_host));
    else if (!strcmp(meanwhile, "unregister")) TRY(cuMemHostUnregister(registered));
    else if (!strcmp(meanwhile, "unload")) TRY(cuModuleUnload(module));
    TRY(cuStreamSynchronize(copies));
    double took = now() - begun;
    TRY(cuStreamSynchronize(kernels));
    over = 1;
    pthread_join(thread, NULL);
    right = right && arrived();
    printf("{\"right\": %s, \"let_go\": %s, \"took_ms\": %.1f}\n", right ? "true" : "false",
           had_to_let_go ? "true" : "false", took * 1e3);
    fflush(stdout);
    if (getchar() == EOF) return 0;
    fill(2);
    TRY(cuMemcpyHtoDAsync_v2(device, from, BYTES, copies));
    TRY(cuStreamSynchronize(copies));
    return arrived() ? 0 : 1;
}
