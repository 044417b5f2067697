/* SPDX-License-Identifier: Apache-2.0 */
/* What a host and its provider say to each other: host data on stdin; then links, configuration, health checks and the
 * shutdown request on the rpc connection.
 * Keeps: a process of its own may not be listening yet when another one of the same provider answers for it, on a
 * subject that they share. Links go to a subject of this process alone, as requests, so that NATS says when nobody is
 * there; they are sent again until somebody is. Configuration is sent again after the first answer to a health check.
 * A link whose configuration or secrets cannot be had is tried again until they can, or it is gone. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

#include "hostd/sidecar_int.h"
#include "lattice/base/alloc.h"
#include "lattice/base/base64.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define LINK_BYTES_MAX (32u << 20) /* one link with its configuration */

/* ---- operations that cannot be cancelled ----------------------------------------------------------- */

struct lookup *lookup_new(struct sidecar *s)
{
    struct lookup *l = xnew(struct lookup);
    l->s = s;
    DL_APPEND(s->lookups, l);
    return l;
}

void lookup_end(struct lookup *l)
{
    if (l->s)
        DL_DELETE(l->s->lookups, l);
    free(l);
}

void lookup_forget(struct lookup *l)
{
    DL_DELETE(l->s->lookups, l);
    l->s = NULL;
}

/* ---- links ----------------------------------------------------------------------------------------- */

static struct link_slot *slot_new(struct sidecar *s, const struct proto_link *link)
{
    struct err e = ERR_INIT;
    struct link_slot *slot = xnew(struct link_slot);
    slot->s = s;
    arena_init(&slot->arena, LINK_BYTES_MAX);
    if (proto_link_copy(&slot->arena, link, &slot->link, &e))
        return slot;
    log_warn("link not passed on", LS("provider", s->spec.id), LE(&e));
    arena_fini(&slot->arena);
    free(slot);
    return NULL;
}

static void slot_free(struct link_slot *slot)
{
    grant_resolve_cancel(&slot->resolving);
    bus_cancel(&slot->taking);
    arena_fini(&slot->arena);
    free(slot);
}

static void drop_slots(struct link_slot **list)
{
    while (*list) {
        struct link_slot *slot = *list;
        DL_DELETE(*list, slot);
        slot_free(slot);
    }
}

void sidecar_drop_links(struct sidecar *s)
{
    drop_slots(&s->host_links);
    drop_slots(&s->sends);
    loop_timer_stop(&s->links_timer);
    s->waiting = 0;
}

/* Secrets on it are for this provider's eyes. */
static bool resolve(struct link_slot *slot, const struct proto_link *link, grant_resolved_fn *fn,
                    struct err *e)
{
    const struct sidecar *s = slot->s;
    struct grant_reader reader = {.who = claims_who(s->claims, &s->spec.annotations),
                                  .host_xkey = s->ss->opts.host_xkey};
    memcpy(reader.provider_xkey, s->xkey.public_key, sizeof reader.provider_xkey);
    return grant_link_resolve(s->ss->opts.grants, link, &reader, fn, slot, &slot->resolving, e);
}

static void on_host_link(void *user, const struct proto_link_def *def, const struct err *e)
{
    struct link_slot *slot = user;
    struct sidecar *s = slot->s;
    struct err full = ERR_INIT;
    slot->resolving = NULL;
    if (!e && !proto_link_def_copy(&slot->arena, def, &slot->def, &full))
        e = &full;
    slot->resolved = !e;
    slot->failures = e != NULL;
    if (e)
        log_warn("link left out of the host data for now", LS("provider", s->spec.id), LE(e));
    if (--s->waiting == 0)
        s->links_ready(s);
}

static bool concerns(const struct sidecar *s, const struct proto_link *l)
{
    return str_eq(l->source_id, s->spec.id) || str_eq(l->target, s->spec.id);
}

void sidecar_resolve_links(struct sidecar *s, void (*ready)(struct sidecar *s))
{
    struct err e = ERR_INIT;
    uint32_t n = 0;
    sidecar_drop_links(s);
    s->links_ready = ready;
    s->waiting = 1; /* this function itself, so that ready comes once and last */
    for (struct grant_link_iter it = grant_links(s->ss->opts.grants); grant_link_next(&it);) {
        struct link_slot *slot = concerns(s, it.link) ? slot_new(s, it.link) : NULL;
        if (!slot)
            continue;
        if (++n > SIDECAR_LINKS_MAX || !resolve(slot, it.link, on_host_link, &e)) {
            log_warn("link left out of the host data", LS("provider", s->spec.id), LE(&e));
            slot_free(slot);
            continue;
        }
        DL_APPEND(s->host_links, slot);
        s->waiting++;
    }
    if (--s->waiting == 0)
        ready(s);
}

