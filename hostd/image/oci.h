/* SPDX-License-Identifier: Apache-2.0 */
/* One registry, by the OCI distribution protocol: manifests, blobs and uploads, sequential and blocking, for pool
 * threads and command line tools. An oci is used by one thread at a time.
 *
 * Answers are hostile: every size is capped, every blob must have the digest that named it.
 * Spec: OCI distribution 1.1, image 1.1; lattice protocol 5.2. */
#ifndef HOSTD_IMAGE_OCI_H
#define HOSTD_IMAGE_OCI_H

#include <stdatomic.h>
#include "lattice/base/arena.h"
#include "lattice/base/buf.h"

/* "ghcr.io/acme/echo:1.0.0" or "...@sha256:..."; views. */
struct oci_name {
    struct str authority, repository;
    struct str tag;    /* "latest" when nothing was said */
    struct str digest; /* empty: none; else it wins over the tag */
    bool said_tag;
};
/* normal: an IMAGE_OCI reference's normal form. Texts go to the arena, in lower case. */
bool oci_name_parse(struct str normal, struct arena *a, struct oci_name *out, struct err *e);

/* How to reach one. Texts are NUL terminated, NULL: none, and outlive the oci. */
struct oci_access {
    const char *authority; /* to connect to */
    bool plain_http;
    bool trust_any;                          /* certificates are not verified */
    const char *username, *password, *token; /* the first two, or the third */
    const char *ca_files;    /* PEM files beside the system's, separated by commas */
    const atomic_bool *stop; /* gives up soon when true */
};

struct oci;
struct oci *oci_open(const struct oci_access *access, struct err *e);
void oci_close(struct oci *o); /* NULL is fine */

enum oci_what { OCI_COMPONENT, OCI_PROVIDER, OCI_ANY };
#define OCI_LAYERS_MAX 16
struct oci_layer {
    struct str digest, type;
    uint64_t bytes;
};
struct oci_manifest {
    struct str digest; /* of the manifest itself */
    struct oci_layer layers[OCI_LAYERS_MAX];
    size_t nlayers;
};

/* Fetches the manifest, by way of an image index the one for this machine. Texts in the arena. */
bool oci_manifest(struct oci *o, const struct oci_name *name, struct arena *a, struct span *out,
                  struct err *e);
/* Reads one: layer types that `what` may have, sizes together within bytes_max. */
bool oci_manifest_read(struct span json, enum oci_what what, uint64_t bytes_max, struct arena *a,
                       struct oci_manifest *out, struct err *e);
/* Appends the layer's bytes, verified. */
bool oci_blob(struct oci *o, struct str repository, const struct oci_layer *layer, struct buf *out,
              struct err *e);

/* Uploads config, layer and the manifest that names them under the name's tag. annotations: "key=value", NULL
 * terminated. digest: the manifest's. */
struct oci_artifact {
    enum oci_what what;
    struct span content;
    const char *const *annotations;
};
bool oci_push(struct oci *o, const struct oci_name *name, const struct oci_artifact *artifact,
              struct arena *a, struct str *digest, struct err *e);

#endif
