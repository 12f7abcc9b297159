/* Linked to the driver: the dynamic linker binds each name when it is first called, or all at the start. */
#define DIRECT
#include "cuda.h"

int main(void) { return work(NULL); }
