/* SPDX-License-Identifier: Apache-2.0 */
/* Applications: what a manifest says, and the scheduler that makes a lattice look like it (wadm 0.18 - 0.21).
 *
 * Two independent halves. Reading manifests (any thread, no network): manifest_parse or manifest_parse_all,
 * look at the struct, manifest_json for the canonical form that travels and is stored, manifest_free. The
 * scheduler (loop thread): scheduler_open on the control connection; it answers the manifest API, follows the
 * lattice, and, while it holds the lattice's lease, commands the hosts; scheduler_close.
 *
 * Everything in struct manifest is owned by it and constant until manifest_free. */
#ifndef HOSTD_MANIFESTS_H
#define HOSTD_MANIFESTS_H

#include <stdbool.h>
#include <stdint.h>
#include "lattice/base/arena.h"
#include "lattice/base/buf.h"
#include "lattice/base/err.h"
#include "lattice/base/str.h"

/* ---- limits --------------------------------------------------------------------------------------- */

#define MANIFEST_SIZE_MAX (1u << 20)    /* bytes of text */
#define MANIFEST_MEMORY_MAX (16u << 20) /* bytes of one decoded manifest */
#define MANIFEST_DEPTH_MAX 64u
#define MANIFEST_NODES_MAX 100000u /* after alias expansion */
#define MANIFEST_PROBLEMS_MAX 100u /* further ones are counted only */
#define MANIFEST_SPREAD_MAX 256u   /* entries of one scaler */
#define MANIFEST_INSTANCES_MAX UINT32_MAX

/* ---- desired state, as written -------------------------------------------------------------------- */

/* Where something stood in the text, counted from 1; line 0: unknown (the text was strict JSON). */
struct manifest_pos {
    uint32_t line, column;
};

struct manifest_pair {
    struct str key, value;
    struct manifest_pos pos;
};

struct manifest_map { /* in the order written, keys unique */
    const struct manifest_pair *list;
    size_t n;
};

struct manifest_config {
    struct str name;
    bool
        owned; /* has `properties`: the scheduler stores it; otherwise it exists already under this name */
    struct manifest_map properties;
    struct manifest_pos pos;
};

struct manifest_secret {
    struct str name, policy, key;
    struct str field, version; /* p == NULL: absent */
    struct manifest_pos pos;
};

/* What a component, or one side of a link, is given. */
struct manifest_inputs {
    const struct manifest_config *configs;
    size_t nconfigs;
    const struct manifest_secret *secrets;
    size_t nsecrets;
};

struct manifest_spread {
    struct str name;
    struct manifest_map requirements; /* labels a host must carry */
    uint32_t weight;                  /* MANIFEST_WEIGHT_DEFAULT when not given */
    bool has_weight;
    struct manifest_pos pos;
};
#define MANIFEST_WEIGHT_DEFAULT 100u

struct manifest_scaler {
    uint32_t instances;                   /* MANIFEST_INSTANCES_MAX at most */
    const struct manifest_spread *spread; /* n == 0: any host */
    size_t nspread;
};

struct manifest_link {
    struct str name; /* "default" when not given */
    bool has_name, has_source;
    struct str wit_namespace, wit_package;
    const struct str *interfaces;
    size_t ninterfaces;
    struct str target; /* a component name of this manifest */
    struct manifest_pos target_pos;
    struct manifest_inputs source_inputs, target_inputs;
};

enum manifest_trait_kind { TRAIT_SPREAD, TRAIT_DAEMON, TRAIT_LINK, TRAIT_OTHER };

struct manifest_trait {
    enum manifest_trait_kind kind;
    struct str type;
    union {
        struct manifest_scaler scaler; /* TRAIT_SPREAD, TRAIT_DAEMON */
        struct manifest_link link;
        struct str json; /* TRAIT_OTHER: its properties, kept as they are */
    };
    struct manifest_pos pos;
};

struct manifest_component {
    struct str name;
    bool capability;  /* a provider; otherwise a component */
    struct str image; /* p == NULL: shared, see the next two */
    struct str shared_app, shared_component;
    struct str id; /* explicit; p == NULL: derived */
    struct manifest_inputs inputs;
    const struct manifest_trait *traits;
    size_t ntraits;
    struct manifest_pos pos, image_pos;
};

struct manifest_policy {
    struct str name, type;
    struct manifest_map properties;
    struct manifest_pos pos;
};

