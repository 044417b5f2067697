/* SPDX-License-Identifier: Apache-2.0 */
/* Follows one lattice. Events only say that something happened: what there is comes from inventories (asked for after
 * an event, and from all hosts once a minute) and from heartbeats; links and configurations come from watches of their
 * buckets. So a lost event costs a moment, never correctness.
 * Owns: struct observed, and one peer per host ever heard of. */
#include "manifests/follow_int.h"

#include "lattice/base/log.h"
#include "lattice/base/rand.h"

#define REFRESH_MS 60000
#define REFRESH_JITTER_MS 6000
#define PING_COLLECT_MS 700
#define SILENCE_TICK_MS 2000
#define RESUBSCRIBE_MS 1000
#define GRACE_MS 5000

/* ---- peers ----------------------------------------------------------------------------------------- */

static struct peer *peer_find(struct follow *f, struct str id)
{
    struct peer *p;
    MAP_FIND(f->peers, id, p);
    return p;
}

static void peer_free(struct peer *p)
{
    peer_probe_stop(p);
    proto_cancel(&p->get);
    HASH_DELETE(hh, p->f->peers, p);
    free(p->id);
    free(p);
}

/* A sign of life. NULL when that is no id, or one too many. */
static struct peer *peer_heard(struct follow *f, struct str id)
{
    struct peer *p = peer_find(f, id);
    if (!p && (!proto_token_ok(id) || HASH_COUNT(f->peers) >= OBSERVED_HOSTS_MAX))
        return NULL;
    if (!p) {
        p = xnew(struct peer);
        p->f = f;
        p->id = str_dup(id);
        HASH_ADD_KEYPTR(hh, f->peers, p->id, id.n, p);
        execute_retry(f->s->execute);
    }
    p->heard_ms = loop_now_ms(f->s->loop);
    return p;
}

static void host_gone(struct follow *f, struct str id)
{
    struct peer *p = peer_find(f, id);
    observed_host_del(&f->seen, id);
    if (p)
        peer_free(p);
    execute_retry(f->s->execute);
    scheduler_wake(f->s);
}

void peer_lost(struct peer *p, const char *why)
{
    struct seen_host *h = observed_host(&p->f->seen, str_of(p->id));
    log_warn("host is lost", LZ("host", p->id), LS("name", h ? h->name : STR("")), LZ("why", why));
    AUTO_FREE char *id = str_dup(str_of(p->id));
    host_gone(p->f, str_of(id));
}

static void inventory(struct follow *f, const struct proto_inventory *in)
{
    struct err e = ERR_INIT;
    bool changed = false;
    struct peer *p = peer_heard(f, in->host_id);
    if (!p)
        return;
    if (!observed_host_set(&f->seen, in, &changed, &e))
        log_warn("inventory ignored", LS("host", in->host_id), LE(&e));
    peer_probe_start(p);
    if (changed)
        scheduler_wake(f->s);
}

static void on_inventory(void *user, const struct proto_reply *r, const struct err *e)
{
    struct peer *p = user;
    struct follow *f = p->f;
    p->get = NULL;
    bool again = p->get_again;
    p->get_again = false;
    if (r && r->response.inventory && str_eqz(r->response.inventory->host_id, p->id)) {
        p->misses = p->probe_interval_ms ? p->misses : 0;
        inventory(f, r->response.inventory);
        scheduler_wake(
            f->s); /* a command may wait for this answer even when it brings nothing new */
    } else if (e && !p->probe_interval_ms &&
               (e->code == ERR_TIMEOUT || e->code == ERR_NO_RESPONDERS)) {
        p->misses++;
    }
    if (again)
        peer_ask(p);
}

void peer_ask(struct peer *p)
{
    struct err e = ERR_INIT;
    if (p->get)
        p->get_again = true;
    else
        proto_host_get(p->f->s->client, str_of(p->id), on_inventory, p, &p->get, &e);
}

void follow_refresh(struct follow *f, struct str host_id)
{
    struct peer *p = peer_find(f, host_id);
    if (p)
        peer_ask(p);
}

/* ---- everybody ------------------------------------------------------------------------------------- */

static void on_ping(void *user, const struct proto_reply *r, const struct err *e)
{
    struct follow *f = user;
    (void)e;
    if (r && r->response.host) {
        struct peer *p = peer_heard(f, r->response.host->id);
        if (p)
            peer_ask(p);
    } else if (!r) {
        f->ping = NULL;
        f->hosts_read = true;
        scheduler_wake(f->s);
    }
}

