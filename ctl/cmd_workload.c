/* SPDX-License-Identifier: Apache-2.0 */
/* Components and providers by hand: start, stop, scale, update. A host acknowledges at once and reports the outcome
 * as an event, so we listen before we ask. */
#include "ctl/table.h"

#include <errno.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

#define COMPONENT_WAIT_MS 10000
#define PROVIDER_WAIT_MS 60000

/* ---- common --------------------------------------------------------------------------------------- */

static void on_ack(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

static bool id_ok(const char *id, struct err *e)
{
    struct str s = str_of(id);
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool ok = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
                  (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '_';
        if (!ok)
            return err_set(e, ERR_INVALID, "id '%s': only A-Z a-z 0-9 - _ are allowed", id);
    }
    return s.n || err_set(e, ERR_INVALID, "the id is empty");
}

/* "./x", "../x", or "x.wasm" without a registry: nothing that a host could fetch. */
static bool means_a_file(struct str text)
{
    static const struct str suffixes[] = {STR_INIT(".wasm"), STR_INIT(".par"), STR_INIT(".par.gz")};
    bool suffixed = false;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        suffixed |= str_ends(text, suffixes[i]);
    return str_starts(text, STR("./")) || str_starts(text, STR("../")) ||
           (suffixed && str_find(text, '/') == text.n);
}

/* A path, absolute or to something that exists, becomes file://; anything else stays. What an absolute one names may
 * be on the host's machine. */
static bool reference(struct ctl *c, const char *text, struct str *out, struct err *e)
{
    struct str path = str_of(text), scheme = STR("file://");
    if (str_starts(path, scheme))
        path = str_sub(path, scheme.n, path.n);
    *out = str_of(text);
    AUTO_FREE char *relative = str_dup(path);
    AUTO_FREE char *real = realpath(relative, NULL);
    if (!real && means_a_file(path))
        return err_errno(e, errno, "'%s', which is no image of a registry", text);
    if (!real && *relative != '/')
        return true;
    char *ref = arena_printf(&c->arena, "file://%s", real ? real : relative);
    *out = str_of(ref);
    return ref || arena_full(&c->arena, e);
}

/* What events call an image: file:///a is "/a". */
static struct str image_name(struct str ref)
{
    struct str scheme = STR("file://");
    return str_starts(ref, scheme) ? str_sub(ref, scheme.n, ref.n) : ref;
}

/* ---- auctions ------------------------------------------------------------------------------------- */

struct auction {
    struct ctl *c;
    struct str host_id;
    struct proto_request *request;
};

static void on_bid(void *user, const struct proto_reply *r, const struct err *e)
{
    struct auction *a = user;
    struct err none = ERR_INIT;
    struct str host = STR_NONE;
    if (r && a->c->command->run == cmd_start_component && r->response.component_bid)
        host = r->response.component_bid->host_id;
    else if (r && r->response.provider_bid)
        host = r->response.provider_bid->host_id;
    if (host.n && !a->host_id.n) {
        a->host_id = arena_str(&a->c->arena, host);
        proto_cancel(&a->request); /* the first one wins */
        session_answer(a->c, NULL);
    } else if (!r && e->code == ERR_NONE) {
        err_set(
            &none, ERR_NOT_FOUND,
            "no suitable hosts: nobody bid, which a host does that meets every --constraint and "
            "does not run that id yet; `hostctl get inventory` shows what runs");
        session_answer(a->c, &none);
    }
}

static bool choose_host(struct ctl *c, struct str ref, struct str id, struct str *host,
                        struct err *e)
{
    struct auction a = {.c = c};
    struct proto_map constraints;
    uint64_t collect_ms = option_number(c, "auction-timeout-ms");
    if (option_text(c, "host-id"))
        return host_find(c, option_text(c, "host-id"), host, e);
    if (!option_pairs(c, "constraint", &constraints, e))
        return false;
    struct proto_component_auction component = {ref, id, constraints};
    struct proto_provider_auction provider = {ref, id, constraints};
    bool sent =
        c->command->run == cmd_start_component
            ? proto_component_bids(c->client, &component, collect_ms, on_bid, &a, &a.request, e)
            : proto_provider_bids(c->client, &provider, collect_ms, on_bid, &a, &a.request, e);
    if (!session_await(c, sent, e))
        return false;
    *host = a.host_id;
    return true;
}

/* ---- outcomes ------------------------------------------------------------------------------------- */

struct outcome {
    struct ctl *c;
    struct str host_id, id, ref; /* of what was asked; ref none: any */
    enum proto_event_kind good, bad;
    struct bus_sub *sub;
    bool seen;
    struct err e; /* when it went badly */
};

static bool concerns(const struct outcome *o, const struct proto_event *ev, struct str *error)
{
    bool component = o->good == PROTO_EVENT_COMPONENT_SCALED;
    struct str id = component ? ev->data.component->component_id : ev->data.provider->provider_id;
    struct str host = ev->source;
    *error = component ? ev->data.component->error : ev->data.provider->error;
    return str_eq(id, o->id) && str_eq(host, o->host_id);
}

static void on_event(void *user, const struct bus_msg *m)
{
    struct outcome *o = user;
    struct proto_event ev;
    struct arena arena;
    struct err bad = ERR_INIT;
    struct str error;
    arena_init(&arena, PROTO_ARENA_BYTES);
    bool mine = !o->seen && proto_event_decode(m->data, &arena, &ev, &bad) &&
                ev.kind != PROTO_EVENT_UNKNOWN && (ev.kind == o->good || ev.kind == o->bad) &&
                concerns(o, &ev, &error);
    if (mine) {
        o->seen = true;
        if (ev.kind == o->bad)
            err_set(&o->e, ERR_PEER, "host %.*s: %.*s", STR_ARG(o->host_id), STR_ARG(error));
        session_answer(o->c,
                       NULL); /* wakes whoever waits; the acknowledgement may still be on its way */
    }
    arena_fini(&arena);
}

static bool listen(struct outcome *o, struct err *e)
{
    struct proto_subject subject;
    return proto_events_subject(session_lattice(o->c), &subject, e) &&
           bus_subscribe(o->c->bus, proto_subject_str(&subject), STR_NONE, on_event, o, &o->sub, e);
}

static bool await_outcome(struct outcome *o, uint64_t default_ms, struct err *e)
{
    struct ctl *c = o->c;
    bool ok = true;
    uint64_t patience_ms =
        option_chosen(c, "timeout-ms") ? option_number(c, "timeout-ms") : default_ms;
    uint64_t until = clock_mono_ms() + patience_ms;
    while (ok && !o->seen && clock_mono_ms() < until)
        ok = session_sleep(c, until - MIN(until, clock_mono_ms()), e);
    if (ok && !o->seen)
        ok = err_set(e, ERR_TIMEOUT,
                     "host %.*s acknowledged, but has not reported the outcome within %llu ms; "
                     "`hostctl get inventory` shows what runs",
                     STR_ARG(o->host_id), (unsigned long long)patience_ms);
    if (ok && o->e.code != ERR_NONE) {
        *e = o->e;
        ok = false;
    }
    return ok;
}

/* Sends, and unless told not to, waits for the outcome. */
static bool finish(struct outcome *o, bool sent, uint64_t default_ms, struct err *e)
{
    bool ok = session_await(o->c, sent, e);
    if (ok && !option_flag(o->c, "skip-wait"))
        ok = await_outcome(o, default_ms, e);
    bus_unsubscribe(&o->sub);
    return ok;
}

static void set_ids(struct ctl *c, const char *ref_key, struct str ref, const char *id_key,
                    struct str id, struct str host)
{
    if (ref_key)
        result_set(c, ref_key, json_str(ref));
    result_set(c, id_key, json_str(id));
    result_set(c, "host_id", json_str(host));
}

/* ---- components ----------------------------------------------------------------------------------- */

static bool scale(struct ctl *c, struct proto_scale *s, struct err *e)
{
    struct outcome o = {.c = c,
                        .host_id = s->host_id,
                        .id = s->component_id,
                        .good = PROTO_EVENT_COMPONENT_SCALED,
                        .bad = PROTO_EVENT_COMPONENT_SCALE_FAILED};
    if (listen(&o, e) &&
        finish(&o, proto_component_scale(c->client, s, on_ack, c, NULL, e), COMPONENT_WAIT_MS, e))
        return true;
    return err_wrap(e, "component '%.*s'", STR_ARG(s->component_id));
}

static bool max_instances(struct ctl *c, uint32_t *out, struct err *e)
{
    uint64_t n = option_number(c, "max-instances");
    return fit_u32(n, out) || err_set(e, ERR_LIMIT, "--max-instances: at most %u", UINT32_MAX);
}

bool cmd_start_component(struct ctl *c, struct err *e)
{
    struct proto_scale s = {.component_id = str_of(word(c, 1)),
                            .allow_update = option_flag(c, "allow-update")};
    if (!id_ok(word(c, 1), e) || !reference(c, word(c, 0), &s.component_ref, e) ||
        !max_instances(c, &s.max_instances, e) || !option_strs(c, "config", &s.config, e) ||
        !session_open(c, e) || !choose_host(c, s.component_ref, s.component_id, &s.host_id, e) ||
        !scale(c, &s, e))
        return false;
    if (option_flag(c, "skip-wait"))
        result_say(c, "Start component [%.*s] (ref: [%.*s]) request received",
                   STR_ARG(s.component_id), STR_ARG(s.component_ref));
    else
        result_say(c, "Component [%.*s] (ref: [%.*s]) started on host [%.*s]",
                   STR_ARG(s.component_id), STR_ARG(s.component_ref), STR_ARG(s.host_id));
    set_ids(c, "component_ref", s.component_ref, "component_id", s.component_id, s.host_id);
    return true;
}

bool cmd_scale_component(struct ctl *c, struct err *e)
{
    struct proto_scale s = {.component_id = str_of(word(c, 2)),
                            .allow_update = option_flag(c, "allow-update")};
    char count[40] = "unbounded concurrency";
    if (!id_ok(word(c, 2), e) || !reference(c, word(c, 1), &s.component_ref, e) ||
        !max_instances(c, &s.max_instances, e) || !option_strs(c, "config", &s.config, e) ||
        !option_pairs(c, "annotations", &s.annotations, e) || !session_open(c, e) ||
        !host_find(c, word(c, 0), &s.host_id, e) || !scale(c, &s, e))
        return false;
    if (s.max_instances != UINT32_MAX)
        snprintf(count, sizeof count, "%u max concurrent instances", s.max_instances);
    result_say(c, "Component [%.*s] (ref: [%.*s]) scaled on host [%.*s] to %s",
               STR_ARG(s.component_id), STR_ARG(s.component_ref), STR_ARG(s.host_id), count);
    set_ids(c, "component_ref", s.component_ref, "component_id", s.component_id, s.host_id);
    return true;
}

/* ---- where something runs ------------------------------------------------------------------------- */

struct running {
    struct str host_id, ref;
    struct proto_map annotations;
    uint32_t hosts; /* how many run it; the first one is above */
};

static bool look_at(struct ctl *c, struct str host, struct str id, bool component,
                    struct running *out, struct err *e)
{
    struct proto_inventory inv;
    if (!inventory_get(c, host, &inv, e))
        return false;
    struct str ref = STR_NONE;
    struct proto_map annotations = {0};
    for (uint32_t i = 0; component && i < inv.components.n; i++)
        if (str_eq(inv.components.v[i].id, id)) {
            ref = inv.components.v[i].image_ref;
            annotations = inv.components.v[i].annotations;
        }
    for (uint32_t i = 0; !component && i < inv.providers.n; i++)
        if (str_eq(inv.providers.v[i].id, id))
            ref = inv.providers.v[i].image_ref.p ? inv.providers.v[i].image_ref : STR("");
    if (ref.p && out->hosts++ == 0) {
        out->host_id = host;
        out->ref = ref;
        out->annotations = annotations;
    }
    return true;
}

/* On the host of --host-id, or on all. Not finding it is an error. */
static bool find_running(struct ctl *c, const char *id, bool component, struct running *out,
                         struct err *e)
{
    struct host_list hosts = {0};
    struct str only;
    bool ok = true;
    *out = (struct running){0};
    if (option_text(c, "host-id")) {
        ok = host_find(c, option_text(c, "host-id"), &only, e) &&
             look_at(c, only, str_of(id), component, out, e);
    } else {
        ok = hosts_collect(c, &hosts, e);
        for (uint32_t i = 0; ok && i < hosts.n; i++)
            ok = look_at(c, hosts.v[i].id, str_of(id), component, out, e);
    }
    if (ok && out->hosts == 0)
        return err_set(
            e, ERR_NOT_FOUND,
            "no %s '%s' runs %s on lattice '%.*s'; `hostctl get inventory` shows what does",
            component ? "component" : "provider", id,
            option_text(c, "host-id") ? "on that host" : "anywhere", STR_ARG(session_lattice(c)));
    return ok;
}

bool cmd_stop_component(struct ctl *c, struct err *e)
{
    struct running r;
    if (!id_ok(word(c, 0), e) || !session_open(c, e) || !find_running(c, word(c, 0), true, &r, e))
        return false;
    struct proto_scale s = {.host_id = r.host_id,
                            .component_id = str_of(word(c, 0)),
                            .component_ref = r.ref,
                            .annotations = r.annotations};
    if (!scale(c, &s, e))
        return false;
    result_say(c,
               option_flag(c, "skip-wait") ? "Request to stop component [%s] received"
                                           : "Component [%s] stopped",
               word(c, 0));
    set_ids(c, NULL, STR_NONE, "component_id", s.component_id, s.host_id);
    return true;
}

/* ---- update --------------------------------------------------------------------------------------- */

static bool update_on(struct ctl *c, const struct running *r, struct str ref, bool wait,
                      struct err *e)
{
    struct proto_update u = {.host_id = r->host_id,
                             .component_id = str_of(word(c, 0)),
                             .new_component_ref = ref,
                             .annotations = r->annotations};
    struct outcome o = {.c = c,
                        .host_id = r->host_id,
                        .id = u.component_id,
                        .good = PROTO_EVENT_COMPONENT_SCALED,
                        .bad = PROTO_EVENT_COMPONENT_SCALE_FAILED};
    if (str_eq(image_name(ref), image_name(r->ref))) {
        result_say(c, "Component [%s] is already updated to [%s] on host [%.*s]", word(c, 0),
                   word(c, 1), STR_ARG(r->host_id));
        return true;
    }
    bool ok = (!wait || listen(&o, e)) &&
              session_await(c, proto_component_update(c->client, &u, on_ack, c, NULL, e), e) &&
              (!wait || await_outcome(&o, COMPONENT_WAIT_MS, e));
    bus_unsubscribe(&o.sub);
    if (!ok)
        return err_wrap(e, "component '%s'", word(c, 0));
    result_say(c, "Component [%s] %s to [%s] on host [%.*s]", word(c, 0),
               wait ? "updated" : "updating", word(c, 1), STR_ARG(r->host_id));
    return true;
}

/* Host by host: the next one only when the one before runs it. */
static bool update_everywhere(struct ctl *c, struct str ref, struct err *e)
{
    struct host_list hosts = {0};
    uint32_t running = 0;
    bool ok = hosts_collect(c, &hosts, e);
    for (uint32_t i = 0; ok && i < hosts.n; i++) {
        struct running r = {0};
        ok = look_at(c, hosts.v[i].id, str_of(word(c, 0)), true, &r, e) &&
             (!r.hosts || update_on(c, &r, ref, true, e));
        running += r.hosts;
    }
    if (!ok && c->text.n)
        notice(c, "done before that: %.*s", STR_ARG(str_trim(buf_view(&c->text))));
    if (ok && !running)
        return err_set(e, ERR_NOT_FOUND, "no component '%s' runs anywhere on lattice '%.*s'",
                       word(c, 0), STR_ARG(session_lattice(c)));
    if (ok)
        result_set(c, "result", json_str(str_trim(buf_view(&c->text)))); /* a line for each */
    return ok;
}

bool cmd_update_component(struct ctl *c, struct err *e)
{
    struct running r;
    struct str ref;
    bool all = option_flag(c, "all-hosts");
    if (all && option_text(c, "host-id"))
        return err_set(e, ERR_INVALID, "--host-id and --all-hosts: only one of them");
    if (!id_ok(word(c, 0), e) || !reference(c, word(c, 1), &ref, e) || !session_open(c, e))
        return false;
    if (all)
        return update_everywhere(c, ref, e);
    if (!find_running(c, word(c, 0), true, &r, e))
        return false;
    if (r.hosts > 1)
        return err_set(e, ERR_INVALID,
                       "component '%s' runs on %u hosts: say which with --host-id, or --all-hosts",
                       word(c, 0), r.hosts);
    return update_on(c, &r, ref, option_flag(c, "wait"), e);
}

/* ---- providers ------------------------------------------------------------------------------------ */

bool cmd_start_provider(struct ctl *c, struct err *e)
{
    struct proto_provider_start s = {.provider_id = str_of(word(c, 1))};
    struct outcome o = {.c = c,
                        .id = s.provider_id,
                        .good = PROTO_EVENT_PROVIDER_STARTED,
                        .bad = PROTO_EVENT_PROVIDER_START_FAILED};
    if (!id_ok(word(c, 1), e) || !reference(c, word(c, 0), &s.provider_ref, e) ||
        !option_strs(c, "config", &s.config, e) || !session_open(c, e) ||
        !choose_host(c, s.provider_ref, s.provider_id, &s.host_id, e))
        return false;
    o.host_id = s.host_id;
    if (!listen(&o, e) ||
        !finish(&o, proto_provider_start(c->client, &s, on_ack, c, NULL, e), PROVIDER_WAIT_MS, e))
        return err_wrap(e, "provider '%s'", word(c, 1));
    if (option_flag(c, "skip-wait"))
        result_say(c, "Start provider [%s] (ref: [%.*s]) request received", word(c, 1),
                   STR_ARG(s.provider_ref));
    else
        result_say(c, "Provider [%s] (ref: [%.*s]) started on host [%.*s]", word(c, 1),
                   STR_ARG(s.provider_ref), STR_ARG(s.host_id));
    set_ids(c, "provider_ref", s.provider_ref, "provider_id", s.provider_id, s.host_id);
    return true;
}

bool cmd_stop_provider(struct ctl *c, struct err *e)
{
    struct running r;
    struct outcome o = {.c = c,
                        .id = str_of(word(c, 0)),
                        .good = PROTO_EVENT_PROVIDER_STOPPED,
                        .bad = PROTO_EVENT_UNKNOWN};
    if (!id_ok(word(c, 0), e) || !session_open(c, e) || !find_running(c, word(c, 0), false, &r, e))
        return false;
    if (r.hosts > 1)
        return err_set(e, ERR_INVALID, "provider '%s' runs on %u hosts: say which with --host-id",
                       word(c, 0), r.hosts);
    struct proto_provider_stop s = {.host_id = r.host_id, .provider_id = o.id};
    o.host_id = r.host_id;
    if (!listen(&o, e) ||
        !finish(&o, proto_provider_stop(c->client, &s, on_ack, c, NULL, e), COMPONENT_WAIT_MS, e))
        return err_wrap(e, "provider '%s'", word(c, 0));
    result_say(c,
               option_flag(c, "skip-wait") ? "Request to stop provider [%s] received"
                                           : "Provider [%s] stopped successfully",
               word(c, 0));
    set_ids(c, NULL, STR_NONE, "provider_id", o.id, r.host_id);
    return true;
}
