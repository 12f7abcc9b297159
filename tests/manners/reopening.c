/* Opens the driver and closes it again, many times, before it works and after. */
#include "../paths/cuda.h"

static int look(void) {
    int found = 0;
    for (int i = 0; i < 50; i++) {
        void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        found += dlsym(handle, "cuMemAlloc_v2") != NULL && dlsym(handle, "cuMulticastNever") == NULL;
        TRY(dlclose(handle));
    }
    return found != 50;
}

int main(void) {
    TRY(look());
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    CUdeviceptr buffer;
    unsigned long long sum;
    TRY(start(&driver));
    TRY(look());
    TRY(use(&driver, &buffer, &sum));
    printf("{\"sum\": %llu}\n", sum);
    fflush(stdout);
    getchar();
    return 0;
}
