/* SPDX-License-Identifier: Apache-2.0 */
/* Every subject but those of calls, every bucket and key name: built and taken apart by subject.c, spelled nowhere
 * else. With them what they stand for: operations, events, messages to providers. Any thread.
 * Spec: wasmCloud 1.x control interface v1 and events; wadm 0.18 - 0.21 manifest API. */
#ifndef HOSTD_PROTO_SUBJECT_H
#define HOSTD_PROTO_SUBJECT_H

#include "lattice/base/err.h"
#include "lattice/base/str.h"

#define PROTO_SUBJECT_MAX 512
struct proto_subject {
    char text[PROTO_SUBJECT_MAX]; /* NUL terminated */
    size_t n;
};
static inline struct str proto_subject_str(const struct proto_subject *s)
{
    return (struct str){s->text, s->n};
}

#define PROTO_CTL_PREFIX "wasmbus.ctl" /* defaults of the two configurable prefixes */
#define PROTO_API_PREFIX "wadm.api"
#define PROTO_ANNOTATION_APP "wasmcloud.dev/appspec" /* whose part a component or provider is */

/* A lattice, host or component id, config name: one subject token, not empty, no dot, blank, '*' or '>'. */
bool proto_token_ok(struct str s);
bool proto_lattice_ok(struct str s); /* and good for a bucket name: [A-Za-z0-9_-]+ */
#define PROTO_SECRET_HEAD "SECRET_"  /* of the name of a secret reference */
#define PROTO_SECRET_TYPE "secret.wasmcloud.dev/v1alpha1"
#define PROTO_SECRET_PROPERTIES_TYPE "properties.secret.wasmcloud.dev/v1alpha1"
/* A name that starts with SECRET is a secret reference. */
bool proto_is_secret(struct str config_name);

/* Control interface. op, subject behind the lattice (last token is the argument where marked), argument? */
#define PROTO_OPS(X)                                                 \
    X(HOST_PING, "host.ping", false)                                 \
    X(HOST_GET, "host.get", true)                                    \
    X(HOST_STOP, "host.stop", true)                                  \
    X(HOST_PROBE, "host.probe", true) /* ours: any answer is life */ \
    X(COMPONENT_AUCTION, "component.auction", false)                 \
    X(COMPONENT_SCALE, "component.scale", true)                      \
    X(COMPONENT_UPDATE, "component.update", true)                    \
    X(PROVIDER_AUCTION, "provider.auction", false)                   \
    X(PROVIDER_START, "provider.start", true)                        \
    X(PROVIDER_STOP, "provider.stop", true)                          \
    X(LABEL_PUT, "label.put", true)                                  \
    X(LABEL_DEL, "label.del", true)                                  \
    X(LINK_GET, "link.get", false)                                   \
    X(LINK_PUT, "link.put", false)                                   \
    X(LINK_DEL, "link.del", false)                                   \
    X(CLAIMS_GET, "claims.get", false)                               \
    X(CONFIG_GET, "config.get", true)                                \
    X(CONFIG_PUT, "config.put", true)                                \
    X(CONFIG_DEL, "config.del", true)                                \
    X(REGISTRY_PUT, "registry.put", false)

enum proto_op {
#define X(name, text, arg) PROTO_##name,
    PROTO_OPS(X)
#undef X
        PROTO_OP_COUNT,
    PROTO_OP_UNKNOWN = PROTO_OP_COUNT,
};

/* Where a lattice's control and manifest subjects live. Views; empty prefixes mean the defaults. */
struct proto_space {
    struct str lattice;
    struct str ctl_prefix, api_prefix;
};

/* arg: host id or config name, empty for the others. */
bool proto_ctl_subject(const struct proto_space *space, enum proto_op op, struct str arg,
                       struct proto_subject *out, struct err *e);
/* What a received subject asks for; *arg is a view of it. PROTO_OP_UNKNOWN: answer "unsupported subject". */
enum proto_op proto_ctl_parse(const struct proto_space *space, struct str subject, struct str *arg);

/* The subscriptions of a host, 0 <= i < proto_ctl_nsubs(). queue->n == 0: none. The two auctions are rows of their
 * own: op tells them apart (PROTO_OP_UNKNOWN for the others). */
uint32_t proto_ctl_nsubs(void);
bool proto_ctl_sub(const struct proto_space *space, uint32_t i, struct str host_id,
                   struct proto_subject *subject, struct proto_subject *queue, enum proto_op *op,
                   struct err *e);

