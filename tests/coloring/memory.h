/* The driver's ways of taking memory, as cuda.h has them. */
#define DIRECT
#include "../paths/cuda.h"

typedef unsigned long long Handle;
typedef struct {
    int type, id;
} Location;
typedef struct {
    int type, handle_types;
    Location location;
    void *win32;
    unsigned char compression, rdma;
    unsigned short usage;
    unsigned char reserved[4];
} Properties;
typedef struct {
    Location location;
    int flags;
} Access;
typedef struct {
    int type, handle_types;
    Location location;
    void *win32;
    size_t most;
    unsigned char reserved[56];
} PoolProperties;

int cuMemGetInfo_v2(size_t *free, size_t *total);
int cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes);
int cuStreamSynchronize(void *stream);
int cuMemAllocPitch_v2(CUdeviceptr *address, size_t *pitch, size_t width, size_t height, unsigned element);
int cuMemAllocAsync(CUdeviceptr *address, size_t bytes, void *stream);
int cuMemAllocFromPoolAsync(CUdeviceptr *address, size_t bytes, void *pool, void *stream);
int cuMemFreeAsync(CUdeviceptr address, void *stream);
int cuMemPoolCreate(void **pool, const PoolProperties *properties);
int cuDeviceSetMemPool(int device, void *pool);
int cuMemCreate(Handle *handle, size_t bytes, const Properties *properties, unsigned long long flags);
int cuMemRelease(Handle handle);
int cuMemExportToShareableHandle(void *shareable, Handle handle, int kind, unsigned long long flags);
int cuMemAddressReserve(CUdeviceptr *address, size_t bytes, size_t alignment, CUdeviceptr wanted, unsigned long long flags);
int cuMemAddressFree(CUdeviceptr address, size_t bytes);
int cuMemMap(CUdeviceptr address, size_t bytes, size_t offset, Handle handle, unsigned long long flags);
int cuMemUnmap(CUdeviceptr address, size_t bytes);
int cuMemSetAccess(CUdeviceptr address, size_t bytes, const Access *access, size_t count);
