/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing requests by the host's own HTTP client, which knows whom it may ask. */
#include "hostd/outgoing_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/http/http_client.h"

#define TRAILERS_ARENA_BYTES (1u << 20)
#define NS_PER_MS 1000000u

struct direct {
    struct outgoing base;
    struct http_fetch *fetch;
};

/* ---- from the server ---- */

static void on_head(void *user, uint16_t status, const struct http_fetch_field *fields, size_t n)
{
    struct direct *d = user;
    struct http_field out[HTTP_FETCH_FIELDS_MAX];
    struct buf root = BUF_INIT;
    struct err e = ERR_INIT;
    for (size_t i = 0; i < n; i++)
        out[i] = (struct http_field){fields[i].name, fields[i].value};
    struct http_response head = {.status = status, .fields = out, .nfields = n};
    http_response_encode(&head, &root, &e); /* the client's limits are narrower */
    d->base.answered = true;
    guest_fetch_result(d->base.guest, d->base.exchange, buf_span(&root));
    buf_fini(&root);
}

static void on_body(void *user, struct span data)
{
    const struct direct *d = user;
    guest_body_push(d->base.guest, d->base.exchange, data);
}

static void on_end(void *user, const struct http_fetch_field *trailers, size_t n)
{
    const struct direct *d = user;
    struct http_field out[HTTP_FETCH_FIELDS_MAX];
    for (size_t i = 0; i < n; i++)
        out[i] = (struct http_field){trailers[i].name, trailers[i].value};
    guest_body_end(d->base.guest, d->base.exchange, out, n);
}

static void on_fail(void *user, enum http_failure why, const char *text)
{
    struct direct *d = user;
    outgoing_fail(&d->base, http_error_find(http_failure_name(why)), text);
}

static void on_sent(void *user, size_t n)
{
    const struct direct *d = user;
    guest_body_credit(d->base.guest, d->base.exchange, n);
}

static const struct http_fetch_handler handler = {on_head, on_body, on_end, on_fail, on_sent};

/* ---- from the guest ---- */

static void send(struct outgoing *o, struct span data)
{
    http_fetch_send(((struct direct *)o)->fetch, data);
}

static void send_end(struct outgoing *o, struct span trailers)
{
    struct http_fetch_field out[HTTP_FETCH_FIELDS_MAX];
    const struct http_field *fields = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    struct arena a;
    arena_init(&a, TRAILERS_ARENA_BYTES);
    if (!http_trailers_decode(trailers, &a, &fields, &n, &e))
        n = 0; /* none came */
    n = MIN(n, HTTP_FETCH_FIELDS_MAX);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct http_fetch_field){fields[i].name, fields[i].value};
    http_fetch_send_end(((struct direct *)o)->fetch, out, n);
    arena_fini(&a);
}

static void consumed(struct outgoing *o, size_t n)
{
    http_fetch_consumed(((struct direct *)o)->fetch, n);
}

static void close_way(struct outgoing *o)
{
    http_fetch_free(((struct direct *)o)->fetch);
    free(o);
}

static const struct outgoing_way way = {send, send_end, outgoing_unfinished, consumed, close_way};

/* ---- beginning ---- */

static uint64_t ms_of(uint64_t ns)
{
    return ns / NS_PER_MS + (ns % NS_PER_MS > 0);
}

struct outgoing *outgoing_direct(const struct outgoing_opts *opts, const struct guest_fetch *what,
                                 const struct http_request *request, enum http_error_code *why,
                                 struct err *e)
{
    enum http_failure failure;
    struct direct *d = xnew(struct direct);
    d->base = (struct outgoing){.way = &way, .guest = opts->guest, .exchange = opts->exchange};
    struct http_fetch_field fields[HTTP_FIELDS_MAX];
    for (size_t i = 0; i < request->nfields; i++) /* encoded by us, so within the limit */
        fields[i] = (struct http_fetch_field){request->fields[i].name, request->fields[i].value};
    struct http_fetch_opts fetch = {
        .method = request->method,
        .scheme = request->scheme,
        .authority = request->authority,
        .path_with_query = request->path_with_query,
        .fields = fields,
        .nfields = request->nfields,
        .has_body = what->has_body,
        .body_bytes = what->body_bytes,
        .connect_ms = ms_of(what->connect_ns),
        .first_byte_ms = ms_of(what->first_byte_ns),
        .between_bytes_ms = ms_of(what->between_bytes_ns),
        .handler = &handler,
        .user = d,
    };
    d->fetch = http_fetch_open(opts->client, &fetch, &failure, e);
    if (!d->fetch) {
        *why = http_error_find(http_failure_name(failure));
        free(d);
        return NULL;
    }
    if (what->has_body)
        guest_body_credit(opts->guest, opts->exchange, HTTP_FETCH_WINDOW);
    return &d->base;
}
