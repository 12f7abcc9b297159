/* Defines functions of the driver in the program itself, for its libraries to find, and passes them on. */
#include "stub.c"

int main(void) {
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    driver.cuInit = cuInit;
    driver.cuMemAlloc_v2 = cuMemAlloc_v2;
    driver.cuMemcpyHtoD_v2 = cuMemcpyHtoD_v2;
    driver.cuMemcpyDtoH_v2 = cuMemcpyDtoH_v2;
    int failed = work(&driver);
    return failed;
}
