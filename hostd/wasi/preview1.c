/* SPDX-License-Identifier: Apache-2.0 */
/* WASI 0.1 (wasi_snapshot_preview1) for core modules: binding, errors, and what needs no descriptor. Its functions are
 * deferred ones of the engine: each call comes to wasi_p1_serve, which answers it or leaves it open until what it
 * waits for is there. The world behind it, files, clocks, randomness and waiting, is that of WASI 0.2.
 * The snapshot before it (wasi_unstable) has the same functions; the three that differ ask p->old.
 * Spec: the wasi_snapshot_preview1 document, component-model.md 13. */
#include "hostd/wasi/preview1.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define SUBSCRIPTIONS_MAX 4096u
#define SUBSCRIPTION_BYTES 48u
#define SUBSCRIPTION_BYTES_OLD 56u /* a clock has another number of the guest's in front */
#define EVENT_BYTES 32u
#define PARAMS_MAX 9

/* ---- errors ---- */

/* errno, the guest's */
static const struct {
    int error;
    uint16_t code;
} codes[] = {
    {0, 0},       {E2BIG, 1},    {EACCES, 2},     {EAGAIN, 6},        {EBADF, 8},
    {EBUSY, 10},  {EDEADLK, 16}, {EDQUOT, 19},    {EEXIST, 20},       {EFAULT, 21},
    {EFBIG, 22},  {EILSEQ, 25},  {EINTR, 27},     {EINVAL, 28},       {EISDIR, 31},
    {ELOOP, 32},  {EMFILE, 33},  {EMLINK, 34},    {ENAMETOOLONG, 37}, {ENFILE, 41},
    {ENODEV, 43}, {ENOENT, 44},  {ENOLCK, 46},    {ENOMEM, 48},       {ENOSPC, 51},
    {ENOSYS, 52}, {ENOTDIR, 54}, {ENOTEMPTY, 55}, {ENOTSOCK, 57},     {ENOTSUP, 58},
    {ENOTTY, 59}, {ENXIO, 60},   {EOVERFLOW, 61}, {EPERM, 63},        {EPIPE, 64},
    {EROFS, 69},  {ESPIPE, 70},  {ETXTBSY, 74},   {EXDEV, 75},        {P1_NOT_CAPABLE, 76},
};
#define CODE_IO 29u

static uint16_t code_of(int error)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].error == error)
            return codes[i].code;
    return CODE_IO;
}

/* ---- the guest's memory ---- */

uint8_t *wasi_p1_at(struct wasi_p1 *p, wasm_slot at, uint64_t n)
{
    return p->memory ? wasm_memory_at(p->memory, at, n) : NULL;
}

bool wasi_p1_put_u32(struct wasi_p1 *p, wasm_slot at, uint32_t v)
{
    uint8_t *to = wasi_p1_at(p, at, 4);
    if (to)
        p1_store(to, 4, v);
    return to != NULL;
}

bool wasi_p1_put_u64(struct wasi_p1 *p, wasm_slot at, uint64_t v)
{
    uint8_t *to = wasi_p1_at(p, at, 8);
    if (to)
        p1_store(to, 8, v);
    return to != NULL;
}

/* ---- arguments and environment: strings behind each other, and a pointer to each ---- */

/* The ith string in two parts (the second may be empty); false behind the last. */
typedef bool string_fn(const struct wasi_opts *o, size_t i, struct str *a, struct str *b);

static bool nth_arg(const struct wasi_opts *o, size_t i, struct str *a, struct str *b)
{
    if (!o->args || !o->args[i])
        return false;
    *a = str_of(o->args[i]);
    *b = STR("");
    return true;
}

/* "NAME=" "VALUE" */
static bool nth_variable(const struct wasi_opts *o, size_t i, struct str *a, struct str *b)
{
    if (i >= o->nenv)
        return false;
    *a = o->env[i].name;
    *b = o->env[i].value;
    return true;
}

static size_t string_bytes(string_fn *nth, struct str a, struct str b)
{
    return a.n + b.n + (nth == nth_variable ? 2 : 1); /* '=' and NUL */
}

