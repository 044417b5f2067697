/* SPDX-License-Identifier: Apache-2.0 */
/* What a host asks of services that others run: secrets backends and policy services. Subjects and payloads, as in
 * message.h. Spec: lattice protocol 7.1, 7.2. */
#ifndef HOSTD_PROTO_SERVICE_H
#define HOSTD_PROTO_SERVICE_H

#include "lattice/proto/message.h"

/* What an operator may give as the subject of a service, or as its head: tokens of letters, digits, '-' and '_'. */
bool proto_topic_ok(struct str topic);

/* ---- secrets backends ------------------------------------------------------------------------------ */

/* Secrets backends, below the topic that a host was given. */
enum proto_secrets_op { PROTO_SECRETS_SERVER_XKEY, PROTO_SECRETS_GET };
bool proto_secrets_subject(struct str topic, struct str backend, enum proto_secrets_op what,
                           struct proto_subject *out, struct err *e);

/* What a named configuration whose name is that of a secret holds: where to ask for it. */
struct proto_secret_ref {
    struct str type, name, backend, key;
    struct str field, version; /* none: absent */
    struct str policy;         /* JSON text, for the backend */
};
struct proto_secret_application {
    struct str name; /* none: null */
    struct str policy;
};
struct proto_secret_context {
    struct str entity_jwt, host_jwt;
    struct proto_secret_application application;
};
struct proto_secret_request {
    struct str key;
    struct str field, version; /* none: null */
    struct proto_secret_context context;
};
struct proto_secret_value {
    struct str version;
    struct str string_secret; /* one of the two */
    struct span binary_secret;
};
struct proto_secret_response {
    const struct proto_secret_value *secret; /* NULL: error says why */
    struct str error;                        /* JSON text */
};

/* ---- policy services ------------------------------------------------------------------------------- */

enum proto_policy_kind { PROTO_POLICY_COMPONENT, PROTO_POLICY_PROVIDER, PROTO_POLICY_INVOCATION };
struct proto_policy_claims {
    struct str public_key, issuer;
    struct str issued_at;        /* seconds, as text */
    struct proto_u64 expires_at; /* seconds */
    bool expired;
};
struct proto_policy_component {
    struct str component_id, image_ref;
    uint32_t max_instances;
    struct proto_map annotations;
    const struct proto_policy_claims *claims; /* NULL: null */
};
struct proto_policy_provider {
    struct str provider_id, image_ref;
    struct proto_map annotations;
    const struct proto_policy_claims *claims;
};
struct proto_policy_invocation {
    struct str interface, function;
    struct proto_policy_component target;
};
struct proto_policy_host {
    struct str public_key, lattice;
    struct proto_map labels;
};
struct proto_policy_request {
    struct str request_id;
    enum proto_policy_kind kind;
    struct str request; /* JSON text: one of the three above */
    struct proto_policy_host host;
};
struct proto_policy_response { /* also what a change of a decision is */
    struct str request_id;
    bool permitted;
    struct str message; /* none: null */
};

/* ---- encode, decode -------------------------------------------------------------------------------- */

/* As PROTO_MESSAGES. */
#define PROTO_SERVICE_MESSAGES(X)                        \
    X(secret_ref, struct proto_secret_ref)               \
    X(secret_request, struct proto_secret_request)       \
    X(secret_response, struct proto_secret_response)     \
    X(policy_component, struct proto_policy_component)   \
    X(policy_provider, struct proto_policy_provider)     \
    X(policy_invocation, struct proto_policy_invocation) \
    X(policy_request, struct proto_policy_request)       \
    X(policy_response, struct proto_policy_response)

#define X(name, type)                                                                        \
    bool proto_##name##_decode(struct span json, struct arena *a, type *out, struct err *e); \
    bool proto_##name##_encode(const type *m, struct buf *out, struct err *e);
PROTO_SERVICE_MESSAGES(X)
#undef X

#endif
