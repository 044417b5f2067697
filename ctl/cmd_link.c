/* SPDX-License-Identifier: Apache-2.0 */
/* Links: who may call whom, over which interfaces. */
#include "ctl/table.h"

#include <stdlib.h>
#include "lattice/base/alloc.h"

struct collecting {
    struct ctl *c;
    struct link_list *out;
};

static int by_source(const void *a, const void *b)
{
    const struct proto_link *x = a, *y = b;
    int order = str_cmp(x->source_id, y->source_id);
    return order ? order : str_cmp(x->target, y->target);
}

static void on_links(void *user, const struct proto_reply *r, const struct err *e)
{
    struct collecting *w = user;
    struct link_list *l = w->out;
    struct err bad = ERR_INIT;
    const struct proto_link_list *list = r ? r->response.links : NULL;
    l->v = arena_array(&w->c->arena, struct proto_link, list ? list->n : 0);
    for (uint32_t i = 0; list && l->v && i < list->n; i++)
        if (proto_link_copy(&w->c->arena, &list->v[i], &l->v[l->n], &bad))
            l->n++;
    session_answer(w->c, r ? &bad : e);
}

bool links_collect(struct ctl *c, struct link_list *out, struct err *e)
{
    struct collecting w = {c, out};
    *out = (struct link_list){0};
    if (!session_await_any(c, proto_links_get(c->client, on_links, &w, NULL, e), e))
        return false;
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, by_source);
    return true;
}

static json_t *link_json(const struct proto_link *l)
{
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    json_t *v = proto_link_encode(l, &b, &e) ? json_from(&b) : json_null();
    buf_fini(&b);
    return v;
}

bool cmd_get_links(struct ctl *c, struct err *e)
{
    struct link_list links;
    struct table t;
    if (!session_open(c, e) || !links_collect(c, &links, e))
        return false;
    json_t *list = json_array();
    table_begin(&t, 4);
    table_row(&t, 4,
              (struct str[]){STR("Source ID"), STR("Target"), STR("Interface(s)"), STR("Name")});
    for (uint32_t i = 0; i < links.n; i++) {
        const struct proto_link *l = &links.v[i];
        struct buf what = BUF_INIT;
        buf_printf(&what, "%.*s:%.*s/", STR_ARG(l->wit_namespace), STR_ARG(l->wit_package));
        for (uint32_t j = 0; j < l->interfaces.n; j++)
            buf_printf(&what, "%s%.*s", j ? "," : "", STR_ARG(l->interfaces.v[j]));
        table_row(&t, 4, (struct str[]){l->source_id, l->target, buf_view(&what), l->name});
        json_array_append_new(list, link_json(l));
        buf_fini(&what);
    }
    table_end(&t, c);
    result_set(c, "links", list);
    return true;
}

static void on_ack(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

bool cmd_link_put(struct ctl *c, struct err *e)
{
    struct proto_link l = {
        .source_id = str_of(word(c, 0)),
        .target = str_of(word(c, 1)),
        .wit_namespace = str_of(word(c, 2)),
        .wit_package = str_of(word(c, 3)),
        .name = str_of(option_text(c, "link-name")),
    };
    if (!option_strs(c, "interface", &l.interfaces, e) ||
        !option_strs(c, "source-config", &l.source_config, e) ||
        !option_strs(c, "target-config", &l.target_config, e))
        return false;
    if (l.interfaces.n == 0)
        return err_set(e, ERR_INVALID,
                       "say with --interface which interfaces of %.*s:%.*s are linked",
                       STR_ARG(l.wit_namespace), STR_ARG(l.wit_package));
    if (!session_open(c, e))
        return false;
    if (!session_await_any(c, proto_link_put(c->client, &l, on_ack, c, NULL, e), e))
        return err_wrap(e, "link %s -> %s", word(c, 0), word(c, 1));
    buf_printf(&c->text, "Published link (%s) -> (%s) successfully\n", word(c, 0), word(c, 1));
    result_set(c, "source_id", json_str(l.source_id));
    result_set(c, "target", json_str(l.target));
    return true;
}

static bool link_delete(struct ctl *c, const struct proto_link_del *d, struct err *e)
{
    if (session_await_any(c, proto_link_del(c->client, d, on_ack, c, NULL, e), e))
        return true;
    return err_wrap(e, "delete link of %.*s on %.*s:%.*s (%.*s)", STR_ARG(d->source_id),
                    STR_ARG(d->wit_namespace), STR_ARG(d->wit_package), STR_ARG(d->name));
}

/* Only with --force: nobody is asked here. */
static bool delete_all(struct ctl *c, struct err *e)
{
    struct link_list links;
    json_t *deleted = json_array();
    result_set(c, "deleted", deleted);
    if (!option_flag(c, "force"))
        return err_set(e, ERR_INVALID,
                       "this deletes every link of lattice '%.*s': add --force if that is meant",
                       STR_ARG(session_lattice(c)));
    if (!links_collect(c, &links, e))
        return false;
    for (uint32_t i = 0; i < links.n; i++) {
        const struct proto_link *l = &links.v[i];
        struct proto_link_del d = {l->source_id, l->name, l->wit_namespace, l->wit_package};
        if (!link_delete(c, &d, e))
            return err_wrap(e, "%u of %u links deleted", i, links.n);
        json_array_append_new(deleted, link_json(l));
    }
    buf_printf(&c->text, "Deleted %u links\n", links.n);
    return true;
}

/* Without a name: the only link with this source, namespace and package, whatever it is called. */
static bool choose_name(struct ctl *c, struct proto_link_del *d, struct err *e)
{
    struct link_list links;
    uint32_t matches = 0;
    if (!links_collect(c, &links, e))
        return false;
    d->name = STR("default");
    for (uint32_t i = 0; i < links.n; i++) {
        const struct proto_link *l = &links.v[i];
        if (!str_eq(l->source_id, d->source_id) || !str_eq(l->wit_namespace, d->wit_namespace) ||
            !str_eq(l->wit_package, d->wit_package))
            continue;
        matches += matches == 0 || !str_eq(d->name, l->name);
        d->name = l->name;
    }
    return matches <= 1 ||
           err_set(e, ERR_INVALID, "%.*s has %u links on %.*s:%.*s, say which with --link-name",
                   STR_ARG(d->source_id), matches, STR_ARG(d->wit_namespace),
                   STR_ARG(d->wit_package));
}

bool cmd_link_del(struct ctl *c, struct err *e)
{
    struct proto_link_del d = {
        .source_id = str_of(word(c, 0)),
        .wit_namespace = str_of(word(c, 1)),
        .wit_package = str_of(word(c, 2)),
        .name = str_of(option_text(c, "link-name")),
    };
    if (!option_flag(c, "all") && c->nwords < 3)
        return err_set(e, ERR_INVALID,
                       "say SOURCE_ID, NAMESPACE and PACKAGE of the link, or --all");
    if (!session_open(c, e))
        return false;
    if (option_flag(c, "all"))
        return delete_all(c, e);
    if ((d.name.n == 0 && !choose_name(c, &d, e)) || !link_delete(c, &d, e))
        return false;
    buf_printf(&c->text, "Deleted link for %.*s on %.*s:%.*s (%.*s) successfully\n",
               STR_ARG(d.source_id), STR_ARG(d.wit_namespace), STR_ARG(d.wit_package),
               STR_ARG(d.name));
    result_set(c, "source_id", json_str(d.source_id));
    result_set(c, "wit_namespace", json_str(d.wit_namespace));
    result_set(c, "wit_package", json_str(d.wit_package));
    result_set(c, "link_name", json_str(d.name));
    return true;
}
