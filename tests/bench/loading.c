/* SPDX-License-Identifier: Apache-2.0 */
/* What it takes to load big guests: by one thread, by all, and again when the host knows them; what translating all of
 * a core module takes. Milliseconds, the least of several: wall-clock, which needs a quiet machine, and CPU of all
 * threads together. Usage: loading FILE.wasm... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "hostd/component/component.h"
#include "hostd/image/image.h"
#include "hostd/wasm/engine.h"
#include "lattice/base/num.h"

#define RUNS 9
#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

struct ms {
    double wall, cpu;
};

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct ms now_ms(void)
{
    return (struct ms){clock_ms(CLOCK_MONOTONIC), clock_ms(CLOCK_PROCESS_CPUTIME_ID)};
}

static struct ms since(struct ms start)
{
    struct ms now = now_ms();
    return (struct ms){now.wall - start.wall, now.cpu - start.cpu};
}

static struct span read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        DIE("%s cannot be read", path);
    long size = ftell(f);
    struct buf b = BUF_INIT;
    rewind(f);
    if (size <= 8 || fread(buf_grow(&b, (size_t)size), 1, (size_t)size, f) != (size_t)size)
        DIE("%s cannot be read", path);
    fclose(f);
    size_t n;
    const uint8_t *p = buf_take(&b, &n);
    return (struct span){p, n};
}

static bool is_component(struct span bytes)
{
    return bytes.p[6] == 1; /* the layer, behind the version */
}

/* Either of the two. */
struct loaded {
    struct wasm_module *module;
    struct comp *comp;
};

/* A component takes the bytes, a module borrows them: see release(). */
static struct loaded load(struct span *bytes, uint32_t threads, struct span known)
{
    struct err e = ERR_INIT;
    struct loaded l = {NULL, NULL};
    struct comp_limits limits = {.wasm = {.threads = threads}, .known_frames = known};
    if (is_component(*bytes)) {
        l.comp = comp_load_take(bytes, &limits, &e);
    } else {
        limits.wasm.known_frames = known;
        l.module = wasm_module_load(*bytes, false, &limits.wasm, &e);
    }
    if (!l.comp && !l.module)
        DIE("%s", e.text);
    return l;
}

static void release(struct loaded l, struct span bytes)
{
    comp_unref(l.comp);
    wasm_module_unref(l.module);
    free((void *)bytes.p);
}

static struct buf frames_of(const char *path)
{
    struct buf frames = BUF_INIT;
    struct span bytes = read_file(path);
    struct loaded l = load(&bytes, 0, (struct span){NULL, 0});
    if (l.comp)
        comp_frames(l.comp, &frames);
    else
        wasm_module_frames(l.module, &frames);
    release(l, bytes);
    return frames;
}

/* All functions of a freshly loaded module; *bytes is the size of their bodies. */
static struct ms translate_all(const char *path, uint64_t *bytes)
{
    struct err e = ERR_INIT;
    struct span file = read_file(path);
    struct loaded l = load(&file, 0, (struct span){NULL, 0});
    struct wasm_module *m = l.module;
    struct ms start = now_ms();
    if (!code_prepare(m, &e))
        DIE("%s", e.text);
    *bytes = 0;
    for (uint32_t i = m->nimported_funcs; i < m->nfuncs; i++) {
        if (!code_entry(m->code[i - m->nimported_funcs], EXEC_GUARDED, &e))
            DIE("%s", e.text);
        *bytes += m->funcs[i].body.n;
    }
    struct ms took = since(start);
    release(l, file);
    return took;
}

struct times {
    struct ms one, all, again, read, name;
};

static void least(struct ms *best, struct ms took)
{
    if (best->wall == 0 || took.wall < best->wall)
        best->wall = took.wall;
    if (best->cpu == 0 || took.cpu < best->cpu)
        best->cpu = took.cpu;
}

/* One load of the file, as `threads` and `known` say; each step's time is kept when it is the least so far. */
static void measure(const char *path, uint32_t threads, struct span known, struct ms *best,
                    struct times *t)
{
    struct ms start = now_ms();
    struct span bytes = read_file(path);
    least(&t->read, since(start));
    start = now_ms();
    struct image_note note = image_note_of(bytes, WASM_FRAMES_VERSION);
    (void)note;
    least(&t->name, since(start));
    start = now_ms();
    struct loaded l = load(&bytes, threads, known);
    least(best, since(start));
    release(l, bytes);
}

static void show_ms(struct ms t)
{
    printf("  %7.1f %7.1f", t.wall, t.cpu);
}

static void show(const char *path)
{
    struct times t = {0};
    struct buf frames = frames_of(path);
    const struct span none = {NULL, 0};
    for (int i = 0; i < RUNS; i++) {
        measure(path, 1, none, &t.one, &t);
        measure(path, 0, none, &t.all, &t);
        measure(path, 0, buf_span(&frames), &t.again, &t);
    }
    struct span bytes = read_file(path);
    const char *slash = strrchr(path, '/');
    printf("%-20s %5.1f", slash ? slash + 1 : path, (double)bytes.n / 1e6);
    show_ms(t.one);
    show_ms(t.all);
    show_ms(t.again);
    show_ms(t.name);
    show_ms(t.read);
    if (!is_component(bytes)) {
        uint64_t body_bytes;
        struct ms took = translate_all(path, &body_bytes);
        show_ms(took);
        printf(" (%.0f MB/s of CPU)", (double)body_bytes / 1e3 / took.cpu);
    }
    printf("\n");
    free((void *)bytes.p);
    buf_fini(&frames);
}

int main(int argc, char **argv)
{
    printf("%-20s %5s  %15s  %15s  %15s  %15s  %15s  %15s\n", "wall and CPU, ms", "MB",
           "one thread", "all cores", "known", "its name", "read", "translate all");
    wasm_init();
    for (int i = 1; i < argc; i++)
        show(argv[i]);
    return 0;
}
