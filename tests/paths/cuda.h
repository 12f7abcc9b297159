/* What the programs here need of the driver, and the work that each does once it has found a way in. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long CUdeviceptr;

/* The functions: F(exported name, name for cuGetProcAddress, suffix of the per-thread spelling, parameters). */
#define DRIVER_FUNCTIONS(F)                                                                              \
    F(cuInit, "cuInit", "", (unsigned flags))                                                            \
    F(cuDeviceGet, "cuDeviceGet", "", (int *device, int ordinal))                                        \
    F(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", "", (void **context, int device))            \
    F(cuCtxSetCurrent, "cuCtxSetCurrent", "", (void *context))                                           \
    F(cuCtxSynchronize, "cuCtxSynchronize", "", (void))                                                  \
    F(cuModuleLoadData, "cuModuleLoadData", "", (void **module, const void *image))                      \
    F(cuModuleGetFunction, "cuModuleGetFunction", "", (void **kernel, void *module, const char *name))   \
    F(cuMemAlloc_v2, "cuMemAlloc", "", (CUdeviceptr *address, size_t bytes))                             \
    F(cuMemFree_v2, "cuMemFree", "", (CUdeviceptr address))                                              \
    F(cuMemcpyHtoD_v2, "cuMemcpyHtoD", "_ptds", (CUdeviceptr to, const void *from, size_t bytes))        \
    F(cuMemcpyDtoH_v2, "cuMemcpyDtoH", "_ptds", (void *to, CUdeviceptr from, size_t bytes))              \
    F(cuLaunchKernel, "cuLaunchKernel", "_ptsz",                                                         \
      (void *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,       \
       unsigned shared, void *stream, void **arguments, void **extra))

#define PROTOTYPE(name, plain, per_thread, parameters) int name parameters;
DRIVER_FUNCTIONS(PROTOTYPE)

#define FIELD(name, plain, per_thread, parameters) int(*name) parameters;
typedef struct {
    DRIVER_FUNCTIONS(FIELD)
} Driver;

/* A table of the functions that a program is linked to. */
#define ADDRESS(name, plain, per_thread, parameters) name,
#define LINKED {DRIVER_FUNCTIONS(ADDRESS)}

/* A table of what `dlsym` finds; `suffix` is appended to the names that have a per-thread spelling. */
#define LOOK_UP(name, plain, per_thread, parameters) \
    driver.name = (int(*) parameters)dlsym(handle, per_threads ? #name per_thread : #name);
static inline Driver look_up(void *handle, int per_threads) {
    Driver driver;
    DRIVER_FUNCTIONS(LOOK_UP)
    return driver;
}

#define TRY(call)                                     \
    do {                                              \
        int code = (call);                            \
        if (code != 0) {                              \
            fprintf(stderr, "%s: %d\n", #call, code); \
            return 1;                                 \
        }                                             \
    } while (0)

/* With DIRECT defined the work calls what the program is linked to, and no table. */
#ifdef DIRECT
#define THE(name) name
#else
#define THE(name) driver->name
#endif

/* Starts the driver, and makes its first GPU's context this thread's. */
static inline int start(const Driver *driver) {
    int device;
    void *context;
    (void)driver;
    TRY(THE(cuInit)(0));
    TRY(THE(cuDeviceGet)(&device, 0));
    TRY(THE(cuDevicePrimaryCtxRetain)(&context, device));
    TRY(THE(cuCtxSetCurrent)(context));
    return 0;
}

enum { WORDS = 1 << 20 };

/* One allocation of 4 MiB, one launch, a copy of the half in and of the whole out; the sum shows mistakes. */
static inline int use(const Driver *driver, CUdeviceptr *buffer, unsigned long long *sum) {
    static const char image[] = ".version 6.0\n.target sm_60\n// simgpu: fill\n.visible .entry count_up() { ret; }\n";
    void *module, *kernel;
    unsigned long long words = WORDS;
    unsigned value = 7, *host = malloc(4 * WORDS);
    void *arguments[] = {buffer, &words, &value};
    (void)driver;
    TRY(host == NULL);
    TRY(THE(cuModuleLoadData)(&module, image));
    TRY(THE(cuModuleGetFunction)(&kernel, module, "count_up"));
    TRY(THE(cuMemAlloc_v2)(buffer, 4 * WORDS));
    TRY(THE(cuLaunchKernel)(kernel, 1, 1, 1, 256, 1, 1, 0, NULL, arguments, NULL));
    TRY(THE(cuCtxSynchronize)());
    memset(host, 1, 2 * WORDS);
    TRY(THE(cuMemcpyHtoD_v2)(*buffer, host, 2 * WORDS));
    TRY(THE(cuMemcpyDtoH_v2)(host, *buffer, 4 * WORDS));
    *sum = 0;
    for (int i = 0; i < WORDS; i++)
        *sum += host[i];
    free(host);
    return 0;
}

/* The whole work; then says the sum and waits for a line. */
static inline int work(const Driver *driver) {
    CUdeviceptr buffer;
    unsigned long long sum;
    if (start(driver) || use(driver, &buffer, &sum))
        return 1;
    printf("{\"sum\": %llu}\n", sum);
    fflush(stdout);
    getchar();
    return 0;
}
