/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads between a host and the services that it asks: secrets backends (lattice protocol 7.2), policy services
 * (7.1). */
#include "lattice/proto/proto_int.h"

#define AT(member) offsetof(T, member)

/* ---- secrets --------------------------------------------------------------------------------------- */

#define T struct proto_secret_ref
static const struct shape_member secret_ref_rows[] = {
    {"type", SHAPE_STR, NEED, AT(type)},       {"name", SHAPE_STR, NEED, AT(name)},
    {"backend", SHAPE_STR, NEED, AT(backend)}, {"key", SHAPE_STR, NEED, AT(key)},
    {"field", SHAPE_STR, OMIT, AT(field)},     {"version", SHAPE_STR, OMIT, AT(version)},
    {"policy", SHAPE_STR, NEED, AT(policy)},
};
#undef T
static const struct shape secret_ref_shape = SHAPE(struct proto_secret_ref, secret_ref_rows);
const struct shape_member proto_root_secret_ref = {.kind = SHAPE_OBJECT, .sub = &secret_ref_shape};

#define T struct proto_secret_application
static const struct shape_member application_rows[] = {
    {"name", SHAPE_STR, NULLS, AT(name)},
    {"policy", SHAPE_STR, 0, AT(policy)},
};
#undef T
static const struct shape application_shape =
    SHAPE(struct proto_secret_application, application_rows);

#define T struct proto_secret_context
static const struct shape_member context_rows[] = {
    {"entity_jwt", SHAPE_STR, NEED, AT(entity_jwt)},
    {"host_jwt", SHAPE_STR, NEED, AT(host_jwt)},
    {"application", SHAPE_OBJECT, NEED, AT(application), .sub = &application_shape},
};
#undef T
static const struct shape context_shape = SHAPE(struct proto_secret_context, context_rows);

#define T struct proto_secret_request
static const struct shape_member secret_request_rows[] = {
    {"key", SHAPE_STR, NEED, AT(key)},
    {"field", SHAPE_STR, NULLS, AT(field)},
    {"version", SHAPE_STR, NULLS, AT(version)},
    {"context", SHAPE_OBJECT, NEED, AT(context), .sub = &context_shape},
};
#undef T
static const struct shape secret_request_shape =
    SHAPE(struct proto_secret_request, secret_request_rows);
const struct shape_member proto_root_secret_request = {.kind = SHAPE_OBJECT,
                                                       .sub = &secret_request_shape};

#define T struct proto_secret_value
static const struct shape_member secret_value_rows[] = {
    {"version", SHAPE_STR, NEED, AT(version)},
    {"string_secret", SHAPE_STR, NULLS, AT(string_secret)},
    {"binary_secret", SHAPE_BYTES, NULLS, AT(binary_secret)},
};
#undef T
static const struct shape secret_value_shape = SHAPE(struct proto_secret_value, secret_value_rows);

#define T struct proto_secret_response
static const struct shape_member secret_response_rows[] = {
    {"secret", SHAPE_POINTER, OMIT, AT(secret), .sub = &secret_value_shape},
    {"error", SHAPE_JSON, OMIT, AT(error)},
};
#undef T
static const struct shape secret_response_shape =
    SHAPE(struct proto_secret_response, secret_response_rows);
const struct shape_member proto_root_secret_response = {.kind = SHAPE_OBJECT,
                                                        .sub = &secret_response_shape};

/* ---- policy ---------------------------------------------------------------------------------------- */

#define T struct proto_policy_claims
static const struct shape_member policy_claims_rows[] = {
    {"publicKey", SHAPE_STR, NEED, AT(public_key)},     {"issuer", SHAPE_STR, NEED, AT(issuer)},
    {"issuedAt", SHAPE_STR, NEED, AT(issued_at)}, /* a text, of seconds */
    {"expiresAt", SHAPE_OPTU64, NULLS, AT(expires_at)}, {"expired", SHAPE_BOOL, 0, AT(expired)},
};
#undef T
static const struct shape policy_claims_shape =
    SHAPE(struct proto_policy_claims, policy_claims_rows);

