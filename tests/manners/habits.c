/* habits [cuda]: says what a library could have done to the process: at its start, and with an argument after looking
 * functions up and after starting the driver. */
#include "../paths/cuda.h"
#include <dirent.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static int entries(const char *folder) {
    int count = 0;
    DIR *open = opendir(folder);
    while (readdir(open) != NULL)
        count++;
    closedir(open);
    return count - 2;
}

static int maps(const char *part) {
    char line[4096];
    int found = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, file) != NULL)
        found += strstr(line, part) != NULL;
    fclose(file);
    return found;
}

/* What belongs to the program and to nobody else. */
static void say_habits(const char *when) {
    char ignored[65] = "", caught[65] = "", blocked[65] = "";
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int i = 1; i < 65; i++) {
        struct sigaction action;
        int known = sigaction(i, NULL, &action) == 0;
        ignored[i - 1] = known && action.sa_handler == SIG_IGN ? 'i' : '.';
        caught[i - 1] = known && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL ? 'c' : '.';
        blocked[i - 1] = sigismember(&mask, i) == 1 ? 'b' : '.';
    }
    mode_t mode = umask(0);
    umask(mode);
    printf("%s: umask %o, locale %s, buffer %d\n", when, mode, setlocale(LC_ALL, NULL), isatty(1));
    printf("%s: ignored %.64s caught %.64s blocked %.64s\n", when, ignored, caught, blocked);
}

/* What only a program that uses the GPU may have more of. */
static void say_parts(const char *when) {
    printf("%s: threads %d, files %d, regions %d\n", when, entries("/proc/self/task"), entries("/proc/self/fd"),
           maps("missile/region"));
}

int main(int count, char **arguments) {
    (void)arguments;
    umask(027);
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_ALL, "C");
    say_habits("at the start");
    say_parts("at the start");
    if (count > 1) {
        Driver driver = look_up(dlopen("libcuda.so.1", RTLD_LAZY), 0);
        say_habits("with functions");
        say_parts("with functions");
        TRY(start(&driver));
        say_habits("with the driver");
        CUdeviceptr buffer;
        unsigned long long sum;
        TRY(use(&driver, &buffer, &sum));
        say_habits("after work");
        printf("{\"sum\": %llu}\n", sum);
    } else {
        printf("{\"sum\": 0}\n");
    }
    fflush(stdout);
    getchar();
    return 0;
}
