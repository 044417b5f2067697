/* SPDX-License-Identifier: Apache-2.0 */
/* Every JSON payload as a plain struct: control interface, events, provider messages, lattice data in KV, manifest API.
 * shape.c encodes and decodes them all, driven by the tables of members in message_*.c, a file for each family.
 *
 * Decoded structs borrow from the arena given. "none" for a str, map or list is p (v) == NULL; a member that is
 * "always" written treats none as empty. Unknown members are ignored, repeated ones refused. Any thread, save for
 * proto_event_publish. */
#ifndef HOSTD_PROTO_MESSAGE_H
#define HOSTD_PROTO_MESSAGE_H

#include "lattice/base/arena.h"
#include "lattice/base/buf.h"
#include "lattice/bus/bus.h"
#include "lattice/proto/subject.h"

#define PROTO_JSON_BYTES_MAX (8u << 20) /* one payload; more is ERR_LIMIT */
#define PROTO_LIST_MAX 65536u           /* entries of one list or map */
#define PROTO_ARENA_BYTES (32u << 20)   /* a sensible ceiling for the arena of one payload */

/* ---- building blocks ------------------------------------------------------------------------------- */

struct proto_pair {
    struct str key, value;
};
struct proto_map {
    const struct proto_pair *v;
    uint32_t n;
};
struct proto_strs {
    const struct str *v;
    uint32_t n;
};
struct proto_u64 {
    uint64_t v;
    bool set;
};
struct proto_bool {
    bool v, set;
};

bool proto_map_get(const struct proto_map *m, struct str key, struct str *value);
bool proto_map_eq(const struct proto_map *a, const struct proto_map *b); /* order does not matter */
bool proto_strs_eq(const struct proto_strs *a, const struct proto_strs *b);
bool proto_strs_has(const struct proto_strs *list, struct str s);
/* Deep copies; v (p) == NULL at the arena's ceiling. */
struct proto_map proto_map_copy(struct arena *a, const struct proto_map *m);
struct proto_strs proto_strs_copy(struct arena *a, const struct proto_strs *s);

/* ---- control interface: payloads ------------------------------------------------------------------- */

struct proto_host { /* an answer to ping */
    struct str id, friendly_name, lattice;
    struct proto_map labels;
    uint64_t uptime_seconds;
    struct str uptime_human, version, ctl_host, rpc_host, js_domain; /* none: absent */
};

struct proto_component { /* on a host, as in inventory and heartbeat */
    struct str id, image_ref;
    struct str name; /* none: absent */
    struct proto_map annotations;
    int32_t revision;
    uint32_t max_instances;
    struct proto_map limits; /* none: null */
};
struct proto_component_list {
    const struct proto_component *v;
    uint32_t n;
};

struct proto_provider {
    struct str id;
    struct str image_ref, name; /* none: absent */
    struct proto_map annotations;
    int32_t revision;
};
struct proto_provider_list {
    const struct proto_provider *v;
    uint32_t n;
};

struct proto_inventory { /* host.get, and the data of a heartbeat */
    struct str host_id, friendly_name, version, uptime_human;
    struct proto_map labels;
    uint64_t uptime_seconds;
    struct proto_component_list components;
    struct proto_provider_list providers;
    struct proto_u64 probe_interval_ms; /* heartbeats of our hosts only */
};

struct proto_component_auction {
    struct str component_ref, component_id;
    struct proto_map constraints;
};
struct proto_component_bid {
    struct str host_id, component_ref, component_id;
    struct proto_map constraints;
};
struct proto_provider_auction {
    struct str provider_ref, provider_id;
    struct proto_map constraints;
};
struct proto_provider_bid {
    struct str host_id, provider_ref, provider_id;
    struct proto_map constraints;
};

struct proto_scale {
    struct str host_id, component_id, component_ref;
    uint32_t max_instances; /* "count" on the wire */
    struct proto_map annotations;
    struct proto_strs config;
    bool allow_update;
    struct proto_map limits; /* "component_limits"; none: absent */
};
struct proto_update {
    struct str host_id, component_id, new_component_ref;
    struct proto_map annotations;
};
struct proto_provider_start {
    struct str host_id, provider_id, provider_ref;
    struct proto_map annotations;
    struct proto_strs config;
};
struct proto_provider_stop {
    struct str host_id, provider_id;
};
struct proto_host_stop { /* an empty payload decodes to nothing set */
    struct str host_id;
    struct proto_u64 timeout_ms;
};
struct proto_label {
    struct str key, value;
};
struct proto_label_del {
    struct str key;
};

