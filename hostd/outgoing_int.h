/* SPDX-License-Identifier: Apache-2.0 */
/* The ways of an outgoing request or call, for outgoing.c. */
#ifndef HOSTD_OUTGOING_INT_H
#define HOSTD_OUTGOING_INT_H

#include "hostd/outgoing.h"

struct outgoing_way;

/* Head of both ways' own structs. */
struct outgoing {
    struct outgoing *prev, *next;
    const struct outgoing_way *way;
    struct guest *guest;
    uint32_t exchange;
    bool answered; /* the guest has a response or an error */
};

struct outgoing_way {
    void (*send)(struct outgoing *o, struct span data); /* not empty */
    void (*send_end)(struct outgoing *o, struct span trailers);
    void (*send_abort)(struct outgoing *o); /* the guest did not finish its body */
    void (*consumed)(struct outgoing *o, size_t n);
    void (*close)(struct outgoing *o); /* and frees it */
};

/* outgoing.c: an error instead of a response, or in the middle of its body. Once; text for internal-error. */
void outgoing_fail(struct outgoing *o, enum http_error_code code, const char *text);
/* send_abort of a request. */
void outgoing_unfinished(struct outgoing *o);

/* Each opens a request's way; NULL with the code (and e's text) to tell the guest. request: what.root, decoded. */
struct outgoing *outgoing_direct(const struct outgoing_opts *opts, const struct guest_fetch *what,
                                 const struct http_request *request, enum http_error_code *why,
                                 struct err *e);
struct outgoing *outgoing_link(const struct outgoing_opts *opts, const struct guest_fetch *what,
                               const struct http_request *request, struct str target,
                               enum http_error_code *why, struct err *e);
/* A call's way: opens always, and tells the guest if it fails. */
struct outgoing *outgoing_blob(const struct outgoing_opts *opts, const struct guest_call *what);

#endif