static void on_refresh(void *user);

static void ask_everybody(struct follow *f)
{
    struct err e = ERR_INIT;
    loop_timer_stop(&f->refresh_timer);
    f->refresh_timer = loop_after(
        f->s->loop, REFRESH_MS - REFRESH_JITTER_MS + rand_u64() % (2 * REFRESH_JITTER_MS),
        on_refresh, f);
    if (!f->ping && !proto_host_ping(f->s->client, PING_COLLECT_MS, on_ping, f, &f->ping, &e))
        f->hosts_read = true; /* the next round is in a minute; events tell before */
    scheduler_wake(f->s);
}

static void on_refresh(void *user)
{
    struct follow *f = user;
    f->refresh_timer = NULL;
    ask_everybody(f);
}

static void on_silence_tick(void *user)
{
    struct follow *f = user;
    if (bus_state(f->s->bus) != BUS_UP)
        f->grace_until_ms = loop_now_ms(f->s->loop) + GRACE_MS;
    probe_silence(f);
}

void follow_active(struct follow *f, bool active)
{
    struct peer *p, *next;
    f->active = active;
    HASH_ITER(hh, f->peers, p, next)
    {
        peer_probe_stop(p);
        p->quick = active;
        peer_probe_start(p);
    }
    if (active)
        ask_everybody(f);
}

/* ---- events ---------------------------------------------------------------------------------------- */

static void on_health(struct follow *f, const struct proto_event *ev)
{
    const struct proto_health_event *h = ev->data.health;
    struct seen_host *host = observed_host(&f->seen, h->host_id.n ? h->host_id : ev->source);
    bool bad = ev->kind == PROTO_EVENT_HEALTH_FAILED || h->message.n > 0;
    if (!host || (ev->kind == PROTO_EVENT_HEALTH_STATUS && !bad))
        return; /* as before; upstream does not say how that was */
    if (observed_health(host, h->provider_id, bad, h->message))
        scheduler_wake(f->s);
}

static void announced(struct peer *p, struct proto_u64 probe_interval_ms)
{
    p->announced = true;
    p->probe_interval_ms = probe_interval_ms.set ? probe_interval_ms.v : 0;
}

static void on_event(struct follow *f, const struct proto_event *ev)
{
    struct peer *p = NULL;
    if (ev->kind == PROTO_EVENT_HOST_STOPPED) {
        log_info("host has stopped", LS("host", ev->source));
        host_gone(f, ev->source);
        return;
    }
    p = peer_heard(f, ev->source);
    if (!p)
        return;
    switch (ev->kind) {
    case PROTO_EVENT_HOST_STARTED:
        announced(p, ev->data.host->probe_interval_ms);
        peer_ask(p);
        break;
    case PROTO_EVENT_HOST_HEARTBEAT:
        announced(p, ev->data.inventory->probe_interval_ms);
        if (str_eqz(ev->data.inventory->host_id, p->id))
            inventory(f, ev->data.inventory);
        break;
    case PROTO_EVENT_LABELS_CHANGED:
    case PROTO_EVENT_PROVIDER_STARTED:
    case PROTO_EVENT_PROVIDER_STOPPED:
        peer_ask(p);
        break;
    case PROTO_EVENT_COMPONENT_SCALED:
    case PROTO_EVENT_COMPONENT_SCALE_FAILED:
        execute_component_event(f->s->execute, ev->data.component, ev->source,
                                ev->kind == PROTO_EVENT_COMPONENT_SCALED);
        peer_ask(p);
        break;
    case PROTO_EVENT_PROVIDER_START_FAILED:
        execute_provider_event(f->s->execute, ev->data.provider, ev->source);
        break;
    case PROTO_EVENT_HEALTH_PASSED:
    case PROTO_EVENT_HEALTH_FAILED:
    case PROTO_EVENT_HEALTH_STATUS:
        on_health(f, ev);
        break;
    default: /* links and configurations: their buckets tell */
        break;
    }
}

static void on_message(void *user, const struct bus_msg *msg)
{
    struct follow *f = user;
    struct arena arena;
    struct proto_event ev;
    struct err e = ERR_INIT;
    arena_init(&arena, PROTO_ARENA_BYTES);
    if (proto_event_decode(msg->data, &arena, &ev, &e))
        on_event(f, &ev);
    else
        log_debug("event ignored", LS("subject", msg->subject), LE(&e));
    arena_fini(&arena);
}

