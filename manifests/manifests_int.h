/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share, sectioned by the .c that implements each part. */
#ifndef HOSTD_MANIFESTS_INT_H
#define HOSTD_MANIFESTS_INT_H

#include <jansson.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/proto/client.h"
#include "manifests/manifests.h"

/* ---- yaml.c: text -> tree -------------------------------------------------------------------------- */

enum node_kind { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_MAP, NODE_LIST };

/* A value of the document. Children of maps carry their key. Constant once read; an aliased child shares the
 * children of its anchor. */
struct node {
    enum node_kind kind;
    bool strict;     /* came as JSON: a number is no string */
    uint32_t n;      /* children */
    uint32_t weight; /* nodes in this subtree, aliases expanded */
    uint32_t height; /* levels of maps and lists in it */
    struct manifest_pos pos;
    struct str text; /* scalars, as written; strings decoded */
    struct node *first, *next;
    struct str key;
    struct manifest_pos key_pos;
};

/* Both fail with a position in *at (line 0: none) and a reason in e. */
struct node *node_read_yaml(struct arena *a, struct str text, struct manifest_pos *at,
                            struct err *e);
struct node *node_read_json(struct arena *a, struct str text, struct manifest_pos *at,
                            struct err *e);
/* The same value as JSON; NULL when it has no JSON form. */
json_t *node_json(const struct node *node);
const char *node_kind_name(enum node_kind kind);

/* ---- manifest.c: tree -> struct manifest ----------------------------------------------------------- */

#define SHOWN_MAX 96 /* bytes of a user's text inside a message */
struct shown {
    char text[SHOWN_MAX];
};
/* For "%s": the text escaped and capped. */
static inline const char *show(struct shown *room, struct str s)
{
    return str_escape(s, room->text, sizeof room->text);
}

