/* Asks a stub's handle for what it has, and the driver's for the rest. */
#include "cuda.h"

#define REPLACE(name) driver.name = (void *)dlsym(stub, #name)

int main(void) {
    void *stub = dlopen("libstub.so", RTLD_LAZY | RTLD_LOCAL);
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    REPLACE(cuInit);
    REPLACE(cuMemAlloc_v2);
    REPLACE(cuMemcpyHtoD_v2);
    REPLACE(cuMemcpyDtoH_v2);
    CUdeviceptr buffer;
    unsigned long long sum;
    if (start(&driver) || use(&driver, &buffer, &sum))
        return 1;
    int (*calls)(void) = (int (*)(void))dlsym(stub, "stub_calls");
    printf("{\"sum\": %llu, \"calls\": %d, \"lacks\": %d}\n", sum, calls(), dlsym(stub, "cuLaunchKernel") == NULL);
    fflush(stdout);
    getchar();
    return 0;
}
