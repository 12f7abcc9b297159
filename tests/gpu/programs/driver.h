/* The driver's functions for small programs, looked up by name. A program lists what it calls:
 *
 *   #define FUNCTIONS(F) F(cuInit, (unsigned)) F(cuCtxSynchronize, (void))
 *   #include "driver.h"
 *
 * and calls load_driver() first. TRY ends the program where a call fails.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long long D;
typedef void *S;

#define FIELD(name, parameters) static int(*name) parameters;
FUNCTIONS(FIELD)

#define TRY(call) do { int code_ = (call); if (code_) { fprintf(stderr, "%s: %d\n", #call, code_); exit(1); } } while (0)

static void *find(void *library, const char *name) {
    void *found = library ? dlsym(library, name) : NULL;
    if (!found) { fprintf(stderr, "%s\n", dlerror()); exit(1); }
    return found;
}

#define LOOK_UP(name, parameters) name = (int(*) parameters)find(cuda, #name);
static void load_driver(void) {
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    FUNCTIONS(LOOK_UP)
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}