#define T struct proto_policy_component
static const struct shape_member policy_component_rows[] = {
    {"componentId", SHAPE_STR, NEED, AT(component_id)},
    {"imageRef", SHAPE_STR, NEED, AT(image_ref)},
    {"maxInstances", SHAPE_U32, 0, AT(max_instances)},
    {"annotations", SHAPE_MAP, 0, AT(annotations)},
    {"claims", SHAPE_POINTER, NULLS, AT(claims), .sub = &policy_claims_shape},
};
#undef T
static const struct shape policy_component_shape =
    SHAPE(struct proto_policy_component, policy_component_rows);
const struct shape_member proto_root_policy_component = {.kind = SHAPE_OBJECT,
                                                         .sub = &policy_component_shape};

#define T struct proto_policy_provider
static const struct shape_member policy_provider_rows[] = {
    {"providerId", SHAPE_STR, NEED, AT(provider_id)},
    {"imageRef", SHAPE_STR, NEED, AT(image_ref)},
    {"annotations", SHAPE_MAP, 0, AT(annotations)},
    {"claims", SHAPE_POINTER, NULLS, AT(claims), .sub = &policy_claims_shape},
};
#undef T
static const struct shape policy_provider_shape =
    SHAPE(struct proto_policy_provider, policy_provider_rows);
const struct shape_member proto_root_policy_provider = {.kind = SHAPE_OBJECT,
                                                        .sub = &policy_provider_shape};

#define T struct proto_policy_invocation
static const struct shape_member policy_invocation_rows[] = {
    {"interface", SHAPE_STR, NEED, AT(interface)},
    {"function", SHAPE_STR, NEED, AT(function)},
    {"target", SHAPE_OBJECT, NEED, AT(target), .sub = &policy_component_shape},
};
#undef T
static const struct shape policy_invocation_shape =
    SHAPE(struct proto_policy_invocation, policy_invocation_rows);
const struct shape_member proto_root_policy_invocation = {.kind = SHAPE_OBJECT,
                                                          .sub = &policy_invocation_shape};

#define T struct proto_policy_host
static const struct shape_member policy_host_rows[] = {
    {"publicKey", SHAPE_STR, NEED, AT(public_key)},
    {"lattice", SHAPE_STR, NEED, AT(lattice)},
    {"labels", SHAPE_MAP, 0, AT(labels)},
};
#undef T
static const struct shape policy_host_shape = SHAPE(struct proto_policy_host, policy_host_rows);

static const char *const policy_kinds[] = {
    [PROTO_POLICY_COMPONENT] = "startComponent",
    [PROTO_POLICY_PROVIDER] = "startProvider",
    [PROTO_POLICY_INVOCATION] = "performInvocation",
};
static const struct shape_names policy_kind_names = {
    policy_kinds, sizeof policy_kinds / sizeof policy_kinds[0], NULL};

#define T struct proto_policy_request
static const struct shape_member policy_request_rows[] = {
    {"requestId", SHAPE_STR, NEED, AT(request_id)},
    {"kind", SHAPE_ENUM, NEED, AT(kind), .sub = &policy_kind_names},
    {"version", SHAPE_CONST, 0, 0, .preset = "\"v1\""},
    {"request", SHAPE_JSON, NEED, AT(request)},
    {"host", SHAPE_OBJECT, NEED, AT(host), .sub = &policy_host_shape},
};
#undef T
static const struct shape policy_request_shape =
    SHAPE(struct proto_policy_request, policy_request_rows);
const struct shape_member proto_root_policy_request = {.kind = SHAPE_OBJECT,
                                                       .sub = &policy_request_shape};

#define T struct proto_policy_response
static const struct shape_member policy_response_rows[] = {
    {"requestId", SHAPE_STR, NEED, AT(request_id)},
    {"permitted", SHAPE_BOOL, NEED, AT(permitted)},
    {"message", SHAPE_STR, NULLS, AT(message)},
};
#undef T
static const struct shape policy_response_shape =
    SHAPE(struct proto_policy_response, policy_response_rows);
const struct shape_member proto_root_policy_response = {.kind = SHAPE_OBJECT,
                                                        .sub = &policy_response_shape};
