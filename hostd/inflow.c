/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps: bytes reach the guest in order: those under way, then those held, then those in the stash. While there is a
 * stash nothing is held but what came from it. */
#include "hostd/inflow.h"

#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

void inflow_init(struct inflow *f, struct stashes *stashes, inflow_end_fn *on_end, void *user)
{
    *f = (struct inflow){.stashes = stashes, .on_end = on_end, .user = user};
}

void inflow_fini(struct inflow *f)
{
    stash_free(MOVE(f->stash));
    buf_fini(&f->held);
}

/* ---- to the guest ---- */

/* How much of data it took. */
static size_t pass(struct inflow *f, struct span data)
{
    size_t room = f->guest ? INFLOW_WINDOW_BYTES - MIN(f->under_way, INFLOW_WINDOW_BYTES) : 0;
    data.n = MIN(data.n, room);
    if (data.n)
        guest_body_push(f->guest, f->exchange, data);
    f->under_way += data.n;
    return data.n;
}

static bool is_empty(const struct inflow *f)
{
    return f->held.n == 0 && f->stashed == 0;
}

/* Whatever there is now that could move, moves. */
static void go_on(struct inflow *f)
{
    buf_drop(&f->held, pass(f, buf_span(&f->held)));
    if (f->held.n == 0 && f->stashed && f->guest && !f->asked) {
        f->asked = true;
        stash_get(f->stash);
    }
    if (is_empty(f))
        stash_free(MOVE(f->stash)); /* the next bytes may go directly again */
    if (!f->ended || f->over || !f->guest || !is_empty(f))
        return;
    f->over = true;
    f->on_end(f->user, f->lost.code != ERR_NONE ? &f->lost : NULL);
}

/* ---- the stash ---- */

static void lose(struct inflow *f, const struct err *why)
{
    log_warn("body cut: what its guest has not read could not be kept", LE(why));
    f->lost = *why;
    f->ended = true;
    f->stashed = 0;
    stash_free(MOVE(f->stash));
    go_on(f);
}

static void on_lost(void *user, const struct err *why)
{
    lose(user, why);
}

static void on_stashed(void *user, struct span data)
{
    struct inflow *f = user;
    f->asked = false;
    f->stashed -= data.n;
    buf_put(&f->held, data.p, data.n);
    go_on(f);
}

static void keep(struct inflow *f, struct span data)
{
    struct err e = ERR_INIT;
    size_t room = INFLOW_HELD_BYTES_MAX - MIN(f->held.n, INFLOW_HELD_BYTES_MAX);
    if (!f->stash && data.n <= room) {
        buf_put(&f->held, data.p, data.n);
        return;
    }
    if (!f->stash)
        f->stash = stash_new(f->stashes, on_stashed, on_lost, f);
    if (stash_put(f->stash, data, &e))
        f->stashed += data.n;
    else
        lose(f, &e);
}

/* ---- its ends ---- */

void inflow_start(struct inflow *f, struct guest *guest, uint32_t exchange)
{
    f->guest = guest;
    f->exchange = exchange;
    go_on(f);
}

void inflow_push(struct inflow *f, struct span data)
{
    if (f->ended)
        return;
    size_t passed = is_empty(f) ? pass(f, data) : 0;
    if (passed < data.n)
        keep(f, (struct span){data.p + passed, data.n - passed});
}

void inflow_end(struct inflow *f)
{
    f->ended = true;
    go_on(f);
}

void inflow_consumed(struct inflow *f, size_t n)
{
    f->under_way -= MIN(n, f->under_way);
    go_on(f);
}
