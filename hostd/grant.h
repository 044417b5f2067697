/* SPDX-License-Identifier: Apache-2.0 */
/* Who may reach what: the links of the whole lattice and named configuration, kept in JetStream KV and mirrored
 * here. Loop thread only, save where marked.
 *
 *   grants_open -> opts.ready once everything that existed was read -> the rest -> grants_close
 *
 * Two views of one truth: link lookups answer from the mirror (they are on the way of every call); configuration is
 * read from KV when something starts, since its writer may be another host and a moment ago, and then kept current.
 * Spec: lattice protocol 1.10, 1.11, 3. */
#ifndef HOSTD_GRANT_H
#define HOSTD_GRANT_H

#include "lattice/base/loop.h"
#include "hostd/secrets.h"
#include "lattice/id/id.h"

struct grants;
struct grant_config;

#define GRANT_LINKS_MAX 65536u      /* links of one lattice */
#define GRANT_CONFIG_NAMES_MAX 256u /* named configs merged for one entity */
#define GRANT_OPS_MAX 4096u         /* link and spec changes waiting in this host */
#define GRANT_CAS_TRIES 8u          /* lost races before a link change gives up */

/* ---- a config snapshot: immutable, shared, readable from any thread ---- */

struct config_map;
struct config_map *config_ref(struct config_map *m); /* any thread */
void config_unref(struct config_map *m);             /* any thread; NULL is fine */
/* Any thread; the value lives as long as the snapshot. */
bool config_get(const struct config_map *m, struct str key, struct str *value);
const struct proto_map *config_all(const struct config_map *m);
/* The secrets that came with it; NULL: none. */
const struct secret_set *config_secrets(const struct config_map *m);

/* ---- life ---- */

struct grant_opts {
    struct bus *ctl;
    struct str lattice, js_domain;
    struct secrets *secrets; /* NULL: who names secrets is refused; outlives the grants */
    /* The buckets are open and all existing data was read (e NULL), or cannot be (start fails). Once. */
    void (*ready)(void *user, const struct err *e);
    /* A link appeared in KV (also for existing ones, before ready). */
    void (*link_added)(void *user, const struct proto_link *link);
    void *user;
};
bool grants_open(const struct grant_opts *opts, struct grants **out,
                 struct err *e); /* strs are copied */
/* Drops open operations without callbacks; NULL is fine. Not from within a callback of these functions. */
void grants_close(struct grants *g);

/* ---- links ---- */

/* Whom source_id reaches under link_name for "namespace:package/interface" (no version). The last matching link
 * wins. The view is valid until the next turn of the loop. */
bool grant_target(struct grants *g, struct str source_id, struct str ns_pkg_iface,
                  struct str link_name, struct str *target);

/* All links of the lattice, any order; a value on the stack, no changes while walking. */
struct grant_link_iter {
    const void *spec;
    uint32_t next;
    const struct proto_link *link;
};
struct grant_link_iter grant_links(const struct grants *g);
bool grant_link_next(struct grant_link_iter *it);

typedef void grant_done_fn(void *user, const struct err *e); /* e NULL: done */
/* Checks that named configs exist and that no other target holds the interface, then writes (compare-and-set). */
bool grant_link_put(struct grants *g, const struct proto_link *link, grant_done_fn *fn, void *user,
                    struct err *e);
/* removed: the link that went, NULL when none matched; found: was there a spec at all? */
typedef void grant_removed_fn(void *user, const struct proto_link *removed, bool found,
                              const struct err *e);
bool grant_link_del(struct grants *g, const struct proto_link_del *del, grant_removed_fn *fn,
                    void *user, struct err *e);
/* A component or provider starts: its spec exists afterwards (an existing one is left as it is). */
bool grant_spec_ensure(struct grants *g, struct str id, struct str url, grant_done_fn *fn,
                       void *user, struct err *e);
/* ... and what it says of itself is known to the lattice. */
bool grant_claims_put(struct grants *g, const struct proto_claims *claims, grant_done_fn *fn,
                      void *user, struct err *e);
/* Open operations of this user go on, but it is not called back. */
void grant_forget(struct grants *g, const void *user);

/* ---- named configuration ---- */

/* Once: loaded (e NULL), or failed with the reason, and then the object is only good for closing. */
typedef void grant_config_fn(void *user, const struct err *e);
/* The ordered merge of `names`, later ones override; kept current from then on. Names of secret references are asked
 * for on behalf of `who` (copied; NULL: nobody who could have any), once. Never calls fn before it returned. */
bool grant_config_open(struct grants *g, const struct proto_strs *names,
                       const struct secrets_who *who, grant_config_fn *fn, void *user,
                       struct grant_config **out, struct err *e);
/* Tells of every later change of the content; fn NULL: nobody. */
void grant_config_listen(struct grant_config *c, loop_fn *fn, void *user);
void grant_config_close(struct grant_config **c); /* NULL is fine; also from within its callback */
/* The snapshot of now; borrowed until the next turn of the loop, config_ref it to keep it. */
struct config_map *grant_config_now(const struct grant_config *c);

/* config.put/get/del of the control interface. */
bool grant_config_put(struct grants *g, struct str name, struct span json, grant_done_fn *fn,
                      void *user, struct err *e);
bool grant_config_del(struct grants *g, struct str name, grant_done_fn *fn, void *user,
                      struct err *e);
/* json.p NULL and e NULL: no such config. */
typedef void grant_config_read_fn(void *user, struct span json, const struct err *e);
bool grant_config_read(struct grants *g, struct str name, grant_config_read_fn *fn, void *user,
                       struct err *e);

/* Who is to read the secrets of a link: they are sealed with the host's key for the provider's. */
struct grant_reader {
    struct secrets_who who;
    const struct id_key *host_xkey; /* outlives the resolving */
    uint8_t provider_xkey[ID_RAW_BYTES];
};

/* A link with its configs read: for a provider. def lives during the callback, which comes once. reader (its texts are
 * copied) NULL: for everyone, and so a link with secrets is refused. */
struct grant_resolve;
typedef void grant_resolved_fn(void *user, const struct proto_link_def *def, const struct err *e);
bool grant_link_resolve(struct grants *g, const struct proto_link *link,
                        const struct grant_reader *reader, grant_resolved_fn *fn, void *user,
                        struct grant_resolve **out, struct err *e);
void grant_resolve_cancel(struct grant_resolve **r); /* until the callback; NULL in it is fine */

/* ---- claims ---- */

/* Those of the lattice, as claims.get reports them; v NULL at the arena's ceiling. */
struct proto_maps grant_claims(const struct grants *g, struct arena *a);

#endif
