/* As OpenMP runtimes have it: `wrapper.c`, a library of the program's, defines a function of the C library and asks for
 * the next definition. */
#include "cuda.h"
#include <unistd.h>

int main(void) {
    printf("{\"is_parent\": %s}\n", getppid() == getppid() && getppid() > 0 ? "true" : "false");
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    return work(&driver);
}
