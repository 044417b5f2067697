/* SPDX-License-Identifier: Apache-2.0 */
/* From a reference to bytes: components, and executables of providers. Results come on the loop, never inside the
 * call; files are read on the pool. Loop thread, but for image_ref_parse (any thread).
 * Spec: lattice protocol 5.1, 6.1, 6.2. */
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

struct image_opts {
    bool allow_file;    /* may file:// be read? */
    uint64_t bytes_max; /* of one image */
    bool no_aliases;    /* references of upstream's providers are not served by our own binaries */
};

/* bytes.p is the callee's to free(); e is NULL then, else bytes is empty. */
typedef void image_fn(void *user, struct span bytes, const struct err *e);
/* The bytes of a component. False when the reference itself is refused. */
bool image_load(struct loop *l, struct str ref, const struct image_opts *opts, image_fn *fn,
                void *user, struct err *e);

/* A provider that can be started. Valid during the callback. */
struct image_provider {
    struct str path;  /* of the executable */
    struct str token; /* its claims; empty: none */
};
typedef void image_provider_fn(void *user, const struct image_provider *p, const struct err *e);
bool image_provider_find(struct loop *l, struct str ref, const struct image_opts *opts,
                         image_provider_fn *fn, void *user, struct err *e);

/* The name of our own provider that serves this reference ("http-server"), or an empty view. The text may be as
 * given or normalised. */
struct str image_alias(struct str ref);

#endif
