/* SPDX-License-Identifier: Apache-2.0 */
/* The control interface: what arrives on a host's control subjects, one row per operation.
 * Owns: the subscriptions, and every request until it is answered.
 * Keeps: each request is answered at most once; what takes time is acknowledged first and its end told by an event;
 * the host id in bodies is not believed, the subject's is.
 * Spec: lattice protocol 1. */
#include <assert.h>
#include <strings.h>
#include <utlist.h>

#include "hostd/host_int.h"
#include "hostd/image/image.h"
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define REQUESTS_MAX 4096u             /* open at a time; more are refused */
#define COMMAND_BYTES_MAX (256u << 10) /* body of everything but config.put */
#define SUBS_MAX 16u

struct request {
    struct request *prev, *next;
    struct control *control;
    struct host *host;
    enum proto_op op;
    struct arena arena; /* everything of this request */
    struct str arg, reply;
    struct span body;
    /* link.put, link.del */
    struct proto_link link;
    struct proto_link_del del;
};

struct control {
    struct host *host;
    struct bus_sub *subs[SUBS_MAX];
    uint32_t nsubs;
    struct request *requests;
    uint32_t nrequests;
    struct link_note *notes;
};

/* ---- answers: each ends the request ---------------------------------------------------------------- */

static void request_free(struct request *r)
{
    DL_DELETE(r->control->requests, r);
    r->control->nrequests--;
    arena_fini(&r->arena);
    free(r);
}

static void send(struct bus *ctl, struct str to, enum proto_op op, const struct proto_reply *reply)
{
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT;
    if (to.n > 0 && (!proto_reply_encode(op, reply, &out, &e) ||
                     !bus_publish(ctl, to, STR(""), NULL, 0, buf_span(&out), &e)))
        log_warn("reply not sent", LE(&e));
    buf_fini(&out);
}

static void answer(struct request *r, const struct proto_reply *reply)
{
    send(r->host->opts.ctl, r->reply, r->op, reply);
    request_free(r);
}

static void say_ok(struct request *r, struct str message)
{
    answer(r, &(struct proto_reply){.success = true, .message = message});
}

static void say_data(struct request *r, const void *data)
{
    answer(r, &(struct proto_reply){.success = true, .message = STR(""), .response.any = data});
}

static void say_no(struct request *r, struct str message)
{
    answer(r, &(struct proto_reply){.success = false, .message = message});
}

static void say_error(struct request *r, const struct err *e)
{
    say_no(r, str_of(e->text));
}

/* A body that could not be read; `what` completes upstream's wording, our reason follows it. */
static void say_unreadable(struct request *r, const char *what, const struct err *e)
{
    struct err mine = *e;
    err_wrap(&mine, "failed to deserialize %s", what);
    say_error(r, &mine);
}

/* A request nobody wants to hear of: no answer at all. */
static void say_nothing(struct request *r)
{
    request_free(r);
}

/* An id becomes part of subjects and keys. */
static bool check_id(struct request *r, struct str id)
{
    struct err e = ERR_INIT;
    struct proto_subject key;
    if (proto_key_spec(id, &key, &e))
        return true;
    say_error(r, &e);
    return false;
}

/* ---- host ------------------------------------------------------------------------------------------ */

static void on_ping(struct request *r)
{
    const struct host *h = r->host;
    char uptime[PROTO_UPTIME_MAX];
    struct proto_host m = {
        .id = host_id(h),
        .friendly_name = str_of(h->friendly_name),
        .lattice = h->space.lattice,
        .labels = host_labels(h),
        .uptime_seconds = host_uptime_s(h),
        .uptime_human = str_of(proto_uptime(host_uptime_s(h), uptime)),
        .version = STR(HOST_VERSION),
        .ctl_host = bus_url(h->opts.ctl),
        .rpc_host = bus_url(h->opts.rpc),
        .js_domain = str_of(h->settings->js_domain),
    };
    say_data(r, &m);
}

