/* SPDX-License-Identifier: Apache-2.0 */
/* The lease: one key per lattice in a bucket whose values live 3 s. Whoever writes it holds it; the revision of the
 * last write is the fence, because only that writer can renew.
 * Keeps: a holder stops 2 s after it last asked for a renewal that was granted, so before anybody else can begin. */
#include "manifests/scheduler_int.h"

#include "lattice/base/log.h"

#define LEASE_BUCKET "hostd_scheduler_lease"
#define LEASE_TTL_MS 3000
#define LEASE_RENEW_MS 1000
#define LEASE_GOOD_MS 2000
_Static_assert(LEASE_GOOD_MS < LEASE_TTL_MS && LEASE_RENEW_MS < LEASE_GOOD_MS,
               "a holder stops first");

struct lease {
    struct scheduler *s;
    struct bucket *bucket;
    struct loop_timer *timer;
    uint64_t revision;   /* of our last write; 0: not ours */
    uint64_t asked_ms;   /* when the write under way was sent */
    uint64_t granted_ms; /* when the last granted one was sent */
    bool asking, active;
};

bool lease_held(const struct lease *l)
{
    return l->revision > 0 && loop_now_ms(l->s->loop) - l->granted_ms < LEASE_GOOD_MS;
}

/* Tells the others about a change. */
static void settle(struct lease *l)
{
    bool held = lease_held(l);
    if (held == l->active)
        return;
    l->active = held;
    log_info(held ? "scheduler is active" : "scheduler is no longer active",
             LZ("lattice", l->s->lattice));
    if (!held)
        execute_stop(l->s->execute);
    follow_active(l->s->follow, held);
    scheduler_wake(l->s);
}

static void on_write(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct lease *l = user;
    l->asking = false;
    if (entry) {
        l->revision = entry->revision;
        l->granted_ms = l->asked_ms;
    } else if (e->code == ERR_CONFLICT) {
        l->revision = 0; /* somebody else's, or ours expired: try from the beginning */
    } else if (e->code == ERR_NOT_FOUND || e->code == ERR_NO_RESPONDERS) {
        l->revision = 0;
        bucket_reopen(l->bucket);
    }
    settle(l);
}

static void ask(void *user)
{
    struct lease *l = user;
    struct kv *kv = bucket_kv(l->bucket);
    struct err e = ERR_INIT;
    settle(l); /* it may have run out */
    if (!kv || l->asking || l->s->foreign)
        return;
    l->asking = true;
    l->asked_ms = loop_now_ms(l->s->loop);
    if (!kv_update(kv, str_of(l->s->lattice), str_span(str_of(l->s->host_id)), l->revision,
                   on_write, l, &e))
        l->asking = false;
}

struct lease *lease_open(struct scheduler *s)
{
    struct lease *l = xnew(struct lease);
    l->s = s;
    l->bucket = bucket_open(&(struct bucket_opts){.bus = s->bus,
                                                  .name = LEASE_BUCKET,
                                                  .domain = s->domain,
                                                  .ttl_ms = LEASE_TTL_MS,
                                                  .opened = ask,
                                                  .user = l});
    l->timer = loop_every(s->loop, LEASE_RENEW_MS, ask, l);
    return l;
}

static void on_given_back(void *user, const struct kv_entry *entry, const struct err *e)
{
    (void)user;
    (void)entry;
    (void)e;
}

void lease_close(struct lease *l)
{
    struct err e = ERR_INIT;
    if (!l)
        return;
    loop_timer_stop(&l->timer);
    if (lease_held(l) && bucket_kv(l->bucket)) /* sent at once; nobody waits for the answer */
        kv_purge(bucket_kv(l->bucket), str_of(l->s->lattice), on_given_back, NULL, &e);
    bucket_close(l->bucket);
    free(l);
}
