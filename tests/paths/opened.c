/* Opens the driver for itself alone and asks for each function: the spellings for the legacy default stream, or with an
 * argument those for the thread's own. */
#include "cuda.h"

int main(int count, char **arguments) {
    (void)arguments;
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL), count > 1);
    return work(&driver);
}
