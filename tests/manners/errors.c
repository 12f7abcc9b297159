/* Says which calls of the driver's leave another errno than they found. */
#include "../paths/cuda.h"
#include <errno.h>

#define KEPT(call)                                                             \
    do {                                                                       \
        errno = 77;                                                            \
        TRY(call);                                                             \
        printf("{\"%s\": \"%s\"}\n", #call, errno == 77 ? "kept" : "changed"); \
    } while (0)

int main(void) {
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    CUdeviceptr buffers[3];
    unsigned long long sum;
    TRY(start(&driver));
    TRY(use(&driver, &buffers[0], &sum));
    KEPT(driver.cuMemAlloc_v2(&buffers[1], 4 << 20));
    KEPT(driver.cuMemAlloc_v2(&buffers[2], 64));
    KEPT(driver.cuMemcpyHtoD_v2(buffers[1], &sum, sizeof sum));
    KEPT(driver.cuMemcpyDtoH_v2(&sum, buffers[1], sizeof sum));
    KEPT(driver.cuMemFree_v2(buffers[1]));
    KEPT(driver.cuMemFree_v2(buffers[2]));
    printf("{\"sum\": 0}\n");
    fflush(stdout);
    getchar();
    return 0;
}