static void on_get(struct request *r)
{
    struct proto_inventory inv;
    struct err e = ERR_INIT;
    if (report_inventory(r->host, &r->arena, &inv, &e))
        say_data(r, &inv);
    else
        say_error(r, &e);
}

static void on_probe(struct request *r)
{
    say_ok(r, STR(""));
}

static void on_stop(struct request *r)
{
    struct host *h = r->host;
    struct proto_host_stop m;
    struct err e = ERR_INIT;
    if (!proto_host_stop_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "stop command", &e);
    } else if (m.host_id.n > 0 && !str_eq(m.host_id, host_id(h))) {
        err_set(&e, ERR_INVALID, "invalid host_id [%.*s]", STR_ARG(m.host_id));
        say_error(r, &e);
    } else {
        uint64_t timeout_ms = m.timeout_ms.set ? m.timeout_ms.v : HOST_STOP_MS;
        say_ok(r, STR("successfully handled stop host"));
        host_stop(h, timeout_ms);
    }
}

static void on_label_put(struct request *r)
{
    struct proto_label m;
    struct err e = ERR_INIT;
    if (!proto_label_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "put label request", &e);
    } else if (m.key.n >= 9 && strncasecmp(m.key.p, "hostcore.", 9) == 0) {
        say_no(r, STR("hostcore.* labels cannot be set dynamically"));
    } else if (!host_label_put(r->host, m.key, m.value, &e)) {
        say_error(r, &e);
    } else {
        report_labels(r->host);
        say_ok(r, STR("successfully put label"));
    }
}

static void on_label_del(struct request *r)
{
    struct proto_label_del m;
    struct err e = ERR_INIT;
    if (!proto_label_del_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "delete label request", &e);
    } else if (host_label_del(r->host, m.key)) {
        report_labels(r->host);
        say_ok(r, STR("successfully deleted label"));
    } else {
        say_ok(r, STR("successfully deleted label (no such label)"));
    }
}

/* ---- auctions -------------------------------------------------------------------------------------- */

static bool eligible(const struct host *h, const struct proto_map *constraints)
{
    struct proto_map labels = host_labels(h);
    struct str value;
    for (uint32_t i = 0; i < constraints->n; i++) {
        if (!proto_map_get(&labels, constraints->v[i].key, &value) ||
            !str_eq(value, constraints->v[i].value))
            return false;
    }
    return true;
}

static void on_component_auction(struct request *r)
{
    struct proto_component_auction m;
    struct err e = ERR_INIT;
    if (!proto_component_auction_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "component auction command", &e);
    } else if (!eligible(r->host, &m.constraints) ||
               workload_find(r->host->workloads, m.component_id, NULL)) {
        say_nothing(r);
    } else {
        struct proto_component_bid bid = {host_id(r->host), m.component_ref, m.component_id,
                                          m.constraints};
        say_data(r, &bid);
    }
}

static void on_provider_auction(struct request *r)
{
    struct proto_provider_auction m;
    struct err e = ERR_INIT;
    if (!proto_provider_auction_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "provider auction command", &e);
    } else if (!eligible(r->host, &m.constraints) ||
               sidecar_state(r->host->sidecars, m.provider_id) == SIDECAR_RUNNING) {
        say_nothing(r);
    } else {
        struct proto_provider_bid bid = {host_id(r->host), m.provider_ref, m.provider_id,
                                         m.constraints};
        say_data(r, &bid);
    }
}

/* ---- components ------------------------------------------------------------------------------------ */

static void on_scaled(void *user, const struct workload_info *info, const struct err *e)
{
    report_scaled(user, info, e);
}

/* What the answer to a scale says about another image than the running one; empty when there is nothing to say. */
static struct str image_notice(struct request *r, const struct proto_scale *m)
{
    struct workload_info runs;
    if (!workload_find(r->host->workloads, m->component_id, &runs) ||
        str_eq(runs.image_ref, m->component_ref))
        return STR("");
    return str_of(arena_printf(&r->arena, "a different image is running: %.*s != %.*s; %s",
                               STR_ARG(runs.image_ref), STR_ARG(m->component_ref),
                               m->allow_update ? "it will be updated after scaling"
                                               : "it will not be updated"));
}

