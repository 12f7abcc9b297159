/* A program that Missile cannot get into: says whether the system runs it with more rights than its caller has. */
#include <stdio.h>
#include <sys/auxv.h>

int main(void) {
    printf("{\"secure\": %lu}\n", getauxval(AT_SECURE));
    return 0;
}
