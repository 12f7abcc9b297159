/* churn CYCLES THREADS MOST_MIB: each thread takes, moves and gives back buffers of random sizes in random ways, and
 * looks at every word of each before it gives it back. Says how many words were wrong and how much memory is missing. */
#include "memory.h"
#include <pthread.h>
#include <stdint.h>
#include <time.h>

enum { LINEAR, IN_ORDER, MAPPED, WAYS };
enum { BUFFERS = 6 };
static const size_t MIB = 1 << 20;

typedef struct {
    CUdeviceptr at;
    size_t bytes;
    Handle handle;
    int way;
    unsigned seed;
} Buffer;

typedef struct {
    unsigned cycles, most, seed;
    unsigned long long wrong;
    int failed;
    double taking, giving;
    unsigned long long bytes;
    void *context;
    pthread_t thread;
} Worker;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

static unsigned draw(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static int take(Worker *worker, Buffer *buffer, size_t bytes) {
    double start = now();
    buffer->bytes = bytes;
    buffer->way = draw(&worker->seed) % WAYS;
    if (buffer->way == LINEAR)
        TRY(cuMemAlloc_v2(&buffer->at, bytes));
    else if (buffer->way == IN_ORDER) {
        TRY(cuMemAllocAsync(&buffer->at, bytes, NULL));
        TRY(cuStreamSynchronize(NULL));
    } else {
        const Properties properties = {1, 0, {1, 0}, NULL, 0, 0, 0, {0}};
        const Access access = {{1, 0}, 3};
        TRY(cuMemAddressReserve(&buffer->at, bytes, 0, 0, 0));
        TRY(cuMemCreate(&buffer->handle, bytes, &properties, 0));
        TRY(cuMemMap(buffer->at, bytes, 0, buffer->handle, 0));
        TRY(cuMemSetAccess(buffer->at, bytes, &access, 1));
    }
    worker->taking += now() - start;
    worker->bytes += bytes;
    return 0;
}

static int give(Worker *worker, Buffer *buffer) {
    double start = now();
    if (buffer->way == LINEAR)
        TRY(cuMemFree_v2(buffer->at));
    else if (buffer->way == IN_ORDER) {
        TRY(cuMemFreeAsync(buffer->at, NULL));
        TRY(cuStreamSynchronize(NULL));
    } else {
        TRY(cuMemUnmap(buffer->at, buffer->bytes));
        TRY(cuMemRelease(buffer->handle));
        TRY(cuMemAddressFree(buffer->at, buffer->bytes));
    }
    worker->giving += now() - start;
    buffer->at = 0;
    return 0;
}

static uint32_t word(unsigned seed, size_t at) { return (uint32_t)(at * 2654435761u) ^ seed; }

static int fill(Buffer *buffer, uint32_t *host, unsigned seed) {
    buffer->seed = seed;
    for (size_t i = 0; i < buffer->bytes / 4; i++)
        host[i] = word(seed, i);
    TRY(cuMemcpyHtoD_v2(buffer->at, host, buffer->bytes));
    return 0;
}

static int check(Worker *worker, const Buffer *buffer, uint32_t *host) {
    memset(host, 0, buffer->bytes);
    TRY(cuMemcpyDtoH_v2(host, buffer->at, buffer->bytes));
    for (size_t i = 0; i < buffer->bytes / 4; i++)
        worker->wrong += host[i] != word(buffer->seed, i);
    return 0;
}

static int churn(Worker *worker) {
    Buffer buffers[BUFFERS] = {{0}}, other;
    uint32_t *host = malloc(2 * worker->most * MIB);
    TRY(cuCtxSetCurrent(worker->context));
    for (unsigned cycle = 0; cycle < worker->cycles; cycle++) {
        Buffer *buffer = &buffers[draw(&worker->seed) % BUFFERS];
        size_t bytes = (2 + 2 * (draw(&worker->seed) % (worker->most / 2))) * MIB;
        if (buffer->at == 0) {
            if (take(worker, buffer, bytes) || fill(buffer, host, draw(&worker->seed)))
                return 1;
        } else if (draw(&worker->seed) % 3 == 0) {
            /* Moves into one of another size, as realloc does; what did not fit is written anew. */
            if (take(worker, &other, bytes))
                return 1;
            TRY(cuMemcpyDtoD_v2(other.at, buffer->at, bytes < buffer->bytes ? bytes : buffer->bytes));
            other.seed = buffer->seed;
            if (bytes > buffer->bytes && fill(&other, host, draw(&worker->seed)))
                return 1;
            if (check(worker, &other, host) || check(worker, buffer, host) || give(worker, buffer))
                return 1;
            *buffer = other;
        } else if (check(worker, buffer, host) || give(worker, buffer))
            return 1;
    }
    for (int i = 0; i < BUFFERS; i++)
        if (buffers[i].at && (check(worker, &buffers[i], host) || give(worker, &buffers[i])))
            return 1;
    free(host);
    return 0;
}

static void *run(void *argument) {
    Worker *worker = argument;
    worker->failed = churn(worker);
    return NULL;
}

int main(int count, char **arguments) {
    static Worker workers[16];
    int device;
    void *context;
    size_t before, after, total;
    unsigned cycles = count > 1 ? atoi(arguments[1]) : 100, threads = count > 2 ? atoi(arguments[2]) : 2;
    unsigned most = count > 3 ? atoi(arguments[3]) : 8;
    if (threads < 1 || threads > 16 || most < 2 || start(NULL))
        return 2;
    TRY(cuDeviceGet(&device, 0));
    TRY(cuDevicePrimaryCtxRetain(&context, device));
    /* What the driver and Missile take at the first use of each way is not missing afterwards. */
    for (unsigned i = 0; i < WAYS * 4; i++) {
        Buffer buffer = {0};
        Worker worker = {.seed = i * 7919};
        if (take(&worker, &buffer, 2 * MIB) || give(&worker, &buffer))
            return 1;
    }
    TRY(cuCtxSynchronize());
    TRY(cuMemGetInfo_v2(&before, &total));
    for (unsigned i = 0; i < threads; i++) {
        workers[i].cycles = cycles / threads;
        workers[i].most = most;
        workers[i].seed = i + 1;
        workers[i].context = context;
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i]))
            return 1;
    }
    unsigned long long wrong = 0, bytes = 0;
    double taking = 0, giving = 0;
    int failed = 0;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        wrong += workers[i].wrong, bytes += workers[i].bytes, failed |= workers[i].failed;
        taking += workers[i].taking, giving += workers[i].giving;
    }
    if (failed)
        return 1;
    TRY(cuCtxSynchronize());
    TRY(cuMemGetInfo_v2(&after, &total));
    printf("{\"cycles\": %u, \"bytes\": %llu, \"wrong\": %llu, \"lost\": %lld, \"taking_s\": %.3f, \"giving_s\": %.3f}\n",
           cycles, bytes, wrong, (long long)before - (long long)after, taking, giving);
    fflush(stdout);
    getchar();
    return 0;
}
