/* children: has other programs run, in each way that there is, between two pieces of work. */
#include "../paths/cuda.h"
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int status_of(pid_t child) {
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

int main(int count, char **arguments) {
    if (count > 1) {
        /* A child: uses the GPU as well, and is a tenant of its own. */
        Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
        CUdeviceptr buffer;
        unsigned long long sum;
        return start(&driver) || use(&driver, &buffer, &sum) || sum == 0;
    }
    CUdeviceptr buffer;
    unsigned long long sums[2];
    pid_t child;
    char *again[] = {arguments[0], "child", NULL}, command[4200];
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    TRY(start(&driver) || use(&driver, &buffer, &sums[0]));
    child = vfork();
    if (child == 0) {
        execv(again[0], again);
        _exit(9);
    }
    printf("{\"vfork\": %d}\n", status_of(child));
    TRY(posix_spawn(&child, again[0], NULL, NULL, again, environ));
    printf("{\"posix_spawn\": %d}\n", status_of(child));
    snprintf(command, sizeof command, "'%s' child", again[0]);
    printf("{\"system\": %d}\n", system(command));
    TRY(driver.cuMemFree_v2(buffer));
    TRY(use(&driver, &buffer, &sums[1]));
    printf("{\"sum\": %llu, \"same\": %d}\n", sums[1], sums[0] == sums[1]);
    fflush(stdout);
    getchar();
    return 0;
}
