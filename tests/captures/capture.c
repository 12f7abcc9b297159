/* Captures a graph; while the capture goes on, does something that must not have the library forget it, and then takes
   memory in the order of a stream, which a thread in relaxed mode may. Says how the capture ended. */
#define DIRECT
#include "../paths/cuda.h"
#include <pthread.h>

int cuStreamCreate(void **stream, unsigned flags);
int cuStreamDestroy_v2(void *stream);
int cuStreamBeginCapture_v2(void *stream, int mode);
int cuStreamBeginCapture_v2_ptsz(void *stream, int mode);
int cuStreamEndCapture(void *stream, void **graph);
int cuStreamEndCapture_ptsz(void *stream, void **graph);
int cuDevicePrimaryCtxRelease_v2(int device);
int cuCtxCreate_v2(void **context, unsigned flags, int device);
int cuCtxDestroy_v2(void *context);
int cuMemAllocAsync(CUdeviceptr *address, size_t bytes, void *stream);
int cuMemFreeAsync(CUdeviceptr address, void *stream);
int cuThreadExchangeStreamCaptureMode(int *mode);

enum { NON_BLOCKING = 1, GLOBAL = 0, THREAD = 1, RELAXED = 2 };

static void *context, *aside;

/* Takes 4 MiB in the order of a stream that nobody captures. */
static int take(void) {
    CUdeviceptr buffer;
    int mode = RELAXED;
    TRY(cuThreadExchangeStreamCaptureMode(&mode));
    TRY(cuMemAllocAsync(&buffer, 4 << 20, aside));
    TRY(cuMemFreeAsync(buffer, aside));
    TRY(cuThreadExchangeStreamCaptureMode(&mode));
    return 0;
}

static void *take_there(void *result) {
    *(int *)result = cuCtxSetCurrent(context) || take();
    return result;
}

static int take_in_another_thread(void) {
    pthread_t thread;
    int result;
    pthread_create(&thread, NULL, take_there, &result);
    pthread_join(thread, NULL);
    return result;
}

int main(int count, char **arguments) {
    const char *way = count > 1 ? arguments[1] : "";
    int own_default = strcmp(way, "per-thread") == 0, device;
    void *stream = NULL, *other, *graph = NULL, *unrelated;
    TRY(cuInit(0));
    TRY(cuDeviceGet(&device, 0));
    TRY(cuDevicePrimaryCtxRetain(&context, device));
    if (strcmp(way, "context") == 0) {
        TRY(cuCtxCreate_v2(&unrelated, 0, device));
    }
    TRY(cuCtxSetCurrent(context));
    TRY(cuStreamCreate(&aside, NON_BLOCKING));
    TRY(cuStreamCreate(&other, NON_BLOCKING));
    TRY(cuStreamCreate(&stream, NON_BLOCKING));
    if (own_default) {
        TRY(cuStreamBeginCapture_v2_ptsz(NULL, GLOBAL));
    } else {
        TRY(cuStreamBeginCapture_v2(stream, GLOBAL));
    }
    if (strcmp(way, "retain") == 0) {
        TRY(cuDevicePrimaryCtxRetain(&context, device));
        TRY(cuDevicePrimaryCtxRelease_v2(device));
    }
    if (strcmp(way, "context") == 0) {
        TRY(cuCtxDestroy_v2(unrelated));
    }
    if (strcmp(way, "stream") == 0) {
        TRY(cuStreamDestroy_v2(other));
    }
    if (own_default ? take_in_another_thread() : take())
        return 1;
    int code = own_default ? cuStreamEndCapture_ptsz(NULL, &graph) : cuStreamEndCapture(stream, &graph);
    /* Once it ended, memory may be tried out and coloured. */
    CUdeviceptr buffer;
    TRY(cuMemAlloc_v2(&buffer, 4 << 20));
    printf("{\"end\": %d}\n", code);
    fflush(stdout);
    getchar();
    return 0;
}
