/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of the control interface: host queries, auctions, commands, links, config, claims; and what KV holds of
 * them. Member names, defaults and quirks: lattice protocol 1.4 - 1.13, 3.2 - 3.5. */
#include "lattice/proto/proto_int.h"

#define AT(member) offsetof(T, member)

/* ---- host ------------------------------------------------------------------------------------------ */

#define T struct proto_host
static const struct shape_member host_rows[] = {
    {"id", SHAPE_STR, NEED, AT(id)},
    {"friendly_name", SHAPE_STR, 0, AT(friendly_name)},
    {"labels", SHAPE_MAP, 0, AT(labels)},
    {"lattice", SHAPE_STR, 0, AT(lattice)},
    {"uptime_seconds", SHAPE_U64, 0, AT(uptime_seconds)},
    {"uptime_human", SHAPE_STR, OMIT, AT(uptime_human)},
    {"version", SHAPE_STR, OMIT, AT(version)},
    {"ctl_host", SHAPE_STR, OMIT, AT(ctl_host)},
    {"rpc_host", SHAPE_STR, OMIT, AT(rpc_host)},
    {"js_domain", SHAPE_STR, OMIT, AT(js_domain)},
};
#undef T
static const struct shape host_shape = SHAPE(struct proto_host, host_rows);
const struct shape_member proto_root_host = {.kind = SHAPE_OBJECT, .sub = &host_shape};

#define T struct proto_component
static const struct shape_member component_rows[] = {
    {"id", SHAPE_STR, NEED, AT(id)},          {"image_ref", SHAPE_STR, NEED, AT(image_ref)},
    {"name", SHAPE_STR, OMIT, AT(name)},      {"annotations", SHAPE_MAP, 0, AT(annotations)},
    {"revision", SHAPE_I32, 0, AT(revision)}, {"max_instances", SHAPE_U32, 0, AT(max_instances)},
    {"limits", SHAPE_MAP, NULLS, AT(limits)},
};
#undef T
static const struct shape component_shape = SHAPE(struct proto_component, component_rows);
static const struct shape_member component_elem = {.kind = SHAPE_OBJECT, .sub = &component_shape};

#define T struct proto_provider
static const struct shape_member provider_rows[] = {
    {"id", SHAPE_STR, NEED, AT(id)},          {"image_ref", SHAPE_STR, OMIT, AT(image_ref)},
    {"name", SHAPE_STR, OMIT, AT(name)},      {"annotations", SHAPE_MAP, 0, AT(annotations)},
    {"revision", SHAPE_I32, 0, AT(revision)},
};
#undef T
static const struct shape provider_shape = SHAPE(struct proto_provider, provider_rows);
static const struct shape_member provider_elem = {.kind = SHAPE_OBJECT, .sub = &provider_shape};

#define T struct proto_inventory
static const struct shape_member inventory_rows[] = {
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"friendly_name", SHAPE_STR, NEED, AT(friendly_name)},
    {"labels", SHAPE_MAP, NEED, AT(labels)},
    {"version", SHAPE_STR, NEED, AT(version)},
    {"uptime_human", SHAPE_STR, NEED, AT(uptime_human)},
    {"uptime_seconds", SHAPE_U64, NEED, AT(uptime_seconds)},
    {"components", SHAPE_LIST, NEED, AT(components), .sub = &component_elem},
    {"providers", SHAPE_LIST, NEED, AT(providers), .sub = &provider_elem},
    {"probe_interval_ms", SHAPE_OPTU64, OMIT, AT(probe_interval_ms)},
};
#undef T
static const struct shape inventory_shape = SHAPE(struct proto_inventory, inventory_rows);
const struct shape_member proto_root_inventory = {.kind = SHAPE_OBJECT, .sub = &inventory_shape};

