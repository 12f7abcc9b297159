/* A library that opens the driver itself, by the name or path that it is given, and does the work. */
#include "cuda.h"

int run(const char *driver_path) {
    Driver driver = look_up(dlopen(driver_path, RTLD_LAZY | RTLD_LOCAL), 0);
    return work(&driver);
}