static void publish(struct sidecar *s, struct str token, enum proto_rpc what,
                    const struct buf *body)
{
    struct proto_subject subject;
    struct err e = ERR_INIT;
    if (!buf_ok(body, &e) || !proto_rpc_subject(s->ss->opts.lattice, token, what, &subject, &e) ||
        !bus_publish(s->ss->opts.rpc, proto_subject_str(&subject), STR(""), NULL, 0, buf_span(body),
                     &e))
        log_warn("message to the provider not sent", LS("provider", s->spec.id), LE(&e));
}

static void health_next(struct sidecar *s, uint64_t delay_ms);

static void send_links_again(struct sidecar *s);

static void retry_links(void *user)
{
    struct sidecar *s = user;
    s->links_timer = NULL;
    send_links_again(s);
}

/* One timer for all: a link that may come soon does not wait for one that failed for long. */
static void retry_later(struct sidecar *s, uint64_t delay_ms, uint32_t failures)
{
    delay_ms = MIN(delay_ms << MIN(failures - 1, 10u), (uint64_t)LINK_RETRY_MAX_MS);
    uint64_t due_ms = loop_now_ms(s->ss->loop) + delay_ms;
    if (s->links_timer && s->links_due_ms <= due_ms)
        return;
    loop_timer_stop(&s->links_timer);
    s->links_timer = loop_after(s->ss->loop, delay_ms, retry_links, s);
    s->links_due_ms = due_ms;
}

/* The first failure is told, the later ones are the same. */
static void send_failed(struct link_slot *slot, const struct err *e)
{
    struct sidecar *s = slot->s;
    if (slot->failures++ == 0)
        log_warn("link not passed on for now", LS("provider", s->spec.id), LE(e));
    else
        log_debug("link not passed on for now", LS("provider", s->spec.id), LE(e));
    retry_later(s, LINK_RETRY_MIN_MS, slot->failures);
}

static void send_ended(struct link_slot *slot)
{
    DL_DELETE(slot->s->sends, slot);
    slot_free(slot);
}

/* Providers do not answer: only that nobody listens is said. Not even that, if somebody listens to all that passes:
 * what was sent before the first answer to a health check is sent again, for providers ignore what they have. */
static void on_link_taken(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct link_slot *slot = user;
    struct sidecar *s = slot->s;
    slot->taking = NULL;
    bool unheard = !msg && e->code == ERR_NO_RESPONDERS;
    bool unsure = slot->early && !msg && e->code == ERR_TIMEOUT;
    if (unsure || (unheard && (!s->answered || slot->unheard < LINK_UNHEARD_MAX))) {
        retry_later(s, LINK_UNHEARD_MIN_MS, ++slot->unheard);
        return;
    }
    if (unheard)
        log_debug("provider does not listen to links", LS("provider", s->spec.id));
    send_ended(slot);
}

static bool request_taking(struct link_slot *slot, const struct proto_link_def *def, struct err *e)
{
    const struct sidecar *s = slot->s;
    struct proto_subject subject;
    struct buf body = BUF_INIT;
    char xkey[ID_PUBLIC_LEN + 1];
    struct str token = str_of(id_key_public(&s->xkey, xkey));
    bool ok = proto_link_def_encode(def, &body, e) && buf_ok(&body, e) &&
              proto_rpc_subject(s->ss->opts.lattice, token, PROTO_RPC_LINK_PUT, &subject, e) &&
              bus_request(s->ss->opts.rpc, proto_subject_str(&subject), NULL, 0, buf_span(&body),
                          LINK_TAKEN_MS, on_link_taken, slot, &slot->taking, e);
    buf_fini(&body);
    return ok;
}

static void on_send_link(void *user, const struct proto_link_def *def, const struct err *e)
{
    struct link_slot *slot = user;
    struct sidecar *s = slot->s;
    struct err mine = ERR_INIT;
    slot->resolving = NULL;
    if (e) {
        send_failed(slot, e);
        return;
    }
    slot->failures = 0;
    if (s->state != STATE_RUNNING) {
        retry_later(s, LINK_UNHEARD_MIN_MS, ++slot->unheard);
        return;
    }
    if (s->answered && s->health_timer) {
        loop_timer_stop(&s->health_timer);
        health_next(s, HEALTH_LINKED_MS);
    }
    slot->early = !s->answered;
    if (!request_taking(slot, def, &mine)) {
        log_warn("link not passed on", LS("provider", s->spec.id), LE(&mine));
        send_ended(slot);
    }
}

static void send_slot(struct link_slot *slot)
{
    struct sidecar *s = slot->s;
    struct err e = ERR_INIT;
    if (resolve(slot, &slot->link, on_send_link, &e))
        return;
    log_warn("link not passed on", LS("provider", s->spec.id), LE(&e));
    send_ended(slot);
}

