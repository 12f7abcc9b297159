// What the CUDA programs here have in common: calls that must succeed, and the time.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <ctime>

#define CHECK(call)                                                            \
    do {                                                                       \
        auto code = (call);                                                    \
        if (code != 0) {                                                       \
            fprintf(stderr, "%s: error %d\n", #call, static_cast<int>(code));  \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

inline double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}