#define T struct proto_host_stop
static const struct shape_member host_stop_rows[] = {
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"timeout", SHAPE_OPTU64, OMIT, AT(timeout_ms)},
};
#undef T
static const struct shape host_stop_shape = SHAPE(struct proto_host_stop, host_stop_rows);
const struct shape_member proto_root_host_stop = {
    .kind = SHAPE_OBJECT, .flags = EMPTY, .sub = &host_stop_shape};

#define T struct proto_label
static const struct shape_member label_rows[] = {
    {"key", SHAPE_STR, NEED, AT(key)},
    {"value", SHAPE_STR, NEED, AT(value)},
};
#undef T
static const struct shape label_shape = SHAPE(struct proto_label, label_rows);
const struct shape_member proto_root_label = {.kind = SHAPE_OBJECT, .sub = &label_shape};

#define T struct proto_label_del
/* Hosts up to 1.5.0 insist on a value. */
static const struct shape_member label_del_rows[] = {
    {"key", SHAPE_STR, NEED, AT(key)},
    {"value", SHAPE_CONST, .preset = "\"\""},
};
#undef T
static const struct shape label_del_shape = SHAPE(struct proto_label_del, label_del_rows);
const struct shape_member proto_root_label_del = {.kind = SHAPE_OBJECT, .sub = &label_del_shape};

/* ---- auctions -------------------------------------------------------------------------------------- */

#define T struct proto_component_auction
static const struct shape_member component_auction_rows[] = {
    {"component_ref", SHAPE_STR, 0, AT(component_ref)},
    {"component_id", SHAPE_STR, NEED, AT(component_id)},
    {"constraints", SHAPE_MAP, NEED, AT(constraints)},
};
#undef T
static const struct shape component_auction_shape =
    SHAPE(struct proto_component_auction, component_auction_rows);
const struct shape_member proto_root_component_auction = {.kind = SHAPE_OBJECT,
                                                          .sub = &component_auction_shape};

#define T struct proto_component_bid
static const struct shape_member component_bid_rows[] = {
    {"host_id", SHAPE_STR, NEED, AT(host_id)},
    {"component_ref", SHAPE_STR, 0, AT(component_ref)},
    {"component_id", SHAPE_STR, 0, AT(component_id)},
    {"constraints", SHAPE_MAP, 0, AT(constraints)},
};
#undef T
static const struct shape component_bid_shape =
    SHAPE(struct proto_component_bid, component_bid_rows);
const struct shape_member proto_root_component_bid = {.kind = SHAPE_OBJECT,
                                                      .sub = &component_bid_shape};

#define T struct proto_provider_auction
static const struct shape_member provider_auction_rows[] = {
    {"provider_ref", SHAPE_STR, 0, AT(provider_ref)},
    {"provider_id", SHAPE_STR, NEED, AT(provider_id)},
    {"constraints", SHAPE_MAP, NEED, AT(constraints)},
};
#undef T
static const struct shape provider_auction_shape =
    SHAPE(struct proto_provider_auction, provider_auction_rows);
const struct shape_member proto_root_provider_auction = {.kind = SHAPE_OBJECT,
                                                         .sub = &provider_auction_shape};

#define T struct proto_provider_bid
static const struct shape_member provider_bid_rows[] = {
    {"host_id", SHAPE_STR, NEED, AT(host_id)},
    {"provider_ref", SHAPE_STR, 0, AT(provider_ref)},
    {"provider_id", SHAPE_STR, 0, AT(provider_id)},
    {"constraints", SHAPE_MAP, 0, AT(constraints)},
};
#undef T
static const struct shape provider_bid_shape = SHAPE(struct proto_provider_bid, provider_bid_rows);
const struct shape_member proto_root_provider_bid = {.kind = SHAPE_OBJECT,
                                                     .sub = &provider_bid_shape};

/* ---- commands -------------------------------------------------------------------------------------- */

