/* Works on the GPU; with an argument, writes one byte too far into its heap afterwards. */
#include "../paths/cuda.h"

int main(int arguments, char **argument) {
    (void)argument;
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL) ? RTLD_DEFAULT : NULL, 0);
    CUdeviceptr buffer;
    unsigned long long sum;
    TRY(start(&driver) || use(&driver, &buffer, &sum));
    printf("{\"sum\": %llu}\n", sum);
    volatile char *heap = malloc(8);
    heap[arguments > 1 ? 8 : 0] = 1;
    free((void *)heap);
    return 0;
}
