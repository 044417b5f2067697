/* SPDX-License-Identifier: Apache-2.0 */
/* What an instance costs: instantiated, copied from the image, taken back to it; what a parked one keeps resident;
 * what a host call costs. Medians of single times; the least of nine for host calls.
 * Usage: instances KERNELS_FOLDER COMPONENT.wasm [RUNS]
 * The component exports wasi:http/incoming-handler (deploy/examples/hello). */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "hostd/wasi/wasi.h"
#include "hostd/wasm/engine.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define RUNS_MAX 100000
#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

static uint32_t runs = 2000;

static double clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

/* ---- samples ---- */

struct samples {
    double at[RUNS_MAX];
    uint32_t n;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void show(const char *what, struct samples *s)
{
    qsort(s->at, s->n, sizeof s->at[0], compare);
    printf("%-58s %9.2f us  (least %.2f)\n", what, s->at[s->n / 2], s->at[0]);
    s->n = 0;
}

static struct span read_file(const char *path)
{
    struct buf b = BUF_INIT;
    FILE *in = fopen(path, "rb");
    if (!in)
        DIE("%s cannot be opened", path);
    uint8_t chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, in)) > 0;)
        buf_put(&b, chunk, n);
    fclose(in);
    size_t n;
    const uint8_t *p = buf_take(&b, &n);
    return (struct span){p, n};
}

/* ---- core instances ---- */

static struct wasm_inst *instance(struct wasm_module *m)
{
    struct err e = ERR_INIT;
    struct wasm_inst *i = wasm_instantiate(m, NULL, NULL, &e);
    if (!i)
        DIE("%s", e.text);
    return i;
}

static struct wasm_inst *copy(struct wasm_inst *of)
{
    struct err e = ERR_INIT;
    struct wasm_inst *i = wasm_inst_copy(of, NULL, NULL, &e);
    if (!i)
        DIE("%s", e.text);
    wasm_insts_settle(&i, &of, 1);
    return i;
}

static void call_run(struct wasm_vm *vm, struct wasm_inst *i, wasm_slot argument)
{
    struct err e = ERR_INIT;
    uint32_t x = wasm_module_find_export(wasm_inst_module(i), STR("run"));
    wasm_vm_reset(vm);
    if (!wasm_enter(vm, wasm_inst_export(i, x).func, &argument, &e) ||
        wasm_run(vm) != WASM_RETURNED)
        DIE("touch: %s", wasm_trap_text(wasm_vm_trap(vm)));
}

static void core_instances(const char *folder)
{
    static struct samples anew, copied, clean;
    static const uint32_t dirty[] = {0, 16, 64, 250};
    struct err e = ERR_INIT;
    AUTO_FREE char *path = xasprintf("%s/touch.wasm", folder);
    struct span bytes = read_file(path);
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, &e);
    struct wasm_vm *vm = m ? wasm_vm_new(NULL, &e) : NULL;
    if (!vm)
        DIE("%s: %s", path, e.text);
    struct wasm_inst *first = instance(m);
    if (!wasm_inst_mark(first, NULL, &e))
        DIE("%s", e.text);
    for (uint32_t k = 0; k < runs; k++) {
        double start = now_us();
        struct wasm_inst *i = instance(m);
        anew.at[anew.n++] = now_us() - start;
        wasm_inst_free(i);
        start = now_us();
        i = copy(first);
        copied.at[copied.n++] = now_us() - start;
        wasm_inst_free(i);
    }
    show("core instance of 2 MiB, instantiated", &anew);
    show("the same, copied from the image", &copied);
    for (size_t d = 0; d < ARRAY_LEN(dirty); d++) {
        char what[64];
        for (uint32_t k = 0; k < runs; k++) {
            call_run(vm, first, dirty[d]);
            double start = now_us();
            if (!wasm_inst_rewind(first, &e))
                DIE("%s", e.text);
            clean.at[clean.n++] = now_us() - start;
        }
        snprintf(what, sizeof what, "the same, rewound after %u pages were written", dirty[d]);
        show(what, &clean);
    }
    wasm_inst_free(first);
    wasm_vm_free(vm);
    wasm_module_unref(m);
    free((void *)bytes.p);
}