struct proto_link {
    struct str source_id, target, name, wit_namespace, wit_package;
    struct proto_strs interfaces, source_config, target_config;
};
struct proto_link_list {
    const struct proto_link *v;
    uint32_t n;
};
struct proto_link_del {
    struct str source_id, name, wit_namespace, wit_package;
};
bool proto_link_eq(const struct proto_link *a, const struct proto_link *b); /* all eight members */
bool proto_link_copy(struct arena *a, const struct proto_link *in, struct proto_link *out,
                     struct err *e);

struct proto_maps { /* claims.get */
    const struct proto_map *v;
    uint32_t n;
};

struct proto_registry {
    struct str authority; /* the member's name */
    struct str username, password, token;
    struct str type; /* "registryType" */
};
struct proto_registries {
    const struct proto_registry *v;
    uint32_t n;
};

/* ---- lattice data in KV ---------------------------------------------------------------------------- */

struct proto_spec { /* COMPONENT_{id} */
    struct str url;
    struct proto_link_list links;
};

struct proto_claims { /* CLAIMS_{subject}: component when call_alias and tags are there */
    struct str subject, issuer, name, version, revision;
    struct str call_alias;    /* none: a provider */
    struct proto_strs tags;   /* none: a provider */
    struct str config_schema; /* providers; none: absent */
};

/* ---- events ---------------------------------------------------------------------------------------- */

struct proto_host_event { /* host_started, host_stopped, labels_changed: the members they have */
    struct str host_id, friendly_name, version;
    struct proto_map labels;
    uint64_t uptime_seconds;
    struct proto_u64 probe_interval_ms;
};

struct proto_event_claims {
    struct str issuer, name, version, not_before_human, expires_human;
    struct str call_alias;     /* components; none: null */
    struct proto_strs tags;    /* components; none: null */
    struct proto_u64 revision; /* components; none: null */
};

struct proto_component_event {
    struct str host_id, component_id, image_ref;
    uint32_t max_instances;
    struct proto_map annotations;
    struct str error;                        /* component_scale_failed */
    struct str public_key;                   /* none: absent */
    const struct proto_event_claims *claims; /* component_scaled; NULL: absent */
};

struct proto_provider_event {
    struct str host_id, provider_id;
    struct str image_ref;    /* provider_started */
    struct str provider_ref; /* provider_start_failed: as in the command */
    struct proto_map annotations;
    struct str error;  /* provider_start_failed */
    struct str reason; /* provider_stopped */
    struct str instance_id, public_key, link_name;
    const struct proto_event_claims *claims; /* provider_started; NULL: absent */
};

struct proto_health_event {
    struct str host_id, provider_id;
    struct str message; /* ours: unhealthy, and why; none: absent */
};
struct proto_link_event {
    struct proto_link link; /* linkdef_deleted: target and interfaces none when nothing matched */
    struct str error;       /* linkdef_set_failed */
};
struct proto_config_event {
    struct str config_name;
};

struct proto_event {
    struct str id, source, time;
    enum proto_event_kind kind; /* UNKNOWN: data is not decoded, and that is no error */
    union {
        const void *any;
        const struct proto_host_event *host;     /* HOST_STARTED, HOST_STOPPED, LABELS_CHANGED */
        const struct proto_inventory *inventory; /* HOST_HEARTBEAT */
        const struct proto_component_event *component;
        const struct proto_provider_event *provider;
        const struct proto_health_event *health;
        const struct proto_link_event *link;
        const struct proto_config_event *config;
    } data;
};

bool proto_event_decode(struct span json, struct arena *a, struct proto_event *out, struct err *e);
/* id and time are made up when none. */
bool proto_event_encode(const struct proto_event *ev, struct buf *out, struct err *e);
/* Builds subject and envelope and publishes. */
bool proto_event_publish(struct bus *bus, struct str lattice, const struct proto_event *ev,
                         struct err *e);

/* wadm.evt: data is a manifest's canonical JSON, or the name. */
bool proto_api_event_encode(enum proto_api_event what, struct str manifest_json_or_name,
                            struct buf *out, struct err *e);

/* ---- host and provider ----------------------------------------------------------------------------- */

struct proto_secret {
    struct str name;   /* the member's name */
    struct str string; /* none: bytes */
    struct span bytes;
};
struct proto_secrets {
    const struct proto_secret *v;
    uint32_t n;
};

