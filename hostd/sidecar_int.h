/* SPDX-License-Identifier: Apache-2.0 */
/* Private to sidecar.c (start, stop, restart) and sidecar_talk.c (what host and provider say to each other). */
#ifndef HOSTD_SIDECAR_INT_H
#define HOSTD_SIDECAR_INT_H

#include "hostd/claims.h"
#include "hostd/sidecar.h"
#include "lattice/base/map.h"

#define SIDECARS_MAX 1024u
#define SIDECAR_BYTES_MAX (4u << 20) /* what one provider's command may take */
#define SIDECAR_LINKS_MAX 4096u      /* of one provider */
#define HEALTH_SOON_MS 50      /* first check after the start, doubling until it answers ... */
#define HEALTH_FIRST_MS 5000   /* ... up to this */
#define HEALTH_PATIENCE_MS 500 /* for an answer to such a check */
#define HEALTH_EVERY_MS 30000
#define HEALTH_LINKED_MS 500 /* after a link: whether it could be served */
#define LINK_RETRY_MIN_MS \
    1000 /* a link whose configuration or secrets could not be had, doubling */
#define LINK_RETRY_MAX_MS 30000
#define LINK_TAKEN_MS 1000 /* nobody answers a link: silence for so long means that it was taken */
#define LINK_UNHEARD_MIN_MS 50 /* until a link is sent again that met no listener, doubling ... */
#define LINK_UNHEARD_MAX \
    9 /* ... so often, once the provider answered: it does not listen to these */
#define RESTART_MIN_MS 500
#define RESTART_MAX_MS 30000
#define RESTART_CALM_MS 10000 /* lived for so long: its next end is a first one again */

enum state {
    STATE_PREPARING,
    STATE_BUILDING,
    STATE_SPAWNING,
    STATE_RUNNING,
    STATE_WAITING,
    STATE_STOPPING
};

struct process;
struct sidecar;

/* Looking for the image cannot be cancelled: it forgets its sidecar when that goes first. */
struct lookup {
    struct lookup *prev, *next;
    struct sidecar *s; /* NULL: gone */
};
struct lookup *lookup_new(struct sidecar *s);
void lookup_end(struct lookup *l);    /* it came back */
void lookup_forget(struct lookup *l); /* its sidecar goes */

/* Who waits for the stop. */
struct stopper {
    struct stopper *next;
    loop_fn *done;
    void *user;
};

/* One link on its way into host data or to the provider. */
struct link_slot {
    struct link_slot *prev, *next;
    struct sidecar *s;
    struct arena arena;
    struct proto_link link;
    struct proto_link_def def; /* once resolved, for host data */
    bool resolved;
    struct grant_resolve *resolving;
    uint32_t failures;          /* to resolve it, in a row: it is tried again */
    struct bus_request *taking; /* sent, and nobody said yet that nobody listens */
    uint32_t unheard;           /* how often nobody did */
    bool early;                 /* sent before the provider's first answer */
};

struct sidecar {
    UT_hash_handle hh;
    struct sidecars *ss;
    struct arena arena; /* of spec and image_ref */
    struct sidecar_spec spec;
    struct str image_ref;
    struct claims *claims;
    struct id_key xkey; /* its own, the same over restarts */
    enum state state;
    bool listed; /* was started once: inventory has it until it is gone */
    char *path;
    struct image_hold *hold;
    struct lookup *lookups;
    struct policy_wait *asking; /* may it start? */
    struct grant_config *config;
    struct process *process;
    struct loop_timer *timer; /* start, restart, kill: one at a time */
    uint32_t restarts;
    uint64_t started_ms;
    struct bus_request *shutdown;
    struct stopper *stoppers;
    /* sidecar_talk.c */
    struct link_slot *host_links;   /* for the host data being built */
    struct link_slot *sends;        /* links appearing since then, and those that were left out */
    struct loop_timer *links_timer; /* to the next try */
    uint64_t links_due_ms;          /* when that is */
    uint32_t waiting;               /* host_links not resolved yet */
    void (*links_ready)(struct sidecar *s);
    struct loop_timer *health_timer;
    struct bus_request *health;
    uint64_t health_delay_ms;
    bool answered; /* this process has answered once: it listens */
    bool healthy;
    bool config_late; /* changed before it listened */
};

struct sidecars {
    struct sidecar_opts opts; /* texts in arena */
    struct arena arena;
    struct loop *loop;
    struct sidecar *table;
    char **env; /* what a provider gets of ours */
    bool stopping_all;
    loop_fn *all_done;
    void *all_user;
    struct loop_timer *timer;
};

/* sidecar_talk.c */
/* Resolves all links of the provider, then calls back; those that cannot be are left out, with a warning. */
void sidecar_resolve_links(struct sidecar *s, void (*ready)(struct sidecar *s));
void sidecar_drop_links(struct sidecar *s);
bool sidecar_host_data(struct sidecar *s, struct buf *line, struct err *e);
void sidecar_send_link(struct sidecar *s, const struct proto_link *link);
void sidecar_send_config(struct sidecar *s);
void sidecar_health_begin(struct sidecar *s);
void sidecar_health_end(struct sidecar *s);
bool sidecar_ask_shutdown(struct sidecar *s, bus_reply_fn *fn);
/* sidecar.c */
void sidecar_tell(struct sidecar *s, enum sidecar_news news, const struct err *e);

#endif
