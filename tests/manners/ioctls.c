/* A preloaded library that counts the requests to the kernel's driver. */
#define _GNU_SOURCE
#include <dlfcn.h>

static long seen;

long ioctls_seen(void) { return seen; }

int ioctl(int fd, unsigned long request, void *argument) {
    int (*next)(int, unsigned long, void *) = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
    return next(fd, request, argument);
}
