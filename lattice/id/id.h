/* SPDX-License-Identifier: Apache-2.0 */
/* Who is who on a lattice: nkeys (Ed25519 and X25519 keys in text form), boxes sealed between them, and claims (signed
 * tokens about components, providers and hosts). Everything here is pure, bounded by its input and for any thread.
 *
 *   host:      id_key_generate(ID_SERVER, &key); id_key_public(&key, text)
 *   component: id_component_claims(wasm, now, &arena, &claims, &found, &e)
 *   archive:   id_claims_decode(token, ...); id_claims_check(&claims, now, &e)
 *
 * Spec: lattice protocol 4.1 (nkeys), 5.3 (claims), 10 (vectors). */
#ifndef HOSTD_ID_H
#define HOSTD_ID_H

#include "lattice/base/arena.h"
#include "lattice/base/buf.h"
#include "lattice/base/err.h"
#include "lattice/base/str.h"

/* ---- keys: nkey.c --------------------------------------------------------------------------------- */

enum id_key_type {
    ID_ACCOUNT,
    ID_CLUSTER,
    ID_MODULE,
    ID_SERVER,
    ID_OPERATOR,
    ID_USER,
    ID_SERVICE,
    ID_CURVE, /* X25519: has a public key, cannot sign */
};

#define ID_PUBLIC_LEN 56
#define ID_SEED_LEN 58
#define ID_RAW_BYTES 32
#define ID_SIGNATURE_BYTES 64

struct id_key {
    enum id_key_type type;
    uint8_t seed[ID_RAW_BYTES];
    uint8_t public_key[ID_RAW_BYTES];
};

void id_key_generate(enum id_key_type type, struct id_key *out);
void id_key_from_raw(enum id_key_type type, const uint8_t seed[ID_RAW_BYTES], struct id_key *out);
bool id_key_from_seed(struct str text, struct id_key *out, struct err *e);
void id_key_fini(struct id_key *k);                                       /* wipes it */
char *id_key_public(const struct id_key *k, char out[ID_PUBLIC_LEN + 1]); /* returns out */
char *id_key_seed(const struct id_key *k, char out[ID_SEED_LEN + 1]);     /* returns out */

/* Checks form, checksum and type byte of a public key's text. */
bool id_public_parse(struct str text, enum id_key_type *type, uint8_t raw[ID_RAW_BYTES],
                     struct err *e);

/* "account", "module" or "component", "service" or "provider", "server" or "host", ... */
bool id_key_type_parse(struct str name, enum id_key_type *out);

void id_sign(const struct id_key *k, struct span message, uint8_t out[ID_SIGNATURE_BYTES]);
bool id_verify(const uint8_t public_key[ID_RAW_BYTES], struct span message,
               const uint8_t signature[ID_SIGNATURE_BYTES]);

/* ---- sealed boxes: xkey.c --------------------------------------------------------------------------- */

#define ID_BOX_EXTRA 44u       /* bytes that sealing adds: version, nonce, tag */
#define ID_BOX_MAX (16u << 20) /* bytes of one box */
#define ID_NONCE_BYTES 24

/* From one ID_CURVE key for the public half of another: whoever has either of the two private keys can open it.
 * Appends. */
bool id_seal(const struct id_key *from, const uint8_t to[ID_RAW_BYTES], struct span message,
             struct buf *out, struct err *e);
/* The same with a nonce that the caller answers for: never the same twice between the same keys. */
bool id_seal_nonce(const struct id_key *from, const uint8_t to[ID_RAW_BYTES],
                   const uint8_t nonce[ID_NONCE_BYTES], struct span message, struct buf *out,
                   struct err *e);
/* Appends the message; out should be a `secret` one. ERR_DENIED: not sealed from that key for this one, or changed
 * since. */
bool id_open(const struct id_key *to, const uint8_t from[ID_RAW_BYTES], struct span box,
             struct buf *out, struct err *e);
/* A public key's text that must be one of curve type. */
bool id_xkey_parse(struct str text, uint8_t raw[ID_RAW_BYTES], struct err *e);

/* ---- hashes: nkey.c --------------------------------------------------------------------------------- */

/* Upper-case hexadecimal SHA-256. */
#define ID_HASH_LEN 64
char *id_hash(struct span bytes, char out[ID_HASH_LEN + 1]); /* returns out */

/* ---- tokens and claims: claims.c ----------------------------------------------------------- */

#define ID_TOKEN_MAX (64u * 1024u) /* bytes of one token */
#define ID_WASCAP_REVISION 3       /* what we write; from here on a component's hash counts */
#define ID_NEVER UINT64_MAX

struct id_target { /* of a provider archive: "x86_64-linux" -> hash of its binary */
    struct str name, hash;
};

/* Absent texts are empty views. */
struct id_claims {
    struct str token; /* as it came */
    struct str id, issuer, subject;
    uint64_t issued_s, not_before_s; /* 0: none */
    uint64_t expires_s;              /* ID_NEVER: none */
    bool has_metadata;               /* "wascap"; what follows is from there */
    uint32_t wascap_revision;        /* 0: absent */
    struct str name, version, call_alias, vendor, hash;
    bool has_revision;
    int32_t revision;
    bool is_provider; /* a component's "prov" */
    const struct str *tags;
    size_t ntags;
    const struct id_target *targets;
    size_t ntargets;
    struct str config_schema; /* JSON text */
};

/* Reads a token without believing it. Views into the arena. */
bool id_claims_decode(struct str token, struct arena *a, struct id_claims *out, struct err *e);
/* Header, issuer and subject, signature, dates. ERR_DENIED says which. */
bool id_claims_check(const struct id_claims *c, uint64_t now_s, struct err *e);
/* Signs the JSON text of a claims object as it stands; appends the token. */
void id_token_sign(const struct id_key *issuer, struct str claims_json, struct buf *out);

/* ---- components: component.c -------------------------------------------------------------------------- */

#define ID_NESTING_MAX 64

/* The embedded token, checked in the order of 5.3. *found is false for an unsigned component, which is no error.
 * Works for core modules, too. */
bool id_component_claims(struct span wasm, uint64_t now_s, struct arena *a, struct id_claims *out,
                         bool *found, struct err *e);
/* The embedded token itself; an empty view if there is none. */
bool id_component_token(struct span wasm, struct str *out, struct err *e);
/* The same binary without tokens, lengths in their shortest form: what claims are hashed over. Appends. */
bool id_component_strip(struct span wasm, struct buf *out, struct err *e);
/* Strips, and appends the token as a custom section. */
bool id_component_embed(struct span wasm, struct str token, struct buf *out, struct err *e);

#endif
