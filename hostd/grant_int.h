/* SPDX-License-Identifier: Apache-2.0 */
/* Private to grant.c (links, specs, claims), grant_change.c (changes of those), grant_config.c (named configuration),
 * grant_link.c (links with their configuration, for providers) and grant_secret.c (references to secrets). */
#ifndef HOSTD_GRANT_INT_H
#define HOSTD_GRANT_INT_H

#include <utlist.h>

#include "hostd/grant.h"
#include "lattice/base/map.h"

#define GRANT_SPEC_BYTES_MAX (16u << 20) /* one decoded spec */

struct grants {
    struct grant_opts opts; /* its strs point to the next two */
    char *lattice, *js_domain;
    struct loop *loop;
    struct grant_opening *opening; /* while the buckets are being opened */
    struct kv *data, *config;
    struct kv_watch *data_watch, *config_watch;
    bool ready;

    /* grant.c */
    struct grant_spec *specs;   /* by id */
    struct grant_claim *claims; /* by subject */
    uint32_t nlinks;

    /* grant_change.c */
    struct grant_op *ops; /* the head one is under way */
    uint32_t nops;
    struct loop_timer *retry;

    /* grant_config.c */
    struct grant_named *named; /* configs in use, by name */
    struct grant_config *configs;
    struct grant_fetch *fetches;
    struct grant_call *calls;

    struct grant_resolve *resolves;   /* grant_link.c */
    struct secret_read *secret_reads; /* grant_secret.c */
};

/* grant.c: the watch of a bucket says that there is none any more */
void grant_restore_buckets(struct grants *g);
/* A spec as stored, newer or older than what is known; empty: there is none. */
void grant_spec_set(struct grants *g, struct str id, uint64_t revision, struct span json);

/* grant_change.c: what was not done is forgotten */
void grant_changes_close(struct grants *g);

/* grant_config.c */
bool grant_named_watch(struct grants *g, struct err *e);
void grant_named_close(struct grants *g);

/* grant_link.c */
void grant_resolves_close(struct grants *g);

/* grant_secret.c */
struct grant_secrets;
/* Why an entity cannot have the secret of that name, before anything is asked. */
bool grant_secret_allowed(const struct grants *g, struct str name, const struct secrets_who *who,
                          struct err *e);
/* Once, from the loop; a set is the callee's. */
typedef void grant_secrets_fn(void *user, struct secret_set *set, const struct err *e);
/* Of the names those that are secrets, of which there is one at least. Copies names and who. */
bool grant_secrets_open(struct grants *g, const struct proto_strs *names,
                        const struct secrets_who *who, grant_secrets_fn *fn, void *user,
                        struct grant_secrets **out, struct err *e);
void grant_secrets_close(struct grant_secrets **s); /* NULL in it is fine; also in its callback */
void grant_secrets_close_all(struct grants *g);

#endif
