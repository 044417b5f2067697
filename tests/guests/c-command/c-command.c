/* SPDX-License-Identifier: Apache-2.0 */
/* wasi-libc through the public WASI 0.1 adapter: arguments, environment, standard input, a file, a timer. The other
 * commands here tell the same story in their languages. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *what, char **texts, size_t n)
{
    printf("%s ", what);
    for (size_t i = 0; i < n; i++)
        printf("%s%s", i ? "," : "", texts[i]);
    putchar('\n');
}

static int shout_lines(void)
{
    int lines = 0, c;
    while ((c = getchar()) != EOF) {
        printf("line ");
        for (; c != EOF && c != '\n'; c = getchar())
            putchar(toupper(c));
        putchar('\n');
        lines++;
    }
    return lines ? 1 : 0;
}

static void sleep_a_little(void)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    usleep(20000);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long ns = (after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec;
    printf("woken %s\n", ns >= 20000000 ? "true" : "false");
}

static void show_file(const char *path)
{
    char text[1000] = "";
    FILE *f = fopen(path, "r");
    if (!f) {
        printf("no file: NotFound\n");
        return;
    }
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    if (n && text[n - 1] == '\n')
        text[n - 1] = '\0';
    printf("file \"%s\\n\"\n", text);
}

int main(int argc, char **argv)
{
    size_t n = 0;
    list("arguments", argv + 1, (size_t)argc - 1);
    while (environ[n])
        n++;
    qsort(environ, n, sizeof *environ, by_text);
    list("environment", environ, n);
    int lines = shout_lines();
    sleep_a_little();
    if (argc > 1)
        show_file(argv[1]);
    fprintf(stderr, "ends\n");
    return lines ? 1 : 0;
}
