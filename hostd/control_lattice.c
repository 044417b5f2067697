/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations on what the lattice knows: links, configuration, claims; and registries' credentials.
 * Owns: links on their way to be announced. */
#include "hostd/control_int.h"

#include <utlist.h>

#include "hostd/image/image.h"
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"
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

void control_on_links_get(struct request *r)
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
        control_say_data(r, &(struct proto_link_list){v, n});
    else if (!arena_full(&r->arena, &e))
        control_say_error(r, &e);
}

static void on_link_written(void *user, const struct err *e)
{
    struct request *r = user;
    report_link(r->host, &r->link, e);
    if (e) {
        control_say_error(r, e);
    } else {
        announce_link(r->control, &r->link);
        control_say_ok(r, STR("successfully set link"));
    }
}

void control_on_link_put(struct request *r)
{
    struct err e = ERR_INIT;
    if (!proto_link_decode(r->body, &r->arena, &r->link, &e)) {
        control_say_unreadable(r, "wrpc link definition", &e);
    } else if (control_check_id(r, r->link.target) &&
               !grant_link_put(r->host->grants, &r->link, on_link_written, r, &e)) {
        report_link(r->host, &r->link, &e);
        control_say_error(r, &e);
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
        control_say_error(r, e);
        return;
    }
    if (!found) {
        control_say_ok(r, STR("successfully deleted link (spec doesn't exist)"));
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
    control_say_ok(r, STR("successfully deleted link"));
}

void control_on_link_del(struct request *r)
{
    struct err e = ERR_INIT;
    if (!proto_link_del_decode(r->body, &r->arena, &r->del, &e))
        control_say_unreadable(r, "wrpc link definition", &e);
    else if (!grant_link_del(r->host->grants, &r->del, on_link_removed, r, &e))
        control_say_error(r, &e);
}

void control_notes_close(struct control *c)
{
    while (c->notes) {
        struct link_note *note = c->notes;
        DL_DELETE(c->notes, note);
        grant_resolve_cancel(&note->resolve);
        free(note);
    }
}

/* ---- configuration, claims, registries ------------------------------------------------------------- */

static void on_config_found(void *user, struct span json, const struct err *e)
{
    struct request *r = user;
    struct proto_map map;
    struct err mine = ERR_INIT;
    if (e)
        control_say_error(r, e);
    else if (!json.p)
        control_say_ok(r, STR("Configuration not found"));
    else if (!proto_config_decode(json, &r->arena, &map, &mine))
        control_say_error(r, &mine);
    else
        control_say_data(r, &map);
}

void control_on_config_get(struct request *r)
{
    struct err e = ERR_INIT;
    if (!grant_config_read(r->host->grants, r->arg, on_config_found, r, &e))
        control_say_error(r, &e);
}

static void on_config_written(void *user, const struct err *e)
{
    struct request *r = user;
    if (e) {
        control_say_error(r, e);
        return;
    }
    report_config(r->host, PROTO_EVENT_CONFIG_SET, r->arg);
    control_say_ok(r, STR("successfully put config"));
}

void control_on_config_put(struct request *r)
{
    struct proto_map map;
    struct err e = ERR_INIT;
    if (!proto_config_decode(r->body, &r->arena, &map, &e)) {
        err_wrap(&e, "config data should be a map of string -> string");
        control_say_error(r, &e);
    } else if (!grant_config_put(r->host->grants, r->arg, r->body, on_config_written, r, &e)) {
        control_say_error(r, &e);
    }
}

static void on_config_deleted(void *user, const struct err *e)
{
    struct request *r = user;
    if (e) {
        control_say_error(r, e);
        return;
    }
    report_config(r->host, PROTO_EVENT_CONFIG_DELETED, r->arg);
    control_say_ok(r, STR("successfully deleted config"));
}

void control_on_config_del(struct request *r)
{
    struct err e = ERR_INIT;
    if (!grant_config_del(r->host->grants, r->arg, on_config_deleted, r, &e))
        control_say_error(r, &e);
}

void control_on_claims_get(struct request *r)
{
    struct err e = ERR_INIT;
    struct proto_maps claims = grant_claims(r->host->grants, &r->arena);
    if (claims.v)
        control_say_data(r, &claims);
    else if (!arena_full(&r->arena, &e))
        control_say_error(r, &e);
}

void control_on_registry_put(struct request *r)
{
    struct proto_registries m;
    struct err e = ERR_INIT;
    if (!proto_registries_decode(r->body, &r->arena, &m, &e)) {
        control_say_unreadable(r, "registries put command", &e);
        return;
    }
    for (uint32_t i = 0; i < m.n; i++) {
        struct image_registry login = {.authority = m.v[i].authority,
                                       .username = m.v[i].username,
                                       .password = m.v[i].password,
                                       .token = m.v[i].token};
        if (!images_put_registry(r->host->images, &login, &e)) {
            control_say_error(r, &e);
            return;
        }
    }
    control_say_ok(r, STR("successfully put registries"));
}