struct manifest {
    struct arena arena;
    struct str api_version, kind;
    struct str name;
    struct manifest_pos name_pos;
    struct str version;     /* p == NULL: none given, the server makes one */
    struct str description; /* p == NULL: none */
    bool shared;
    struct manifest_map annotations, labels; /* annotations include version and description */
    struct manifest_component *components;
    size_t ncomponents;
    const struct manifest_policy *policies;
    size_t npolicies;
};

/* ---- reading -------------------------------------------------------------------------------------- */

enum manifest_level { MANIFEST_ERROR, MANIFEST_WARNING };

struct manifest_problem {
    enum manifest_level level;
    struct manifest_pos pos;
    char *text; /* "component 'hello', trait 1 (spreadscaler): ..." without file and position */
};

struct manifest_problems { /* in order of discovery; start with {0} */
    struct manifest_problem *list;
    size_t n;
    size_t nerrors, nwarnings; /* all, also those beyond MANIFEST_PROBLEMS_MAX */
};
void manifest_problems_fini(struct manifest_problems *p);

enum manifest_format {
    MANIFEST_ANY, /* YAML, which reads JSON too; when that fails on a text starting with '{', JSON */
    MANIFEST_YAML, /* YAML 1.2 core scalars; plain scalars are fine where a string is wanted */
    MANIFEST_JSON, /* strict: strings are strings; no positions but for syntax errors */
};

/* Reads and checks a manifest. NULL when it has an error; e then tells the first one as
 * "FILE:LINE:COLUMN: reason". manifest_parse takes any format. file_name is used in messages only; empty: left out.
 * problems may be NULL; it receives all errors and warnings, also when a manifest is returned. */
struct manifest *manifest_parse(struct str text, struct str file_name, struct err *e);
struct manifest *manifest_parse_all(struct str text, enum manifest_format format,
                                    struct str file_name, struct manifest_problems *problems,
                                    struct err *e);
void manifest_free(struct manifest *m);

/* Appends the canonical JSON: links nested, `component` for `actor`, no unknown members. */
bool manifest_json(const struct manifest *m, struct buf *out, struct err *e);
/* Appends any JSON document (such as the manifest of a `get` reply) as block style YAML. */
bool manifest_yaml_from_json(struct str json, struct buf *out, struct err *e);

/* For the client, before sending: every image `file://RELATIVE` becomes an absolute, percent-encoded
 * `file:///...`, seen from base_dir (the directory of the manifest). ERR_NOT_FOUND, with the component's name and
 * position, when there is no such file; file_name as in manifest_parse. */
bool manifest_images_absolute(struct manifest *m, struct str base_dir, struct str file_name,
                              struct err *e);

/* ---- names upstream derives ------------------------------------------------------------------------ */

/* Lower case, everything but a-z and 0-9 becomes '_' (per character): "My-App" -> "my_app". */
void manifest_norm(struct str s, struct buf *out);
/* norm(app) "-" norm(part): ids of components and providers, names of owned configs. */
void manifest_derived(struct str app, struct str part, struct buf *out);
bool manifest_name_ok(struct str name); /* an application name: [-_A-Za-z0-9]+ */

/* ---- scheduler ------------------------------------------------------------------------------------- */

struct bus;
struct scheduler;

struct scheduler_opts {
    struct str lattice;
    struct str host_id;         /* who holds the lease, for people */
    struct str js_domain;       /* empty: none */
    struct str manifest_bucket; /* empty: wadm_manifests (WADM_MANIFEST_BUCKET_NAME) */
    struct str api_prefix;      /* empty: wadm.api (WADM_API_PREFIX) */
    struct str ctl_prefix;      /* empty: wasmbus.ctl */
    uint64_t lost_after_ms; /* silence of a host without probes; 0: 75 s (WADM_CLEANUP_INTERVAL) */
};

/* Starts in the background on the control connection, which must outlive it; the options are copied. Fails only
 * for impossible options (ERR_INVALID). From then on it answers the manifest API together with all others (queue
 * group) and competes for the lease. */
struct scheduler *scheduler_open(struct bus *ctl_bus, const struct scheduler_opts *opts,
                                 struct err *e);
/* Gives the lease back (not waiting for it) and stops; NULL is fine. What runs goes on running. */
void scheduler_close(struct scheduler *s);
/* Does it command the lattice at this moment? */
bool scheduler_active(const struct scheduler *s);

#endif
