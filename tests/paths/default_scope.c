/* Loads the driver for everybody, and asks for its functions without saying where. */
#include "cuda.h"

int main(void) {
    TRY(dlopen("libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL) == NULL);
    Driver driver = look_up(RTLD_DEFAULT, 0);
    return work(&driver);
}
