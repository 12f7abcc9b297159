/* A tenant that only copies between pinned memory and the device: copier small|bulk KIB to-device|to-host [PERIOD_US]
 *
 *   small   one copy a period; answers {"do": "window", "seconds": S} as a server does: {"at": "begun"} after some copies
 *           that do not count, and at the end how long copies took from the call to the end of the synchronization. A copy
 *           that is late delays the next.
 *   bulk    copies back to back, some in flight; {"do": "go", "depth": N}, "mark", "read" and "rest" as of colocate_be.py
 *
 * Uses the GPU from {"do": "load"} on. Says {"at": "imported"} first, as the tenants in Python do.
 */
#define FUNCTIONS(F)                                                    \
    F(cuInit, (unsigned))                                               \
    F(cuDevicePrimaryCtxRetain, (void **, int))                         \
    F(cuCtxSetCurrent, (void *))                                        \
    F(cuMemAlloc_v2, (D *, size_t))                                     \
    F(cuMemHostAlloc, (void **, size_t, unsigned))                      \
    F(cuStreamCreate, (S *, unsigned))                                  \
    F(cuStreamSynchronize, (S))                                         \
    F(cuEventCreate, (void **, unsigned))                               \
    F(cuEventRecord, (void *, S))                                       \
    F(cuEventSynchronize, (void *))                                     \
    F(cuMemcpyHtoDAsync_v2, (D, const void *, size_t, S))               \
    F(cuMemcpyDtoHAsync_v2, (void *, D, size_t, S))

#include "driver.h"
#include "lines.h"
#include <pthread.h>
#include <unistd.h>

enum { DISABLE_TIMING = 2, NON_BLOCKING = 1, MOST_DEPTH = 16, LEAD = 20, MOST_COPIES = 1 << 20 };

static size_t bytes;
static int to_host;
static double period;
static void *context, *host;
static D device;
static S stream;

/* The bulk copier's thread: `depth` copies in flight, none where it is 0. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static volatile int depth, resting;
static volatile unsigned long done;
static void *events[MOST_DEPTH];

static void copy(void) {
    if (to_host) TRY(cuMemcpyDtoHAsync_v2(host, device, bytes, stream));
    else TRY(cuMemcpyHtoDAsync_v2(device, host, bytes, stream));
}

static void load(void) {
    load_driver();
    TRY(cuInit(0));
    TRY(cuDevicePrimaryCtxRetain(&context, 0));
    TRY(cuCtxSetCurrent(context));
    TRY(cuMemHostAlloc(&host, bytes, 0));
    memset(host, 1, bytes);
    TRY(cuMemAlloc_v2(&device, bytes));
    TRY(cuStreamCreate(&stream, NON_BLOCKING));
    for (int i = 0; i < MOST_DEPTH; i++) TRY(cuEventCreate(&events[i], DISABLE_TIMING));
    copy();
    TRY(cuStreamSynchronize(stream));
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void window(double seconds) {
    static double took[MOST_COPIES];
    size_t count = 0;
    for (int i = 0; i < LEAD; i++) {
        copy();
        TRY(cuStreamSynchronize(stream));
    }
    puts("{\"at\": \"begun\"}");
    double begun = now(), due = begun;
    while (count < MOST_COPIES) {
        while (now() < due) {}
        double start = now();
        if (start - begun >= seconds) break;
        copy();
        TRY(cuStreamSynchronize(stream));
        double end = now();
        took[count++] = (end - start) * 1e6;
        due += period;
        if (due < end) due = end;
    }
    double elapsed = now() - begun;
    qsort(took, count, sizeof *took, by_size);
#define PART(permille) (count ? took[(count * permille + 999) / 1000 - 1] : 0)
    printf("{\"n\": %zu, \"seconds\": %.4f, \"gbps\": %.3f, \"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"max\": %.2f}\n", count, elapsed,
        count * bytes / elapsed / 1e9, PART(500), PART(900), PART(990), count ? took[count - 1] : 0);
}

static void *copy_on(void *unused) {
    (void)unused;
    unsigned long submitted = 0, retired = 0;
    TRY(cuCtxSetCurrent(context));
    for (;;) {
        int most = depth;
        if (submitted - retired >= (unsigned long)most && submitted > retired) {
            TRY(cuEventSynchronize(events[retired++ % MOST_DEPTH]));
            done++;
        } else if (most) {
            copy();
            TRY(cuEventRecord(events[submitted++ % MOST_DEPTH], stream));
        } else {
            pthread_mutex_lock(&lock);
            while (!depth) {
                resting = 1;
                pthread_cond_broadcast(&changed);
                pthread_cond_wait(&changed, &lock);
            }
            resting = 0;
            pthread_mutex_unlock(&lock);
        }
    }
    return NULL;
}

static void go(int wanted) {
    unsigned long before = done;
    pthread_mutex_lock(&lock);
    depth = wanted < 1 ? 1 : wanted > MOST_DEPTH ? MOST_DEPTH : wanted;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (double begun = now(); done == before && now() - begun < 1;) usleep(200);
}

static void rest(void) {
    pthread_mutex_lock(&lock);
    depth = 0;
    while (!resting) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "copier small|bulk KIB to-device|to-host [PERIOD_US]\n"), 2;
    int bulk = !strcmp(argv[1], "bulk");
    bytes = (size_t)atol(argv[2]) << 10, to_host = !strcmp(argv[3], "to-host"), period = argc > 4 ? atof(argv[4]) * 1e-6 : 500e-6;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("{\"at\": \"imported\"}");
    char line[1024], what[32];
    unsigned long mark = 0;
    double begun = 0;
    while (next_order(line, sizeof line, what)) {
        if (!strcmp(what, "load")) {
            load();
            pthread_t thread;
            if (bulk) pthread_create(&thread, NULL, copy_on, NULL);
            puts("{\"at\": \"loaded\"}");
        } else if (!strcmp(what, "window")) window(number_of(line, "seconds", 1));
        else if (!strcmp(what, "go")) go((int)number_of(line, "depth", 4)), puts("{\"at\": \"going\"}");
        else if (!strcmp(what, "rest")) rest(), puts("{\"at\": \"rest\"}");
        else if (!strcmp(what, "mark")) mark = done, begun = now(), puts("{\"at\": \"marked\"}");
        else if (!strcmp(what, "read")) {
            unsigned long steps = done - mark;
            double seconds = now() - begun;
            printf("{\"steps\": %lu, \"seconds\": %.4f, \"rate\": %.3f, \"gbps\": %.3f}\n", steps, seconds, steps / seconds, steps * bytes / seconds / 1e9);
        } else printf("{\"error\": \"there is no order %s\"}\n", what);
    }
    if (bulk && context) rest();
    return 0;
}
