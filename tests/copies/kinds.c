/* Copies by every kind of call, to the device and back, and says which of them brought something else than was sent.
 *
 *   kinds ROUNDS    prints {"wrong": [names], "to_device": bytes, "to_host": bytes, "within": bytes} and waits for a line
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long D;
typedef void *S;
typedef struct { size_t sx, sy; unsigned st; const void *sh; D sd; void *sa; size_t sp; size_t dx, dy; unsigned dt; void *dh; D dd; void *da; size_t dp, w, h; } Rect;
typedef struct { size_t sx, sy, sz, sl; unsigned st; const void *sh; D sd; void *sa, *r0; size_t sp, sH; size_t dx, dy, dz, dl; unsigned dt; void *dh; D dd; void *da, *r1; size_t dp, dH, w, h, d; } Box;
typedef struct { unsigned order; int hints[4]; unsigned flags; } Attributes;
typedef struct { unsigned type; D at; size_t row, layer; int hint[2]; } Operand;
typedef struct { Operand from, to; size_t w, h, d; unsigned order, flags; } Operation;

#define FUNCTIONS(F)                                                                                     \
    F(cuInit, (unsigned))                                                                                \
    F(cuDevicePrimaryCtxRetain, (void **, int))                                                          \
    F(cuCtxSetCurrent, (void *))                                                                         \
    F(cuCtxSynchronize, (void))                                                                          \
    F(cuMemAlloc_v2, (D *, size_t))                                                                      \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                                                       \
    F(cuMemsetD8_v2, (D, unsigned char, size_t))                                                         \
    F(cuStreamCreate, (S *, unsigned))                                                                   \
    F(cuStreamSynchronize, (S))                                                                          \
    F(cuMemcpyHtoD_v2, (D, const void *, size_t))                                                        \
    F(cuMemcpyDtoH_v2, (void *, D, size_t))                                                              \
    F(cuMemcpyHtoD_v2_ptds, (D, const void *, size_t))                                                   \
    F(cuMemcpyDtoH_v2_ptds, (void *, D, size_t))                                                         \
    F(cuMemcpyDtoD_v2, (D, D, size_t))                                                                   \
    F(cuMemcpyHtoDAsync_v2, (D, const void *, size_t, S))                                                \
    F(cuMemcpyDtoHAsync_v2, (void *, D, size_t, S))                                                      \
    F(cuMemcpyHtoDAsync_v2_ptsz, (D, const void *, size_t, S))                                           \
    F(cuMemcpyDtoHAsync_v2_ptsz, (void *, D, size_t, S))                                                 \
    F(cuStreamSynchronize_ptsz, (S))                                                                     \
    F(cuMemcpy, (D, D, size_t))                                                                          \
    F(cuMemcpyAsync, (D, D, size_t, S))                                                                  \
    F(cuMemcpy2D_v2, (const Rect *))                                                                     \
    F(cuMemcpy2DUnaligned_v2, (const Rect *))                                                            \
    F(cuMemcpy2DAsync_v2, (const Rect *, S))                                                             \
    F(cuMemcpy3D_v2, (const Box *))                                                                      \
    F(cuMemcpy3DAsync_v2, (const Box *, S))                                                              \
    F(cuMemcpyBatchAsync_v2, (D *, D *, size_t *, size_t, Attributes *, size_t *, size_t, S))            \
    F(cuMemcpy3DBatchAsync_v2, (size_t, Operation *, uint64_t, S))                                       \
    F(cuGraphCreate, (void **, unsigned))                                                                \
    F(cuGraphAddMemcpyNode, (void **, void *, void **, size_t, const Box *, void *))                     \
    F(cuGraphAddChildGraphNode, (void **, void *, void **, size_t, void *))                              \
    F(cuGraphInstantiateWithFlags, (void **, void *, uint64_t))                                          \
    F(cuGraphExecMemcpyNodeSetParams, (void *, void *, const Box *, void *))                             \
    F(cuGraphLaunch, (void *, S))                                                                        \
    F(cuGraphExecDestroy, (void *))                                                                      \
    F(cuGraphDestroy, (void *))                                                                          \
    F(cuStreamBeginCapture_v2, (S, unsigned))                                                            \
    F(cuStreamEndCapture, (S, void **))                                                                  \
    F(cuLaunchHostFunc, (S, void (*)(void *), void *))                                                   \
    F(cuEventCreate, (void **, unsigned))                                                                \
    F(cuEventRecord, (void *, S))                                                                        \
    F(cuEventSynchronize, (void *))

#define FIELD(name, parameters) static int(*name) parameters;
FUNCTIONS(FIELD)
#define LOOK_UP(name, parameters) if (!(name = (int(*) parameters)dlsym(cuda, #name))) { fprintf(stderr, "no %s\n", #name); return 1; }
#define TRY(call) do { int code_ = (call); if (code_) { fprintf(stderr, "%s: %d\n", #call, code_); exit(1); } } while (0)

enum { PITCH = 4096, WIDTH = 3000, LINES = 160, SLICES = 4, BYTES = PITCH * LINES * SLICES };

static unsigned char *from, *to;
static D device, other;
static S stream;
static void *context;
static unsigned long long to_device, to_host, within;
static int failures;

static void sent(size_t bytes) { to_device += bytes; }
static void fetched(size_t bytes) { to_host += bytes; }

static void begin(unsigned seed) {
    for (size_t i = 0; i < BYTES; i++) seed = seed * 1664525 + 1013904223, from[i] = (unsigned char)(seed >> 24);
    memset(to, 0xEE, BYTES);
    TRY(cuMemsetD8_v2(device, 0x55, BYTES));
    TRY(cuCtxSynchronize());
}

/* Compares `lines` lines of `width` bytes in each of `slices` slices; everything else must be as it was. */
static void check(const char *name, size_t width, size_t lines, size_t slices) {
    for (size_t i = 0; i < BYTES; i++) {
        size_t x = i % PITCH, y = i / PITCH % LINES, z = i / PITCH / LINES;
        int inside = width == BYTES || (x < width && y < lines && z < slices);
        if (to[i] != (inside ? from[i] : 0xEE)) {
            printf("%s\"%s\"", failures++ ? ", " : "", name);
            return;
        }
    }
}
static void check_all(const char *name) { check(name, BYTES, 0, 0); }

