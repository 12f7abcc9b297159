/* executing N COMMAND...: works N times, each time as another image of the same process; then is COMMAND, or where there
 * is none says the sum and waits for a line. */
#include "../paths/cuda.h"
#include <unistd.h>

int main(int count, char **arguments) {
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    CUdeviceptr buffer;
    unsigned long long sum;
    int left = atoi(arguments[1]) - 1;
    char text[16];
    TRY(start(&driver) || use(&driver, &buffer, &sum));
    if (left > 0) {
        snprintf(text, sizeof text, "%d", left);
        arguments[1] = text;
        execv("/proc/self/exe", arguments);
        return 1;
    }
    printf("{\"sum\": %llu}\n", sum);
    fflush(stdout);
    if (count > 2) {
        execvp(arguments[2], arguments + 2);
        return 1;
    }
    getchar();
    return 0;
}
