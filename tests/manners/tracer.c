/* A preloaded library that counts calls of one of the driver's functions, and passes them to the next that has it. */
#include "../paths/cuda.h"

static long traced;

long calls_traced(void) { return traced; }

int cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    int (*next)(CUdeviceptr *, size_t) = (int (*)(CUdeviceptr *, size_t))dlsym(RTLD_NEXT, "cuMemAlloc_v2");
    traced++;
    return next(address, bytes);
}