static void on_scale(struct request *r)
{
    struct proto_scale m;
    struct err e = ERR_INIT;
    if (!proto_scale_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "component scale command", &e);
        return;
    }
    if (!check_id(r, m.component_id))
        return;
    struct workload_spec spec = {.id = m.component_id,
                                 .image_ref = m.component_ref,
                                 .max_instances = m.max_instances,
                                 .annotations = m.annotations,
                                 .config = m.config,
                                 .limits = m.limits,
                                 .allow_update = m.allow_update};
    struct str notice = image_notice(r, &m);
    workload_scale(r->host->workloads, &spec, on_scaled, r->host);
    say_ok(r, notice);
}

static void on_update(struct request *r)
{
    struct host *h = r->host;
    struct proto_update m;
    struct workload_info runs;
    struct err e = ERR_INIT;
    if (!proto_update_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "component update command", &e);
    } else if (!workload_find(h->workloads, m.component_id, &runs)) {
        err_set(&e, ERR_NOT_FOUND, "component %.*s not found", STR_ARG(m.component_id));
        say_error(r, &e);
    } else if (str_eq(runs.image_ref, m.new_component_ref)) {
        say_ok(r, str_of(arena_printf(&r->arena, "component %.*s already updated to %.*s",
                                      STR_ARG(m.component_id), STR_ARG(m.new_component_ref))));
    } else {
        struct str text = str_of(arena_printf(
            &r->arena, "component %.*s updating from %.*s to %.*s", STR_ARG(m.component_id),
            STR_ARG(runs.image_ref), STR_ARG(m.new_component_ref)));
        workload_update(h->workloads, m.component_id, m.new_component_ref, &m.annotations,
                        on_scaled, h);
        say_ok(r, text);
    }
}

/* ---- providers ------------------------------------------------------------------------------------- */

static void start_provider(struct request *r, const struct proto_provider_start *m)
{
    struct host *h = r->host;
    struct err e = ERR_INIT;
    struct sidecar_spec spec = {m->provider_id, m->provider_ref, m->annotations, m->config};
    if (!sidecar_start(h->sidecars, &spec, &e)) {
        struct sidecar_info info = {.id = m->provider_id, .given_ref = m->provider_ref};
        report_sidecar(h, SIDECAR_START_FAILED, &info, &e);
    }
    say_ok(r, STR("successfully started provider"));
}

static void on_provider_start(struct request *r)
{
    struct proto_provider_start m;
    struct err e = ERR_INIT;
    if (!proto_provider_start_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "provider start command", &e);
        return;
    }
    if (!check_id(r, m.provider_id))
        return;
    switch (sidecar_state(r->host->sidecars, m.provider_id)) {
    case SIDECAR_RUNNING:
        say_no(r, STR("provider with that ID is already running"));
        break;
    case SIDECAR_STARTING: /* the same again: the one under way will do */
        say_ok(r, STR("successfully started provider"));
        break;
    case SIDECAR_NONE:
        start_provider(r, &m);
        break;
    }
}

static void on_provider_stopped(void *user)
{
    say_ok(user, STR("successfully stopped provider"));
}

static void on_provider_stop(struct request *r)
{
    struct proto_provider_stop m;
    struct err e = ERR_INIT;
    if (!proto_provider_stop_decode(r->body, &r->arena, &m, &e))
        say_unreadable(r, "provider stop command", &e);
    else if (!sidecar_stop(r->host->sidecars, m.provider_id, on_provider_stopped, r))
        say_no(r, STR("provider with that ID is not running"));
}

/* ---- links ----------------------------------------------------------------------------------------- */

