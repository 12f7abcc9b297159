/* Orders in lines of JSON on the standard input, as lines.py has them. Only flat objects of words and numbers are read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number of the order, or `otherwise` where it has none of that name. */
static double number_of(const char *line, const char *name, double otherwise) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *found = strstr(line, key);
    return found ? atof(found + strlen(key)) : otherwise;
}

/* The next order: what to do, into `what`, and the whole line. NULL at the end. */
static char *next_order(char *line, int bytes, char what[32]) {
    while (fgets(line, bytes, stdin)) {
        const char *found = strstr(line, "\"do\":");
        if (found && sscanf(found, "\"do\": \"%31[a-z]\"", what) == 1) return strcmp(what, "end") ? line : NULL;
    }
    return NULL;
}
