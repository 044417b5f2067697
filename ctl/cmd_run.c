/* SPDX-License-Identifier: Apache-2.0 */
/* `run`: a guest on this machine, in this process, without a lattice: a WASI 0.2 command component (it exports
 * wasi:cli/run), or a core module (cmd_run_module.c). It gets the standard streams, the arguments behind FILE, and the
 * directories, variables, network addresses and HTTP servers of the options; nothing else of the machine, no
 * environment of ours.
 * Exit status: the guest's; 134 when it trapped, 124 when its time was over, 1 when it did not start. */
#include "ctl/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include "hostd/component/component.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

#define FILE_BYTES_MAX (64u << 20)
#define STATUS_TRAP 134    /* as a shell shows an abort */
#define STATUS_TIMEOUT 124 /* as timeout(1) */
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
    struct wasi_net *net;  /* NULL: no network */
    struct run_http *http; /* NULL: no requests */
};

/* "HOST::GUEST", or one name for both. */
static bool open_dir(struct ctl *c, const char *option, const char *text, struct wasi_preopen *out,
                     struct err *e)
{
    const char *colons = strstr(text, "::");
    struct str host = colons ? (struct str){text, (size_t)(colons - text)} : str_of(text);
    char *path = arena_printf(&c->arena, "%.*s", STR_ARG(host));
    if (!path)
        return arena_full(&c->arena, e);
    out->guest = str_of(colons ? colons + 2 : text);
    out->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0)
        return err_errno(e, errno, "--%s %s", option, path);
    if (wasi_preopen_check(out, e))
        return true;
    close(out->fd);
    return err_wrap(e, "--%s %s", option, path);
}

static bool open_dirs(struct ctl *c, struct grant *g, const char *option, bool read_only,
                      struct err *e)
{
    const char *text;
    for (size_t i = 0; (text = option_at(c, option, i)); i++) {
        if (!open_dir(c, option, text, &g->dirs[g->ndirs], e))
            return false;
        g->dirs[g->ndirs++].read_only = read_only;
    }
    return true;
}

static bool net_allow(const struct ctl *c, struct grant *g, struct err *e)
{
    const char *rule;
    for (size_t i = 0; (rule = option_at(c, "net-allow", i)); i++) {
        if (!g->net)
            g->net = wasi_net_new();
        if (!wasi_net_allow(g->net, str_of(rule), e))
            return err_wrap(e, "--net-allow");
    }
    return true;
}

static bool http_allow(struct ctl *c, struct grant *g, struct err *e)
{
    AUTO(buf_fini) struct buf allow = BUF_INIT;
    const char *pattern;
    for (size_t i = 0; (pattern = option_at(c, "http-allow", i)); i++)
        buf_printf(&allow, "%s%s", i ? "," : "", pattern);
    if (allow.n == 0)
        return true;
    buf_byte(&allow, 0);
    return run_http_open((const char *)allow.p, option_text(c, "http-ca"), &g->http, e) ||
           err_wrap(e, "--http-allow, --http-ca");
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
    return open_dirs(c, g, "dir", false, e) && open_dirs(c, g, "read-only-dir", true, e) &&
           net_allow(c, g, e) && http_allow(c, g, e);
}

static void grant_close(struct grant *g)
{
    while (g->ndirs > 0)
        close(g->dirs[--g->ndirs].fd);
    wasi_net_free(g->net);
    run_http_close(g->http);
}

/* ---- limits ---- */

struct run_limits run_limits_of(const struct ctl *c)
{
    struct run_limits l = {UINT64_MAX, UINT64_MAX};
    uint64_t time_ns;
    if (option_given(c, "fuel"))
        l.fuel = option_number(c, "fuel");
    if (option_given(c, "timeout") && (!mul_ok(option_number(c, "timeout"), NS_PER_MS, &time_ns) ||
                                       !add_ok(clock_mono_ns(), time_ns, &l.deadline_ns)))
        l.deadline_ns = UINT64_MAX;
    return l;
}

