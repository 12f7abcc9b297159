/* Fills 4 MiB, takes one step that makes memory visible from outside, and says the sum of what it reads back. */
#define DIRECT
#include "../paths/cuda.h"

int cuIpcGetMemHandle(void *handle, CUdeviceptr address);
int cuMemGetHandleForAddressRange(void *handle, CUdeviceptr address, size_t bytes, int kind, unsigned long long flags);
int cuPointerGetAttribute(void *data, int attribute, CUdeviceptr address);
int cuPointerSetAttribute(const void *value, int attribute, CUdeviceptr address);

int main(int count, char **arguments) {
    static unsigned words[WORDS];
    static char room[256];
    CUdeviceptr buffer;
    unsigned long long sum;
    unsigned one = 1;
    const char *step = count > 1 ? arguments[1] : "";
    if (start(NULL) || use(NULL, &buffer, &sum))
        return 1;
    /* Whether the driver can do it here does not matter: the memory must be ready for it. */
    if (strcmp(step, "ipc") == 0)
        cuIpcGetMemHandle(room, buffer + 4096);
    if (strcmp(step, "ipc-nowhere") == 0)
        cuIpcGetMemHandle(NULL, buffer);
    if (strcmp(step, "range") == 0)
        cuMemGetHandleForAddressRange(room, buffer, 1 << 21, 1, 0);
    if (strcmp(step, "tokens") == 0)
        cuPointerGetAttribute(room, 5, buffer);
    if (strcmp(step, "memops") == 0)
        cuPointerSetAttribute(&one, 6, buffer);
    if (strcmp(step, "type") == 0)
        cuPointerGetAttribute(room, 2, buffer);
    TRY(cuMemcpyDtoH_v2(words, buffer, sizeof words));
    unsigned long long again = 0;
    for (int i = 0; i < WORDS; i++)
        again += words[i];
    printf("{\"sum\": %llu, \"again\": %llu}\n", sum, again);
    fflush(stdout);
    getchar();
    TRY(cuMemFree_v2(buffer));
    printf("{}\n");
    fflush(stdout);
    getchar();
    return 0;
}
