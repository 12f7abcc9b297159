/* ways WAY [GIB]: takes memory in the way that it is told, beside so many GiB that it took before, fills it and says what
 * it reads back; then gives it back. Each time it waits. */
#include "memory.h"

enum { BYTES = 4 * WORDS };

static unsigned words[WORDS];

static unsigned long long sum(void) {
    unsigned long long sum = 0;
    for (int i = 0; i < WORDS; i++)
        sum += (unsigned long long)words[i] * (i % 31 + 1);
    return sum;
}

static int fill(CUdeviceptr to, unsigned seed) {
    for (int i = 0; i < WORDS; i++)
        words[i] = (unsigned)i * 2654435761u + seed;
    TRY(cuMemcpyHtoD_v2(to, words, BYTES));
    return 0;
}

static int say(CUdeviceptr from, unsigned long long written) {
    memset(words, 0, sizeof words);
    TRY(cuMemcpyDtoH_v2(words, from, BYTES));
    printf("{\"right\": %s}\n", sum() == written ? "true" : "false");
    fflush(stdout);
    getchar();
    return 0;
}

static int is(const char *a, const char *b) { return strcmp(a, b) == 0; }

static int map(CUdeviceptr at, Handle handle) {
    const Access access = {{1, 0}, 3};
    TRY(cuMemMap(at, BYTES, 0, handle, 0));
    TRY(cuMemSetAccess(at, BYTES, &access, 1));
    return 0;
}

int main(int count, char **arguments) {
    const char *way = count > 1 ? arguments[1] : "";
    CUdeviceptr at = 0, range = 0, beside = 0;
    Handle handle = 0;
    size_t pitch;
    void *pool = NULL;
    PoolProperties of_pool = {1, is(way, "exported-pool") || is(way, "current-exported-pool"), {1, 0}, NULL, 0, {0}};
    Properties plain = {1, is(way, "exportable") || is(way, "exported"), {1, 0}, NULL, is(way, "compressed"), 0, 0, {0}};
    int by_mapping = is(way, "mapped") || is(way, "twice") || is(way, "again") || plain.handle_types || plain.compression;
    int in_order = 0;
    size_t before, after, total;
    if (start(NULL))
        return 1;
    TRY(cuMemGetInfo_v2(&before, &total));
    if (count > 2)
        TRY(cuMemAlloc_v2(&beside, (size_t)atoi(arguments[2]) << 30));
    if (is(way, "linear")) {
        TRY(cuMemAlloc_v2(&at, BYTES));
    } else if (is(way, "pitched")) {
        TRY(cuMemAllocPitch_v2(&at, &pitch, 4000, 1024, 16));
    } else if (is(way, "stream-ordered")) {
        in_order = 1;
        TRY(cuMemAllocAsync(&at, BYTES, NULL));
    } else if (is(way, "pool") || of_pool.handle_types) {
        in_order = 1;
        TRY(cuMemPoolCreate(&pool, &of_pool));
        if (is(way, "current-exported-pool")) {
            TRY(cuDeviceSetMemPool(0, pool));
            TRY(cuMemAllocAsync(&at, BYTES, NULL));
        } else
            TRY(cuMemAllocFromPoolAsync(&at, BYTES, pool, NULL));
    } else if (by_mapping) {
        TRY(cuMemAddressReserve(&range, 2 * BYTES, 0, 0, 0));
        TRY(cuMemCreate(&handle, BYTES, &plain, 0));
        at = range;
        if (map(at, handle))
            return 1;
    } else
        return 2;
    if (fill(at, 7))
        return 1;
    unsigned long long written = sum();
    if (is(way, "twice")) {
        /* What is written through the one address is read through the other. */
        if (map(range + BYTES, handle) || fill(range + BYTES, 11))
            return 1;
        written = sum();
    }
    if (is(way, "exported")) {
        /* Whether the driver can do it here does not matter: the memory must be ready for it. */
        int descriptor = -1;
        cuMemExportToShareableHandle(&descriptor, handle, 1, 0);
    }
    if (is(way, "again")) {
        TRY(cuMemUnmap(at, BYTES));
        at = range + BYTES;
        if (map(at, handle))
            return 1;
    }
    if (say(at, written))
        return 1;
    if (by_mapping) {
        TRY(cuMemRelease(handle));
        if (is(way, "twice"))
            TRY(cuMemUnmap(range + BYTES, BYTES));
        TRY(cuMemUnmap(at, BYTES));
        TRY(cuMemAddressFree(range, 2 * BYTES));
    } else if (in_order)
        TRY(cuMemFreeAsync(at, NULL));
    else
        TRY(cuMemFree_v2(at));
    if (beside)
        TRY(cuMemFree_v2(beside));
    TRY(cuCtxSynchronize());
    TRY(cuMemGetInfo_v2(&after, &total));
    printf("{\"lost\": %lld}\n", (long long)before - (long long)after);
    fflush(stdout);
    getchar();
    return 0;
}
