/* A library that is linked to the driver and does the work. */
#define DIRECT
#include "cuda.h"

int run(const char *driver_path) {
    (void)driver_path;
    return work(NULL);
}
