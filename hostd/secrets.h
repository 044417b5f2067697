/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: a host asks backends for them on behalf of a component or provider, over NATS, every question and answer
 * sealed. Loop thread only, save where marked.
 *
 *   secrets_open -> secrets_fetch -> fn(set) ... secret_set_unref -> secrets_close
 *
 * Values live in secret sets and nowhere else here: never in logs, events or errors, and a set is overwritten when its
 * last holder lets go. They are fetched when something starts and not watched.
 * Spec: lattice protocol 7.2. */
#ifndef HOSTD_SECRETS_H
#define HOSTD_SECRETS_H

#include "lattice/proto/service.h"

struct secrets;
struct secrets_fetch;

#define SECRETS_BYTES_MAX (4u << 20) /* of all values of one entity */
#define SECRETS_BACKENDS_MAX 256u    /* that one host remembers the keys of */
#define SECRETS_TIMEOUT_MS 10000u    /* for one answer of a backend */

/* ---- values: immutable, shared, readable from any thread ---- */

struct secret_set;
struct secret_set *secret_set_ref(struct secret_set *set); /* any thread */
void secret_set_unref(struct secret_set *set);             /* any thread; NULL is fine */
/* Any thread; the value lives as long as the set. NULL: none of that name. */
const struct proto_secret *secret_set_get(const struct secret_set *set, struct str name);
const struct proto_secrets *secret_set_all(const struct secret_set *set);

/* ---- asking ---- */

struct secrets_opts {
    struct bus *ctl;
    struct str topic;    /* head of the backends' subjects; copied */
    struct str host_jwt; /* copied */
};
struct secrets *secrets_open(const struct secrets_opts *opts);
void secrets_close(
    struct secrets *s); /* drops what is being asked, without callbacks; NULL is fine */

/* For whom, as backends see it. */
struct secrets_who {
    struct str token;       /* its embedded JWT */
    struct str application; /* whose part it is; none: of none */
};

/* Once, and never inside secrets_fetch: all of them (the reference is the callee's), or NULL and why there is one that
 * could not be had. */
typedef void secrets_fn(void *user, struct secret_set *set, const struct err *e);
/* Copies who and refs. */
bool secrets_fetch(struct secrets *s, const struct secrets_who *who,
                   const struct proto_secret_ref *refs, uint32_t n, secrets_fn *fn, void *user,
                   struct secrets_fetch **out, struct err *e);
void secrets_cancel(struct secrets_fetch **f); /* until the callback; NULL in it is fine */

#endif
