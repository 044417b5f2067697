/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hostd/image: one request to a registry, with its way of asking for credentials. */
#ifndef HOSTD_IMAGE_OCI_HTTP_H
#define HOSTD_IMAGE_OCI_HTTP_H

#include "hostd/image/oci.h"

struct oci_request {
    const char *method;
    const char *url;          /* whole, or the path behind the authority */
    const char *accept;       /* NULL: anything */
    const char *content_type; /* NULL: no body */
    struct span body;
    size_t bytes_max; /* of the answer */
};

struct oci_answer {
    long status; /* 200 to 299, and 404 when asked with HEAD */
    struct buf body;
    char *location; /* whole URL; NULL: none */
};
void oci_answer_fini(struct oci_answer *a);

/* Any other status is an error that quotes the registry. Release the answer in any case. */
bool oci_ask(struct oci *o, const struct oci_request *r, struct oci_answer *a, struct err *e);

#endif