struct proto_link_def { /* a resolved link */
    struct str source_id, target, name, wit_namespace, wit_package;
    struct proto_strs interfaces;
    struct proto_map source_config, target_config;
    struct span source_secrets, target_secrets; /* sealed; p == NULL: null */
};
bool proto_link_def_copy(struct arena *a, const struct proto_link_def *in,
                         struct proto_link_def *out, struct err *e);
struct proto_link_def_list {
    const struct proto_link_def *v;
    uint32_t n;
};

struct proto_otel {
    bool enable_observability;
    struct proto_bool enable_traces, enable_metrics, enable_logs;
    struct str observability_endpoint, traces_endpoint, metrics_endpoint,
        logs_endpoint;   /* none: absent */
    struct str protocol; /* "Http" or "Grpc" */
    struct proto_strs additional_ca_paths;
    struct str trace_level;
};

/* In the environment of a provider: certificates (PEM file) that it may trust for its connection to the lattice. */
#define PROTO_CA_FILE_ENV "HOSTD_RPC_TLS_CA_FILE"

struct proto_host_data {
    struct str host_id, lattice_rpc_prefix, link_name, lattice_rpc_user_jwt, lattice_rpc_user_seed,
        lattice_rpc_url, provider_key, instance_id, host_xkey_public_key, provider_xkey_private_key;
    struct proto_map env_values, config;
    struct proto_link_def_list link_definitions;
    struct proto_strs cluster_issuers;
    struct proto_secrets secrets;
    struct proto_u64 default_rpc_timeout_ms;
    bool structured_logging;
    struct str log_level; /* none: absent */
    struct proto_otel otel_config;
};

struct proto_health {
    bool healthy;
    struct str message; /* none: absent */
};
struct proto_shutdown {
    struct str host_id;
};

/* ---- manifest API ---------------------------------------------------------------------------------- */

#define PROTO_RESULTS(X)            \
    X(ERROR, "error")               \
    X(SUCCESS, "success")           \
    X(NOT_FOUND, "notfound")        \
    X(CREATED, "created")           \
    X(NEW_VERSION, "newversion")    \
    X(DELETED, "deleted")           \
    X(NOOP, "noop")                 \
    X(ACKNOWLEDGED, "acknowledged") \
    X(OK, "ok")
enum proto_result {
#define X(name, text) PROTO_RESULT_##name,
    PROTO_RESULTS(X)
#undef X
};
const char *proto_result_name(enum proto_result r);

#define PROTO_STATUSES(X)         \
    X(WAITING, "waiting")         \
    X(UNDEPLOYED, "undeployed")   \
    X(RECONCILING, "reconciling") \
    X(DEPLOYED, "deployed")       \
    X(FAILED, "failed")           \
    X(UNHEALTHY, "unhealthy")
enum proto_status_type {
#define X(name, text) PROTO_STATUS_##name,
    PROTO_STATUSES(X)
#undef X
};
const char *proto_status_name(enum proto_status_type s);

struct proto_status_info {
    enum proto_status_type type;
    struct str message; /* left out when empty */
};
struct proto_scaler_status {
    struct str id, kind, name;
    struct proto_status_info status;
};
struct proto_scaler_list {
    const struct proto_scaler_status *v;
    uint32_t n;
};
struct proto_status { /* also the payload on the status subject */
    struct proto_status_info status;
    struct proto_scaler_list scalers; /* left out when empty */
};

struct proto_model {
    struct str name, version;
    struct str description, deployed_version; /* none: null */
    struct proto_status detailed_status;
    enum proto_status_type status;
    struct str status_message;
};
struct proto_model_list { /* the whole reply to list */
    const struct proto_model *v;
    uint32_t n;
};
struct proto_model_version {
    struct str version;
    bool deployed;
};
struct proto_model_version_list {
    const struct proto_model_version *v;
    uint32_t n;
};

struct proto_api_request { /* get, del, deploy, undeploy; an empty payload decodes to none */
    struct str version;    /* none: null */
};
struct proto_api_error { /* also what any reply decodes to when only result and message matter */
    enum proto_result result;
    struct str message;
};
struct proto_api_put {
    enum proto_result result;
    struct str message, name, current_version;
    uint64_t total_versions;
};
struct proto_api_get {
    enum proto_result result;
    struct str message;
    struct str manifest; /* JSON text; none: absent */
};
struct proto_api_models { /* get without a name */
    enum proto_result result;
    struct str message;
    struct proto_model_list models;
};
struct proto_api_versions {
    enum proto_result result;
    struct str message;
    struct proto_model_version_list versions;
};
struct proto_api_delete {
    enum proto_result result;
    struct str message;
    bool undeploy;
};
struct proto_api_deploy { /* deploy and undeploy */
    enum proto_result result;
    struct str message, name;
    struct str version; /* none: null */
};
struct proto_api_status {
    enum proto_result result;
    struct str message;
    struct proto_status status;
};

