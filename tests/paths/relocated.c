/* Linked to the driver, whose addresses the dynamic linker puts into a table of pointers. */
#include "cuda.h"

static const Driver linked = LINKED;

int main(void) { return work(&linked); }