/* ---- component instances ---- */

static void ignore_print(void *user, int fd, struct str line)
{
    (void)user, (void)fd, (void)line;
}
static void ignore_respond(void *user, const struct http_response *head,
                           const struct http_error *error)
{
    (void)user, (void)head, (void)error;
}
static void ignore_data(void *user, uint32_t exchange, struct span data)
{
    (void)user, (void)exchange, (void)data;
}
static void ignore_end(void *user, uint32_t exchange, bool finished,
                       const struct http_field *trailers, size_t n)
{
    (void)user, (void)exchange, (void)finished, (void)trailers, (void)n;
}
static void ignore_consumed(void *user, uint32_t exchange, size_t n)
{
    (void)user, (void)exchange, (void)n;
}
static const struct wasi_world world = {.print = ignore_print,
                                        .respond = ignore_respond,
                                        .body_data = ignore_data,
                                        .body_end = ignore_end,
                                        .body_consumed = ignore_consumed};

static const struct comp_host_iface *find(void *user, struct str import)
{
    (void)user;
    return wasi_find(import);
}

static const struct comp_class *find_class(void *user, struct str import, struct str resource)
{
    (void)user;
    return wasi_find_class(import, resource);
}

static enum comp_host_status absent(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    (void)args, (void)result;
    comp_trap(hc, "not in this benchmark");
    return COMP_HOST_TRAP;
}

static bool bind(void *user, const struct comp_link_site *site, struct str import,
                 const struct wit_func *func, comp_host_fn **fn, void **func_user, struct err *e)
{
    (void)user, (void)site, (void)e;
    const struct comp_host_iface *i = wasi_find(import);
    *fn = absent;
    *func_user = NULL;
    for (uint32_t n = 0; i && n < i->nfuncs; n++)
        if (str_eqz(func->name, i->funcs[n].name))
            *fn = i->funcs[n].fn;
    return true;
}

/* A request's arguments, and its world; nothing of an answer is fetched from it yet. */
static struct wasi_ctx *request(struct comp_inst *g, struct wit_value args[2])
{
    struct err e = ERR_INIT;
    struct wasi_opts opts = {.world = &world};
    struct wasi_ctx *c = wasi_ctx_new(&opts);
    struct http_request get = {.method = STR("GET"),
                               .scheme = STR("http"),
                               .authority = STR("here"),
                               .path_with_query = STR("/")};
    comp_inst_set_user(g, c);
    if (!wasi_http_args(c, &get, args, &e))
        DIE("%s", e.text);
    wasi_body_end(c, WASI_SERVED, NULL, 0);
    return c;
}

/* The time until a request was answered. Its context is freed after the guest that may hold objects of it. */
static double serve(struct comp_inst *g, const struct comp_func *handle, struct wasi_ctx **ctx)
{
    struct err e = ERR_INIT;
    struct wit_value args[2];
    *ctx = request(g, args);
    wasi_body_credit(*ctx, WASI_SERVED, 1 << 20);
    double start = now_us();
    if (!comp_call(g, handle, args, &e) || comp_run(g) != COMP_DONE)
        DIE("%s %s", e.text, comp_trap_text(g));
    return now_us() - start;
}

static struct comp_linked *link_component(const char *path)
{
    struct err e = ERR_INIT;
    struct span bytes = read_file(path);
    struct comp *c = comp_load(bytes, NULL, &e);
    struct comp_linker linker = {.find = find, .find_class = find_class, .bind = bind};
    struct comp_linked *l = c ? comp_link(c, &linker, &e) : NULL;
    if (!l)
        DIE("%s: %s", path, e.text);
    comp_unref(c);
    free((void *)bytes.p);
    return l;
}