#define T struct proto_scale
static const struct shape_member scale_rows[] = {
    {"component_id", SHAPE_STR, NEED, AT(component_id)},
    {"component_ref", SHAPE_STR, 0, AT(component_ref)},
    {"count", SHAPE_U32, 0, AT(max_instances)},
    {"annotations", SHAPE_MAP, NULLS, AT(annotations)},
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"config", SHAPE_STRS, 0, AT(config)},
    {"allow_update", SHAPE_BOOL, 0, AT(allow_update)},
    {"component_limits", SHAPE_MAP, OMIT, AT(limits)},
};
#undef T
static const struct shape scale_shape = SHAPE(struct proto_scale, scale_rows);
const struct shape_member proto_root_scale = {.kind = SHAPE_OBJECT, .sub = &scale_shape};

#define T struct proto_update
static const struct shape_member update_rows[] = {
    {"component_id", SHAPE_STR, 0, AT(component_id)},
    {"new_component_ref", SHAPE_STR, 0, AT(new_component_ref)},
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"annotations", SHAPE_MAP, OMIT, AT(annotations)},
};
#undef T
static const struct shape update_shape = SHAPE(struct proto_update, update_rows);
const struct shape_member proto_root_update = {.kind = SHAPE_OBJECT, .sub = &update_shape};

#define T struct proto_provider_start
static const struct shape_member provider_start_rows[] = {
    {"provider_id", SHAPE_STR, NEED, AT(provider_id)},
    {"provider_ref", SHAPE_STR, 0, AT(provider_ref)},
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"config", SHAPE_STRS, 0, AT(config)},
    {"annotations", SHAPE_MAP, OMIT, AT(annotations)},
};
#undef T
static const struct shape provider_start_shape =
    SHAPE(struct proto_provider_start, provider_start_rows);
const struct shape_member proto_root_provider_start = {.kind = SHAPE_OBJECT,
                                                       .sub = &provider_start_shape};

#define T struct proto_provider_stop
static const struct shape_member provider_stop_rows[] = {
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"provider_id", SHAPE_STR, NEED, AT(provider_id), .alias = "provider_ref"},
};
#undef T
static const struct shape provider_stop_shape =
    SHAPE(struct proto_provider_stop, provider_stop_rows);
const struct shape_member proto_root_provider_stop = {.kind = SHAPE_OBJECT,
                                                      .sub = &provider_stop_shape};

/* ---- links ----------------------------------------------------------------------------------------- */

#define T struct proto_link
static const struct shape_member link_rows[] = {
    {"source_id", SHAPE_STR, NEED, AT(source_id)},
    {"target", SHAPE_STR, NEED, AT(target)},
    {"name", SHAPE_STR, 0, AT(name), .preset = "default"},
    {"wit_namespace", SHAPE_STR, NEED, AT(wit_namespace)},
    {"wit_package", SHAPE_STR, NEED, AT(wit_package)},
    {"interfaces", SHAPE_STRS, NEED, AT(interfaces)},
    {"source_config", SHAPE_STRS, 0, AT(source_config)},
    {"target_config", SHAPE_STRS, 0, AT(target_config)},
};
#undef T
static const struct shape link_shape = SHAPE(struct proto_link, link_rows);
const struct shape_member proto_root_link = {.kind = SHAPE_OBJECT, .sub = &link_shape};
const struct shape_member proto_root_link_list = {.kind = SHAPE_LIST, .sub = &proto_root_link};

#define T struct proto_link_del
static const struct shape_member link_del_rows[] = {
    {"source_id", SHAPE_STR, NEED, AT(source_id)},
    {"name", SHAPE_STR, 0, AT(name), .preset = "default"},
    {"wit_namespace", SHAPE_STR, NEED, AT(wit_namespace)},
    {"wit_package", SHAPE_STR, NEED, AT(wit_package)},
};
#undef T
static const struct shape link_del_shape = SHAPE(struct proto_link_del, link_del_rows);
const struct shape_member proto_root_link_del = {.kind = SHAPE_OBJECT, .sub = &link_del_shape};