bool run_trapped(struct ctl *c, enum wasm_trap trap, struct str text, struct err *e)
{
    c->status = trap == WASM_TRAP_DEADLINE ? STATUS_TIMEOUT : STATUS_TRAP;
    return err_set(e, ERR_TRAP, "%.*s", STR_ARG(text));
}

void run_wait(struct wasi_ctx *ctx, uint64_t deadline_ns)
{
    while (!wasi_ready(ctx) && clock_mono_ns() < deadline_ns) {
        uint64_t now = clock_mono_ns(), at = MIN(wasi_wake_at(ctx), deadline_ns);
        uint64_t ms = at > now ? (at - now + NS_PER_MS - 1) / NS_PER_MS : 0;
        struct pollfd in = {.fd = wasi_wait_fd(ctx), .events = POLLIN};
        if (wasi_user(ctx))
            run_http_turn(wasi_user(ctx), in.fd, at == UINT64_MAX ? at : ms);
        else
            poll(&in, 1, at == UINT64_MAX || ms > INT32_MAX ? -1 : (int)ms);
    }
}

/* ---- commands ---- */

static enum comp_outcome run_to_end(struct comp_inst *inst, struct wasi_ctx *ctx,
                                    struct run_limits limits)
{
    for (;;) {
        comp_fuel(inst, RUN_SLICE_FUEL, limits.fuel);
        enum comp_outcome outcome = comp_run(inst);
        if (outcome == COMP_PARKED)
            run_wait(ctx, limits.deadline_ns);
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
        run_exited(c, comp_exit_status(inst));
    } else {
        return run_trapped(c, comp_trap_kind(inst), str_of(comp_trap_text(inst)), e);
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
    bool ok = comp_call(inst, run, NULL, e) &&
              show_end(c, inst, run_to_end(inst, ctx, run_limits_of(c)), e);
    comp_inst_free(inst);
    return ok;
}

static bool run_component(struct ctl *c, struct span bytes, struct wasi_ctx *ctx, struct err *e)
{
    if (option_given(c, "invoke"))
        return err_set(e, ERR_UNSUPPORTED,
                       "--invoke calls a function of a core module, and it is a component");
    struct comp_linked *linked = load_component(bytes, e);
    bool ok = linked && run_command(c, linked, ctx, e);
    comp_linked_unref(linked);
    return ok;
}

/* ---- both ---- */

/* Magic and version of a core module; a component's version is another. */
static bool is_module(struct span bytes)
{
    static const uint8_t head[] = {0x00, 'a', 's', 'm', 0x01, 0x00, 0x00, 0x00};
    return bytes.n >= sizeof head && memcmp(bytes.p, head, sizeof head) == 0;
}

static bool run_guest(struct ctl *c, struct span bytes, const struct grant *grant, struct err *e)
{
    static const struct wasi_world none = {0}; /* nothing but the standard streams */
    const char *args[CTL_WORDS_MAX + 1] = {0};
    memcpy(args, c->words, c->nwords * sizeof args[0]);
    struct wasi_ctx *ctx = wasi_ctx_new(&(struct wasi_opts){
        .world = grant->http ? &run_http_world : &none,
        .user = grant->http,
        .args = args,
        .env = grant->env,
        .nenv = grant->nenv,
        .pass_stdio = true,
        .preopens = grant->dirs,
        .npreopens = grant->ndirs,
        .net = grant->net,
    });
    if (grant->http)
        run_http_use(grant->http, ctx);
    bool ok = is_module(bytes) ? run_module(c, bytes, ctx, e) : run_component(c, bytes, ctx, e);
    wasi_ctx_free(ctx);
    return ok;
}

static bool run_file(struct ctl *c, const struct grant *grant, struct err *e)
{
    AUTO(buf_fini) struct buf bytes;
    buf_init(&bytes, FILE_BYTES_MAX);
    if (!read_file(word(c, 0), &bytes, e))
        return false;
    return run_guest(c, buf_span(&bytes), grant, e) || err_wrap(e, "%s", word(c, 0));
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