static const struct comp_func *handler_of(struct comp_linked *l, const char *path)
{
    const struct comp_func *f =
        comp_find(l, STR("wasi:http/incoming-handler@0.2.0"), STR("handle"));
    if (!f)
        DIE("%s: no incoming-handler", path);
    return f;
}

static struct comp_inst *guest(struct comp_linked *l)
{
    struct err e = ERR_INIT;
    struct comp_inst *g = comp_inst_new(l, NULL, &e);
    if (!g)
        DIE("%s", e.text);
    return g;
}

static void component_instances(const char *path)
{
    static struct samples made, first, reset, again, freed;
    struct wasi_ctx *ctx, *kept_ctx;
    double begin = now_us(), begin_cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    struct comp_linked *l = link_component(path);
    const struct comp_func *handle = handler_of(l, path);
    struct comp_inst *kept = guest(l);
    serve(kept, handle, &kept_ctx);
    printf("%-58s %9.0f us, %.0f of all cores\n", "component: from its file to the first answer",
           now_us() - begin, clock_us(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu);
    for (uint32_t k = 0; k < runs; k++) {
        double start = now_us();
        struct comp_inst *g = guest(l);
        made.at[made.n++] = now_us() - start;
        first.at[first.n++] = serve(g, handle, &ctx);
        start = now_us();
        comp_inst_free(g);
        freed.at[freed.n++] = now_us() - start;
        wasi_ctx_free(ctx);
        start = now_us();
        if (!comp_inst_reset(kept, NULL))
            DIE("%s cannot be taken back", path);
        reset.at[reset.n++] = now_us() - start;
        wasi_ctx_free(kept_ctx);
        again.at[again.n++] = serve(kept, handle, &kept_ctx);
    }
    show("component: a new guest", &made);
    show("component: its first call, copying the image included", &first);
    show("component: a guest freed", &freed);
    show("component: a guest taken back to the image", &reset);
    show("component: a call in it", &again);
    comp_inst_free(kept);
    wasi_ctx_free(kept_ctx);
    comp_linked_unref(l);
}

/* ---- parked guests ---- */

struct resident {
    uint64_t guest_kb, other_kb, mappings, tables_kb;
};

/* Guest memory is what maps the image of one. */
static struct resident resident(void)
{
    struct resident r = {0};
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f)
        DIE("no /proc/self/smaps");
    char line[512];
    bool guest = false;
    unsigned long kb;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "VmFlags:", 8) == 0)
            r.mappings++;
        else if (sscanf(line, "Anonymous: %lu kB", &kb) == 1)
            *(guest ? &r.guest_kb : &r.other_kb) += kb;
        else if (line[0] >= '0' && line[0] <= 'f' && strchr(line, '-') && !strstr(line, " kB"))
            guest = strstr(line, "memfd:wasm-memory") != NULL;
    }
    fclose(f);
    f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmPTE: %lu kB", &kb) == 1)
            r.tables_kb = kb;
    if (f)
        fclose(f);
    return r;
}

