/* A client that is linked to the driver: allocates, launches, and waits for a line before it ends. */
#include <stddef.h>
#include <stdio.h>

typedef unsigned long long CUdeviceptr;
int cuInit(unsigned flags);
int cuDeviceGet(int *device, int ordinal);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuCtxSetCurrent(void *context);
int cuModuleLoadData(void **module, const void *image);
int cuModuleGetFunction(void **function, void *module, const char *name);
int cuMemAlloc_v2(CUdeviceptr *address, size_t bytes);
int cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes);
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra);

#define TRY(call)                                      \
    do {                                               \
        int code = (call);                             \
        if (code != 0) {                               \
            fprintf(stderr, "%s: %d\n", #call, code);  \
            return 1;                                  \
        }                                              \
    } while (0)

static const char image[] = ".version 6.0\n.target sm_60\n.visible .entry missile_fill() { ret; }\n";

int main(void) {
    int device;
    void *context, *module, *fill;
    CUdeviceptr buffer;
    TRY(cuInit(0));
    TRY(cuDeviceGet(&device, 0));
    TRY(cuDevicePrimaryCtxRetain(&context, device));
    TRY(cuCtxSetCurrent(context));
    TRY(cuModuleLoadData(&module, image));
    TRY(cuModuleGetFunction(&fill, module, "missile_fill"));
    TRY(cuMemAlloc_v2(&buffer, 4 << 20));
    unsigned long long words = 1 << 20;
    unsigned value = 7, last = 0;
    void *arguments[] = {&buffer, &words, &value};
    TRY(cuLaunchKernel(fill, 1, 1, 1, 256, 1, 1, 0, NULL, arguments, NULL));
    TRY(cuMemcpyDtoH_v2(&last, buffer + 4 * (words - 1), 4));
    printf("{\"last\": %u}\n", last);
    fflush(stdout);
    getchar();
    return 0;
}
