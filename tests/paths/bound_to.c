/* Bound to one version of the C library's `dlsym`: DLSYM is "dlsym@GLIBC_2.2.5", as programs of before glibc 2.34 are,
 * or the newer one. */
#include "cuda.h"

extern void *versioned(void *handle, const char *name);
__asm__(".symver versioned, " DLSYM);
#undef LOOK_UP
#define LOOK_UP(name, plain, per_thread, parameters) driver.name = (int(*) parameters)versioned(handle, #name);

int main(void) {
    Driver driver;
    void *handle = dlopen("libcuda.so.1", RTLD_LAZY);
    DRIVER_FUNCTIONS(LOOK_UP)
    return work(&driver);
}