void problem_add(struct manifest_problems *p, enum manifest_level level, struct manifest_pos pos,
                 const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool manifest_map_get(const struct manifest_map *m, struct str key, struct str *value);
const struct manifest_component *manifest_find(const struct manifest *m, struct str component);

/* ---- set.c ------------------------------------------------------------------------------------------ */

struct set_entry;
struct set { /* start with {0} */
    struct set_entry *head;
};
const void *set_find(const struct set *s, struct str key); /* NULL: not in it */
/* NULL when key is new, else the value (never NULL) it came with first. */
const void *set_add(struct set *s, struct str key, const void *value);
void set_fini(struct set *s);

/* ---- names.c ---------------------------------------------------------------------------------------- */

/* p == NULL at the arena's ceiling. */
struct str name_component_id(struct arena *a, struct str app, const struct manifest_component *c);
struct str name_config(struct arena *a, struct str app, const struct manifest_config *c);
struct str name_secret(struct arena *a, struct str app, const struct manifest_secret *s);
/* Lower-case hex SHA-256 of the parts in a row. */
struct str name_hash(struct arena *a, const struct str *parts, size_t n);

/* ---- check.c: rules beyond the shape --------------------------------------------------------------- */

void manifest_check(const struct manifest *m, struct manifest_problems *out);

/* ---- canon.c ---------------------------------------------------------------------------------------- */

json_t *manifest_to_json(const struct manifest *m); /* a new reference */

/* ---- want.c: one deployed manifest -> what it wants ------------------------------------------------- */

enum want_kind { WANT_COMPONENT, WANT_PROVIDER, WANT_LINK, WANT_BROKEN };

/* A share of a component's instances, or of a provider's hosts. */
struct want_entry {
    struct str name;
    struct proto_map requirements;
    uint32_t count; /* in all; daemon: on each host */
};

/* One scaler of the status, in its order. */
struct want {
    enum want_kind kind;
    bool daemon;
    struct str app, scaler_id, status_name;
    struct str id, image;     /* component or provider */
    struct proto_strs config; /* names, in the host's order */
    const struct want_entry *entries;
    uint32_t nentries;
    struct proto_link link;   /* WANT_LINK */
    struct str broken;        /* WANT_BROKEN: why it cannot be done */
    struct proto_strs linked; /* WANT_PROVIDER: ids it has links with */
};
const char *want_status_kind(const struct want *w);

struct want_config {
    struct str name, app;
    struct proto_map values;
};

struct want_app {
    struct str app;
    const struct want *list;
    uint32_t n;
    const struct want_config *configs; /* names unique */
    uint32_t nconfigs;
};

/* The deployed manifest of another application, NULL when there is none. */
typedef const struct manifest *want_find_fn(void *user, struct str app);

/* Borrows from m and from what find returns. */
bool want_app_build(struct arena *a, const struct manifest *m, want_find_fn *find, void *user,
                    struct want_app *out, struct err *e);

/* ---- spread.c: who gets how many -------------------------------------------------------------------- */

/* counts[i] of n instances for entries of these weights, as upstream divides them. The weights are not all 0;
 * nweights is MANIFEST_SPREAD_MAX at most. */
void spread_weights(uint32_t n, const uint32_t *weights, size_t nweights, uint32_t *counts);
/* targets[i]: count divided evenly; the remainder goes to those that hold most, then to the first. */
/* n > 0 */
void spread_evenly(uint32_t count, const uint32_t *current, size_t n, uint32_t *targets);

/* Who may hold what: eligible[entry * nhosts + host]. Gives each host at most one entry in owner[host]
 * (SPREAD_NOBODY: none); every entry that wants something gets a host of its own when that is possible at all.
 * rank: entries that choose first among the hosts left over (lower is earlier). before[host]: the entry it holds
 * now, which is kept where possible. */
struct spread_hosts {
    size_t nentries, nhosts;
    const bool *eligible;
    const uint32_t *counts; /* by entry */
    const uint32_t *rank;   /* by entry */
    const uint32_t *before; /* by host */
    uint32_t *owner;        /* by host; out */
};
#define SPREAD_NOBODY UINT32_MAX
bool spread_assign(struct arena *a, const struct spread_hosts *s, struct err *e);

/* ---- observed.c: the lattice as last reported ------------------------------------------------------- */

#define ANNOTATION_MANAGED_BY "wasmcloud.dev/managed-by" /* its value: "wadm", ours too */
#define ANNOTATION_APP PROTO_ANNOTATION_APP
#define ANNOTATION_SCALER "wasmcloud.dev/scaler"
#define ANNOTATION_SPREAD "wasmcloud.dev/spread_name"

struct seen_component {
    struct str id, image, scaler, spread,
        app; /* the last three from annotations; none: p == NULL */
    uint32_t max_instances;
    struct str
        confirmed; /* a scaler whose command the host answered with success although it kept its annotations */
};

struct seen_provider {
    struct str id, image, scaler, app;
    bool unhealthy;
    struct str complaint; /* what it said about it, if anything */
};

struct seen_host {
    struct arena arena; /* holds everything below; replaced as a whole */
    struct str id, name;
    struct proto_map labels;
    struct seen_component *components;
    struct seen_provider *providers;
    uint32_t ncomponents, nproviders;
};

struct seen_link {
    struct proto_link link;
    bool stale; /* a configuration it names has changed since it was put */
};

struct seen_spec; /* links by source */
struct seen_config;

struct observed {
    struct seen_host **hosts; /* sorted by id */
    size_t nhosts;
    struct seen_spec *specs;
    struct seen_config *configs;
};

#define OBSERVED_HOSTS_MAX 10000u
#define OBSERVED_HOST_BYTES (8u << 20) /* what one host may report */

void observed_fini(struct observed *o);
struct seen_host *observed_host(const struct observed *o, struct str id); /* NULL: unknown */
struct seen_component *seen_component(const struct seen_host *h, struct str id);
struct seen_provider *seen_provider(const struct seen_host *h, struct str id);
/* Replaces what is known of a host; *changed when that makes a difference to a plan. */
bool observed_host_set(struct observed *o, const struct proto_inventory *in, bool *changed,
                       struct err *e);
void observed_host_del(struct observed *o, struct str id);
void observed_host_confirm(struct seen_host *h, struct str component, struct str scaler);
/* True when that is news. */
bool observed_health(struct seen_host *h, struct str provider, bool unhealthy,
                     struct str complaint);

/* The spec of a source (no links: forget it); a configuration (NULL: gone). */
bool observed_spec_set(struct observed *o, struct str source, const struct proto_spec *spec,
                       struct err *e);
bool observed_config_set(struct observed *o, struct str name, const struct proto_map *values,
                         struct err *e);
/* Forget all specs, all configurations: they are read again. */
void observed_specs_clear(struct observed *o);
void observed_configs_clear(struct observed *o);
const struct proto_map *observed_config(const struct observed *o,
                                        struct str name); /* NULL: there is none */
/* The link with this source, name, namespace and package; with this target first, else any. */
const struct seen_link *observed_link(const struct observed *o, const struct proto_link *l);
/* Does any host run this id? */
bool observed_runs(const struct observed *o, struct str id);
/* Does a host with these labels meet all requirements? */
bool labels_match(const struct proto_map *labels, const struct proto_map *requirements);

/* ---- plan.c: desired + observed -> commands --------------------------------------------------------- */

enum plan_op {
    PLAN_CONFIG_PUT,
    PLAN_SCALE,
    PLAN_PROVIDER_START,
    PLAN_PROVIDER_STOP,
    PLAN_LINK_PUT,
    PLAN_LINK_DEL,
    PLAN_CONFIG_DEL,
};

#define PLAN_NO_WANT UINT32_MAX

struct plan_command {
    enum plan_op op;
    struct str app;
    uint32_t want; /* index in the application's list; PLAN_NO_WANT: removal of what nobody wants */
    struct str id; /* component, provider, source, configuration: what to call it */
    struct str host_id; /* empty: any host may do it */
    union {
        struct proto_scale scale;
        struct proto_provider_start start;
        struct proto_provider_stop stop;
        struct proto_link link;
        struct proto_map config;
    };
};

struct plan_result {             /* of one want */
    enum proto_status_type type; /* DEPLOYED, RECONCILING, FAILED */
    struct str message;
};

struct plan_app {
    struct str app;
    const struct want_app *want; /* NULL: it is to go */
    struct plan_result *results; /* want->n */
    uint32_t left;               /* to go: what is still there */
};

/* What an application may have left behind: put for versions that are not deployed. */
struct plan_past {
    struct str app;
    bool gone; /* known to be undeployed or deleted: what carries its name goes too */
    const struct proto_link *links;
    uint32_t nlinks;
    const struct str *configs;
    uint32_t nconfigs;
};

struct plan_in {
    const struct want_app *apps; /* deployed */
    uint32_t napps;
    const struct plan_past *past;
    uint32_t npast;
    const struct observed *seen;
    const struct set
        *accepted; /* ids whose start a host has accepted, also if it failed then; may be NULL */
    const struct set *starting; /* "ID HOST" of providers whose start is under way; may be NULL */
};

struct plan { /* in the arena */
    const struct plan_command *commands;
    uint32_t n;
    const struct plan_app *apps; /* those deployed, then those gone */
    uint32_t napps;
};

bool plan_make(struct arena *a, const struct plan_in *in, struct plan *out, struct err *e);

#endif