/* ---- encode, decode -------------------------------------------------------------------------------- */

/* name, struct. For each: proto_NAME_decode and proto_NAME_encode. */
#define PROTO_MESSAGES(X)                                \
    X(host, struct proto_host)                           \
    X(inventory, struct proto_inventory)                 \
    X(component_auction, struct proto_component_auction) \
    X(component_bid, struct proto_component_bid)         \
    X(provider_auction, struct proto_provider_auction)   \
    X(provider_bid, struct proto_provider_bid)           \
    X(scale, struct proto_scale)                         \
    X(update, struct proto_update)                       \
    X(provider_start, struct proto_provider_start)       \
    X(provider_stop, struct proto_provider_stop)         \
    X(host_stop, struct proto_host_stop)                 \
    X(label, struct proto_label)                         \
    X(label_del, struct proto_label_del)                 \
    X(link, struct proto_link)                           \
    X(link_list, struct proto_link_list)                 \
    X(link_del, struct proto_link_del)                   \
    X(config, struct proto_map)                          \
    X(maps, struct proto_maps)                           \
    X(registries, struct proto_registries)               \
    X(spec, struct proto_spec)                           \
    X(claims, struct proto_claims)                       \
    X(link_def, struct proto_link_def)                   \
    X(secrets, struct proto_secrets)                     \
    X(host_data, struct proto_host_data)                 \
    X(health_reply, struct proto_health)                 \
    X(shutdown, struct proto_shutdown)                   \
    X(api_request, struct proto_api_request)             \
    X(api_error, struct proto_api_error)                 \
    X(api_put, struct proto_api_put)                     \
    X(api_get, struct proto_api_get)                     \
    X(api_models, struct proto_api_models)               \
    X(model_list, struct proto_model_list)               \
    X(api_versions, struct proto_api_versions)           \
    X(api_delete, struct proto_api_delete)               \
    X(api_deploy, struct proto_api_deploy)               \
    X(api_status, struct proto_api_status)               \
    X(status, struct proto_status)

#define X(name, type)                                                                        \
    bool proto_##name##_decode(struct span json, struct arena *a, type *out, struct err *e); \
    bool proto_##name##_encode(const type *m, struct buf *out, struct err *e);
PROTO_MESSAGES(X)
#undef X

/* The envelope of every control reply. The payload is present only on success of an operation with data. */
struct proto_reply {
    bool success;
    struct str message;
    union {
        const void *any;                                 /* NULL: no response member */
        const struct proto_host *host;                   /* HOST_PING */
        const struct proto_inventory *inventory;         /* HOST_GET */
        const struct proto_component_bid *component_bid; /* COMPONENT_AUCTION */
        const struct proto_provider_bid *provider_bid;   /* PROVIDER_AUCTION */
        const struct proto_link_list *links;             /* LINK_GET */
        const struct proto_map *config;                  /* CONFIG_GET */
        const struct proto_maps *claims;                 /* CLAIMS_GET */
    } response;
};
bool proto_reply_decode(enum proto_op op, struct span json, struct arena *a,
                        struct proto_reply *out, struct err *e);
bool proto_reply_encode(enum proto_op op, const struct proto_reply *r, struct buf *out,
                        struct err *e);

/* The same of the manifest API: result and message are those of any reply, the union holds the rest. */
struct proto_api_reply {
    enum proto_api_op op;
    enum proto_result result; /* SUCCESS for list, whose reply has none */
    struct str message;
    union {
        const void *any; /* NULL with PROTO_RESULT_ERROR */
        const struct proto_api_put *put;
        const struct proto_api_get *get;
        const struct proto_model_list *list;
        const struct proto_api_versions *versions;
        const struct proto_api_delete *del;
        const struct proto_api_deploy *deploy; /* deploy and undeploy */
        const struct proto_api_status *status;
    } body;
};
bool proto_api_reply_decode(enum proto_api_op op, struct span json, struct arena *a,
                            struct proto_api_reply *out, struct err *e);

/* "1h 2m 3s" as reports show it. */
#define PROTO_UPTIME_MAX 96
char *proto_uptime(uint64_t seconds, char out[PROTO_UPTIME_MAX]);

#endif
