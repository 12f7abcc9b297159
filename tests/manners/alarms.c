/* Works again and again while signals interrupt it at every moment. */
#include "../paths/cuda.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>

static volatile sig_atomic_t alarms, astray;

static void on_alarm(int signal) {
    char name[16] = "";
    (void)signal;
    alarms++;
    prctl(PR_GET_NAME, name);
    astray += strcmp(name, "missile") == 0;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    CUdeviceptr buffer;
    unsigned long long sum, first = 0;
    int wrong = 0;
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    TRY(start(&driver));
    for (int i = 0; i < 20; i++) {
        TRY(use(&driver, &buffer, &sum));
        first = i ? first : sum;
        wrong += sum != first;
        if (i < 19)
            TRY(driver.cuMemFree_v2(buffer));
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("{\"sum\": %llu, \"wrong\": %d, \"interrupted\": %d, ", sum, wrong, alarms > 0);
    printf("\"astray\": %d}\n", (int)astray);
    fflush(stdout);
    getchar();
    return 0;
}
