/* SPDX-License-Identifier: Apache-2.0 */
/* `run` with a core module: a WASI 0.1 command, whose `_start` is called, or with --invoke one function by name. A
 * module that is no command is initialised first, by its `_initialize` where it has one. */
#include "ctl/run.h"

#include <assert.h>
#include <errno.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

/* ---- numbers on the command line ---- */

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

/* ---- running ---- */

struct guest {
    struct ctl *c;
    struct wasi_ctx *ctx;
    struct wasi_p1 *p1;
    struct wasm_inst *inst;
    struct wasm_vm *vm;
    struct run_limits limits;
    bool exited;
};

static bool trapped(struct guest *g, struct err *e)
{
    AUTO(buf_fini) struct buf report = BUF_INIT;
    wasm_vm_trap_report(g->vm, &report);
    return run_trapped(g->c, wasm_vm_trap(g->vm), buf_view(&report), e);
}

/* One slice of it; false when it is over. */
static bool run_slice(struct guest *g, enum wasm_outcome *outcome)
{
    if (clock_mono_ns() >= g->limits.deadline_ns)
        wasm_vm_trap_now(g->vm, WASM_TRAP_DEADLINE);
    wasm_vm_fuel(g->vm, RUN_SLICE_FUEL, g->limits.fuel);
    *outcome = wasm_run(g->vm);
    if (*outcome != WASM_HOST_CALL)
        return *outcome == WASM_PAUSED;
    enum wasi_p1_status status;
    while ((status = wasi_p1_serve(g->p1, g->vm)) == WASI_P1_PENDING) {
        run_wait(g->ctx, g->limits.deadline_ns);
        if (clock_mono_ns() >= g->limits.deadline_ns)
            return true;
    }
    g->exited = status == WASI_P1_EXITED;
    return !g->exited;
}

/* Enters func and drives it; false when it trapped. */
static bool run_function(struct guest *g, struct wasm_func *func, const wasm_slot *args,
                         struct err *e)
{
    enum wasm_outcome outcome;
    if (g->exited)
        return true;
    if (!wasm_enter(g->vm, func, args, e))
        return false;
    while (run_slice(g, &outcome))
        continue;
    if (g->exited)
        run_exited(g->c, wasi_p1_exit_status(g->p1));
    return outcome != WASM_TRAPPED || trapped(g, e);
}

static struct wasm_func *find_function(const struct guest *g, const char *name)
{
    uint32_t index = wasm_module_find_export(wasm_inst_module(g->inst), str_of(name));
    if (index == UINT32_MAX)
        return NULL;
    struct wasm_extern export = wasm_inst_export(g->inst, index);
    return export.kind == WASM_FUNC ? export.func : NULL;
}

/* A function that is called for what it does: of no parameters. */
static bool run_plain(struct guest *g, struct wasm_func *func, const char *name, struct err *e)
{
    const struct wasm_functype *type = wasm_func_type(func);
    if (type->nparams > 0 || type->nresults > 0)
        return err_set(e, ERR_INVALID, "its '%s' has parameters or results", name);
    return run_function(g, func, NULL, e);
}

static bool run_start(struct guest *g, struct err *e)
{
    struct wasm_func *start = find_function(g, "_start");
    if (!start)
        return err_set(e, ERR_INVALID,
                       "it is no command: it exports no function '_start'; call one of its "
                       "functions with --invoke, or make a component of it");
    if (!run_plain(g, start, "_start", e))
        return false;
    if (!g->exited)
        run_exited(g->c, 0);
    return true;
}

static bool run_invoke(struct guest *g, const char *name, struct err *e)
{
    wasm_slot args[CTL_WORDS_MAX];
    struct ctl *c = g->c;
    struct wasm_func *func = find_function(g, name), *init = find_function(g, "_initialize");
    if (!func)
        return err_set(e, ERR_NOT_FOUND, "it exports no function '%s'", name);
    const struct wasm_functype *type = wasm_func_type(func);
    if (!read_arguments(c, type, args, e) || (init && !run_plain(g, init, "_initialize", e)) ||
        !run_function(g, func, args, e))
        return false;
    if (g->exited)
        return true;
    for (uint32_t i = 0; i < type->nresults; i++)
        say_number(c, type->types[type->nparams + i], wasm_vm_results(g->vm)[i]);
    result_set(c, "result", json_str(str_trim(buf_view(&c->text))));
    return true;
}

/* ---- from bytes to instance ---- */

static bool bind_imports(struct guest *g, struct wasm_module *m, struct wasm_extern *out,
                         struct err *e)
{
    for (uint32_t i = 0; i < wasm_module_nimports(m); i++) {
        struct wasm_extern_type import = wasm_module_import(m, i);
        out[i] = (struct wasm_extern){.kind = WASM_FUNC,
                                      .func = wasi_p1_func(g->p1, import.module, import.name)};
        if (!out[i].func)
            return err_set(e, ERR_UNSUPPORTED,
                           "import '%.*s' '%.*s': `hostctl run` gives a core module WASI 0.1 "
                           "(wasi_snapshot_preview1, or wasi_unstable) and nothing else",
                           STR_ARG(import.module), STR_ARG(import.name));
    }
    return true;
}

static bool instantiate(struct guest *g, struct wasm_module *m, struct err *e)
{
    struct wasm_extern *imports = xcalloc(wasm_module_nimports(m) + 1, sizeof *imports);
    if (bind_imports(g, m, imports, e))
        g->inst = wasm_instantiate(m, imports, NULL, e);
    free(imports);
    g->vm = g->inst ? wasm_vm_new(NULL, e) : NULL;
    if (!g->vm)
        return false;
    wasi_p1_attach(g->p1, g->inst);
    struct wasm_func *start = wasm_inst_start(g->inst);
    return !start || run_function(g, start, NULL, e);
}

bool run_module(struct ctl *c, struct span bytes, struct wasi_ctx *ctx, struct err *e)
{
    struct guest g = {.c = c, .ctx = ctx, .limits = run_limits_of(c)};
    const char *name = option_text(c, "invoke");
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, e);
    if (!m)
        return false;
    g.p1 = wasi_p1_new(ctx);
    bool ok = instantiate(&g, m, e) && (name ? run_invoke(&g, name, e) : run_start(&g, e));
    wasm_vm_free(g.vm);
    wasm_inst_free(g.inst);
    wasi_p1_free(g.p1);
    wasm_module_unref(m);
    return ok;
}