/* Hello waits for its answer to be fetched, which nobody does. */
static void parked_guests(const char *path)
{
    enum { GUESTS = 1000 };
    static struct comp_inst *guests[GUESTS];
    static struct wasi_ctx *worlds[GUESTS];
    struct err e = ERR_INIT;
    struct comp_linked *l = link_component(path);
    const struct comp_func *handle = handler_of(l, path);
    struct comp_inst *first = guest(l);
    struct wasi_ctx *ctx;
    serve(first, handle, &ctx);
    struct resident before = resident();
    for (uint32_t k = 0; k < GUESTS; k++) {
        struct wit_value args[2];
        guests[k] = guest(l);
        worlds[k] = request(guests[k], args);
        if (!comp_call(guests[k], handle, args, &e) || comp_run(guests[k]) != COMP_PARKED) {
            printf("%s does not wait for its answer to be fetched\n", path);
            return;
        }
    }
    struct resident after = resident();
    printf("%-58s %9.1f kB, %.1f kB of its memory, %.1f kB of page tables, %.1f mappings\n",
           "component: a parked guest keeps", (double)(after.other_kb - before.other_kb) / GUESTS,
           (double)(after.guest_kb - before.guest_kb) / GUESTS,
           (double)(after.tables_kb - before.tables_kb) / GUESTS,
           (double)(after.mappings - before.mappings) / GUESTS);
    for (uint32_t k = 0; k < GUESTS; k++) {
        comp_inst_free(guests[k]);
        wasi_ctx_free(worlds[k]);
    }
    comp_inst_free(first);
    wasi_ctx_free(ctx);
    comp_linked_unref(l);
}

/* ---- host calls ---- */

#define CALLS 200000u

static enum wasm_host_status direct(void *user, struct wasm_vm *vm, wasm_slot *slots)
{
    (void)user, (void)vm;
    slots[0] ^= 1;
    return WASM_HOST_OK;
}

/* Nanoseconds a call, the guest's loop included. */
static double host_calls(struct wasm_vm *vm, struct wasm_func *run)
{
    struct err e = ERR_INIT;
    wasm_slot n = CALLS;
    enum wasm_outcome outcome;
    wasm_vm_reset(vm);
    double start = now_us();
    if (!wasm_enter(vm, run, &n, &e))
        DIE("%s", e.text);
    while ((outcome = wasm_run(vm)) == WASM_HOST_CALL) {
        wasm_vm_host(vm).slots[0] ^= 1;
        wasm_host_return(vm, NULL);
    }
    if (outcome != WASM_RETURNED)
        DIE("%s", wasm_trap_text(wasm_vm_trap(vm)));
    return (now_us() - start) * 1e3 / CALLS;
}

static void host_call_costs(const char *folder)
{
    static const struct {
        const char *what;
        wasm_host_fn *fn;
    } kinds[] = {{"host call, direct", direct}, {"host call, guest left and entered again", NULL}};
    static const uint8_t types[] = {WASM_I32, WASM_I32};
    const struct wasm_functype type = {1, 1, types, NULL};
    struct err e = ERR_INIT;
    AUTO_FREE char *path = xasprintf("%s/hostcall.wasm", folder);
    struct span bytes = read_file(path);
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, &e);
    struct wasm_vm *vm = m ? wasm_vm_new(NULL, &e) : NULL;
    if (!vm)
        DIE("%s: %s", path, e.text);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct wasm_func *f = wasm_func_host(&type, kinds[k].fn, NULL);
        struct wasm_extern import = {.kind = WASM_FUNC, .func = f};
        struct wasm_inst *i = wasm_instantiate(m, &import, NULL, &e);
        if (!i)
            DIE("%s", e.text);
        struct wasm_func *run = wasm_inst_export(i, wasm_module_find_export(m, STR("run"))).func;
        double least = host_calls(vm, run);
        for (int n = 1; n < 9; n++) {
            double ns = host_calls(vm, run);
            least = MIN(least, ns);
        }
        printf("%-58s %9.1f ns\n", kinds[k].what, least);
        wasm_inst_free(i);
        wasm_func_host_free(f);
    }
    wasm_vm_free(vm);
    wasm_module_unref(m);
    free((void *)bytes.p);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: instances KERNELS_FOLDER COMPONENT.wasm [RUNS]\n");
        return 2;
    }
    if (argc > 3)
        runs = (uint32_t)MIN(MAX(strtoul(argv[3], NULL, 10), 1ul), (unsigned long)RUNS_MAX);
    wasm_init();
    wasi_init();
    core_instances(argv[1]);
    component_instances(argv[2]);
    parked_guests(argv[2]);
    host_call_costs(argv[1]);
    return 0;
}
