/* A driver, by its name, that is the simulated one of the path in $BEHIND, but for this: each function first calls the
 * exported function of its own name, as drivers do that use what they export. */
#include "cuda.h"

static __thread int depth;

static void *find(const char *name) {
    static void *behind;
    if (behind == NULL)
        behind = dlopen(getenv("BEHIND"), RTLD_LAZY | RTLD_LOCAL);
    return dlsym(depth % 2 ? RTLD_DEFAULT : behind, name);
}

#define FORWARD(name, parameters, arguments)                    \
    int name parameters {                                       \
        depth++;                                                \
        int(*next) parameters = (int(*) parameters)find(#name); \
        int code = next arguments;                              \
        depth--;                                                \
        return code;                                            \
    }

FORWARD(cuInit, (unsigned flags), (flags))
FORWARD(cuDeviceGet, (int *device, int ordinal), (device, ordinal))
FORWARD(cuDeviceGetUuid_v2, (void *uuid, int device), (uuid, device))
FORWARD(cuDevicePrimaryCtxRetain, (void **context, int device), (context, device))
FORWARD(cuCtxSetCurrent, (void *context), (context))
FORWARD(cuCtxGetDevice, (int *device), (device))
FORWARD(cuCtxSynchronize, (void), ())
FORWARD(cuModuleLoadData, (void **module, const void *image), (module, image))
FORWARD(cuModuleGetFunction, (void **kernel, void *module, const char *name), (kernel, module, name))
FORWARD(cuMemAlloc_v2, (CUdeviceptr *address, size_t bytes), (address, bytes))
FORWARD(cuMemFree_v2, (CUdeviceptr address), (address))
FORWARD(cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t bytes), (to, from, bytes))
FORWARD(cuMemcpyDtoH_v2, (void *to, CUdeviceptr from, size_t bytes), (to, from, bytes))
FORWARD(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, void *stream), (to, from, bytes, stream))
FORWARD(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, void *stream), (to, from, bytes, stream))
FORWARD(cuMemGetInfo_v2, (size_t *free, size_t *total), (free, total))
FORWARD(cuStreamCreate, (void **stream, unsigned flags), (stream, flags))
FORWARD(cuStreamSynchronize, (void *stream), (stream))
FORWARD(cuStreamDestroy_v2, (void *stream), (stream))
FORWARD(cuLaunchKernel,
        (void *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
         void *stream, void **arguments, void **extra),
        (kernel, gx, gy, gz, bx, by, bz, shared, stream, arguments, extra))
