/* Linked to the driver, but asks for its functions by the handle of the whole program. */
#include "cuda.h"

int main(void) {
    Driver driver = look_up(dlopen(NULL, RTLD_LAZY), 0);
    return work(&driver);
}
