/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts: who is there, what runs where, labels, stopping one; claims, which hosts report. */
#include "ctl/table.h"

#include <stdlib.h>
#include "lattice/base/loop.h"

/* ---- get hosts ------------------------------------------------------------------------------------ */

bool cmd_get_hosts(struct ctl *c, struct err *e)
{
    struct host_list hosts;
    struct table t;
    struct buf json = BUF_INIT;
    if (!session_open(c, e) || !hosts_collect(c, &hosts, e))
        return false;
    json_t *list = json_array();
    table_begin(&t, 3);
    table_row(&t, 3, (struct str[]){STR("Host ID"), STR("Friendly name"), STR("Uptime (seconds)")});
    for (uint32_t i = 0; i < hosts.n; i++) {
        const struct proto_host *h = &hosts.v[i];
        char uptime[24];
        snprintf(uptime, sizeof uptime, "%llu", (unsigned long long)h->uptime_seconds);
        table_row(&t, 3, (struct str[]){h->id, h->friendly_name, str_of(uptime)});
        if (proto_host_encode(h, &json, e))
            json_array_append_new(list, json_from(&json));
    }
    table_end(&t, c);
    buf_fini(&json);
    result_set(c, "hosts", list);
    return true;
}

/* ---- get inventory -------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    return str_cmp(((const struct proto_host *)a)->id, ((const struct proto_host *)b)->id);
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct proto_pair *)a)->key, ((const struct proto_pair *)b)->key);
}

static int by_name(const void *a, const void *b)
{
    const struct proto_component *x = a, *y = b;
    int order = str_cmp(x->name, y->name);
    return order ? order : str_cmp(x->id, y->id);
}

static struct str or_na(struct str name)
{
    return name.n ? name : STR("N/A");
}

/* A heading and its rows, or what to say when there are none. */
static void block(struct table *t, uint32_t n, const struct str heading[3], const char *nothing)
{
    table_row(t, 0, NULL);
    if (n)
        table_row(t, 3, heading);
    else
        table_row(t, 1, (struct str[]){str_of(nothing)});
}

static void show_inventory(struct table *t, const struct proto_inventory *inv)
{
    static const struct str components[] = {STR_INIT("Component ID"), STR_INIT("Name"),
                                            STR_INIT("Max count")};
    static const struct str providers[] = {STR_INIT("Provider ID"), STR_INIT("Name"), STR_INIT("")};
    static const struct str labels[] = {STR_INIT("Host labels"), STR_INIT(""), STR_INIT("")};
    table_row(t, 2, (struct str[]){STR("Host ID"), STR("Friendly name")});
    table_row(t, 2, (struct str[]){inv->host_id, inv->friendly_name});
    block(t, inv->labels.n, labels, "No labels present");
    for (uint32_t i = 0; i < inv->labels.n; i++)
        table_row(t, 2, (struct str[]){inv->labels.v[i].key, inv->labels.v[i].value});
    block(t, inv->components.n, components, "No components found");
    for (uint32_t i = 0; i < inv->components.n; i++) {
        const struct proto_component *one = &inv->components.v[i];
        char count[16];
        snprintf(count, sizeof count, "%u", one->max_instances);
        table_row(t, 3, (struct str[]){one->id, or_na(one->name), str_of(count)});
    }
    block(t, inv->providers.n, providers, "No providers found");
    for (uint32_t i = 0; i < inv->providers.n; i++)
        table_row(t, 2, (struct str[]){inv->providers.v[i].id, or_na(inv->providers.v[i].name)});
}

/* The lists were decoded into our own arena: sorting them in place is ours to do. */
static void sort_inventory(struct proto_inventory *inv)
{
    if (inv->labels.n)
        qsort((void *)inv->labels.v, inv->labels.n, sizeof *inv->labels.v, by_key);
    if (inv->components.n)
        qsort((void *)inv->components.v, inv->components.n, sizeof *inv->components.v, by_name);
}

static bool read_inventories(struct ctl *c, struct err *e)
{
    struct proto_host only = {.id = STR_NONE};
    struct host_list hosts = {.v = &only, .n = 1};
    struct table t;
    struct buf json = BUF_INIT;
    if (word(c, 0)) {
        if (!host_find(c, word(c, 0), &only.id, e))
            return false;
    } else if (!hosts_collect(c, &hosts, e)) {
        return false;
    } else if (hosts.n == 0) {
        return err_set(e, ERR_NOT_FOUND,
                       "no host answers on lattice '%.*s'; `hostctl up` starts one",
                       STR_ARG(session_lattice(c)));
    }
    qsort(hosts.v, hosts.n, sizeof *hosts.v, by_id);
    json_t *list = json_array();
    bool ok = true;
    for (uint32_t i = 0; ok && i < hosts.n; i++) {
        struct proto_inventory inv;
        ok = inventory_get(c, hosts.v[i].id, &inv, e);
        if (!ok)
            break;
        sort_inventory(&inv);
        ok = proto_inventory_encode(&inv, &json, e);
        json_array_append_new(list, json_from(&json));
        if (i)
            buf_str(&c->text, STR("\n"));
        table_begin(&t, 3);
        show_inventory(&t, &inv);
        table_end(&t, c);
    }
    buf_fini(&json);
    result_set(c, "inventories", list);
    return ok;
}

