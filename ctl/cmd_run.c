/* SPDX-License-Identifier: Apache-2.0 */
/* `run`: a guest on this machine, in this process, without a lattice: a WASI 0.2 command component (it exports
 * wasi:cli/run), or with --invoke one function of a core module that imports nothing. A command gets the standard
 * streams, the arguments behind FILE, and the directories and variables of the options; nothing else of the
 * machine: no network, no environment of ours.
 * Exit status: the guest's; 134 when it trapped, 124 when its time was over, 1 when it did not start. */
#include "ctl/table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include "hostd/component/component.h"
#include "hostd/wasi/wasi.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

#define FILE_BYTES_MAX (64u << 20)
#define SLICE_FUEL 1000000u /* between two looks at the clock: a few milliseconds */
#define STATUS_TRAP 134     /* as a shell shows an abort */
#define STATUS_TIMEOUT 124  /* as timeout(1) */
#define NS_PER_MS 1000000u

/* ---- linking: only what is built in ---- */

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

static bool refuse(void *user, const struct comp_link_site *site, struct str import,
                   const struct wit_func *func, comp_host_fn **fn, void **func_user, struct err *e)
{
    (void)user;
    (void)site;
    (void)import;
    (void)func;
    (void)fn;
    (void)func_user;
    return err_set(e, ERR_UNSUPPORTED,
                   "only the lattice can serve it; `hostctl run` offers WASI and nothing else");
}

static bool read_file(const char *path, struct buf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    uint8_t chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        buf_put(out, chunk, (size_t)n);
    bool ok = n < 0 ? err_errno(e, errno, "%s", path) : buf_ok(out, e) || err_wrap(e, "%s", path);
    close(fd);
    return ok;
}

static struct comp_linked *load_component(struct span bytes, struct err *e)
{
    static const struct comp_linker linker = {find, find_class, refuse, NULL};
    struct comp *comp = comp_load(bytes, NULL, e);
    struct comp_linked *linked = comp ? comp_link(comp, &linker, e) : NULL;
    comp_unref(comp);
    return linked;
}

/* ---- what a command gets ---- */

struct grant {
    struct wasi_preopen *dirs;
    size_t ndirs;
    struct http_field *env;
    size_t nenv;
};

/* "HOST::GUEST", or one name for both. */
static bool open_dir(struct ctl *c, const char *text, struct wasi_preopen *out, struct err *e)
{
    const char *colons = strstr(text, "::");
    struct str host = colons ? (struct str){text, (size_t)(colons - text)} : str_of(text);
    char *path = arena_printf(&c->arena, "%.*s", STR_ARG(host));
    if (!path)
        return arena_full(&c->arena, e);
    out->guest = str_of(colons ? colons + 2 : text);
    out->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return out->fd >= 0 || err_errno(e, errno, "--dir %s", path);
}

static bool grant_open(struct ctl *c, struct grant *g, struct err *e)
{
    struct proto_map env;
    if (!option_pairs(c, "env", &env, e))
        return false;
    g->env = arena_array(&c->arena, struct http_field, env.n);
    g->dirs = arena_array(&c->arena, struct wasi_preopen, CTL_VALUES_MAX);
    if (!g->env || !g->dirs)
        return arena_full(&c->arena, e);
    for (; g->nenv < env.n; g->nenv++)
        g->env[g->nenv] = (struct http_field){env.v[g->nenv].key, env.v[g->nenv].value};
    for (const char *text; (text = option_at(c, "dir", g->ndirs)); g->ndirs++)
        if (!open_dir(c, text, &g->dirs[g->ndirs], e))
            return false;
    return true;
}

static void grant_close(struct grant *g)
{
    while (g->ndirs > 0)
        close(g->dirs[--g->ndirs].fd);
}

/* ---- limits ---- */

struct limits {
    uint64_t fuel, deadline_ns; /* UINT64_MAX: none */
};

static struct limits limits_of(const struct ctl *c)
{
    struct limits l = {UINT64_MAX, UINT64_MAX};
    uint64_t time_ns;
    if (option_given(c, "fuel"))
        l.fuel = option_number(c, "fuel");
    if (option_given(c, "timeout") && (!mul_ok(option_number(c, "timeout"), NS_PER_MS, &time_ns) ||
                                       !add_ok(clock_mono_ns(), time_ns, &l.deadline_ns)))
        l.deadline_ns = UINT64_MAX;
    return l;
}

static bool trapped(struct ctl *c, enum wasm_trap trap, struct str text, struct err *e)
{
    c->status = trap == WASM_TRAP_DEADLINE ? STATUS_TIMEOUT : STATUS_TRAP;
    return err_set(e, ERR_TRAP, "%.*s", STR_ARG(text));
}

/* ---- commands ---- */

