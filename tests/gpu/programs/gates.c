// What ways of holding a copy back cost on a bus, and what they leave to a small copy beside it. Needs no Missile:
// it is what the gate was chosen by. Built by copy_gates.py with `cc -O2 gates.c -ldl -lpthread`.
//
//   gates bulk WAY PIECE SECONDS [FILE]   64 MiB copies in pieces; with FILE, its first word holds them back while not 0
//   gates small WAY PERIOD_US SECONDS FILE  256 KiB copies once a period, which set that word while they are under way
//
// Prints one line of JSON.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef int R;
typedef unsigned long long D;
typedef void *S;

static void *cuda;
static void *sym(const char *name) {
    void *found = dlsym(cuda, name);
    if (!found) { fprintf(stderr, "no %s\n", name); exit(1); }
    return found;
}
#define F(name, ...) ((R(*)(__VA_ARGS__))sym(#name))
#define CK(x) do { R r_ = (x); if (r_) { fprintf(stderr, "line %d: error %d\n", __LINE__, r_); exit(1); } } while (0)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static R (*h2d)(D, const void *, size_t, S);
static R (*d2d)(D, D, size_t, S);
static R (*any)(D, D, size_t, S);
static R (*wait32)(S, D, unsigned, unsigned);
static R (*write32)(S, D, unsigned, unsigned);
static R (*sync_stream)(S);
static R (*query_event)(void *);
static R (*record)(void *, S);
static R (*wait_event)(S, void *, unsigned);
static R (*memop)(S, unsigned, uint64_t (*)[6], unsigned);
static R (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, S, void **, void **);

typedef struct { unsigned order; int hint[4]; unsigned flags; } Attributes;
static R (*batch)(D *, D *, size_t *, size_t, Attributes *, size_t *, size_t, S);

