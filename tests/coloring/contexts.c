/* Has the stream of another context write all of an allocation, piece by piece, and meanwhile hands the allocation out.
   Says how many bytes are not as they were written. */
#include "memory.h"

int cuCtxCreate_v2(void **context, unsigned flags, int device);
int cuStreamCreate(void **stream, unsigned flags);
int cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t bytes);
int cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void *stream);
int cuIpcGetMemHandle(void *handle, CUdeviceptr address);

enum { BYTES = 4 << 20, PIECE = 4096, NON_BLOCKING = 1 };

int main(void) {
    static unsigned char found[BYTES];
    static char room[256];
    void *own, *other, *stream;
    CUdeviceptr buffer, sevens;
    int device, lost = 0;
    TRY(cuInit(0));
    TRY(cuDeviceGet(&device, 0));
    TRY(cuCtxCreate_v2(&other, 0, device));
    TRY(cuStreamCreate(&stream, NON_BLOCKING));
    TRY(cuMemAlloc_v2(&sevens, PIECE));
    TRY(cuMemsetD8_v2(sevens, 7, PIECE));
    TRY(cuCtxSynchronize());
    TRY(cuCtxCreate_v2(&own, 0, device));
    TRY(cuMemAlloc_v2(&buffer, BYTES));
    TRY(cuMemsetD8_v2(buffer, 1, BYTES));
    TRY(cuCtxSynchronize());
    TRY(cuCtxSetCurrent(other));
    for (int at = 0; at < BYTES; at += PIECE) {
        TRY(cuMemcpyDtoDAsync_v2(buffer + at, sevens, PIECE, stream));
    }
    TRY(cuCtxSetCurrent(own));
    /* Whether the driver can do it here does not matter: the memory must be ready for it. */
    cuIpcGetMemHandle(room, buffer);
    TRY(cuCtxSetCurrent(other));
    TRY(cuCtxSynchronize());
    TRY(cuCtxSetCurrent(own));
    TRY(cuMemcpyDtoH_v2(found, buffer, BYTES));
    for (int i = 0; i < BYTES; i++)
        lost += found[i] != 7;
    printf("{\"lost\": %d}\n", lost);
    fflush(stdout);
    getchar();
    return 0;
}
