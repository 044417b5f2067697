/* SPDX-License-Identifier: Apache-2.0 */
/* One coarse timer for all connections of a server. A connection sits in the slot of the second in which its
 * deadline falls (or of the farthest slot, to be looked at again); progress only stamps the connection, nothing is
 * moved per request unless its deadline came nearer.
 * Keeps: the timer is armed exactly while a connection sits in a slot, for the first slot that is not empty. */
#include "lattice/http/http_server_int.h"

#include "lattice/base/num.h"

static void on_second(void *user);

static void unlink_conn(struct wheel *w, struct http_conn *c)
{
    if (!c->slot_s)
        return;
    if (c->wheel_prev)
        c->wheel_prev->wheel_next = c->wheel_next;
    else
        w->slot[c->slot_s % WHEEL_SLOTS] = c->wheel_next;
    if (c->wheel_next)
        c->wheel_next->wheel_prev = c->wheel_prev;
    c->wheel_prev = c->wheel_next = NULL;
    c->slot_s = 0;
    w->nseated--;
}

static void arm(struct http_server *s, uint64_t second)
{
    struct wheel *w = &s->wheel;
    if (w->timer && w->timer_s <= second)
        return;
    loop_timer_stop(&w->timer);
    uint64_t now = loop_now_ms(s->loop), due = (second + 1) * 1000;
    w->timer_s = second;
    w->timer = loop_after(s->loop, due > now ? due - now : 0, on_second, s);
}

static void arm_next(struct http_server *s)
{
    for (uint64_t i = 1; i <= WHEEL_SLOTS; i++) {
        if (s->wheel.slot[(s->wheel.seen_s + i) % WHEEL_SLOTS]) {
            arm(s, s->wheel.seen_s + i);
            return;
        }
    }
}

void wheel_put(struct http_server *s, struct http_conn *c)
{
    struct wheel *w = &s->wheel;
    uint64_t now_s = loop_now_ms(s->loop) / 1000;
    if (w->nseated == 0)
        w->seen_s = now_s - 1;
    uint64_t first = w->seen_s + 1, last = w->seen_s + WHEEL_SLOTS - 1;
    uint64_t deadline_ms = conn_deadline_ms(c);
    uint64_t second = deadline_ms == UINT64_MAX ? last : MAX(first, MIN(deadline_ms / 1000, last));
    if (c->slot_s && c->slot_s <= second)
        return; /* seen soon enough */
    unlink_conn(w, c);
    struct http_conn **slot = &w->slot[second % WHEEL_SLOTS];
    c->slot_s = second;
    c->wheel_next = *slot;
    if (*slot)
        (*slot)->wheel_prev = c;
    *slot = c;
    w->nseated++;
    arm(s, second);
}

void wheel_remove(struct http_server *s, struct http_conn *c)
{
    unlink_conn(&s->wheel, c);
}

void wheel_stop(struct wheel *w)
{
    loop_timer_stop(&w->timer);
}

/* conn_check may free the connection and, through its handler, others: so the slot is emptied from its head. */
static void on_second(void *user)
{
    struct http_server *s = user;
    struct wheel *w = &s->wheel;
    w->timer = NULL;
    uint64_t now_ms = loop_now_ms(s->loop);
    uint64_t until_s = MIN(now_ms / 1000 - 1, w->seen_s + WHEEL_SLOTS);
    while (w->seen_s < until_s) {
        w->seen_s++;
        struct http_conn **slot = &w->slot[w->seen_s % WHEEL_SLOTS];
        while (*slot) {
            struct http_conn *c = *slot;
            unlink_conn(w, c);
            conn_check(c, now_ms);
        }
    }
    arm_next(s);
}
