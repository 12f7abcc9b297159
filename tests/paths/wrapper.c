/* A library that wraps a function of the C library. */
#include "cuda.h"
#include <unistd.h>

pid_t getppid(void) {
    static int depth;
    if (++depth > 8) {
        fprintf(stderr, "the next getppid after this one is this one\n");
        _exit(3);
    }
    pid_t (*next)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "getppid");
    pid_t parent = next();
    depth--;
    return parent;
}
