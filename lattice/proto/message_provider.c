/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads between a host and its providers: HostData, resolved links, health, shutdown (lattice protocol 6.4 - 6.8).
 * A config update is a plain config map. */
#include "lattice/proto/proto_int.h"

#define AT(member) offsetof(T, member)

_Static_assert(offsetof(struct proto_secret, name) == 0, "the name of a NAMED element");
static const struct shape_member secret_elem = {.kind = SHAPE_SECRET};
const struct shape_member proto_root_secrets = {.kind = SHAPE_NAMED, .sub = &secret_elem};

#define T struct proto_link_def
static const struct shape_member link_def_rows[] = {
    {"source_id", SHAPE_STR, NEED, AT(source_id)},
    {"target", SHAPE_STR, NEED, AT(target)},
    {"name", SHAPE_STR, 0, AT(name), .preset = "default"},
    {"wit_namespace", SHAPE_STR, NEED, AT(wit_namespace)},
    {"wit_package", SHAPE_STR, NEED, AT(wit_package)},
    {"interfaces", SHAPE_STRS, NEED, AT(interfaces)},
    {"source_config", SHAPE_MAP, 0, AT(source_config)},
    {"target_config", SHAPE_MAP, 0, AT(target_config)},
    {"source_secrets", SHAPE_BYTES, NULLS, AT(source_secrets)},
    {"target_secrets", SHAPE_BYTES, NULLS, AT(target_secrets)},
};
#undef T
static const struct shape link_def_shape = SHAPE(struct proto_link_def, link_def_rows);
const struct shape_member proto_root_link_def = {.kind = SHAPE_OBJECT, .sub = &link_def_shape};

#define T struct proto_otel
static const struct shape_member otel_rows[] = {
    {"enable_observability", SHAPE_BOOL, 0, AT(enable_observability)},
    {"enable_traces", SHAPE_OPTBOOL, OMIT, AT(enable_traces)},
    {"enable_metrics", SHAPE_OPTBOOL, OMIT, AT(enable_metrics)},
    {"enable_logs", SHAPE_OPTBOOL, OMIT, AT(enable_logs)},
    {"observability_endpoint", SHAPE_STR, OMIT, AT(observability_endpoint)},
    {"traces_endpoint", SHAPE_STR, OMIT, AT(traces_endpoint)},
    {"metrics_endpoint", SHAPE_STR, OMIT, AT(metrics_endpoint)},
    {"logs_endpoint", SHAPE_STR, OMIT, AT(logs_endpoint)},
    {"protocol", SHAPE_STR, 0, AT(protocol), .preset = "Http"},
    {"additional_ca_paths", SHAPE_STRS, 0, AT(additional_ca_paths)},
    {"trace_level", SHAPE_STR, 0, AT(trace_level), .preset = "info"},
};
#undef T
static const struct shape otel_shape = SHAPE(struct proto_otel, otel_rows);

/* A reader insists on the two members that the Rust SDK insists on. */
#define T struct proto_host_data
static const struct shape_member host_data_rows[] = {
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"lattice_rpc_prefix", SHAPE_STR, 0, AT(lattice_rpc_prefix)},
    {"link_name", SHAPE_STR, 0, AT(link_name)},
    {"lattice_rpc_user_jwt", SHAPE_STR, 0, AT(lattice_rpc_user_jwt)},
    {"lattice_rpc_user_seed", SHAPE_STR, 0, AT(lattice_rpc_user_seed)},
    {"lattice_rpc_url", SHAPE_STR, 0, AT(lattice_rpc_url)},
    {"provider_key", SHAPE_STR, 0, AT(provider_key)},
    {"env_values", SHAPE_MAP, NEED, AT(env_values)},
    {"instance_id", SHAPE_STR, 0, AT(instance_id)},
    {"link_definitions", SHAPE_LIST, NEED, AT(link_definitions), .sub = &proto_root_link_def},
    {"cluster_issuers", SHAPE_STRS, 0, AT(cluster_issuers)},
    {"config", SHAPE_MAP, 0, AT(config)},
    {"secrets", SHAPE_NAMED, 0, AT(secrets), .sub = &secret_elem},
    {"host_xkey_public_key", SHAPE_STR, 0, AT(host_xkey_public_key)},
    {"provider_xkey_private_key", SHAPE_STR, 0, AT(provider_xkey_private_key)},
    {"default_rpc_timeout_ms", SHAPE_OPTU64, OMIT, AT(default_rpc_timeout_ms)},
    {"structured_logging", SHAPE_BOOL, 0, AT(structured_logging)},
    {"log_level", SHAPE_STR, OMIT, AT(log_level)},
    {"otel_config", SHAPE_OBJECT, 0, AT(otel_config), .sub = &otel_shape},
};
#undef T
static const struct shape host_data_shape = SHAPE(struct proto_host_data, host_data_rows);
const struct shape_member proto_root_host_data = {.kind = SHAPE_OBJECT, .sub = &host_data_shape};

#define T struct proto_health
static const struct shape_member health_reply_rows[] = {
    {"healthy", SHAPE_BOOL, 0, AT(healthy)},
    {"message", SHAPE_STR, OMIT, AT(message)},
};
#undef T
static const struct shape health_reply_shape = SHAPE(struct proto_health, health_reply_rows);
const struct shape_member proto_root_health_reply = {.kind = SHAPE_OBJECT,
                                                     .sub = &health_reply_shape};

#define T struct proto_shutdown
static const struct shape_member shutdown_rows[] = {
    {"host_id", SHAPE_STR, NEED, AT(host_id)},
};
#undef T
static const struct shape shutdown_shape = SHAPE(struct proto_shutdown, shutdown_rows);
const struct shape_member proto_root_shutdown = {.kind = SHAPE_OBJECT, .sub = &shutdown_shape};

/* ---- copies ---------------------------------------------------------------------------------------- */

/* Copies the bytes of *s; false when there were some and no room. */
static bool own(struct arena *a, struct str *s)
{
    if (!s->p)
        return true;
    *s = arena_str(a, *s);
    return s->p != NULL;
}

bool proto_link_def_copy(struct arena *a, const struct proto_link_def *in,
                         struct proto_link_def *out, struct err *e)
{
    struct proto_link_def d = *in;
    struct str source_secrets = span_str(in->source_secrets),
               target_secrets = span_str(in->target_secrets);
    d.interfaces = proto_strs_copy(a, &in->interfaces);
    d.source_config = proto_map_copy(a, &in->source_config);
    d.target_config = proto_map_copy(a, &in->target_config);
    bool ok = own(a, &d.source_id) && own(a, &d.target) && own(a, &d.name) &&
              own(a, &d.wit_namespace) && own(a, &d.wit_package) && own(a, &source_secrets) &&
              own(a, &target_secrets) && d.interfaces.v && d.source_config.v && d.target_config.v;
    if (!ok)
        return arena_full(a, e);
    d.source_secrets = str_span(source_secrets);
    d.target_secrets = str_span(target_secrets);
    *out = d;
    return true;
}
