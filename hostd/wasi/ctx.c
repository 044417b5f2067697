/* SPDX-License-Identifier: Apache-2.0 */
/* One guest's world: what it waits for, and the values that host functions hand back.
 * Keeps: `waiting` is empty but for a guest that one of our functions parked; every function that answers
 * empties it (wasi_done). */
#include "hostd/wasi/wasi_int.h"

#include <assert.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define BUFFERED_BYTES_DEFAULT (1u << 20)

struct wasi_ctx *wasi_ctx_new(const struct wasi_opts *opts)
{
    struct wasi_ctx *c = xnew(struct wasi_ctx);
    c->opts = *opts;
    c->watch = -1;
    if (c->opts.buffered_bytes_max == 0)
        c->opts.buffered_bytes_max = BUFFERED_BYTES_DEFAULT;
    c->out = (struct wasi_line){.ctx = c, .fd = 1};
    c->err = (struct wasi_line){.ctx = c, .fd = 2};
    c->insecure_seed[0] = rand_u64();
    c->insecure_seed[1] = rand_u64();
    return c;
}

void wasi_ctx_free(struct wasi_ctx *c)
{
    if (!c)
        return;
    wasi_line_end(&c->out);
    wasi_line_end(&c->err);
    buf_fini(&c->out.text);
    buf_fini(&c->err.text);
    if (c->response.body) { /* the guest was ended before its body was */
        c->response.body->state = OUTBODY_ABORTED;
        wasi_flow_pump(c, &c->response);
    }
    wasi_unpark(c);
    assert(!c->fetches); /* they went with their handles */
    wasi_outbody_release(c->finishing);
    wasi_inbody_release(c->request_body);
    wasi_incoming_request_free(c->request);
    if (c->watch >= 0)
        close(c->watch);
    free(c->resolved);
    free(c->waiting);
    free(c);
}

void *wasi_user(const struct wasi_ctx *c)
{
    return c->opts.user;
}

/* ---- waiting ---- */

bool wasi_pollable_ready(const struct wasi_pollable *p)
{
    return p->ready ? p->ready(p->target) : clock_mono_ns() >= p->due_ns;
}

void wasi_wait(struct wasi_ctx *c, struct wasi_pollable p)
{
    if (c->nwaiting == c->waiting_cap) {
        c->waiting_cap = c->waiting_cap ? 2 * c->waiting_cap : 4;
        c->waiting = xrealloc(c->waiting, c->waiting_cap * sizeof *c->waiting);
    }
    c->waiting[c->nwaiting++] = p;
}

enum comp_host_status wasi_wait_for(struct comp_host_call *hc, bool (*ready)(void *), void *target)
{
    wasi_wait_none(wasi_of(hc));
    wasi_wait(wasi_of(hc), (struct wasi_pollable){.ready = ready, .target = target});
    return COMP_HOST_PENDING;
}

void wasi_park(struct wasi_ctx *c, const struct comp_class *class, void *obj)
{
    assert(!c->parked.obj || c->parked.obj == obj);
    c->parked = (struct wasi_made){class, obj};
}

void wasi_unpark(struct wasi_ctx *c)
{
    struct wasi_made p = c->parked;
    c->parked = (struct wasi_made){0};
    if (p.obj)
        p.class->drop(c, p.obj);
}

void wasi_guest_gone(struct wasi_ctx *c)
{
    c->gone = true;
}

void wasi_watch(struct wasi_ctx *c, int fd)
{
    /* Edges are enough: whoever asks for the descriptor looks at it anew after each. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    if (c->watch < 0)
        c->watch = epoll_create1(EPOLL_CLOEXEC);
    /* Fails when it is watched already; and when files are all used up, then the guest waits for something else. */
    epoll_ctl(c->watch, EPOLL_CTL_ADD, fd, &e);
}

int wasi_wait_fd(const struct wasi_ctx *c)
{
    return c->nwaiting > 0 ? c->watch : -1;
}

/* Edges that were seen; what is to come makes wasi_wait_fd readable again. */
static void forget_edges(const struct wasi_ctx *c)
{
    struct epoll_event seen[16];
    while (c->watch >= 0 && epoll_wait(c->watch, seen, ARRAY_LEN(seen), 0) == ARRAY_LEN(seen))
        continue;
}

bool wasi_ready(struct wasi_ctx *c)
{
    forget_edges(c);
    for (size_t i = 0; i < c->nwaiting; i++)
        if (wasi_pollable_ready(&c->waiting[i]))
            return true;
    return c->nwaiting == 0;
}

uint64_t wasi_wake_at(const struct wasi_ctx *c)
{
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < c->nwaiting; i++)
        if (!c->waiting[i].ready)
            at = MIN(at, c->waiting[i].due_ns);
    return at;
}

/* ---- values ---- */

enum comp_host_status wasi_done(struct comp_host_call *hc)
{
    struct wasi_ctx *c = wasi_of(hc);
    uint32_t nmade = c->nmade;
    c->nmade = 0;
    wasi_wait_none(c);
    if (!c->full)
        return COMP_HOST_DONE;
    c->full = false;
    while (nmade-- > 0)
        c->made[nmade].class->drop(c, c->made[nmade].obj);
    return comp_trap(hc, "the result is larger than a call may hold");
}

struct wit_value wasi_own(struct comp_host_call *hc, const struct comp_class *class, void *obj)
{
    struct wasi_ctx *c = wasi_of(hc);
    assert(c->nmade < WASI_MADE_MAX);
    c->made[c->nmade++] = (struct wasi_made){class, obj};
    return (struct wit_value){.obj = obj};
}

struct wit_value *wasi_list(struct comp_host_call *hc, size_t n)
{
    struct wit_value *v = n <= UINT32_MAX ? arena_array(hc->arena, struct wit_value, n) : NULL;
    wasi_of(hc)->full |= !v;
    return v;
}

struct wit_value wasi_case(struct comp_host_call *hc, uint32_t index, struct wit_value payload)
{
    struct wit_value *box = wasi_list(hc, 1);
    if (box)
        *box = payload;
    return (struct wit_value){.v = box, .n = index};
}

struct wit_value wasi_tuple(struct comp_host_call *hc, const struct wit_value *members, uint32_t n)
{
    struct wit_value *v = wasi_list(hc, n);
    if (v && n)
        memcpy(v, members, n * sizeof *v);
    return (struct wit_value){.v = v, .n = n};
}

struct wit_value wasi_copy_bytes(struct comp_host_call *hc, struct span s)
{
    struct span copy = arena_span(hc->arena, s);
    wasi_of(hc)->full |= !copy.p;
    return wit_bytes(copy.p ? copy : (struct span){NULL, 0});
}
