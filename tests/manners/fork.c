/* Forks when it has worked; the child calls the driver's functions, and then the parent works again. */
#include "../paths/cuda.h"
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    CUdeviceptr buffer;
    unsigned long long sums[2];
    int status = -1, device = -1;
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    TRY(start(&driver) || use(&driver, &buffer, &sums[0]));
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        void *found = dlsym(RTLD_DEFAULT, "cuNever");
        /* A launch that is refused before it reaches the GPU: the child shares the simulated one with its parent. */
        int launched = driver.cuLaunchKernel(NULL, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL);
        int codes[] = {driver.cuInit(0), driver.cuDeviceGet(&device, 0), launched};
        printf("{\"child\": [%d, %d, %d], \"found\": %d}\n", codes[0], codes[1], codes[2], found != NULL);
        fflush(stdout);
        exit(0);
    }
    waitpid(child, &status, 0);
    TRY(driver.cuMemFree_v2(buffer));
    TRY(use(&driver, &buffer, &sums[1]));
    printf("{\"status\": %d, \"sum\": %llu, \"same\": %d}\n", status, sums[1], sums[0] == sums[1]);
    fflush(stdout);
    getchar();
    return 0;
}
