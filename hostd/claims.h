/* SPDX-License-Identifier: Apache-2.0 */
/* What a signed component or provider says of itself, verified, in the words of events and of the lattice data.
 * Pure; any thread. Spec: lattice protocol 2.3, 3.4, 5.3. */
#ifndef HOSTD_CLAIMS_H
#define HOSTD_CLAIMS_H

#include "hostd/secrets.h"
#include "lattice/id/id.h"

struct claims {
    struct arena arena; /* of all texts */
    struct str public_key, token;
    struct proto_policy_claims policy;
    int32_t revision; /* 0: none */
    struct proto_event_claims event;
    struct proto_claims stored;
};

/* *out NULL: it is not signed, which is no error. */
bool claims_of_component(struct span wasm, struct claims **out, struct err *e);
bool claims_of_provider(struct str token, struct claims **out, struct err *e);
void claims_free(struct claims *c); /* NULL is fine */

/* Of a component or provider with these claims (NULL: not signed) and annotations, for secrets backends. Views. */
struct secrets_who claims_who(const struct claims *c, const struct proto_map *annotations);
/* The token with which a host vouches for itself there, signed by an account made for the purpose. Appends. */
bool claims_of_host(struct str host_id, struct str name, struct buf *out, struct err *e);

#endif
