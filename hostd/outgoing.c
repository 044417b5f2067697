/* SPDX-License-Identifier: Apache-2.0 */
/* Which way a request takes, and what its guest hears when there is none. Keeps: a guest is answered once, and a body
 * that was begun ends once. */
#include "hostd/outgoing_int.h"

#include <utlist.h>
#include "lattice/base/log.h"

#define REQUEST_ARENA_BYTES (4u << 20) /* a request's head, decoded */

static const struct str LINK_KEY = STR_INIT("wasi:http/outgoing-handler");

static void answer_error(struct guest *g, uint32_t exchange, enum http_error_code code,
                         const char *text)
{
    struct buf root = BUF_INIT;
    struct err e = ERR_INIT;
    struct http_error error = {.code = code, .text = str_of(text)};
    http_error_encode(&error, &root, &e);
    guest_fetch_result(g, exchange, buf_span(&root));
    buf_fini(&root);
}

void outgoing_fail(struct outgoing *o, enum http_error_code code, const char *text)
{
    if (o->answered)
        guest_body_fail(o->guest, o->exchange, code);
    else
        answer_error(o->guest, o->exchange, code, text);
    o->answered = true;
}

static struct outgoing *open_way(const struct outgoing_opts *opts, const struct guest_fetch *what,
                                 const struct http_request *request, enum http_error_code *why,
                                 struct err *e)
{
    const struct bridge_route *r = opts->route;
    struct str target;
    if (grant_target(r->grants, r->source_id, LINK_KEY, what->link_name, &target))
        return outgoing_link(opts, what, request, target, why, e);
    if (opts->client)
        return outgoing_direct(opts, what, request, why, e);
    *why = HTTP_REQUEST_DENIED;
    err_set(e, ERR_DENIED,
            "no link for wasi:http/outgoing-handler, and this host makes no requests itself: put a "
            "link, or start the host with --http-allow");
    return NULL;
}

void outgoing_unfinished(struct outgoing *o)
{
    outgoing_fail(o, HTTP_INTERNAL_ERROR, "the request's body was not finished");
}

void outgoing_open(struct outgoing **list, const struct outgoing_opts *opts,
                   const struct guest_fetch *what)
{
    struct http_request request;
    enum http_error_code why = HTTP_REQUEST_HEADER_SECTION_SIZE; /* a root that was not encoded */
    struct err e = ERR_INIT;
    struct arena a;
    arena_init(&a, REQUEST_ARENA_BYTES);
    struct outgoing *o = NULL;
    if (http_request_decode(what->root, &a, &request, &e))
        o = open_way(opts, what, &request, &why, &e);
    if (o) {
        DL_APPEND(*list, o);
    } else {
        log_warn("outgoing request refused", LS("component", opts->route->source_id),
                 LZ("code", http_error_name(why)), LE(&e));
        answer_error(opts->guest, opts->exchange, why, e.text);
    }
    arena_fini(&a);
}

void outgoing_call(struct outgoing **list, const struct outgoing_opts *opts,
                   const struct guest_call *what)
{
    struct outgoing *o = outgoing_blob(opts, what);
    DL_APPEND(*list, o);
}

/* ---- under way ---- */

static struct outgoing *find(struct outgoing *list, uint32_t exchange)
{
    struct outgoing *o;
    DL_SEARCH_SCALAR(list, o, exchange, exchange);
    return o;
}

void outgoing_body(struct outgoing *list, uint32_t exchange, struct span data, enum guest_body end,
                   struct span trailers)
{
    struct outgoing *o = find(list, exchange);
    if (!o)
        return;
    if (data.n)
        o->way->send(o, data);
    if (end == GUEST_BODY_FINISHED)
        o->way->send_end(o, trailers);
    else if (end == GUEST_BODY_ABORTED)
        o->way->send_abort(o);
}

void outgoing_consumed(struct outgoing *list, uint32_t exchange, size_t n)
{
    struct outgoing *o = find(list, exchange);
    if (o)
        o->way->consumed(o, n);
}

void outgoing_drop(struct outgoing **list, uint32_t exchange)
{
    struct outgoing *o = find(*list, exchange);
    if (!o)
        return;
    DL_DELETE(*list, o);
    o->way->close(o);
}

void outgoing_drop_all(struct outgoing **list)
{
    while (*list)
        outgoing_drop(list, (*list)->exchange);
}
