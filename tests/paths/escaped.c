/* Asks for the C library's own `dlsym` by its version, and that for the driver's functions. */
#include "cuda.h"

#undef LOOK_UP
#define LOOK_UP(name, plain, per_thread, parameters) driver.name = (int(*) parameters)own(handle, #name);

int main(void) {
    Driver driver;
    void *(*own)(void *, const char *) = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    void *handle = dlopen("libcuda.so.1", RTLD_LAZY);
    DRIVER_FUNCTIONS(LOOK_UP)
    return work(&driver);
}