/* Tells both ends of a link, by id: the way of older providers, and for deletions that of all. */
static void publish_link(struct host *h, enum proto_rpc what, const struct proto_link_def *def)
{
    struct err e = ERR_INIT;
    struct buf body = BUF_INIT;
    const struct str ends[] = {def->source_id, def->target};
    bool ok = proto_link_def_encode(def, &body, &e);
    for (size_t i = 0; ok && i < ARRAY_LEN(ends); i++) {
        struct proto_subject subject;
        ok = proto_rpc_subject(h->space.lattice, ends[i], what, &subject, &e) &&
             bus_publish(h->opts.rpc, proto_subject_str(&subject), STR(""), NULL, 0,
                         buf_span(&body), &e);
    }
    if (!ok)
        log_warn("link not announced", LS("source", def->source_id), LE(&e));
    buf_fini(&body);
}

/* A link put whose configuration is being read for the announcement. */
struct link_note {
    struct link_note *prev, *next;
    struct control *control;
    struct grant_resolve *resolve;
};

static void on_resolved(void *user, const struct proto_link_def *def, const struct err *e)
{
    struct link_note *note = user;
    if (def)
        publish_link(note->control->host, PROTO_RPC_LINK_PUT, def);
    else
        log_warn("link not announced", LE(e));
    DL_DELETE(note->control->notes, note);
    free(note);
}

static void announce_link(struct control *c, const struct proto_link *link)
{
    struct err e = ERR_INIT;
    struct link_note *note = xnew(struct link_note);
    note->control = c;
    if (grant_link_resolve(c->host->grants, link, NULL, on_resolved, note, &note->resolve, &e)) {
        DL_APPEND(c->notes, note);
    } else {
        free(note); /* it uses a secret, which never travels this way */
        log_debug("link not announced", LE(&e));
    }
}

static void on_links_get(struct request *r)
{
    uint32_t n = 0;
    struct err e = ERR_INIT;
    for (struct grant_link_iter it = grant_links(r->host->grants); grant_link_next(&it);)
        n++;
    struct proto_link *v = arena_array(&r->arena, struct proto_link, n);
    n = 0;
    for (struct grant_link_iter it = grant_links(r->host->grants); v && grant_link_next(&it);)
        v[n++] = *it.link;
    if (v)
        say_data(r, &(struct proto_link_list){v, n});
    else if (!arena_full(&r->arena, &e))
        say_error(r, &e);
}

static void on_link_written(void *user, const struct err *e)
{
    struct request *r = user;
    report_link(r->host, &r->link, e);
    if (e) {
        say_error(r, e);
    } else {
        announce_link(r->control, &r->link);
        say_ok(r, STR("successfully set link"));
    }
}

static void on_link_put(struct request *r)
{
    struct err e = ERR_INIT;
    if (!proto_link_decode(r->body, &r->arena, &r->link, &e)) {
        say_unreadable(r, "wrpc link definition", &e);
    } else if (check_id(r, r->link.target) &&
               !grant_link_put(r->host->grants, &r->link, on_link_written, r, &e)) {
        report_link(r->host, &r->link, &e);
        say_error(r, &e);
    }
}

static void on_link_removed(void *user, const struct proto_link *removed, bool found,
                            const struct err *e)
{
    struct request *r = user;
    struct proto_link_event ev = {.link = {.source_id = r->del.source_id,
                                           .name = r->del.name,
                                           .wit_namespace = r->del.wit_namespace,
                                           .wit_package = r->del.wit_package}};
    if (e) {
        say_error(r, e);
        return;
    }
    if (!found) {
        say_ok(r, STR("successfully deleted link (spec doesn't exist)"));
        return;
    }
    if (removed) {
        struct proto_link_def def = {.source_id = removed->source_id,
                                     .target = removed->target,
                                     .name = removed->name,
                                     .wit_namespace = removed->wit_namespace,
                                     .wit_package = removed->wit_package,
                                     .interfaces = removed->interfaces};
        ev.link = *removed;
        publish_link(r->host, PROTO_RPC_LINK_DEL, &def);
    }
    report_event(r->host, PROTO_EVENT_LINK_DELETED, &ev);
    say_ok(r, STR("successfully deleted link"));
}

