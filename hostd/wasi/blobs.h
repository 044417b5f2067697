/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:blobstore inside hostd/wasi: blobs.c has containers and the calls, blob_values.c what goes in and comes out of
 * them: objects' bytes and lists of names. */
#ifndef HOSTD_WASI_BLOBS_H
#define HOSTD_WASI_BLOBS_H

#include "hostd/wasi/wasi_int.h"

extern const struct comp_class wasi_container_class, wasi_outgoing_value_class,
    wasi_incoming_value_class, wasi_object_names_class;
extern const struct comp_host_func wasi_blob_value_funcs[], wasi_object_names_funcs[];

/* The object behind an outgoing-value. */
struct wasi_outgoing_value {
    struct wasi_outbody *data;
    struct wasi_inbody
        *call; /* that writes it; how it ends says whether that went well. NULL: none yet */
};

/* Handles of what a call brings; each takes over a hold of its body. */
struct wit_value wasi_incoming_value(struct comp_host_call *hc, struct wasi_inbody *body);
struct wit_value wasi_object_names(struct comp_host_call *hc, struct wasi_inbody *body);
/* err(text) of the result. */
struct wit_value wasi_blob_error(struct comp_host_call *hc, const char *text);

#endif
