/* Asks for functions that the driver does not have, and for functions that it has in a library that has nothing to do
 * with it. With an argument: for what comes after the program in the search order. */
#include "cuda.h"

static void say(const char *what, void *handle, const char *name) {
    dlerror();
    void *found = dlsym(handle, name);
    const char *error = dlerror();
    /* Which library lacks it is said first, and is the loader's business. */
    const char *why = error == NULL ? "null" : strstr(error, "undefined symbol");
    printf("{\"%s\": \"%s\", \"found\": %d, \"error\": \"%s\"}\n", what, name, found != NULL, why);
}

int main(int count, char **arguments) {
    static const char *absent[] = {"cuNever", "cuLogicalEndpointCreate", "cuStreamBeginRecaptureToGraph_ptsz",
                                   "cuMemAlloc_v9"};
    void *driver_handle = dlopen("libcuda.so.1", RTLD_LAZY), *foreign = dlopen("libm.so.6", RTLD_LAZY);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        say("by handle", driver_handle, absent[i]);
        say("by default", RTLD_DEFAULT, absent[i]);
        say("in the program", dlopen(NULL, RTLD_LAZY), absent[i]);
        if (count > 1)
            say(arguments[1], RTLD_NEXT, absent[i]);
    }
    say("in another library", foreign, "cuInit");
    say("in another library", foreign, "cuMemAlloc_v2");
    say("in another library", foreign, "cuMemcpyHtoD_v2_ptds");
    Driver driver = look_up(driver_handle, 0);
    return work(&driver);
}