/* Until what the guest waits for has come, or the time is over. */
static void wait_for(struct wasi_ctx *ctx, uint64_t deadline_ns)
{
    while (!wasi_ready(ctx) && clock_mono_ns() < deadline_ns) {
        uint64_t now = clock_mono_ns(), at = MIN(wasi_wake_at(ctx), deadline_ns);
        uint64_t ms = at > now ? (at - now + NS_PER_MS - 1) / NS_PER_MS : 0;
        struct pollfd in = {.fd = wasi_wants_stdin(ctx) ? 0 : -1, .events = POLLIN};
        poll(&in, 1, at == UINT64_MAX || ms > INT32_MAX ? -1 : (int)ms);
    }
}

static enum comp_outcome run_to_end(struct comp_inst *inst, struct wasi_ctx *ctx,
                                    struct limits limits)
{
    for (;;) {
        comp_fuel(inst, SLICE_FUEL, limits.fuel);
        enum comp_outcome outcome = comp_run(inst);
        if (outcome == COMP_PARKED)
            wait_for(ctx, limits.deadline_ns);
        else if (outcome != COMP_PAUSED)
            return outcome;
        if (clock_mono_ns() >= limits.deadline_ns)
            comp_end(inst, WASM_TRAP_DEADLINE);
    }
}

static bool show_end(struct ctl *c, const struct comp_inst *inst, enum comp_outcome outcome,
                     struct err *e)
{
    if (outcome == COMP_DONE) {
        c->status = comp_result(inst)->n == 0 ? 0 : 1;
    } else if (outcome == COMP_EXITED) {
        c->status = (int)(comp_exit_status(inst) & 0xff);
    } else {
        return trapped(c, comp_trap_kind(inst), str_of(comp_trap_text(inst)), e);
    }
    return true;
}

static bool run_command(struct ctl *c, struct comp_linked *linked, struct wasi_ctx *ctx,
                        struct err *e)
{
    const struct comp_func *run = comp_find(linked, STR("wasi:cli/run@0.2.0"), STR("run"));
    if (!run)
        return err_set(e, ERR_INVALID,
                       "it is no command: it does not export wasi:cli/run@0.2; hosts run it: "
                       "`hostctl start component`");
    struct comp_inst *inst = comp_inst_new(linked, ctx, e);
    if (!inst)
        return false;
    bool ok =
        comp_call(inst, run, NULL, e) && show_end(c, inst, run_to_end(inst, ctx, limits_of(c)), e);
    comp_inst_free(inst);
    return ok;
}

static bool run_component(struct ctl *c, struct span bytes, const struct grant *grant,
                          struct err *e)
{
    static const struct wasi_world world = {0}; /* nothing but the standard streams */
    const char *args[CTL_WORDS_MAX + 1] = {0};
    memcpy(args, c->words, c->nwords * sizeof args[0]);
    struct comp_linked *linked = load_component(bytes, e);
    bool ok = linked != NULL;
    if (ok) {
        struct wasi_ctx *ctx = wasi_ctx_new(&(struct wasi_opts){
            .world = &world,
            .args = args,
            .env = grant->env,
            .nenv = grant->nenv,
            .pass_stdio = true,
            .preopens = grant->dirs,
            .npreopens = grant->ndirs,
        });
        ok = run_command(c, linked, ctx, e);
        wasi_ctx_free(ctx);
    }
    comp_linked_unref(linked);
    return ok;
}

/* ---- functions of core modules ---- */

static bool is_number(uint8_t type)
{
    return type == WASM_I32 || type == WASM_I64 || type == WASM_F32 || type == WASM_F64;
}

/* Decimal numbers; integers may be signed or not. */
static bool read_number(const char *text, uint8_t type, wasm_slot *out)
{
    char *end = NULL;
    float narrow;
    double wide;
    int64_t v;
    errno = 0;
    switch (type) {
    case WASM_I32:
        v = strtoll(text, &end, 10);
        *out = (uint32_t)v;
        return end != text && !*end && !errno && v >= INT32_MIN && v <= UINT32_MAX;
    case WASM_I64:
        *out = text[0] == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
        break;
    case WASM_F32:
        narrow = strtof(text, &end);
        *out = 0;
        memcpy(out, &narrow, sizeof narrow);
        break;
    case WASM_F64:
        wide = strtod(text, &end);
        memcpy(out, &wide, sizeof wide);
        break;
    }
    return end && end != text && !*end && !errno;
}

static void say_number(struct ctl *c, uint8_t type, wasm_slot v)
{
    float narrow;
    double wide;
    switch (type) {
    case WASM_I32:
        buf_printf(&c->text, "%ld\n", (long)(int32_t)v);
        break;
    case WASM_I64:
        buf_printf(&c->text, "%lld\n", (long long)v);
        break;
    case WASM_F32:
        memcpy(&narrow, &v, sizeof narrow);
        buf_printf(&c->text, "%.9g\n", (double)narrow);
        break;
    case WASM_F64:
        memcpy(&wide, &v, sizeof wide);
        buf_printf(&c->text, "%.17g\n", wide);
        break;
    default:
        assert(is_number(type)); /* read_arguments saw to it */
    }
}

