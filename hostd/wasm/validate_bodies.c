/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies of a module's functions: all of them on several threads, or, when an earlier load has found them valid,
 * each at its first call. Owns: the division of the work, and the list of frame sizes that stands for the verdict.
 * Keeps: the verdict does not depend on the number of threads: of several bad bodies the first one is named.
 * A list is never believed: nothing of a body is used before the body was checked, and its frame must be as large
 * as listed. */
#include "hostd/wasm/validate.h"

#include <unistd.h>
#include "lattice/base/num.h"
#include "lattice/base/worker.h"

#define BYTES_PER_THREAD \
    ((size_t)256 << 10) /* of bodies: below, a thread costs more than it saves */
#define FUNCS_AT_ONCE 16
#define FRAME_BYTES sizeof(uint32_t)
#define FRAME_SLOTS_MAX 65535u

struct bodies {
    struct wasm_module *m;
    _Atomic uint64_t work_left;
    atomic_uint next; /* the first function nobody has taken yet */
    atomic_uint bad;  /* the first one known to be invalid, or nfuncs */
    struct finding {
        uint32_t func;
        struct err e;
    } found[TOGETHER_MAX]; /* by thread */
};

static bool wrap_function(const struct wasm_module *m, uint32_t func, struct err *e)
{
    char text[80];
    struct str name = module_func_name(m, func);
    if (!name.n)
        return err_wrap(e, "function %u", func);
    return err_wrap(e, "function %u (%s)", func, str_escape(name, text, sizeof text));
}

static void lower_to(atomic_uint *least, uint32_t n)
{
    uint32_t was = atomic_load(least);
    while (n < was && !atomic_compare_exchange_weak(least, &was, n))
        ;
}

/* Takes functions in order until there are no more, or one is bad. */
static void check_some(void *user, uint32_t thread)
{
    struct bodies *b = user;
    struct finding *found = &b->found[thread];
    struct validator v;
    found->func = UINT32_MAX;
    val_init(&v, b->m, &b->work_left, &found->e);
    while (found->func == UINT32_MAX) {
        uint32_t i = atomic_fetch_add(&b->next, FUNCS_AT_ONCE);
        uint32_t end = MIN(i + FUNCS_AT_ONCE, atomic_load(&b->bad));
        if (i >= end)
            break;
        while (i < end && val_body(&v, &b->m->funcs[i]))
            i++;
        if (i < end) {
            found->func = i;
            lower_to(&b->bad, i);
        }
    }
    val_fini(&v);
}

static uint32_t threads_for(const struct wasm_module *m)
{
    size_t bytes = 0;
    for (uint32_t i = m->nimported_funcs; i < m->nfuncs; i++)
        bytes += m->funcs[i].body.n;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t most = m->limits.threads ? m->limits.threads : (uint32_t)MAX(cores, 1L);
    return (uint32_t)MIN(1 + bytes / BYTES_PER_THREAD, (size_t)MIN(most, TOGETHER_MAX));
}

static bool check_all(struct wasm_module *m, struct err *e)
{
    struct bodies b = {.m = m};
    uint32_t threads = threads_for(m);
    atomic_init(&b.work_left, val_work(m));
    atomic_init(&b.next, m->nimported_funcs);
    atomic_init(&b.bad, m->nfuncs);
    run_together(threads, check_some, &b);
    for (uint32_t i = 0; i < threads; i++) {
        if (b.found[i].func != b.bad)
            continue;
        *e = b.found[i].e;
        return wrap_function(m, b.bad, e);
    }
    return true;
}

/* ---- known frames ---- */

static uint32_t frame_at(struct span frames, uint32_t n)
{
    struct err ignored;
    struct reader r;
    rd_init(&r, (struct span){frames.p + n * FRAME_BYTES, FRAME_BYTES}, &ignored);
    return rd_fixed32(&r);
}

static bool is_frame_of(const struct wasm_module *m, uint32_t func, uint32_t slots)
{
    const struct wasm_functype *type = &m->types[m->funcs[func].type];
    return slots >= wasm_slots(type->types, type->nparams) && slots <= FRAME_SLOTS_MAX;
}

/* Takes the frames over when they can be those of this module. */
static bool take_frames(struct wasm_module *m)
{
    struct span frames = m->limits.known_frames;
    m->limits.known_frames = (struct span){NULL, 0};
    uint32_t first = m->nimported_funcs, n = m->nfuncs - first;
    if (n == 0 || frames.n != n * FRAME_BYTES)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!is_frame_of(m, first + i, frame_at(frames, i)))
            return false;
    for (uint32_t i = 0; i < n; i++)
        m->funcs[first + i].frame_slots = frame_at(frames, i);
    return true;
}

void wasm_module_frames(const struct wasm_module *m, struct buf *out)
{
    for (uint32_t i = m->nimported_funcs; i < m->nfuncs; i++) {
        uint32_t slots = m->funcs[i].frame_slots;
        uint8_t bytes[FRAME_BYTES] = {(uint8_t)slots, (uint8_t)(slots >> 8), (uint8_t)(slots >> 16),
                                      (uint8_t)(slots >> 24)};
        buf_put(out, bytes, sizeof bytes);
    }
}

bool module_validate_bodies(struct wasm_module *m, struct err *e)
{
    return take_frames(m) || check_all(m, e);
}

bool module_validate_body(struct wasm_module *m, uint32_t func, struct err *e)
{
    struct func_decl f = m->funcs[func];
    _Atomic uint64_t work_left = val_work(m);
    struct validator v;
    val_init(&v, m, &work_left, e);
    bool ok = val_body(&v, &f);
    val_fini(&v);
    if (!ok)
        return wrap_function(m, func, e);
    if (f.frame_slots != m->funcs[func].frame_slots) {
        err_set(e, ERR_INVALID,
                "its frame is not as large as an earlier validation is said to have found");
        return wrap_function(m, func, e);
    }
    m->funcs[func] = f;
    return true;
}
