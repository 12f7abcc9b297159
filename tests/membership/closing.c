/* Works, then closes all descriptors that it does not know, the driver's too, three times with time between for others to
 * notice; says the sum and waits for a line. */
#include "../paths/cuda.h"
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    CUdeviceptr buffer;
    unsigned long long sum;
    TRY(start(&driver) || use(&driver, &buffer, &sum));
    for (int i = 0; i < 3; i++) {
        syscall(SYS_close_range, 3, ~0u, 0);
        usleep(500 * 1000);
    }
    printf("{\"sum\": %llu}\n", sum);
    fflush(stdout);
    getchar();
    return 0;
}
