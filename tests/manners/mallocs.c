/* A preloaded allocator: hands out what it asks of the kernel once, and takes nothing back. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 16, ROOM = 1 << 30 };
static char *next;
static long given;

long mallocs_given(void) { return given; }

void *malloc(size_t bytes) {
    static char *start;
    if (__atomic_load_n(&next, __ATOMIC_ACQUIRE) == NULL) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        char *none = NULL, *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (__atomic_compare_exchange_n(&start, &none, room, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            __atomic_store_n(&next, room, __ATOMIC_RELEASE);
        while (__atomic_load_n(&next, __ATOMIC_ACQUIRE) == NULL) {
        }
    }
    char *at = __atomic_fetch_add(&next, HEADER + ((bytes + 15) & ~(size_t)15), __ATOMIC_RELAXED);
    *(size_t *)at = bytes;
    __atomic_add_fetch(&given, 1, __ATOMIC_RELAXED);
    return at + HEADER;
}

void free(void *block) { (void)block; }

void *calloc(size_t count, size_t bytes) { return malloc(count * bytes); }

void *realloc(void *block, size_t bytes) {
    size_t before = block ? *(size_t *)((char *)block - HEADER) : 0;
    return before ? memcpy(malloc(bytes), block, before < bytes ? before : bytes) : malloc(bytes);
}

static void *aligned(size_t alignment, size_t bytes) {
    size_t at = (size_t)malloc(bytes + alignment + HEADER);
    char *block = (char *)((at + HEADER + alignment - 1) & ~(alignment - 1));
    ((size_t *)block)[-2] = bytes;
    return block;
}

void *memalign(size_t alignment, size_t bytes) { return aligned(alignment, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { return aligned(alignment, bytes); }

int posix_memalign(void **block, size_t alignment, size_t bytes) {
    *block = aligned(alignment, bytes);
    return 0;
}