static bool read_arguments(const struct ctl *c, const struct wasm_functype *type,
                           wasm_slot out[CTL_WORDS_MAX], struct err *e)
{
    for (size_t i = 0; i < (size_t)type->nparams + type->nresults; i++)
        if (!is_number(type->types[i]))
            return err_set(e, ERR_UNSUPPORTED,
                           "only functions of i32, i64, f32 and f64 can be invoked");
    if (c->nwords - 1 != type->nparams)
        return err_set(e, ERR_INVALID, "it takes %u arguments, %zu are given", type->nparams,
                       c->nwords - 1);
    for (size_t i = 0; i < type->nparams; i++)
        if (!read_number(c->words[i + 1], type->types[i], &out[i]))
            return err_set(e, ERR_INVALID, "'%s' is not a number that fits argument %zu",
                           c->words[i + 1], i + 1);
    return true;
}

/* Enters func and drives it; false when it trapped. */
static bool run_function(struct ctl *c, struct wasm_vm *vm, struct wasm_func *func,
                         const wasm_slot *args, struct limits limits, struct err *e)
{
    if (!wasm_enter(vm, func, args, e))
        return false;
    enum wasm_outcome outcome;
    do {
        if (clock_mono_ns() >= limits.deadline_ns)
            wasm_vm_trap_now(vm, WASM_TRAP_DEADLINE);
        wasm_vm_fuel(vm, SLICE_FUEL, limits.fuel);
        outcome = wasm_run(vm);
    } while (outcome == WASM_PAUSED);
    if (outcome == WASM_RETURNED)
        return true;
    assert(outcome == WASM_TRAPPED); /* nothing is imported */
    AUTO(buf_fini) struct buf report = BUF_INIT;
    wasm_vm_trap_report(vm, &report);
    return trapped(c, wasm_vm_trap(vm), buf_view(&report), e);
}

static bool invoke(struct ctl *c, struct wasm_inst *inst, struct wasm_vm *vm, struct err *e)
{
    const char *name = option_text(c, "invoke");
    uint32_t index = wasm_module_find_export(wasm_inst_module(inst), str_of(name));
    struct wasm_extern export = {0};
    wasm_slot args[CTL_WORDS_MAX];
    if (index != UINT32_MAX)
        export = wasm_inst_export(inst, index);
    if (index == UINT32_MAX || export.kind != WASM_FUNC)
        return err_set(e, ERR_NOT_FOUND, "it exports no function '%s'", name);
    const struct wasm_functype *type = wasm_func_type(export.func);
    struct limits limits = limits_of(c);
    struct wasm_func *start = wasm_inst_start(inst);
    if (!read_arguments(c, type, args, e) ||
        (start && !run_function(c, vm, start, NULL, limits, e)) ||
        !run_function(c, vm, export.func, args, limits, e))
        return false;
    for (uint32_t i = 0; i < type->nresults; i++)
        say_number(c, type->types[type->nparams + i], wasm_vm_results(vm)[i]);
    result_set(c, "result", json_str(str_trim(buf_view(&c->text))));
    return true;
}

static bool run_module(struct ctl *c, struct span bytes, struct err *e)
{
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, e);
    if (!m)
        return false;
    struct wasm_inst *inst = NULL;
    if (wasm_module_nimports(m) > 0) {
        struct wasm_extern_type import = wasm_module_import(m, 0);
        err_set(e, ERR_UNSUPPORTED,
                "import '%.*s' '%.*s': a core module gets none; make a component of it",
                STR_ARG(import.module), STR_ARG(import.name));
    } else {
        inst = wasm_instantiate(m, NULL, NULL, e);
    }
    struct wasm_vm *vm = inst ? wasm_vm_new(NULL, e) : NULL;
    bool ok = vm && invoke(c, inst, vm, e);
    wasm_vm_free(vm);
    wasm_inst_free(inst);
    wasm_module_unref(m);
    return ok;
}

static bool run_file(struct ctl *c, const struct grant *grant, struct err *e)
{
    AUTO(buf_fini) struct buf bytes;
    buf_init(&bytes, FILE_BYTES_MAX);
    if (!read_file(word(c, 0), &bytes, e))
        return false;
    bool ok = option_given(c, "invoke") ? run_module(c, buf_span(&bytes), e)
                                        : run_component(c, buf_span(&bytes), grant, e);
    return ok || err_wrap(e, "%s", word(c, 0));
}

bool cmd_run(struct ctl *c, struct err *e)
{
    struct grant grant = {0};
    wasm_init();
    wasm_thread_init();
    bool ok = grant_open(c, &grant, e) && run_file(c, &grant, e);
    grant_close(&grant);
    return ok;
}