// 16 bytes a thread and load, four loads in flight, in strides of the whole grid. Sizes are multiples of 64 KiB here.
static const char *COPY_PTX =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry copy(.param .u64 pd, .param .u64 ps, .param .u64 pn) {\n"
    "  .reg .u64 d, s, n, i, st, x, y; .reg .u32 a, b, c, v0, v1, v2, v3, w0, w1, w2, w3; .reg .pred p;\n"
    "  .reg .u32 r0, r1, r2, r3, q0, q1, q2, q3; .reg .u64 x1, x2, x3;\n"
    "  ld.param.u64 d, [pd]; ld.param.u64 s, [ps]; ld.param.u64 n, [pn];\n"
    "  mov.u32 a, %ctaid.x; mov.u32 b, %ntid.x; mov.u32 c, %tid.x; mad.lo.u32 a, a, b, c;\n"
    "  mul.wide.u32 i, a, 16; mov.u32 c, %nctaid.x; mul.lo.u32 c, c, b; mul.wide.u32 st, c, 16;\n"
    "L: mad.lo.u64 x, st, 3, i; setp.ge.u64 p, x, n; @p bra T;\n"
    "  add.u64 x, s, i; add.u64 x1, x, st; add.u64 x2, x1, st; add.u64 x3, x2, st;\n"
    "  ld.global.v4.u32 {v0, v1, v2, v3}, [x]; ld.global.v4.u32 {w0, w1, w2, w3}, [x1];\n"
    "  ld.global.v4.u32 {r0, r1, r2, r3}, [x2]; ld.global.v4.u32 {q0, q1, q2, q3}, [x3];\n"
    "  add.u64 x, d, i; add.u64 x1, x, st; add.u64 x2, x1, st; add.u64 x3, x2, st;\n"
    "  st.global.v4.u32 [x], {v0, v1, v2, v3}; st.global.v4.u32 [x1], {w0, w1, w2, w3};\n"
    "  st.global.v4.u32 [x2], {r0, r1, r2, r3}; st.global.v4.u32 [x3], {q0, q1, q2, q3};\n"
    "  mad.lo.u64 i, st, 4, i; bra L;\n"
    "T: setp.ge.u64 p, i, n; @p bra E;\n"
    "  add.u64 x, s, i; add.u64 y, d, i;\n"
    "  ld.global.v4.u32 {v0, v1, v2, v3}, [x]; st.global.v4.u32 [y], {v0, v1, v2, v3};\n"
    "  add.u64 i, i, st; bra T;\n"
    "E: ret;\n}\n";

static int less(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    const char *role = argv[1], *way = argv[2];
    cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (!cuda) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    CK(F(cuInit, unsigned)(0));
    void *ctx;
    CK(F(cuDevicePrimaryCtxRetain, void **, int)(&ctx, 0));
    CK(F(cuCtxSetCurrent, void *)(ctx));
    h2d = sym("cuMemcpyHtoDAsync_v2"), d2d = sym("cuMemcpyDtoDAsync_v2"), any = sym("cuMemcpyAsync");
    wait32 = sym("cuStreamWaitValue32_v2"), write32 = sym("cuStreamWriteValue32_v2"), memop = sym("cuStreamBatchMemOp_v2");
    sync_stream = sym("cuStreamSynchronize"), query_event = sym("cuEventQuery"), record = sym("cuEventRecord");
    wait_event = sym("cuStreamWaitEvent"), launch = sym("cuLaunchKernel");
    batch = dlsym(cuda, "cuMemcpyBatchAsync_v2");

    int bulk = !strcmp(role, "bulk");
    size_t total = bulk ? 64 << 20 : 256 << 10;
    void *host;
    D device, word = 0, own_words, device_word;
    CK(F(cuMemHostAlloc, void **, size_t, unsigned)(&host, total, 0));
    memset(host, 1, total);
    CK(F(cuMemAlloc_v2, D *, size_t)(&device, total));
    CK(F(cuMemAlloc_v2, D *, size_t)(&device_word, 4096));
    CK(F(cuMemsetD32_v2, D, unsigned, size_t)(device_word, 0, 1024));
    void *words;
    CK(F(cuMemHostAlloc, void **, size_t, unsigned)(&words, 4096, 2));
    memset(words, 0, 4096);
    CK(F(cuMemHostGetDevicePointer_v2, D *, void *, unsigned)(&own_words, words, 0));
    volatile uint32_t *flag = NULL;
    const char *file = argc > 5 ? argv[5] : NULL;
    if (file) {
        int fd = open(file, O_RDWR | O_CREAT, 0600);
        if (fd < 0 || ftruncate(fd, 4096)) return 1;
        flag = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        CK(F(cuMemHostRegister_v2, void *, size_t, unsigned)((void *)flag, 4096, 3));
        CK(F(cuMemHostGetDevicePointer_v2, D *, void *, unsigned)(&word, (void *)flag, 0));
    }
    S stream[4];
    void *event[8];
    for (int i = 0; i < 4; i++) {
        if (!strcmp(way, "priority")) CK(F(cuStreamCreateWithPriority, S *, unsigned, int)(&stream[i], 1, -5));
        else CK(F(cuStreamCreate, S *, unsigned)(&stream[i], 1));
    }
    for (int i = 0; i < 8; i++) CK(F(cuEventCreate, void **, unsigned)(&event[i], 2));
    int back = strstr(way, "-d2h") != NULL;
    void *kernel = NULL;
    unsigned blocks = 0;
    D alias;
    CK(F(cuMemHostGetDevicePointer_v2, D *, void *, unsigned)(&alias, host, 0));
    if (!strncmp(way, "kernel", 6)) {
        void *module;
        CK(F(cuModuleLoadData, void **, const void *)(&module, COPY_PTX));
        CK(F(cuModuleGetFunction, void **, void *, const char *)(&kernel, module, "copy"));
        blocks = atoi(way + 6);
    }
    R (*d2h)(void *, D, size_t, S) = sym("cuMemcpyDtoHAsync_v2");
    double seconds = atof(argv[4]), *took = malloc(sizeof(double) * (1 << 20));
    size_t count = 0;

    if (!bulk) {
        double period = atof(argv[3]) * 1e-6;
        int gated = file != NULL && !strstr(way, "ungated");
        double begun = now(), due = begun;
        while (now() - begun < seconds && count < 1 << 20) {
            while (now() < due) {}
            double start = now();
            if (gated) *flag = 1;
            if (!strcmp(way, "d2d")) CK(d2d(device, alias, total, stream[0]));
            else if (!strcmp(way, "any")) CK(any(device, alias, total, stream[0]));
            else if (kernel) {
                size_t n = total;
                void *arguments[] = {back ? &alias : &device, back ? &device : &alias, &n};
                CK(launch(kernel, blocks, 1, 1, 512, 1, 1, 0, stream[0], arguments, NULL));
            } else if (back) CK(d2h(host, device, total, stream[0]));
            else CK(h2d(device, host, total, stream[0]));
            if (gated) CK(write32(stream[0], word, 0, 0));
            CK(sync_stream(stream[0]));
            if (gated) *flag = 0;
            double end = now();
            took[count++] = (end - start) * 1e6;
            due += period;
            if (due < end) due = end;
        }
        qsort(took, count, sizeof *took, less);
        printf("{\"way\": \"%s\", \"copies\": %zu, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n", way, count, took[count / 2], took[count * 9 / 10], took[count * 99 / 100], took[count - 1]);
        return 0;
    }

    size_t piece = strtoull(argv[3], NULL, 0);
    D tos[4096], froms[4096];
    size_t sizes[4096];
    double begun = now();
    size_t bytes = 0;
    while (now() - begun < seconds) {
        size_t n = 0;
        double from = now();
        if (!strcmp(way, "batch")) {
            for (size_t at = 0; at < total; at += piece, n++) tos[n] = device + at, froms[n] = (D)(uintptr_t)host + at, sizes[n] = piece;
            Attributes attributes = {1, {0, 0, 0, 0}, 0};
            size_t first = 0;
            if (!batch) { printf("{\"way\": \"batch\", \"gbps\": 0}\n"); return 0; }
            CK(batch(tos, froms, sizes, n, &attributes, &first, 1, stream[0]));
        } else for (size_t at = 0; at < total; at += piece, n++) {
            S s = stream[0];
            size_t len = piece < total - at ? piece : total - at;
            if (!strcmp(way, "two")) s = stream[n % 2];
            if (!strncmp(way, "paced", 5)) {
                unsigned depth = atoi(way + 5);
                if (n >= depth) while (query_event(event[n % depth])) {}
            }
            if (!strcmp(way, "wait") || !strcmp(way, "both")) CK(wait32(s, word ? word : own_words, 0, word ? 1 : 0));
            if (!strcmp(way, "nor")) CK(wait32(s, own_words, 0, 0));
            if (!strcmp(way, "wait-device") || !strcmp(way, "both-device")) CK(wait32(s, device_word, 0, 0));
            if (!strcmp(way, "batched")) {
                uint64_t operations[2][6] = {{2, own_words + 64, n, 0, 0, 0}, {1, word ? word : own_words, 0, word ? 1 : 0, 0, 0}};
                CK(memop(s, 2, operations, 0));
            }
            if (!strcmp(way, "events")) {
                CK(record(event[n % 2], stream[1]));
                CK(wait_event(s, event[n % 2], 0));
            }
            if (kernel) {
                D to = device + at, from = alias + at;
                void *arguments[] = {back ? &from : &to, back ? &to : &from, &len};
                CK(launch(kernel, blocks, 1, 1, 512, 1, 1, 0, s, arguments, NULL));
            } else if (back) CK(d2h((char *)host + at, device + at, len, s));
            else CK(h2d(device + at, (char *)host + at, len, s));
            if (!strcmp(way, "write") || !strcmp(way, "both")) CK(write32(s, own_words + 64, n, 0));
            if (!strcmp(way, "write-weak")) CK(write32(s, own_words + 64, n, 1));
            if (!strcmp(way, "both-device")) CK(write32(s, device_word + 64, n, 0));
            if (!strcmp(way, "write4") && n % 4 == 3) CK(write32(s, own_words + 64, n, 0));
            if (!strncmp(way, "paced", 5)) CK(record(event[n % atoi(way + 5)], s));
        }
        double submitted = now();
        CK(sync_stream(stream[0]));
        if (!strcmp(way, "two")) CK(sync_stream(stream[1]));
        bytes += total;
        if (count < 1 << 20) took[count++] = (submitted - from) * 1e6;
    }
    double gbps = bytes / (now() - begun) / 1e9;
    qsort(took, count, sizeof *took, less);
    printf("{\"way\": \"%s\", \"piece\": %zu, \"gbps\": %.2f, \"us_a_piece\": %.2f, \"submit_us\": %.0f}\n", way, piece, gbps, piece / gbps / 1e3, took[count / 2]);
    return 0;
}