static void on_link_del(struct request *r)
{
    struct err e = ERR_INIT;
    if (!proto_link_del_decode(r->body, &r->arena, &r->del, &e))
        say_unreadable(r, "wrpc link definition", &e);
    else if (!grant_link_del(r->host->grants, &r->del, on_link_removed, r, &e))
        say_error(r, &e);
}

/* ---- configuration, claims, registries ------------------------------------------------------------- */

static void on_config_found(void *user, struct span json, const struct err *e)
{
    struct request *r = user;
    struct proto_map map;
    struct err mine = ERR_INIT;
    if (e)
        say_error(r, e);
    else if (!json.p)
        say_ok(r, STR("Configuration not found"));
    else if (!proto_config_decode(json, &r->arena, &map, &mine))
        say_error(r, &mine);
    else
        say_data(r, &map);
}

static void on_config_get(struct request *r)
{
    struct err e = ERR_INIT;
    if (!grant_config_read(r->host->grants, r->arg, on_config_found, r, &e))
        say_error(r, &e);
}

static void on_config_written(void *user, const struct err *e)
{
    struct request *r = user;
    if (e) {
        say_error(r, e);
        return;
    }
    report_config(r->host, PROTO_EVENT_CONFIG_SET, r->arg);
    say_ok(r, STR("successfully put config"));
}

static void on_config_put(struct request *r)
{
    struct proto_map map;
    struct err e = ERR_INIT;
    if (!proto_config_decode(r->body, &r->arena, &map, &e)) {
        err_wrap(&e, "config data should be a map of string -> string");
        say_error(r, &e);
    } else if (!grant_config_put(r->host->grants, r->arg, r->body, on_config_written, r, &e)) {
        say_error(r, &e);
    }
}

static void on_config_deleted(void *user, const struct err *e)
{
    struct request *r = user;
    if (e) {
        say_error(r, e);
        return;
    }
    report_config(r->host, PROTO_EVENT_CONFIG_DELETED, r->arg);
    say_ok(r, STR("successfully deleted config"));
}

static void on_config_del(struct request *r)
{
    struct err e = ERR_INIT;
    if (!grant_config_del(r->host->grants, r->arg, on_config_deleted, r, &e))
        say_error(r, &e);
}

static void on_claims_get(struct request *r)
{
    struct err e = ERR_INIT;
    struct proto_maps claims = grant_claims(r->host->grants, &r->arena);
    if (claims.v)
        say_data(r, &claims);
    else if (!arena_full(&r->arena, &e))
        say_error(r, &e);
}

static void on_registry_put(struct request *r)
{
    struct proto_registries m;
    struct err e = ERR_INIT;
    if (!proto_registries_decode(r->body, &r->arena, &m, &e)) {
        say_unreadable(r, "registries put command", &e);
        return;
    }
    for (uint32_t i = 0; i < m.n; i++) {
        struct image_registry login = {.authority = m.v[i].authority,
                                       .username = m.v[i].username,
                                       .password = m.v[i].password,
                                       .token = m.v[i].token};
        if (!images_put_registry(r->host->images, &login, &e)) {
            say_error(r, &e);
            return;
        }
    }
    say_ok(r, STR("successfully put registries"));
}

/* ---- dispatch -------------------------------------------------------------------------------------- */

typedef void handler_fn(struct request *r);

/* needs_data: only once the lattice data is open. */
static const struct row {
    handler_fn *fn;
    bool needs_data;
} rows[PROTO_OP_COUNT] = {
    [PROTO_HOST_PING] = {on_ping, false},
    [PROTO_HOST_GET] = {on_get, false},
    [PROTO_HOST_STOP] = {on_stop, false},
    [PROTO_HOST_PROBE] = {on_probe, false},
    [PROTO_COMPONENT_AUCTION] = {on_component_auction, false},
    [PROTO_COMPONENT_SCALE] = {on_scale, true},
    [PROTO_COMPONENT_UPDATE] = {on_update, true},
    [PROTO_PROVIDER_AUCTION] = {on_provider_auction, false},
    [PROTO_PROVIDER_START] = {on_provider_start, true},
    [PROTO_PROVIDER_STOP] = {on_provider_stop, true},
    [PROTO_LABEL_PUT] = {on_label_put, false},
    [PROTO_LABEL_DEL] = {on_label_del, false},
    [PROTO_LINK_GET] = {on_links_get, true},
    [PROTO_LINK_PUT] = {on_link_put, true},
    [PROTO_LINK_DEL] = {on_link_del, true},
    [PROTO_CLAIMS_GET] = {on_claims_get, true},
    [PROTO_CONFIG_GET] = {on_config_get, true},
    [PROTO_CONFIG_PUT] = {on_config_put, true},
    [PROTO_CONFIG_DEL] = {on_config_del, true},
    [PROTO_REGISTRY_PUT] = {on_registry_put, false},
};