static int string_sizes(struct wasi_p1 *p, string_fn *nth, const wasm_slot *a)
{
    struct str name, value;
    size_t n = 0, bytes = 0;
    for (; nth(&p->ctx->opts, n, &name, &value); n++)
        bytes += string_bytes(nth, name, value);
    return wasi_p1_put_u32(p, a[0], (uint32_t)n) && wasi_p1_put_u32(p, a[1], (uint32_t)bytes)
               ? 0
               : EFAULT;
}

static int strings(struct wasi_p1 *p, string_fn *nth, const wasm_slot *a)
{
    struct str name, value;
    uint64_t at = a[1];
    for (size_t i = 0; nth(&p->ctx->opts, i, &name, &value); i++) {
        size_t n = string_bytes(nth, name, value);
        uint8_t *to = wasi_p1_at(p, at, n);
        if (!to || !wasi_p1_put_u32(p, a[0] + 4 * i, (uint32_t)at))
            return EFAULT;
        memcpy(to, name.p, name.n);
        if (nth == nth_variable)
            to[name.n] = '=';
        memcpy(to + n - 1 - value.n, value.p, value.n);
        to[n - 1] = '\0';
        at += n;
    }
    return 0;
}

static int args_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)f;
    return strings(p, nth_arg, a);
}

static int args_sizes_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)f;
    return string_sizes(p, nth_arg, a);
}

static int environ_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)f;
    return strings(p, nth_variable, a);
}

static int environ_sizes_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)f;
    return string_sizes(p, nth_variable, a);
}

/* ---- clocks, randomness, process ---- */

enum { CLOCK_WALL, CLOCK_MONOTONIC };

static int clock_res_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)f;
    if (a[0] > CLOCK_MONOTONIC) /* the clocks of processor time */
        return EINVAL;
    return wasi_p1_put_u64(p, a[1], 1) ? 0 : EFAULT;
}

static int clock_time_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)f;
    if (a[0] > CLOCK_MONOTONIC)
        return EINVAL;
    return wasi_p1_put_u64(p, a[2], a[0] == CLOCK_WALL ? clock_wall_ns() : wasi_monotonic_ns())
               ? 0
               : EFAULT;
}

static int random_get(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    uint8_t *to = wasi_p1_at(p, a[0], a[1]);
    (void)f;
    if (!to)
        return EFAULT;
    rand_bytes(to, a[1]);
    return 0;
}

static int proc_exit(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)f;
    p->exit_code = (uint32_t)a[0];
    return P1_EXITED;
}

static int not_supported(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    (void)f;
    (void)a;
    return ENOTSUP;
}

static int yield(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    (void)p;
    (void)f;
    (void)a;
    sched_yield();
    return 0;
}

/* ---- poll_oneoff ---- */

enum { EVENT_CLOCK, EVENT_READ, EVENT_WRITE };
enum { SUBSCRIPTION_ABSOLUTE = 1, EVENT_HANGUP = 1 };

struct event { /* as one subscription stands now */
    int error;
    bool ready, hangup;
    uint64_t nbytes;
};

/* When a clock subscription is due, clock_mono_ns. */
static int due_at(const struct wasi_p1 *p, const uint8_t *subscription, uint64_t *due_ns)
{
    const uint8_t *clock = subscription + (p->old ? 24 : 16);
    uint64_t id = p1_load(clock, 4), timeout = p1_load(clock + 8, 8);
    uint64_t now = clock_mono_ns(), from = p->started_ns;
    if (id > CLOCK_MONOTONIC)
        return EINVAL;
    if (p1_load(clock + 24, 2) & SUBSCRIPTION_ABSOLUTE) {
        uint64_t there = id == CLOCK_WALL ? clock_wall_ns() : wasi_monotonic_ns();
        timeout = timeout > there ? timeout - there : 0;
        from = now;
    }
    if (!add_ok(from, timeout, due_ns))
        *due_ns = UINT64_MAX;
    return 0;
}

static struct event clock_event(struct wasi_p1 *p, const uint8_t *subscription)
{
    uint64_t due_ns = 0;
    struct event e = {.error = due_at(p, subscription, &due_ns)};
    e.ready = e.error || clock_mono_ns() >= due_ns;
    if (!e.ready)
        wasi_wait(p->ctx, (struct wasi_pollable){.due_ns = due_ns});
    return e;
}