static Rect rect(int down) {
    Rect it = {0};
    it.sp = it.dp = PITCH, it.w = WIDTH, it.h = LINES;
    it.st = down ? 2 : 1, it.dt = down ? 1 : 2;
    it.sh = from, it.sd = device, it.dh = to, it.dd = device;
    return it;
}

static Box box(int down) {
    Box it = {0};
    it.sp = it.dp = PITCH, it.sH = it.dH = LINES, it.w = WIDTH, it.h = LINES - 10, it.d = SLICES;
    it.st = down ? 2 : 1, it.dt = down ? 1 : 2;
    it.sh = from, it.sd = device, it.dh = to, it.dd = device;
    return it;
}

static void called(void *place) { *(volatile int *)place += 1; }

static void kinds(unsigned seed, void *pageable) {
    size_t rect_bytes = (size_t)WIDTH * LINES, box_bytes = (size_t)WIDTH * (LINES - 10) * SLICES;
#define BOTH(name, up, down, n) do { begin(seed++); up; sent(n); down; fetched(n); } while (0)
    BOTH("blocking", TRY(cuMemcpyHtoD_v2(device, from, BYTES)), TRY(cuMemcpyDtoH_v2(to, device, BYTES)), BYTES);
    check_all("blocking");
    BOTH("per-thread", TRY(cuMemcpyHtoD_v2_ptds(device, from, BYTES)), TRY(cuMemcpyDtoH_v2_ptds(to, device, BYTES)), BYTES);
    check_all("per-thread");
    BOTH("generic", TRY(cuMemcpy(device, (D)(uintptr_t)from, BYTES)), TRY(cuMemcpy((D)(uintptr_t)to, device, BYTES)), BYTES);
    check_all("generic");
    BOTH("stream", TRY(cuMemcpyHtoDAsync_v2(device, from, BYTES, stream)), TRY(cuMemcpyDtoHAsync_v2(to, device, BYTES, stream)), BYTES);
    TRY(cuStreamSynchronize(stream));
    check_all("stream");
    BOTH("default stream", TRY(cuMemcpyHtoDAsync_v2(device, from, BYTES, NULL)), TRY(cuMemcpyDtoHAsync_v2(to, device, BYTES, NULL)), BYTES);
    TRY(cuStreamSynchronize(NULL));
    check_all("default stream");
    BOTH("per-thread stream", TRY(cuMemcpyHtoDAsync_v2_ptsz(device, from, BYTES, NULL)), TRY(cuMemcpyDtoHAsync_v2_ptsz(to, device, BYTES, NULL)), BYTES);
    TRY(cuStreamSynchronize_ptsz(NULL));
    check_all("per-thread stream");
    BOTH("generic stream", TRY(cuMemcpyAsync(device, (D)(uintptr_t)from, BYTES, stream)), TRY(cuMemcpyAsync((D)(uintptr_t)to, device, BYTES, stream)), BYTES);
    TRY(cuStreamSynchronize(stream));
    check_all("generic stream");

    begin(seed++);
    memcpy(pageable, from, BYTES);
    TRY(cuMemcpyHtoDAsync_v2(device, pageable, BYTES, stream));
    memset(pageable, 0, BYTES); /* the program may: the call has taken it */
    TRY(cuMemcpyDtoHAsync_v2(pageable, device, BYTES, stream));
    TRY(cuStreamSynchronize(stream));
    sent(BYTES), fetched(BYTES);
    memcpy(to, pageable, BYTES);
    check_all("pageable");

    Rect up2 = rect(0), down2 = rect(1);
    BOTH("rectangle", TRY(cuMemcpy2D_v2(&up2)), TRY(cuMemcpy2D_v2(&down2)), rect_bytes);
    check("rectangle", WIDTH, LINES, 1);
    BOTH("unaligned rectangle", TRY(cuMemcpy2DUnaligned_v2(&up2)), TRY(cuMemcpy2DUnaligned_v2(&down2)), rect_bytes);
    check("unaligned rectangle", WIDTH, LINES, 1);
    BOTH("rectangle in a stream", TRY(cuMemcpy2DAsync_v2(&up2, stream)), TRY(cuMemcpy2DAsync_v2(&down2, stream)), rect_bytes);
    TRY(cuStreamSynchronize(stream));
    check("rectangle in a stream", WIDTH, LINES, 1);
    Box up3 = box(0), down3 = box(1);
    BOTH("box", TRY(cuMemcpy3D_v2(&up3)), TRY(cuMemcpy3D_v2(&down3)), box_bytes);
    check("box", WIDTH, LINES - 10, SLICES);
    BOTH("box in a stream", TRY(cuMemcpy3DAsync_v2(&up3, stream)), TRY(cuMemcpy3DAsync_v2(&down3, stream)), box_bytes);
    TRY(cuStreamSynchronize(stream));
    check("box in a stream", WIDTH, LINES - 10, SLICES);

    D near[4], far[4];
    size_t sizes[4], first = 0;
    for (int i = 0; i < 4; i++) near[i] = device + (D)i * (BYTES / 4), far[i] = (D)(uintptr_t)from + (D)i * (BYTES / 4), sizes[i] = BYTES / 4;
    Attributes attributes = {1, {0}, 0};
    begin(seed++);
    TRY(cuMemcpyBatchAsync_v2(near, far, sizes, 4, &attributes, &first, 1, stream));
    for (int i = 0; i < 4; i++) far[i] = (D)(uintptr_t)to + (D)i * (BYTES / 4);
    TRY(cuMemcpyBatchAsync_v2(far, near, sizes, 4, &attributes, &first, 1, stream));
    TRY(cuStreamSynchronize(stream));
    sent(BYTES), fetched(BYTES);
    check_all("batch");
    Operation boxes[2] = {{{1, (D)(uintptr_t)from, PITCH, LINES, {0}}, {1, device, PITCH, LINES, {0}}, WIDTH, LINES - 10, SLICES, 1, 0}, {{1, device, PITCH, LINES, {0}}, {1, (D)(uintptr_t)to, PITCH, LINES, {0}}, WIDTH, LINES - 10, SLICES, 1, 0}};
    begin(seed++);
    TRY(cuMemcpy3DBatchAsync_v2(1, &boxes[0], 0, stream));
    TRY(cuMemcpy3DBatchAsync_v2(1, &boxes[1], 0, stream));
    TRY(cuStreamSynchronize(stream));
    sent(box_bytes), fetched(box_bytes);
    check("batch of boxes", WIDTH, LINES - 10, SLICES);

    /* A graph with a copy each way, one of them in a graph within it; then with another copy. */
    void *graph, *child, *exec, *node, *last;
    begin(seed++);
    TRY(cuGraphCreate(&graph, 0));
    TRY(cuGraphCreate(&child, 0));
    TRY(cuGraphAddMemcpyNode(&node, child, NULL, 0, &up3, context));
    TRY(cuGraphAddChildGraphNode(&node, graph, NULL, 0, child));
    TRY(cuGraphAddMemcpyNode(&last, graph, &node, 1, &down3, context));
    TRY(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (int i = 0; i < 2; i++) {
        TRY(cuGraphLaunch(exec, stream));
        sent(box_bytes), fetched(box_bytes);
    }
    TRY(cuStreamSynchronize(stream));
    check("graph", WIDTH, LINES - 10, SLICES);
    TRY(cuGraphExecDestroy(exec));
    TRY(cuGraphDestroy(graph));
    TRY(cuGraphDestroy(child));

    /* What is captured is left alone, and takes its turn when it is launched. */
    begin(seed++);
    TRY(cuStreamBeginCapture_v2(stream, 0));
    TRY(cuMemcpyHtoDAsync_v2(device, from, BYTES, stream));
    TRY(cuMemcpyDtoHAsync_v2(to, device, BYTES, stream));
    sent(BYTES), fetched(BYTES);
    TRY(cuStreamEndCapture(stream, &graph));
    TRY(cuGraphInstantiateWithFlags(&exec, graph, 0));
    TRY(cuGraphLaunch(exec, stream));
    sent(BYTES), fetched(BYTES);
    TRY(cuStreamSynchronize(stream));
    check_all("captured");
    TRY(cuGraphExecDestroy(exec));
    TRY(cuGraphDestroy(graph));

    /* Order in a stream: the later copy is what stays, and what follows sees it. */
    void *event;
    volatile int calls = 0;
    begin(seed++);
    memset(to, 0x11, BYTES);
    TRY(cuEventCreate(&event, 2));
    TRY(cuMemcpyHtoDAsync_v2(device, to, BYTES, stream));
    TRY(cuMemcpyHtoDAsync_v2(device, from, BYTES, stream));
    TRY(cuMemcpyDtoHAsync_v2(to, device, BYTES, stream));
    TRY(cuLaunchHostFunc(stream, called, (void *)&calls));
    TRY(cuEventRecord(event, stream));
    TRY(cuEventSynchronize(event));
    sent(2 * BYTES), fetched(BYTES);
    check_all(calls == 1 ? "order" : "host function");

    begin(seed++);
    TRY(cuMemcpyHtoD_v2(other, from, BYTES));
    TRY(cuMemcpyDtoD_v2(device, other, BYTES));
    TRY(cuCtxSynchronize());
    TRY(cuMemcpyDtoH_v2(to, device, BYTES));
    sent(BYTES), fetched(BYTES), within += BYTES;
    check_all("within the device");

    /* What the driver refuses it refuses as ever, and nothing is left behind. */
    if (cuMemcpyHtoDAsync_v2(0, from, BYTES, stream) == 0 || cuMemcpyHtoD_v2(device + (1ull << 40), from, BYTES) == 0 || cuMemcpy2D_v2(NULL) == 0) printf("%s\"refusals\"", failures++ ? ", " : "");
    sent(2 * BYTES);
}

int main(int argc, char **argv) {
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    if (!cuda) return 1;
    FUNCTIONS(LOOK_UP)
    TRY(cuInit(0));
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuStreamCreate(&stream, 1));
    TRY(cuMemAlloc_v2(&device, BYTES));
    TRY(cuMemAlloc_v2(&other, BYTES));
    TRY(cuMemHostAlloc((void **)&from, BYTES, 0));
    TRY(cuMemHostAlloc((void **)&to, BYTES, 0));
    void *pageable = malloc(BYTES);
    printf("{\"wrong\": [");
    for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1); i++) kinds(17 + 100 * i, pageable);
    printf("], \"to_device\": %llu, \"to_host\": %llu, \"within\": %llu}\n", to_device, to_host, within);
    fflush(stdout);
    getchar();
    return 0;
}