void sidecar_send_link(struct sidecar *s, const struct proto_link *link)
{
    struct link_slot *slot;
    uint32_t n;
    if (s->state != STATE_BUILDING && s->state != STATE_SPAWNING && s->state != STATE_RUNNING)
        return; /* the next host data will have it */
    DL_COUNT(s->sends, slot, n);
    if (n >= SIDECAR_LINKS_MAX || !(slot = slot_new(s, link)))
        return;
    DL_APPEND(s->sends, slot);
    send_slot(slot);
}

static bool still_linked(const struct sidecar *s, const struct proto_link *link)
{
    for (struct grant_link_iter it = grant_links(s->ss->opts.grants); grant_link_next(&it);) {
        if (proto_link_eq(it.link, link))
            return true;
    }
    return false;
}

static void send_links_again(struct sidecar *s)
{
    struct link_slot *slot, *next;
    DL_FOREACH_SAFE(s->sends, slot, next)
    {
        if (slot->resolving || slot->taking)
            continue; /* on its way */
        if (still_linked(s, &slot->link))
            send_slot(slot);
        else
            send_ended(slot);
    }
}

/* ---- configuration --------------------------------------------------------------------------------- */

void sidecar_send_config(struct sidecar *s)
{
    struct err e = ERR_INIT;
    struct buf body = BUF_INIT;
    s->config_late = !s->answered;
    if (s->state == STATE_RUNNING &&
        proto_config_encode(config_all(grant_config_now(s->config)), &body, &e))
        publish(s, s->spec.id, PROTO_RPC_CONFIG, &body);
    buf_fini(&body);
}

/* ---- host data ------------------------------------------------------------------------------------- */

/* The resolved ones of host_links, as one list in `a`. */
static bool gather_links(const struct sidecar *s, struct arena *a, struct proto_link_def_list *out,
                         struct err *e)
{
    struct link_slot *slot;
    uint32_t n = 0;
    DL_COUNT(s->host_links, slot, n);
    struct proto_link_def *v = arena_array(a, struct proto_link_def, n);
    if (!v)
        return arena_full(a, e);
    n = 0;
    DL_FOREACH(s->host_links, slot)
    {
        if (slot->resolved)
            v[n++] = slot->def;
    }
    *out = (struct proto_link_def_list){v, n};
    return true;
}

/* Those that were left out are sent later; the others were told. */
static void keep_failed_links(struct sidecar *s)
{
    struct link_slot *slot, *next;
    DL_FOREACH_SAFE(s->host_links, slot, next)
    {
        if (!slot->failures)
            continue;
        DL_DELETE(s->host_links, slot);
        DL_APPEND(s->sends, slot);
        retry_later(s, LINK_RETRY_MIN_MS, slot->failures);
    }
    drop_slots(&s->host_links);
}

bool sidecar_host_data(struct sidecar *s, struct buf *line, struct err *e)
{
    const struct sidecar_opts *o = &s->ss->opts;
    char instance[UUID_LEN + 1], host_xkey[ID_PUBLIC_LEN + 1], own_xkey[ID_SEED_LEN + 1];
    const struct secret_set *secrets = config_secrets(grant_config_now(s->config));
    struct buf json = {.secret = true};
    AUTO_FREE_SECRET char *jwt = NULL;
    AUTO_FREE_SECRET char *seed = NULL;
    struct arena a;
    if (o->rpc_creds.n && !bus_creds_read(o->rpc_creds.p, &jwt, &seed, e))
        return false;
    arena_init(&a, SIDECAR_BYTES_MAX);
    rand_uuid(instance);
    struct proto_host_data d = {
        .host_id = o->host_id,
        .lattice_rpc_prefix = o->lattice,
        .link_name = STR("default"),
        .lattice_rpc_user_jwt = jwt ? str_of(jwt) : o->rpc_jwt,
        .lattice_rpc_user_seed = seed ? str_of(seed) : o->rpc_seed,
        .lattice_rpc_url = o->rpc_url,
        .provider_key = s->spec.id,
        .instance_id = str_of(instance),
        .host_xkey_public_key = str_of(id_key_public(o->host_xkey, host_xkey)),
        .provider_xkey_private_key = str_of(id_key_seed(&s->xkey, own_xkey)),
        .config = *config_all(grant_config_now(s->config)),
        .default_rpc_timeout_ms = {o->rpc_timeout_ms, true},
        .structured_logging = o->log_json,
        .log_level = o->log_level,
        .otel_config = {.protocol = STR("Http"), .trace_level = STR("info")},
    };
    if (secrets)
        d.secrets = *secret_set_all(secrets);
    bool ok = gather_links(s, &a, &d.link_definitions, e) && proto_host_data_encode(&d, &json, e);
    if (ok) {
        base64_encode(BASE64_STANDARD, buf_span(&json), line);
        buf_str(line, STR("\r\n"));
    }
    s->config_late = false;
    keep_failed_links(s);
    buf_fini(&json);
    arena_fini(&a);
    explicit_bzero(own_xkey, sizeof own_xkey);
    return ok;
}