/* Why it cannot be served at all; NULL: it can. */
static const char *refusal(const struct control *c, enum proto_op op, const struct bus_msg *msg)
{
    if (op == PROTO_OP_UNKNOWN)
        return "unsupported subject";
    if (rows[op].needs_data && !c->host->running)
        return "the host is still starting";
    if (msg->data.n > (op == PROTO_CONFIG_PUT ? PROTO_JSON_BYTES_MAX : COMMAND_BYTES_MAX))
        return "the request is too large";
    if (c->nrequests >= REQUESTS_MAX)
        return "the host has too many open requests";
    return NULL;
}

static void on_request(void *user, const struct bus_msg *msg)
{
    struct control *c = user;
    struct str arg;
    enum proto_op op = proto_ctl_parse(&c->host->space, msg->subject, &arg);
    const char *no = refusal(c, op, msg);
    if (no) {
        struct proto_reply reply = {.success = false, .message = str_of(no)};
        send(c->host->opts.ctl, msg->reply, op, &reply);
        return;
    }
    struct request *r = xnew(struct request);
    r->control = c;
    r->host = c->host;
    r->op = op;
    arena_init(&r->arena, PROTO_ARENA_BYTES);
    r->arg = arena_str(&r->arena, arg);
    r->reply = arena_str(&r->arena, msg->reply);
    r->body = arena_span(&r->arena, msg->data);
    DL_APPEND(c->requests, r);
    c->nrequests++;
    assert(r->arg.p && r->reply.p && r->body.p); /* refusal() saw to it that they fit */
    rows[op].fn(r);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static bool wanted(const struct host *h, enum proto_op op)
{
    return (op != PROTO_COMPONENT_AUCTION || h->settings->component_auction) &&
           (op != PROTO_PROVIDER_AUCTION || h->settings->provider_auction);
}

static bool subscribe(struct control *c, uint32_t i, struct err *e)
{
    struct host *h = c->host;
    struct proto_subject subject, queue;
    enum proto_op op;
    if (!proto_ctl_sub(&h->space, i, host_id(h), &subject, &queue, &op, e))
        return false;
    if (!wanted(h, op))
        return true;
    if (!bus_subscribe(h->opts.ctl, proto_subject_str(&subject), proto_subject_str(&queue),
                       on_request, c, &c->subs[c->nsubs], e))
        return err_wrap(e, "subscribe to %s", subject.text);
    c->nsubs++;
    return true;
}

struct control *control_open(struct host *h, struct err *e)
{
    struct control *c = xnew(struct control);
    c->host = h;
    assert(proto_ctl_nsubs() <= SUBS_MAX);
    for (uint32_t i = 0; i < proto_ctl_nsubs(); i++) {
        if (!subscribe(c, i, e)) {
            control_close(c);
            return NULL;
        }
    }
    return c;
}

void control_stop(struct control *c)
{
    while (c->nsubs > 0)
        bus_unsubscribe(&c->subs[--c->nsubs]);
}

void control_close(struct control *c)
{
    if (!c)
        return;
    control_stop(c);
    while (c->requests)
        request_free(c->requests);
    while (c->notes) {
        struct link_note *note = c->notes;
        DL_DELETE(c->notes, note);
        grant_resolve_cancel(&note->resolve);
        free(note);
    }
    free(c);
}
