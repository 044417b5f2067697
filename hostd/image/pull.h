/* SPDX-License-Identifier: Apache-2.0 */
/* An image out of a registry, by way of the cache: every tag is asked for again, what it means is fetched once.
 * Blocking; any thread. Spec: lattice protocol 5.2. */
#ifndef HOSTD_IMAGE_PULL_H
#define HOSTD_IMAGE_PULL_H

#include "hostd/image/cache.h"
#include "hostd/image/oci.h"

struct pull {
    struct oci_access access; /* authority NULL: the one of the reference */
    const char *cache;        /* folder, already opened; NULL: none */
    struct image_hold *hold;  /* gets what of it the image consists of; NULL: it need not stay */
    bool allow_latest;
    uint64_t bytes_max;
};

/* Malloced bytes. When the registry cannot be reached, what the tag meant last time is taken, with a warning.
 * digest: of the manifest. */
bool pull_image(const struct pull *p, struct str reference, enum oci_what what, struct span *out,
                char digest[DIGEST_LEN + 1], struct err *e);

#endif
