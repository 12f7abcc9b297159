/* Work for the GPU, launched and waited for in one of many ways.
 *
 *   work busy             launches kernels of 5 ms without an end, so that there is always one; prints {"busy": true} first
 *   work serve            launches one of 1 ms and waits for it, 200 times a second, without an end; prints {"busy": true} first
 *   work grind            launches kernels of 100 us without an end; prints {"busy": true} first
 *   work wait HOW         launches one of 1 ms and waits for it by HOW: stream, query, event, event_query, context, copy,
 *                         word (a word that the GPU writes and nobody asks the driver about) or destroy (of the stream);
 *                         prints {"done": true} and waits for a line
 *   work launch N         launches N kernels of 20 us, in two streams and the default one, and a graph of some of them
 *                         N times; prints {"sum": ...} of what they wrote, and waits for a line
 *   work capture N        as launch, from one thread, while another captures into a graph all the time
 *   work late             launches a kernel that waits for a word, and fifty behind it in its stream, after which another
 *                         stream sets the word; prints {"done": true} and waits for a line
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long long D;
typedef void *S;

#define FUNCTIONS(F)                                                                                     \
    F(cuInit, (unsigned))                                                                                \
    F(cuDevicePrimaryCtxRetain, (void **, int))                                                          \
    F(cuCtxSetCurrent, (void *))                                                                         \
    F(cuCtxSynchronize, (void))                                                                          \
    F(cuModuleLoadData, (void **, const void *))                                                         \
    F(cuModuleGetFunction, (void **, void *, const char *))                                              \
    F(cuLaunchKernel, (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, S, void **, void **)) \
    F(cuMemAlloc_v2, (D *, size_t))                                                                      \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                                                       \
    F(cuMemHostGetDevicePointer_v2, (D *, void *, unsigned))                                             \
    F(cuMemcpyDtoH_v2, (void *, D, size_t))                                                              \
    F(cuStreamCreate, (S *, unsigned))                                                                   \
    F(cuStreamDestroy_v2, (S))                                                                           \
    F(cuStreamSynchronize, (S))                                                                          \
    F(cuStreamQuery, (S))                                                                                \
    F(cuStreamWriteValue32_v2, (S, D, uint32_t, unsigned))                                               \
    F(cuStreamBeginCapture_v2, (S, unsigned))                                                            \
    F(cuStreamEndCapture, (S, void **))                                                                  \
    F(cuGraphInstantiateWithFlags, (void **, void *, unsigned long long))                                \
    F(cuGraphLaunch, (void *, S))                                                                        \
    F(cuGraphExecDestroy, (void *))                                                                      \
    F(cuGraphDestroy, (void *))                                                                          \
    F(cuEventCreate, (void **, unsigned))                                                                \
    F(cuEventRecord, (void *, S))                                                                        \
    F(cuEventQuery, (void *))                                                                            \
    F(cuEventSynchronize, (void *))

#define FIELD(name, parameters) static int(*name) parameters;
FUNCTIONS(FIELD)
#define LOOK_UP(name, parameters) if (!(name = (int(*) parameters)dlsym(cuda, #name))) { fprintf(stderr, "no %s\n", #name); return 1; }
#define TRY(call) do { int code_ = (call); if (code_) { fprintf(stderr, "%s: %d\n", #call, code_); exit(1); } } while (0)

static const char *SPIN =
    ".version 6.0\n.target sm_60\n.address_size 64\n"
    "// simgpu: spin\n.visible .entry spin(.param .u64 cycles)\n{\n"
    "  .reg .u64 %c; .reg .u64 %b; .reg .u64 %n; .reg .pred %p;\n"
    "  ld.param.u64 %c, [cycles];\n  mov.u64 %b, %clock64;\n"
    "look:\n  mov.u64 %n, %clock64;\n  sub.u64 %n, %n, %b;\n  setp.lt.u64 %p, %n, %c;\n  @%p bra look;\n  ret;\n}\n"
    "// simgpu: hold\n.visible .entry hold(.param .u64 word)\n{\n"
    "  .reg .u64 %w; .reg .u32 %v; .reg .pred %p;\n"
    "  ld.param.u64 %w, [word];\n"
    "look:\n  ld.volatile.global.u32 %v, [%w];\n  setp.eq.u32 %p, %v, 0;\n  @%p bra look;\n  ret;\n}\n"
    "// simgpu: fill\n.visible .entry fill(.param .u64 base, .param .u64 words, .param .u32 value)\n{\n"
    "  .reg .u64 %b; .reg .u64 %n; .reg .u64 %i; .reg .u64 %a; .reg .u32 %v; .reg .u32 %w; .reg .pred %p;\n"
    "  ld.param.u64 %b, [base];\n  ld.param.u64 %n, [words];\n  ld.param.u32 %v, [value];\n  mov.u64 %i, 0;\n"
    "next:\n  setp.ge.u64 %p, %i, %n;\n  @%p bra done;\n  shl.b64 %a, %i, 2;\n  add.u64 %a, %a, %b;\n"
    "  cvt.u32.u64 %w, %i;\n  add.u32 %w, %w, %v;\n  st.global.u32 [%a], %w;\n  add.u64 %i, %i, 1;\n  bra next;\n"
    "done:\n  ret;\n}\n";

enum { WORDS = 256 };

static void *context, *spin, *hold, *fill;

/* Cycles at about 1.8 GHz. */
static void launch(S stream, unsigned microseconds) {
    uint64_t cycles = microseconds * 1800ull;
    void *arguments[] = {&cycles};
    TRY(cuLaunchKernel(spin, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL));
}

