/* SPDX-License-Identifier: Apache-2.0 */
/* `run`: a WASI 0.2 command component (it exports wasi:cli/run) on this machine, in this process, without a lattice.
 * It gets the standard streams, the arguments behind FILE, and the directories and variables of the options; nothing
 * else of the machine: no network, no environment of ours.
 * Exit status: the guest's; 134 when it trapped, 124 when its time was over, 1 when it did not start. */
#include "ctl/table.h"

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

static struct comp_linked *load(const char *path, struct err *e)
{
    static const struct comp_linker linker = {find, find_class, refuse, NULL};
    AUTO(buf_fini) struct buf bytes;
    buf_init(&bytes, FILE_BYTES_MAX);
    if (!read_file(path, &bytes, e))
        return NULL;
    struct comp *comp = comp_load(buf_span(&bytes), NULL, e);
    struct comp_linked *linked = comp ? comp_link(comp, &linker, e) : NULL;
    comp_unref(comp);
    if (!linked)
        err_wrap(e, "%s", path);
    return linked;
}

/* ---- what the guest gets ---- */

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

/* ---- running ---- */

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

static enum comp_outcome run_to_end(struct comp_inst *inst, struct wasi_ctx *ctx, uint64_t fuel,
                                    uint64_t deadline_ns)
{
    for (;;) {
        comp_fuel(inst, SLICE_FUEL, fuel);
        enum comp_outcome outcome = comp_run(inst);
        if (outcome == COMP_PARKED)
            wait_for(ctx, deadline_ns);
        else if (outcome != COMP_PAUSED)
            return outcome;
        if (clock_mono_ns() >= deadline_ns)
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
        c->status = comp_trap_kind(inst) == WASM_TRAP_DEADLINE ? STATUS_TIMEOUT : STATUS_TRAP;
        return err_set(e, ERR_TRAP, "%s", comp_trap_text(inst));
    }
    return true;
}

static bool run_command(struct ctl *c, struct comp_linked *linked, struct wasi_ctx *ctx,
                        struct err *e)
{
    const struct comp_func *run = comp_find(linked, STR("wasi:cli/run@0.2.0"), STR("run"));
    if (!run)
        return err_set(e, ERR_INVALID,
                       "%s is no command: it does not export wasi:cli/run@0.2; hosts run it: "
                       "`hostctl start component`",
                       word(c, 0));
    uint64_t fuel = option_given(c, "fuel") ? option_number(c, "fuel") : UINT64_MAX;
    uint64_t time_ns, deadline_ns;
    if (!option_given(c, "timeout") || !mul_ok(option_number(c, "timeout"), NS_PER_MS, &time_ns) ||
        !add_ok(clock_mono_ns(), time_ns, &deadline_ns))
        deadline_ns = UINT64_MAX;
    struct comp_inst *inst = comp_inst_new(linked, ctx, e);
    if (!inst)
        return false;
    bool ok = comp_call(inst, run, NULL, e) &&
              show_end(c, inst, run_to_end(inst, ctx, fuel, deadline_ns), e);
    comp_inst_free(inst);
    return ok;
}

bool cmd_run(struct ctl *c, struct err *e)
{
    static const struct wasi_world world = {0}; /* nothing but the standard streams */
    struct grant grant = {0};
    wasm_init();
    wasm_thread_init();
    struct comp_linked *linked = load(word(c, 0), e);
    bool ok = linked && grant_open(c, &grant, e);
    if (ok) {
        const char *args[CTL_WORDS_MAX + 1] = {0};
        memcpy(args, c->words, c->nwords * sizeof args[0]);
        struct wasi_ctx *ctx = wasi_ctx_new(&(struct wasi_opts){
            .world = &world,
            .args = args,
            .env = grant.env,
            .nenv = grant.nenv,
            .pass_stdio = true,
            .preopens = grant.dirs,
            .npreopens = grant.ndirs,
        });
        ok = run_command(c, linked, ctx, e);
        wasi_ctx_free(ctx);
    }
    grant_close(&grant);
    comp_linked_unref(linked);
    return ok;
}
