/* SPDX-License-Identifier: Apache-2.0 */
/* Who is lost. Hosts that announce it are probed by the active scheduler at their own interval: two misses in a row
 * (nobody there; or silence for 3 s and once more for 1 s) are loss. All others are lost after long silence, or when
 * they do not answer twice although a heartbeat is overdue.
 * Who has announced nothing yet is asked once whether it knows probes at all: its heartbeat may be half a minute away.
 * Keeps: nobody is declared lost while our own connection is away, nor right after it came back. */
#include "manifests/follow_int.h"

#define PROBE_TIMEOUT_MS 3000
#define PROBE_AGAIN_TIMEOUT_MS 1000
#define PROBE_QUICK_MS 200
#define PROBE_INTERVAL_DEFAULT_MS 1000 /* until it announces its own */
#define PROBE_INTERVAL_MIN_MS 200
#define PROBE_INTERVAL_MAX_MS 60000
#define MISSES_MAX 2
#define OVERDUE_MS 36000 /* 1.2 heartbeats */

static void probe(void *user);

static void probe_next(struct peer *p, uint64_t delay_ms)
{
    loop_timer_stop(&p->probe_timer);
    p->probe_timer = loop_after(p->f->s->loop, delay_ms, probe, p);
}

static bool connected(struct follow *f)
{
    return bus_state(f->s->bus) == BUS_UP && loop_now_ms(f->s->loop) >= f->grace_until_ms;
}

static uint64_t interval(const struct peer *p)
{
    return MIN(MAX(p->probe_interval_ms, PROBE_INTERVAL_MIN_MS), PROBE_INTERVAL_MAX_MS);
}

static void on_probe(void *user, const struct proto_reply *r, const struct err *e)
{
    struct peer *p = user;
    p->probe = NULL;
    if (r || e->code == ERR_PEER) { /* any answer is life */
        p->misses = 0;
        p->quick = false;
        p->heard_ms = loop_now_ms(p->f->s->loop);
        probe_next(p, interval(p));
        return;
    }
    if (!connected(p->f)) {
        p->misses = 0;
        probe_next(p, interval(p));
    } else if (++p->misses >= MISSES_MAX) {
        peer_lost(p,
                  e->code == ERR_NO_RESPONDERS ? "nobody answers for it" : "no answer to probes");
    } else if (e->code == ERR_TIMEOUT) {
        probe_next(p, 0);
    } else {
        probe_next(p, p->quick ? PROBE_QUICK_MS : interval(p));
    }
}

static void probe(void *user)
{
    struct peer *p = user;
    struct err e = ERR_INIT;
    p->probe_timer = NULL;
    if (!proto_host_probe(p->f->s->client, str_of(p->id),
                          p->misses ? PROBE_AGAIN_TIMEOUT_MS : PROBE_TIMEOUT_MS, on_probe, p,
                          &p->probe, &e))
        probe_next(p, interval(p));
}

/* Success comes from one of ours only: other hosts call it an unsupported subject. */
static void on_first(void *user, const struct proto_reply *r, const struct err *e)
{
    struct peer *p = user;
    (void)e;
    p->probe = NULL;
    if (!r || p->announced)
        return;
    p->probe_interval_ms = PROBE_INTERVAL_DEFAULT_MS;
    peer_probe_start(p);
}

static void probe_first(struct peer *p)
{
    struct err e = ERR_INIT;
    p->asked = proto_host_probe(p->f->s->client, str_of(p->id), PROBE_TIMEOUT_MS, on_first, p,
                                &p->probe, &e);
}

void peer_probe_start(struct peer *p)
{
    if (p->probe || p->probe_timer)
        return;
    if (!p->announced && !p->asked)
        probe_first(p);
    if (!p->f->active || p->probe_interval_ms == 0 || p->probe)
        return;
    p->misses = 0;
    probe_next(p, 0);
}

void peer_probe_stop(struct peer *p)
{
    if (p->probe && p->probe_interval_ms == 0)
        p->asked = false; /* without an answer */
    proto_cancel(&p->probe);
    loop_timer_stop(&p->probe_timer);
    p->misses = 0;
}

void probe_silence(struct follow *f)
{
    struct peer *p, *next;
    uint64_t now = loop_now_ms(f->s->loop);
    if (!connected(f))
        return;
    HASH_ITER(hh, f->peers, p, next)
    {
        uint64_t silent_ms = now - p->heard_ms;
        if (silent_ms < OVERDUE_MS)
            p->misses = p->probe_interval_ms ? p->misses : 0;
        else if (silent_ms >= f->s->lost_after_ms ||
                 (!p->probe_interval_ms && p->misses >= MISSES_MAX))
            peer_lost(p, "no heartbeat");
        else
            peer_ask(p);
    }
}