bool proto_link_eq(const struct proto_link *a, const struct proto_link *b)
{
    return str_eq(a->source_id, b->source_id) && str_eq(a->target, b->target) &&
           str_eq(a->name, b->name) && str_eq(a->wit_namespace, b->wit_namespace) &&
           str_eq(a->wit_package, b->wit_package) &&
           proto_strs_eq(&a->interfaces, &b->interfaces) &&
           proto_strs_eq(&a->source_config, &b->source_config) &&
           proto_strs_eq(&a->target_config, &b->target_config);
}

bool proto_link_copy(struct arena *a, const struct proto_link *in, struct proto_link *out,
                     struct err *e)
{
    struct proto_link l = {
        .source_id = arena_str(a, in->source_id),
        .target = arena_str(a, in->target),
        .name = arena_str(a, in->name),
        .wit_namespace = arena_str(a, in->wit_namespace),
        .wit_package = arena_str(a, in->wit_package),
        .interfaces = proto_strs_copy(a, &in->interfaces),
        .source_config = proto_strs_copy(a, &in->source_config),
        .target_config = proto_strs_copy(a, &in->target_config),
    };
    if (!l.source_id.p || !l.target.p || !l.name.p || !l.wit_namespace.p || !l.wit_package.p ||
        !l.interfaces.v || !l.source_config.v || !l.target_config.v)
        return arena_full(a, e);
    *out = l;
    return true;
}

/* ---- config, claims, registries, specs ------------------------------------------------------------- */

const struct shape_member proto_root_config = {.kind = SHAPE_MAP};
const struct shape_member proto_root_maps = {.kind = SHAPE_LIST, .sub = &proto_root_config};

_Static_assert(offsetof(struct proto_registry, authority) == 0, "the name of a NAMED element");
#define T struct proto_registry
static const struct shape_member registry_rows[] = {
    {"username", SHAPE_STR, OMIT, AT(username)},
    {"password", SHAPE_STR, OMIT, AT(password)},
    {"token", SHAPE_STR, OMIT, AT(token)},
    {"registryType", SHAPE_STR, 0, AT(type), .preset = "oci"},
};
#undef T
static const struct shape registry_shape = SHAPE(struct proto_registry, registry_rows);
static const struct shape_member registry_elem = {.kind = SHAPE_OBJECT, .sub = &registry_shape};
const struct shape_member proto_root_registries = {.kind = SHAPE_NAMED, .sub = &registry_elem};

#define T struct proto_spec
static const struct shape_member spec_rows[] = {
    {"url", SHAPE_STR, NEED, AT(url)},
    {"links", SHAPE_LIST, 0, AT(links), .sub = &proto_root_link},
};
#undef T
static const struct shape spec_shape = SHAPE(struct proto_spec, spec_rows);
const struct shape_member proto_root_spec = {.kind = SHAPE_OBJECT, .sub = &spec_shape};

#define T struct proto_claims
static const struct shape_member claims_rows[] = {
    {"call_alias", SHAPE_STR, OMIT, AT(call_alias)},
    {"issuer", SHAPE_STR, NEED, AT(issuer), .alias = "iss"},
    {"name", SHAPE_STR, 0, AT(name)},
    {"revision", SHAPE_STR, 0, AT(revision), .alias = "rev"},
    {"subject", SHAPE_STR, NEED, AT(subject), .alias = "sub"},
    {"tags", SHAPE_TAGS, OMIT, AT(tags)},
    {"version", SHAPE_STR, 0, AT(version)},
    {"config_schema", SHAPE_STR, OMIT, AT(config_schema)},
};
#undef T
static const struct shape claims_shape = SHAPE(struct proto_claims, claims_rows);
const struct shape_member proto_root_claims = {.kind = SHAPE_OBJECT, .sub = &claims_shape};
