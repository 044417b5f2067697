/* SPDX-License-Identifier: Apache-2.0 */
/* Providers on this host: one supervised process each. Loop thread only.
 *
 *   sidecar_start -> started (or failed) -> health checks, links, configuration, restarts -> sidecar_stop
 *
 * Spec: lattice protocol 1.9, 6. */
#ifndef HOSTD_SIDECAR_H
#define HOSTD_SIDECAR_H

#include "hostd/grant.h"
#include "lattice/id/id.h"

struct sidecars;
struct images;
struct policy;

/* Views valid until the next turn of the loop. */
struct sidecar_info {
    struct str id, image_ref; /* as events show it: normalised */
    struct str given_ref;     /* as in the command */
    struct proto_map annotations;
    struct str name;                         /* of its claims; none: unknown */
    int32_t revision;                        /* of its claims, else 0 */
    const struct proto_event_claims *claims; /* NULL: none */
};

/* What happens to a provider, for events. e: NULL, or why. */
enum sidecar_news {
    SIDECAR_STARTED,      /* runs, and was given its host data */
    SIDECAR_START_FAILED, /* e; it is gone */
    SIDECAR_STOPPED,      /* as asked for; it is gone */
    SIDECAR_LOST,         /* e: it ended and cannot be started again; it is gone */
    SIDECAR_HEALTH_PASSED,
    SIDECAR_HEALTH_FAILED, /* e: why */
    SIDECAR_HEALTH_STATUS, /* e: still unhealthy, and why; NULL: still healthy */
};
typedef void sidecar_news_fn(void *user, enum sidecar_news news, const struct sidecar_info *info,
                             const struct err *e);

struct sidecar_opts {
    struct bus *rpc;
    struct grants *grants;
    struct policy *policy;          /* NULL: everything is permitted; outlives the sidecars */
    struct str lattice, host_id;    /* all texts are copied */
    const struct id_key *host_xkey; /* outlives the sidecars */
    struct str rpc_url, rpc_jwt, rpc_seed; /* for host data */
    struct str rpc_creds;                  /* the file that has both, read at every start */
    struct str rpc_ca_file;                /* for our own providers: PROTO_CA_FILE_ENV */
    uint64_t rpc_timeout_ms, shutdown_ms;
    struct str log_level;
    bool log_json;
    struct images *images; /* outlives the sidecars */
    sidecar_news_fn *news;
    void *user;
};
struct sidecars *sidecars_open(const struct sidecar_opts *opts);
void sidecars_close(struct sidecars *ss); /* kills what runs, without news; NULL is fine */

/* Copied. */
struct sidecar_spec {
    struct str id, ref;
    struct proto_map annotations;
    struct proto_strs config;
};

enum sidecar_state { SIDECAR_NONE, SIDECAR_STARTING, SIDECAR_RUNNING };
enum sidecar_state sidecar_state(const struct sidecars *ss, struct str id);

/* Goes on in the background; news tell the end. The id must not be known. False: refused at once, no news. */
bool sidecar_start(struct sidecars *ss, const struct sidecar_spec *spec, struct err *e);
/* News SIDECAR_STOPPED follow (START_FAILED when it was still starting), and then done, once. False: not known. */
bool sidecar_stop(struct sidecars *ss, struct str id, loop_fn *done, void *user);
/* Stops all at the same time, without news; then done, once. */
void sidecars_stop_all(struct sidecars *ss, loop_fn *done, void *user);

/* A link appeared in the lattice: the provider at either end is told, if it runs here. */
void sidecars_link_added(struct sidecars *ss, const struct proto_link *link);

/* Those that are running (restarting included); a value on the stack, no changes while walking. */
struct sidecar_iter {
    const void *at;
    struct sidecar_info info;
};
struct sidecar_iter sidecars_iter(const struct sidecars *ss);
bool sidecar_next(struct sidecar_iter *it);

#endif