/* ---- health ---------------------------------------------------------------------------------------- */

static void health_ask(void *user);

static void health_next(struct sidecar *s, uint64_t delay_ms)
{
    s->health_timer = loop_after(s->ss->loop, delay_ms, health_ask, s);
}

/* It, or another of its kind, listens. */
static void first_answer(struct sidecar *s)
{
    s->answered = true;
    if (s->config_late)
        sidecar_send_config(s);
}

static void health_answer(struct sidecar *s, struct span data)
{
    struct err e = ERR_INIT;
    struct arena a;
    struct proto_health h;
    arena_init(&a, SIDECAR_BYTES_MAX);
    bool ok = proto_health_reply_decode(data, &a, &h, &e);
    bool healthy = ok && h.healthy;
    if (!s->answered)
        first_answer(s);
    if (!ok) {
        log_warn("unreadable answer to a health check", LS("provider", s->spec.id), LE(&e));
    } else {
        enum sidecar_news news = healthy == s->healthy ? SIDECAR_HEALTH_STATUS
                                 : healthy             ? SIDECAR_HEALTH_PASSED
                                                       : SIDECAR_HEALTH_FAILED;
        if (!healthy)
            err_set(&e, ERR_PEER, "%.*s", STR_ARG(h.message.n > 0 ? h.message : STR("unhealthy")));
        s->healthy = healthy;
        sidecar_tell(s, news, healthy ? NULL : &e);
    }
    arena_fini(&a);
}

static void on_health(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct sidecar *s = user;
    s->health = NULL;
    if (msg) {
        health_next(s, HEALTH_EVERY_MS);
        health_answer(s, msg->data);
        return;
    }
    if (s->answered)
        log_warn("provider does not answer a health check", LS("provider", s->spec.id), LE(e));
    health_next(s, s->answered ? HEALTH_EVERY_MS : s->health_delay_ms);
    s->health_delay_ms = MIN(s->health_delay_ms * 2, (uint64_t)HEALTH_FIRST_MS);
}

static void health_ask(void *user)
{
    struct sidecar *s = user;
    struct proto_subject subject;
    struct err e = ERR_INIT;
    uint64_t timeout_ms = s->ss->opts.rpc_timeout_ms;
    if (!s->answered) /* it may not even be connected yet: ask again soon */
        timeout_ms = MIN(timeout_ms, (uint64_t)HEALTH_PATIENCE_MS);
    s->health_timer = NULL;
    if (proto_rpc_subject(s->ss->opts.lattice, s->spec.id, PROTO_RPC_HEALTH, &subject, &e) &&
        bus_request(s->ss->opts.rpc, proto_subject_str(&subject), NULL, 0, (struct span){0},
                    timeout_ms, on_health, s, &s->health, &e))
        return;
    log_warn("health check not sent", LS("provider", s->spec.id), LE(&e));
    health_next(s, HEALTH_EVERY_MS);
}

/* Sooner than upstream's first check, so that what a provider may miss while it connects reaches it soon. */
void sidecar_health_begin(struct sidecar *s)
{
    s->answered = s->healthy = false;
    s->health_delay_ms = HEALTH_SOON_MS;
    health_next(s, HEALTH_SOON_MS);
}

void sidecar_health_end(struct sidecar *s)
{
    loop_timer_stop(&s->health_timer);
    bus_cancel(&s->health);
}

bool sidecar_ask_shutdown(struct sidecar *s, bus_reply_fn *fn)
{
    const struct sidecar_opts *o = &s->ss->opts;
    struct proto_subject subject;
    struct err e = ERR_INIT;
    struct buf body = BUF_INIT;
    struct proto_shutdown m = {o->host_id};
    bool ok = proto_shutdown_encode(&m, &body, &e) &&
              proto_rpc_subject(o->lattice, s->spec.id, PROTO_RPC_SHUTDOWN, &subject, &e) &&
              bus_request(o->rpc, proto_subject_str(&subject), NULL, 0, buf_span(&body),
                          MAX(o->shutdown_ms, 1), fn, s, &s->shutdown, &e);
    if (!ok)
        log_warn("shutdown not asked for", LS("provider", s->spec.id), LE(&e));
    buf_fini(&body);
    return ok;
}
