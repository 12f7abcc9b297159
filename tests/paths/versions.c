/* Asks `dlvsym` for functions of the driver in versions that there are not, and for one of the C library's. */
#include "cuda.h"

int main(void) {
    void *handle = dlopen("libcuda.so.1", RTLD_LAZY);
    for (int i = 0; i < 2; i++) {
        void *where = i ? RTLD_DEFAULT : handle;
        int none = dlvsym(where, "cuInit", "CUDA_13.0") == NULL, old = dlvsym(where, "cuInit", "GLIBC_2.2.5") == NULL;
        printf("{\"none\": [%d, %d], \"dlsym\": %d}\n", none, old, dlvsym(where, "dlsym", "GLIBC_2.2.5") != NULL);
    }
    Driver driver = look_up(handle, 0);
    return work(&driver);
}