static void launch_fill(S stream, D base, uint32_t value) {
    uint64_t words = WORDS;
    void *arguments[] = {&base, &words, &value};
    TRY(cuLaunchKernel(fill, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL));
}

static void say(const char *text) {
    printf("%s\n", text);
    fflush(stdout);
}

static void busy(void) {
    S stream;
    void *events[2];
    TRY(cuStreamCreate(&stream, 1));
    for (int i = 0; i < 2; i++) {
        TRY(cuEventCreate(&events[i], 2));
        launch(stream, 5000);
        TRY(cuEventRecord(events[i], stream));
    }
    say("{\"busy\": true}");
    for (int i = 0;; i = !i) {
        TRY(cuEventSynchronize(events[i]));
        launch(stream, 5000);
        TRY(cuEventRecord(events[i], stream));
    }
}

static void serve(void) {
    S stream;
    TRY(cuStreamCreate(&stream, 1));
    say("{\"busy\": true}");
    for (;;) {
        launch(stream, 1000);
        TRY(cuStreamSynchronize(stream));
        usleep(4000);
    }
}

static void grind(void) {
    S stream;
    TRY(cuStreamCreate(&stream, 1));
    say("{\"busy\": true}");
    for (;;) {
        for (int i = 0; i < 20; i++) launch(stream, 100);
        TRY(cuStreamSynchronize(stream));
    }
}

static void wait_by(const char *how) {
    S stream;
    void *event;
    uint32_t *word, bytes[4];
    D device, memory;
    TRY(cuStreamCreate(&stream, 1));
    TRY(cuEventCreate(&event, 2));
    TRY(cuMemAlloc_v2(&memory, 4096));
    TRY(cuMemHostAlloc((void **)&word, 4096, 2));
    TRY(cuMemHostGetDevicePointer_v2(&device, word, 0));
    *(volatile uint32_t *)word = 0;
    if (!strcmp(how, "copy")) stream = NULL;
    launch(stream, 1000);
    TRY(cuEventRecord(event, stream));
    if (!strcmp(how, "stream")) TRY(cuStreamSynchronize(stream));
    else if (!strcmp(how, "query")) while (cuStreamQuery(stream) == 600) usleep(100);
    else if (!strcmp(how, "event")) TRY(cuEventSynchronize(event));
    else if (!strcmp(how, "event_query")) while (cuEventQuery(event) == 600) usleep(100);
    else if (!strcmp(how, "context")) TRY(cuCtxSynchronize());
    else if (!strcmp(how, "copy")) TRY(cuMemcpyDtoH_v2(bytes, memory, sizeof bytes));
    else if (!strcmp(how, "destroy")) TRY(cuStreamDestroy_v2(stream));
    else if (!strcmp(how, "word")) {
        TRY(cuStreamWriteValue32_v2(stream, device, 1, 0));
        while (!*(volatile uint32_t *)word) usleep(100);
    } else exit(2);
    say("{\"done\": true}");
    getchar();
}