static struct event file_event(struct wasi_p1 *p, const uint8_t *subscription, bool write)
{
    struct p1_file *f;
    struct event e = {.error =
                          wasi_p1_file(p, p1_load(subscription + 16, 4), P1_POLL_READWRITE, &f)};
    if (e.error)
        return (struct event){.error = e.error, .ready = true};
    struct pollfd *waits = &p->polled[p->npolled];
    *waits = (struct pollfd){.fd = f->fd, .events = write ? POLLOUT : POLLIN};
    e.ready = f->always_ready || poll(waits, 1, 0) != 0;
    e.hangup = waits->revents & POLLHUP;
    int nbytes = 0;
    if (e.ready && !write && ioctl(f->fd, FIONREAD, &nbytes) == 0 && nbytes > 0)
        e.nbytes = (uint64_t)nbytes;
    if (!e.ready)
        p->npolled++;
    return e;
}

static void put_event(uint8_t *to, const uint8_t *subscription, const struct event *e)
{
    memset(to, 0, EVENT_BYTES);
    memcpy(to, subscription, 8); /* the guest's own number for it */
    p1_store(to + 8, 2, code_of(e->error));
    to[10] = subscription[8];
    p1_store(to + 16, 8, e->nbytes);
    p1_store(to + 24, 2, e->hangup ? EVENT_HANGUP : 0);
}

/* Of the parked guest: whether one of the descriptors is ready by now. */
static bool polled_ready(void *target)
{
    struct wasi_p1 *p = target;
    if (poll(p->polled, p->npolled, 0) != 0)
        return true;
    for (uint32_t i = 0; i < p->npolled; i++)
        wasi_watch(p->ctx, p->polled[i].fd);
    return false;
}

/* Room for n descriptors to wait for, beside timers. */
static void poll_none(struct wasi_p1 *p, size_t n)
{
    p->polled = xrealloc(p->polled, n * sizeof *p->polled);
    p->npolled = 0;
}

int wasi_p1_wait_fd(struct wasi_p1 *p, int fd, short events)
{
    poll_none(p, 1);
    p->polled[p->npolled++] = (struct pollfd){.fd = fd, .events = events};
    wasi_wait(p->ctx, (struct wasi_pollable){.ready = polled_ready, .target = p});
    return P1_PENDING;
}

static int poll_oneoff(struct wasi_p1 *p, struct p1_file *f, const wasm_slot *a)
{
    uint64_t n = a[2], size = p->old ? SUBSCRIPTION_BYTES_OLD : SUBSCRIPTION_BYTES;
    (void)f;
    if (n == 0 || n > SUBSCRIPTIONS_MAX)
        return EINVAL;
    const uint8_t *in = wasi_p1_at(p, a[0], n * size);
    uint8_t *out = wasi_p1_at(p, a[1], n * EVENT_BYTES);
    if (!in || !out)
        return EFAULT;
    poll_none(p, n);
    uint32_t nevents = 0;
    for (uint64_t i = 0; i < n; i++, in += size) {
        uint8_t kind = in[8];
        if (kind > EVENT_WRITE)
            return EINVAL;
        struct event e =
            kind == EVENT_CLOCK ? clock_event(p, in) : file_event(p, in, kind == EVENT_WRITE);
        if (e.ready)
            put_event(out + EVENT_BYTES * nevents++, in, &e);
    }
    if (nevents > 0)
        return wasi_p1_put_u32(p, a[3], nevents) ? 0 : EFAULT;
    if (p->npolled > 0)
        wasi_wait(p->ctx, (struct wasi_pollable){.ready = polled_ready, .target = p});
    return P1_PENDING;
}

/* ---- binding ---- */

