/* A library that defines functions of the driver itself and passes them on to those that it looked up, as XLA's. */
#include "cuda.h"

static int calls;

int stub_calls(void) { return calls; }

#define FORWARD(name, plain, per_thread, parameters, arguments)                                              \
    int name parameters {                                                                                    \
        if (++calls > 100) {                                                                                 \
            fprintf(stderr, "the stub calls itself\n");                                                      \
            exit(3);                                                                                         \
        }                                                                                                    \
        int(*real) parameters = (int(*) parameters)dlsym(dlopen("libcuda.so.1", RTLD_LAZY), #name);          \
        return real arguments;                                                                               \
    }

FORWARD(cuInit, "", "", (unsigned flags), (flags))
FORWARD(cuMemAlloc_v2, "", "", (CUdeviceptr * address, size_t bytes), (address, bytes))
FORWARD(cuMemcpyHtoD_v2, "", "", (CUdeviceptr to, const void *from, size_t bytes), (to, from, bytes))
FORWARD(cuMemcpyDtoH_v2, "", "", (void *to, CUdeviceptr from, size_t bytes), (to, from, bytes))
