/* host PLUGIN DRIVER [deep] [first]: loads a library that does the work. `deep` has it look into its own dependencies
 * before all else, and `first` has the program start the driver before that. */
#include "cuda.h"

int main(int count, char **arguments) {
    int flags = RTLD_LAZY | RTLD_LOCAL;
    for (int i = 3; i < count; i++) {
        if (strcmp(arguments[i], "deep") == 0)
            flags |= RTLD_DEEPBIND;
        if (strcmp(arguments[i], "first") == 0) {
            Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL), 0);
            TRY(driver.cuInit(0));
        }
    }
    void *plugin = dlopen(arguments[1], flags);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int (*run)(const char *) = (int (*)(const char *))dlsym(plugin, "run");
    return run(arguments[2]);
}
