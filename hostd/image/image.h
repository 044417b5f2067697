/* SPDX-License-Identifier: Apache-2.0 */
/* From a reference to bytes: components, and executables of providers, out of files, registries and archives. Results
 * come on the loop, never inside the call; the work is done on the pool. Loop thread, but for image_ref_parse,
 * image_alias and the notes (any thread). Spec: lattice protocol 1.13, 5.1, 5.2, 6.1, 6.2. */
#ifndef HOSTD_IMAGE_H
#define HOSTD_IMAGE_H

#include "lattice/base/arena.h"
#include "lattice/base/err.h"
#include "lattice/base/str.h"

struct loop;

enum image_kind { IMAGE_FILE, IMAGE_OCI, IMAGE_BUILTIN };

#define IMAGE_REF_MAX 2048 /* bytes of a reference */

struct image_ref {
    enum image_kind kind;
    struct str
        normal; /* "/a/b.wasm", "ghcr.io/acme/echo:1.0.0", "http-server": what events and tables show */
    struct str authority; /* IMAGE_OCI: "ghcr.io", chooses credentials */
};
/* Views into the arena. */
bool image_ref_parse(struct str text, struct arena *a, struct image_ref *out, struct err *e);

struct images;

struct image_opts {
    struct loop *loop;
    uint64_t bytes_max; /* of one image */
    bool allow_file;    /* may file:// be read? */
    bool no_aliases;    /* references of upstream's providers are not served by our own binaries */
    /* Registries; texts are copied, lists are separated by commas, empty views: none. */
    struct str cache;         /* folder, made when it is first needed; empty: in the user's cache */
    uint64_t cache_bytes_max; /* beyond which what was used longest ago goes; 0: whatever */
    struct str insecure;      /* "localhost:5000,...": spoken to without TLS */
    struct str mirrors;       /* "ghcr.io=localhost:5000,...": who is asked instead */
    struct str ca_files;      /* PEM files beside the system's */
    bool allow_latest;        /* may a reference end in ":latest"? */
};
/* NULL: an option makes no sense. */
struct images *images_open(const struct image_opts *opts, struct err *e);
/* What is under way is given up and its callbacks are still called, soon. NULL is fine. */
void images_close(struct images *im);

/* Credentials for an authority, replacing those it had: the first two, or the token. Copied. */
struct image_registry {
    struct str authority, username, password, token;
};
bool images_put_registry(struct images *im, const struct image_registry *r, struct err *e);

/* While it is held, what the image consists of stays in the cache. NULL is fine: nothing of it is there. */
struct image_hold;
void image_hold_free(struct image_hold *h);

/* bytes.p is the callee's to free(), hold to release; e is NULL then, else bytes is empty. */
typedef void image_fn(void *user, struct span bytes, struct image_hold *hold, const struct err *e);
/* The bytes of a component. False when the reference itself is refused. */
bool image_load(struct images *im, struct str ref, image_fn *fn, void *user, struct err *e);

/* A provider that can be started. Texts are valid during the callback. */
struct image_provider {
    struct str path;         /* of the executable */
    struct str token;        /* its claims; empty: none */
    struct image_hold *hold; /* the callee's to release */
};
typedef void image_provider_fn(void *user, const struct image_provider *p, const struct err *e);
bool image_provider_find(struct images *im, struct str ref, image_provider_fn *fn, void *user,
                         struct err *e);

/* The folder for pulled images: as given, else in the user's cache. free() it. Any thread. */
char *image_cache_folder(struct str given);
const char *images_cache(const struct images *im); /* that folder; lives as long as `im` */

/* Removes files of these parts, those used longest ago first, until the rest has bytes_max; never what is held, here
 * or in another process. Blocking; any thread. */
enum image_cache_part {
    IMAGE_CACHE_IMAGES = 1,   /* as pulled */
    IMAGE_CACHE_PROGRAMS = 2, /* providers out of their archives */
    IMAGE_CACHE_NOTES = 4,
    IMAGE_CACHE_ALL = 7,
};
struct image_trimmed {
    uint64_t removed, removed_bytes, left_bytes;
};
bool image_cache_trim(const char *cache, uint32_t parts, uint64_t bytes_max,
                      struct image_trimmed *out, struct err *e);

/* ---- notes ---- any thread. What the host found out about images, kept in the cache from one run to the next. They
 * are hints: what reads one stays safe whatever it says. */

#define IMAGE_NOTES_MAX 512 /* files; the oldest go first */
#define IMAGE_NOTE_BYTES_MAX (16u << 20)

struct image_note {
    char name[80]; /* of its file */
};
/* The note about these bytes in that version, there or not. */
struct image_note image_note_of(struct span image, uint32_t version);
/* Malloced bytes. False: there is none that can be read. */
bool image_note_get(const char *cache, const struct image_note *note, struct span *out);
/* Failing is no error but said in `e`: the next run finds out again. */
bool image_note_put(const char *cache, const struct image_note *note, struct span text,
                    struct err *e);

/* The name of our own provider that serves this reference ("http-server"), or an empty view. The text may be as
 * given or normalised. */
struct str image_alias(struct str ref);

#endif