static const struct p1_row own_rows[] = {
    {"args_get", "ii", P1_NO_FD, args_get},
    {"args_sizes_get", "ii", P1_NO_FD, args_sizes_get},
    {"environ_get", "ii", P1_NO_FD, environ_get},
    {"environ_sizes_get", "ii", P1_NO_FD, environ_sizes_get},
    {"clock_res_get", "ii", P1_NO_FD, clock_res_get},
    {"clock_time_get", "ili", P1_NO_FD, clock_time_get},
    {"poll_oneoff", "iiii", P1_NO_FD, poll_oneoff},
    {"proc_exit", "i", P1_NO_FD, proc_exit},
    {"proc_raise", "i", P1_NO_FD, not_supported},
    {"random_get", "ii", P1_NO_FD, random_get},
    {"sched_yield", "", P1_NO_FD, yield},
    {NULL, NULL, 0, NULL},
};

static const struct p1_row *const tables[] = {own_rows, wasi_p1_file_rows};

static uint32_t count_rows(void)
{
    uint32_t n = 0;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (const struct p1_row *row = tables[t]; row->name; row++)
            n++;
    return n;
}

static void bind(struct p1_bound *b, const struct p1_row *row, bool old)
{
    uint8_t types[PARAMS_MAX + 1];
    uint16_t n = 0;
    for (const char *at = row->params; *at; at++)
        types[n++] = *at == 'l' ? WASM_I64 : WASM_I32;
    types[n] = WASM_I32;
    struct wasm_functype type = {
        .nparams = n, .nresults = row->fn == proc_exit ? 0 : 1, .types = types};
    *b = (struct p1_bound){row, wasm_func_host(&type, NULL, b), old};
}

struct wasi_p1 *wasi_p1_new(struct wasi_ctx *c)
{
    struct wasi_p1 *p = xnew(struct wasi_p1);
    assert(c->opts.pass_stdio);
    p->ctx = c;
    p->nbound = 2 * count_rows();
    p->bound = xcalloc(p->nbound, sizeof *p->bound);
    struct p1_bound *next = p->bound;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct p1_row *row = tables[t]; row->name; row++) {
            bind(next++, row, false);
            bind(next++, row, true);
        }
    }
    wasi_p1_open_files(p);
    return p;
}

void wasi_p1_free(struct wasi_p1 *p)
{
    if (!p)
        return;
    wasi_p1_close_files(p);
    for (uint32_t i = 0; i < p->nbound; i++)
        wasm_func_host_free(p->bound[i].func);
    free(p->bound);
    free(p->polled);
    free(p);
}

struct wasm_func *wasi_p1_func(const struct wasi_p1 *p, struct str module, struct str name)
{
    bool old = str_eqz(module, "wasi_unstable");
    if (!old && !str_eqz(module, "wasi_snapshot_preview1"))
        return NULL;
    for (uint32_t i = 0; i < p->nbound; i++)
        if (p->bound[i].old == old && str_eqz(name, p->bound[i].row->name))
            return p->bound[i].func;
    return NULL;
}

void wasi_p1_attach(struct wasi_p1 *p, struct wasm_inst *inst)
{
    uint32_t index = wasm_module_find_export(wasm_inst_module(inst), STR("memory"));
    if (index == UINT32_MAX)
        return;
    struct wasm_extern export = wasm_inst_export(inst, index);
    if (export.kind == WASM_MEMORY)
        p->memory = export.memory;
}

enum wasi_p1_status wasi_p1_serve(struct wasi_p1 *p, struct wasm_vm *vm)
{
    struct wasm_host_call call = wasm_vm_host(vm);
    const struct p1_bound *bound = wasm_func_user(call.func);
    const struct p1_row *row = bound->row;
    struct p1_file *f = NULL;
    int error = 0;
    p->old = bound->old;
    if (!p->retry)
        p->started_ns = clock_mono_ns();
    wasi_wait_none(p->ctx);
    if (row->rights != P1_NO_FD)
        error = wasi_p1_file(p, call.slots[0], row->rights, &f);
    if (!error)
        error = row->fn(p, f, call.slots);
    p->retry = error == P1_PENDING;
    if (error == P1_PENDING)
        return WASI_P1_PENDING;
    wasi_wait_none(p->ctx);
    if (error == P1_EXITED)
        return WASI_P1_EXITED;
    call.slots[0] = code_of(error);
    wasm_host_return(vm, NULL);
    return WASI_P1_DONE;
}

uint32_t wasi_p1_exit_status(const struct wasi_p1 *p)
{
    return p->exit_code;
}