/* Events. name on the wire, shape of the data */
#define PROTO_EVENTS(X)                                                         \
    X(HOST_STARTED, "host_started", host_started)                               \
    X(HOST_HEARTBEAT, "host_heartbeat", inventory)                              \
    X(HOST_STOPPED, "host_stopped", host_stopped)                               \
    X(LABELS_CHANGED, "labels_changed", labels_changed)                         \
    X(COMPONENT_SCALED, "component_scaled", component_scaled)                   \
    X(COMPONENT_SCALE_FAILED, "component_scale_failed", component_scale_failed) \
    X(PROVIDER_STARTED, "provider_started", provider_started)                   \
    X(PROVIDER_START_FAILED, "provider_start_failed", provider_start_failed)    \
    X(PROVIDER_STOPPED, "provider_stopped", provider_stopped)                   \
    X(HEALTH_PASSED, "health_check_passed", health)                             \
    X(HEALTH_FAILED, "health_check_failed", health)                             \
    X(HEALTH_STATUS, "health_check_status", health)                             \
    X(LINK_SET, "linkdef_set", link_set)                                        \
    X(LINK_SET_FAILED, "linkdef_set_failed", link_set_failed)                   \
    X(LINK_DELETED, "linkdef_deleted", link_deleted)                            \
    X(CONFIG_SET, "config_set", config_event)                                   \
    X(CONFIG_DELETED, "config_deleted", config_event)

enum proto_event_kind {
#define X(name, text, shape) PROTO_EVENT_##name,
    PROTO_EVENTS(X)
#undef X
        PROTO_EVENT_COUNT,
    PROTO_EVENT_UNKNOWN = PROTO_EVENT_COUNT,
};
const char *proto_event_name(enum proto_event_kind kind);

bool proto_event_subject(struct str lattice, enum proto_event_kind kind, struct proto_subject *out,
                         struct err *e);
bool proto_events_subject(struct str lattice, struct proto_subject *out,
                          struct err *e); /* all of them */

/* Host to provider. The token is the provider id, save for LINKS_PUT, where a provider that was given an xkey
 * listens on its xkey's public key. */
enum proto_rpc {
    PROTO_RPC_LINK_PUT,
    PROTO_RPC_LINK_DEL,
    PROTO_RPC_CONFIG,
    PROTO_RPC_HEALTH,
    PROTO_RPC_SHUTDOWN
};
bool proto_rpc_subject(struct str lattice, struct str token, enum proto_rpc what,
                       struct proto_subject *out, struct err *e);

/* Lattice data. */
bool proto_bucket_lattice(struct str lattice, struct proto_subject *out, struct err *e);
bool proto_bucket_config(struct str lattice, struct proto_subject *out, struct err *e);
enum proto_key { PROTO_KEY_SPEC, PROTO_KEY_CLAIMS, PROTO_KEY_LEGACY, PROTO_KEY_UNKNOWN };
bool proto_key_spec(struct str id, struct proto_subject *out, struct err *e);
bool proto_key_claims(struct str public_key, struct proto_subject *out, struct err *e);
enum proto_key proto_key_parse(struct str key, struct str *id); /* *id is a view of key */

/* Manifest API. */
/* name, text, does an application's name follow? */
#define PROTO_API_OPS(X)          \
    X(PUT, "put", NEVER)          \
    X(GET, "get", MAY)            \
    X(LIST, "list", NEVER)        \
    X(VERSIONS, "versions", MUST) \
    X(HISTORY, "history", MUST)   \
    X(DEL, "del", MUST)           \
    X(DEPLOY, "deploy", MUST)     \
    X(UNDEPLOY, "undeploy", MUST) \
    X(STATUS, "status", MUST)

enum proto_api_op {
#define X(name, text, app) PROTO_API_##name,
    PROTO_API_OPS(X)
#undef X
        PROTO_API_OP_COUNT,
    PROTO_API_UNKNOWN = PROTO_API_OP_COUNT,
};

/* app may be empty. */
bool proto_api_subject(const struct proto_space *space, enum proto_api_op op, struct str app,
                       struct proto_subject *out, struct err *e);
/* What a server subscribes to for this lattice, and its queue group. */
bool proto_api_sub(const struct proto_space *space, struct proto_subject *out, struct str *queue,
                   struct err *e);
/* *app empty when the subject has none; a name where none belongs, or none where one must be, is UNKNOWN. */
enum proto_api_op proto_api_parse(const struct proto_space *space, struct str subject,
                                  struct str *app);
bool proto_api_status_subject(struct str lattice, struct str app, struct proto_subject *out,
                              struct err *e);
enum proto_api_event { PROTO_API_PUBLISHED, PROTO_API_UNPUBLISHED };
bool proto_api_event_subject(struct str lattice, enum proto_api_event what,
                             struct proto_subject *out, struct err *e);

#endif
