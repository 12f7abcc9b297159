/* asked 1|2 [thread] [nested]: has the driver's own cuGetProcAddress find its functions, in its first or second
 * version, for the legacy default stream or the thread's own; `nested` asks that function for itself first. */
#include "cuda.h"

typedef int First(const char *name, void **found, int version, unsigned long long flags);
typedef int Second(const char *name, void **found, int version, unsigned long long flags, int *status);

static First *first;
static Second *second;
static unsigned long long flags = 1; /* CU_GET_PROC_ADDRESS_LEGACY_STREAM */

static int ask(const char *name, int version, void **found, int *status) {
    *status = -1;
    return second ? second(name, found, version, flags, status) : first(name, found, version, flags);
}

/* What is answered besides: an old name, one too new for the version, one that there is not, a NULL name. */
static void say_answers(void) {
    static const struct { const char *name; int version; } asked[] = {
        {"cuMemAlloc", 3020}, {"cuMemAlloc", 1000}, {"cuLaunchKernelEx", 11000}, {"cuNever", 12000}, {NULL, 12000}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        void *found = &found;
        int status, code = ask(asked[i].name, asked[i].version, &found, &status);
        const char *what = found == NULL ? "nothing" : found == &found ? "untouched" : "a function";
        printf("{\"code\": %d, \"status\": %d, \"found\": \"%s\"}\n", code, status, what);
    }
    printf("{\"without a place\": %d}\n", second ? second("cuInit", NULL, 12000, flags, NULL) : 0);
}

/* The answer has to be the function that `dlsym` gives for the spelling of the stream that was asked for. */
#define ASK(name, plain, per_thread, parameters)                 \
    TRY(ask(plain, 12000, (void **)&driver.name, &status));      \
    same += driver.name == (int(*) parameters)dlsym(handle, flags == 2 ? #name per_thread : #name);

int main(int count, char **arguments) {
    void *handle = dlopen("libcuda.so.1", RTLD_LAZY);
    int status, same = 0;
    Driver driver;
    if (arguments[1][0] == '1')
        first = (First *)dlsym(handle, "cuGetProcAddress");
    else
        second = (Second *)dlsym(handle, "cuGetProcAddress_v2");
    for (int i = 2; i < count; i++) {
        if (strcmp(arguments[i], "thread") == 0)
            flags = 2; /* CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM */
        if (strcmp(arguments[i], "nested") == 0)
            TRY(ask("cuGetProcAddress", first ? 11030 : 12000, first ? (void **)&first : (void **)&second, &status));
    }
    say_answers();
    DRIVER_FUNCTIONS(ASK)
    printf("{\"as dlsym\": %d}\n", same);
    return work(&driver);
}
