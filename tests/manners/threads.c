/* Eight threads look the functions up and start the driver, all at the same moment, and then each works. */
#include "../paths/cuda.h"
#include <pthread.h>

enum { THREADS = 8 };
static pthread_barrier_t ready;

static void *thread(void *sum) {
    CUdeviceptr buffer;
    pthread_barrier_wait(&ready);
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
    return (void *)(long)(start(&driver) || use(&driver, &buffer, sum));
}

int main(void) {
    pthread_t threads[THREADS];
    unsigned long long sums[THREADS];
    long failed = 0;
    pthread_barrier_init(&ready, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        TRY(pthread_create(&threads[i], NULL, thread, &sums[i]));
    for (int i = 0; i < THREADS; i++) {
        void *answer;
        pthread_join(threads[i], &answer);
        failed += (long)answer || sums[i] != sums[0];
    }
    printf("{\"sum\": %llu, \"failed\": %ld}\n", sums[0], failed);
    fflush(stdout);
    getchar();
    return 0;
}
