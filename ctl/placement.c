/* SPDX-License-Identifier: Apache-2.0 */
/* Where an application runs: what the hosts' inventories say of components and providers that carry its name. */
#include "ctl/table.h"

#include "lattice/base/alloc.h"

/* Adds to {ID: {HOST: COUNT}}. */
static void add(json_t *places, struct str id, struct str host, uint32_t count)
{
    json_t *hosts = json_object_getn(places, id.p, id.n);
    if (!hosts) {
        hosts = json_object();
        json_object_setn_new(places, id.p, id.n, hosts);
    }
    json_int_t before = json_integer_value(json_object_getn(hosts, host.p, host.n));
    json_object_setn_new(hosts, host.p, host.n, json_integer(before + count));
}

static bool is_part(const struct proto_map *annotations, struct str app)
{
    struct str owner;
    return proto_map_get(annotations, STR(PROTO_ANNOTATION_APP), &owner) && str_eq(owner, app);
}

static void add_host(json_t *places, const struct proto_inventory *inv, struct str app)
{
    struct str host = inv->friendly_name.n ? inv->friendly_name : inv->host_id;
    for (uint32_t i = 0; i < inv->components.n; i++) {
        const struct proto_component *one = &inv->components.v[i];
        if (is_part(&one->annotations, app))
            add(places, one->id, host, one->max_instances);
    }
    for (uint32_t i = 0; i < inv->providers.n; i++)
        if (is_part(&inv->providers.v[i].annotations, app))
            add(places, inv->providers.v[i].id, host, 1);
}

static void show(struct ctl *c, json_t *places)
{
    struct table t;
    const char *id, *host;
    json_t *hosts, *count;
    buf_str(&c->text, STR("\n"));
    table_begin(&t, 2);
    table_row(&t, 2, (struct str[]){STR("ID"), STR("Placement")});
    json_object_foreach(places, id, hosts)
    {
        struct buf line = BUF_INIT;
        json_object_foreach(hosts, host, count)
        {
            buf_printf(&line, "%s%s=%" JSON_INTEGER_FORMAT, line.n ? " " : "", host,
                       json_integer_value(count));
        }
        table_row(&t, 2, (struct str[]){str_of(id), buf_view(&line)});
        buf_fini(&line);
    }
    table_end(&t, c);
}

bool placement_show(struct ctl *c, struct str app, struct err *e)
{
    struct host_list hosts;
    if (!hosts_collect(c, &hosts, e))
        return false;
    json_t *places = json_object();
    result_set(c, "placement", places);
    for (uint32_t i = 0; i < hosts.n; i++) {
        struct proto_inventory inv;
        if (!inventory_get(c, hosts.v[i].id, &inv, e))
            return false;
        add_host(places, &inv, app);
    }
    show(c, places);
    return true;
}