bool cmd_get_inventory(struct ctl *c, struct err *e)
{
    return session_open(c, e) && session_watch(c, 5000, read_inventories, e);
}

/* ---- get claims ----------------------------------------------------------------------------------- */

static void on_claims(void *user, const struct proto_reply *r, const struct err *e)
{
    static const struct {
        struct str label, key;
    } rows[] = {{STR_INIT("Issuer"), STR_INIT("iss")},
                {STR_INIT("Subject"), STR_INIT("sub")},
                {STR_INIT("Name"), STR_INIT("name")},
                {STR_INIT("Version"), STR_INIT("version")},
                {STR_INIT("Revision"), STR_INIT("rev")}};
    struct ctl *c = user;
    const struct proto_maps *maps = r ? r->response.claims : NULL;
    json_t *list = json_array();
    struct table t;
    table_begin(&t, 2);
    for (uint32_t i = 0; maps && i < maps->n; i++) {
        json_t *one = json_object();
        for (uint32_t j = 0; j < maps->v[i].n; j++) {
            const struct proto_pair *p = &maps->v[i].v[j];
            json_object_setn_new(one, p->key.p, p->key.n, json_str(p->value));
        }
        json_array_append_new(list, one);
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++) {
            struct str value = STR_NONE;
            proto_map_get(&maps->v[i], rows[j].key, &value);
            table_row(&t, 2, (struct str[]){rows[j].label, value});
        }
        table_row(&t, 0, NULL);
    }
    if (!maps || maps->n == 0)
        table_row(&t, 1, (struct str[]){STR("No claims known")});
    table_end(&t, c);
    result_set(c, "claims", list);
    session_answer(c, e);
}

bool cmd_get_claims(struct ctl *c, struct err *e)
{
    return session_open(c, e) &&
           session_await_any(c, proto_claims_get(c->client, on_claims, c, NULL, e), e);
}

/* ---- labels, stop --------------------------------------------------------------------------------- */

static void on_ack(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

static bool label_one(struct ctl *c, struct str host, struct str text, bool drop, json_t *processed,
                      struct err *e)
{
    size_t eq = str_find(text, '=');
    struct proto_label label = {str_sub(text, 0, eq), str_sub(text, eq + 1, text.n)};
    if (label.key.n == 0 || (eq == text.n && !drop))
        return err_set(e, ERR_INVALID, "label '%.*s' is not of the form KEY=VALUE", STR_ARG(text));
    bool sent = drop ? proto_label_del(c->client, host, label.key, on_ack, c, NULL, e)
                     : proto_label_put(c->client, host, &label, on_ack, c, NULL, e);
    if (!session_await(c, sent, e))
        return err_wrap(e, "label '%.*s' of host %.*s", STR_ARG(label.key), STR_ARG(host));
    json_array_append_new(processed,
                          json_pack("[o, o]", json_str(label.key), json_str(label.value)));
    buf_printf(&c->text, "Host `%.*s` %s `%.*s`\n", STR_ARG(host),
               drop ? "unlabeled" : "labeled with", STR_ARG(text));
    return true;
}

bool cmd_label(struct ctl *c, struct err *e)
{
    struct str host, one;
    bool drop = option_flag(c, "delete"), ok = true;
    json_t *processed = json_array();
    result_set(c, "deleted", json_boolean(drop));
    result_set(c, "processed", processed);
    if (!session_open(c, e) || !host_find(c, word(c, 0), &host, e))
        return false;
    for (size_t i = 1; i < c->nwords; i++)
        for (struct str rest = str_of(word(c, i)); ok && str_cut(&rest, ',', &one);)
            ok = label_one(c, host, one, drop, processed, e);
    if (!ok && c->text.n)
        notice(c, "done before that: %.*s", STR_ARG(str_trim(buf_view(&c->text))));
    return ok;
}

bool cmd_stop_host(struct ctl *c, struct err *e)
{
    struct proto_host_stop stop = {
        .timeout_ms = {option_number(c, "host-timeout"), option_given(c, "host-timeout")}};
    if (!session_open(c, e) || !host_find(c, word(c, 0), &stop.host_id, e))
        return false;
    if (!session_await(c, proto_host_stop(c->client, &stop, on_ack, c, NULL, e), e))
        return err_wrap(e, "stop host %.*s", STR_ARG(stop.host_id));
    result_say(c, "Host %.*s acknowledged stop request", STR_ARG(stop.host_id));
    return true;
}
