/* Loads the driver into a namespace of its own, where nothing that is preloaded is. */
#include "cuda.h"

int main(void) {
    void *handle = dlmopen(LM_ID_NEWLM, "libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    Driver driver = look_up(handle, 0);
    return work(&driver);
}
