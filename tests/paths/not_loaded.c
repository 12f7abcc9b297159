/* Asks for functions of the driver, and the whole program for them, before it is loaded; that must not load it. */
#include "cuda.h"

int main(void) {
    static const char *names[] = {"cuInit", "cuMemAlloc_v2", "cuGetProcAddress_v2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int by_default = dlsym(RTLD_DEFAULT, names[i]) != NULL;
        int in_program = dlsym(dlopen(NULL, RTLD_LAZY), names[i]) != NULL;
        printf("{\"%s\": [%d, %d], ", names[i], by_default, in_program);
        printf("\"loaded\": %d}\n", dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD) != NULL);
    }
    Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL), 0);
    return work(&driver);
}