static volatile int over;

static void *capture_all_the_time(void *unused) {
    (void)unused;
    S stream;
    TRY(cuCtxSetCurrent(context));
    TRY(cuStreamCreate(&stream, 1));
    while (!over) {
        void *graph, *exec;
        /* Of this thread only: others go on. */
        TRY(cuStreamBeginCapture_v2(stream, 1));
        launch(stream, 20);
        usleep(500);
        launch(stream, 20);
        TRY(cuStreamEndCapture(stream, &graph));
        TRY(cuGraphInstantiateWithFlags(&exec, graph, 0));
        TRY(cuGraphLaunch(exec, stream));
        TRY(cuStreamSynchronize(stream));
        TRY(cuGraphExecDestroy(exec));
        TRY(cuGraphDestroy(graph));
    }
    return NULL;
}

static void launch_many(int count, int capturing) {
    pthread_t other;
    S streams[3] = {NULL};
    D memory[3];
    void *graph, *exec;
    for (int i = 0; i < 3; i++) {
        if (i) TRY(cuStreamCreate(&streams[i], 1));
        TRY(cuMemAlloc_v2(&memory[i], WORDS * 4));
    }
    TRY(cuStreamBeginCapture_v2(streams[1], 2));
    for (int i = 0; i < 3; i++) launch(streams[1], 20);
    TRY(cuStreamEndCapture(streams[1], &graph));
    TRY(cuGraphInstantiateWithFlags(&exec, graph, 0));
    if (capturing && pthread_create(&other, NULL, capture_all_the_time, NULL)) exit(1);
    for (int i = 0; i < count; i++) {
        S stream = streams[i % 3];
        launch(stream, 20);
        launch_fill(stream, memory[i % 3], (uint32_t)i);
        TRY(cuGraphLaunch(exec, streams[1]));
    }
    over = 1;
    if (capturing) pthread_join(other, NULL);
    TRY(cuCtxSynchronize());
    unsigned long long sum = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t words[WORDS];
        TRY(cuMemcpyDtoH_v2(words, memory[i], sizeof words));
        for (int j = 0; j < WORDS; j++) sum += words[j];
    }
    printf("{\"sum\": %llu}\n", sum);
    fflush(stdout);
    getchar();
}

static void late(void) {
    S stream, other;
    D word;
    TRY(cuStreamCreate(&stream, 1));
    TRY(cuStreamCreate(&other, 1));
    TRY(cuMemAlloc_v2(&word, 4096));
    TRY(cuStreamWriteValue32_v2(stream, word, 0, 0));
    void *arguments[] = {&word};
    TRY(cuLaunchKernel(hold, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL));
    for (int i = 0; i < 50; i++) launch(stream, 20);
    TRY(cuStreamWriteValue32_v2(other, word, 1, 0));
    TRY(cuStreamSynchronize(stream));
    say("{\"done\": true}");
    getchar();
}

int main(int count, char **words) {
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *module;
    if (!cuda) return 3;
    FUNCTIONS(LOOK_UP)
    TRY(cuInit(0));
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuModuleLoadData(&module, SPIN));
    TRY(cuModuleGetFunction(&spin, module, "spin"));
    TRY(cuModuleGetFunction(&hold, module, "hold"));
    TRY(cuModuleGetFunction(&fill, module, "fill"));
    if (count == 2 && !strcmp(words[1], "busy")) busy();
    else if (count == 2 && !strcmp(words[1], "serve")) serve();
    else if (count == 2 && !strcmp(words[1], "grind")) grind();
    else if (count == 3 && !strcmp(words[1], "wait")) wait_by(words[2]);
    else if (count == 3 && !strcmp(words[1], "launch")) launch_many(atoi(words[2]), 0);
    else if (count == 3 && !strcmp(words[1], "capture")) launch_many(atoi(words[2]), 1);
    else if (count == 2 && !strcmp(words[1], "late")) late();
    else return 2;
    return 0;
}