static void subscribe(void *user)
{
    struct follow *f = user;
    struct proto_subject subject;
    struct err e = ERR_INIT;
    f->events_timer = NULL;
    if (proto_events_subject(f->s->space.lattice, &subject, &e) &&
        bus_subscribe(f->s->bus, proto_subject_str(&subject), STR_NONE, on_message, f, &f->events,
                      &e))
        return;
    log_warn("scheduler cannot follow events yet", LE(&e));
    f->events_timer = loop_after(f->s->loop, RESUBSCRIBE_MS, subscribe, f);
}

/* ---- buckets --------------------------------------------------------------------------------------- */

/* All has been read; or the watch begins again, and what was read before may be wrong by now. */
static void settled(struct follow *f, bool *read, bool all)
{
    *read = all;
    if (!all)
        f->grace_until_ms = loop_now_ms(f->s->loop) + GRACE_MS;
    else if (f->grace_until_ms > 0)
        ask_everybody(f); /* events were missed */
}

static void on_data(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct follow *f = user;
    struct str id;
    struct err why = ERR_INIT;
    if (!entry) {
        if (e)
            observed_specs_clear(&f->seen);
        settled(f, &f->data_read, !e);
    } else if (proto_key_parse(entry->key, &id) == PROTO_KEY_SPEC) {
        struct arena arena;
        struct proto_spec spec;
        bool put = entry->op == KV_PUT;
        arena_init(&arena, PROTO_ARENA_BYTES);
        if ((put && !proto_spec_decode(entry->value, &arena, &spec, &why)) ||
            !observed_spec_set(&f->seen, id, put ? &spec : NULL, &why))
            log_warn("links ignored", LS("source", id), LE(&why));
        arena_fini(&arena);
    } else {
        return;
    }
    scheduler_wake(f->s);
}

static void on_config(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct follow *f = user;
    struct err why = ERR_INIT;
    if (!entry) {
        if (e)
            observed_configs_clear(&f->seen);
        settled(f, &f->configs_read, !e);
    } else {
        struct arena arena;
        struct proto_map map;
        bool put = entry->op == KV_PUT;
        arena_init(&arena, PROTO_ARENA_BYTES);
        if ((put && !proto_config_decode(entry->value, &arena, &map, &why)) ||
            !observed_config_set(&f->seen, entry->key, put ? &map : NULL, &why))
            log_warn("configuration ignored", LS("name", entry->key), LE(&why));
        arena_fini(&arena);
    }
    scheduler_wake(f->s);
}

static struct bucket *bucket(struct follow *f,
                             bool (*name)(struct str, struct proto_subject *, struct err *),
                             kv_watch_fn *watch)
{
    struct proto_subject text;
    struct err e = ERR_INIT;
    if (!name(f->s->space.lattice, &text, &e))
        return NULL; /* the lattice's name was checked at the start */
    return bucket_open(&(struct bucket_opts){
        .bus = f->s->bus, .name = text.text, .domain = f->s->domain, .watch = watch, .user = f});
}

/* ---- open, close ----------------------------------------------------------------------------------- */

struct follow *follow_open(struct scheduler *s)
{
    struct follow *f = xnew(struct follow);
    f->s = s;
    subscribe(f);
    f->data = bucket(f, proto_bucket_lattice, on_data);
    f->configs = bucket(f, proto_bucket_config, on_config);
    f->silence_timer = loop_every(s->loop, SILENCE_TICK_MS, on_silence_tick, f);
    ask_everybody(f);
    return f;
}

void follow_close(struct follow *f)
{
    if (!f)
        return;
    bus_unsubscribe(&f->events);
    bucket_close(f->data);
    bucket_close(f->configs);
    proto_cancel(&f->ping);
    loop_timer_stop(&f->refresh_timer);
    loop_timer_stop(&f->silence_timer);
    loop_timer_stop(&f->events_timer);
    while (f->peers)
        peer_free(f->peers);
    observed_fini(&f->seen);
    free(f);
}

bool follow_ready(const struct follow *f)
{
    return f->data_read && f->configs_read && f->hosts_read;
}

struct observed *follow_seen(struct follow *f)
{
    return &f->seen;
}
