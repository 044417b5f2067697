/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of a guest that `run` drives: by our own HTTP client, on a loop that turns only while the guest waits.
 * Everything happens on the one thread; what the loop brings goes to the guest's world at once. */
#include "ctl/run.h"

#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/http/http_client.h"

#define NS_PER_MS 1000000u

struct fetch {
    struct fetch *prev, *next;
    struct run_http *http;
    uint32_t exchange;
    bool answered;
    struct http_fetch *fetch;
};

struct run_http {
    struct loop *loop;
    struct http_client *client;
    struct wasi_ctx *ctx;
    struct fetch *fetches;
    struct loop_timer *timer; /* of a turn */
};

/* ---- from the server ---- */

static void look_again(void *user)
{
    loop_stop(((struct run_http *)user)->loop);
}

static void on_head(void *user, uint16_t status, const struct http_fetch_field *fields, size_t n)
{
    struct fetch *f = user;
    struct http_field out[HTTP_FETCH_FIELDS_MAX];
    for (size_t i = 0; i < n; i++)
        out[i] = (struct http_field){fields[i].name, fields[i].value};
    f->answered = true;
    wasi_fetch_response(f->http->ctx, f->exchange,
                        &(struct http_response){.status = status, .fields = out, .nfields = n});
    look_again(f->http);
}

static void on_body(void *user, struct span data)
{
    const struct fetch *f = user;
    struct err ignored = ERR_INIT; /* it fits: the client keeps its window */
    wasi_body_push(f->http->ctx, f->exchange, data, &ignored);
    look_again(f->http);
}

static void on_end(void *user, const struct http_fetch_field *trailers, size_t n)
{
    const struct fetch *f = user;
    struct http_field out[HTTP_FETCH_FIELDS_MAX];
    for (size_t i = 0; i < n; i++)
        out[i] = (struct http_field){trailers[i].name, trailers[i].value};
    wasi_body_end(f->http->ctx, f->exchange, out, n);
    look_again(f->http);
}

static void fail(struct fetch *f, enum http_error_code code, const char *text)
{
    const struct http_error error = {.code = code, .text = str_of(text)};
    if (f->answered)
        wasi_body_fail(f->http->ctx, f->exchange, code);
    else
        wasi_fetch_error(f->http->ctx, f->exchange, &error);
    f->answered = true;
    look_again(f->http);
}

static void on_fail(void *user, enum http_failure why, const char *text)
{
    fail(user, http_error_find(http_failure_name(why)), text);
}

static void on_sent(void *user, size_t n)
{
    const struct fetch *f = user;
    wasi_body_credit(f->http->ctx, f->exchange, n);
    look_again(f->http);
}

static const struct http_fetch_handler handler = {on_head, on_body, on_end, on_fail, on_sent};

/* ---- from the guest ---- */

static uint64_t ms_of(uint64_t ns)
{
    return ns / NS_PER_MS + (ns % NS_PER_MS > 0);
}

static void begin(struct fetch *f, const struct wasi_request *r)
{
    enum http_failure why;
    struct err e = ERR_INIT;
    struct http_fetch_field *fields = xcalloc(r->head.nfields + 1, sizeof *fields);
    for (size_t i = 0; i < r->head.nfields; i++)
        fields[i] = (struct http_fetch_field){r->head.fields[i].name, r->head.fields[i].value};
    struct http_fetch_opts opts = {
        .method = r->head.method,
        .scheme = r->head.scheme,
        .authority = r->head.authority,
        .path_with_query = r->head.path_with_query,
        .fields = fields,
        .nfields = r->head.nfields,
        .has_body = r->has_body,
        .body_bytes = r->body_bytes,
        .connect_ms = ms_of(r->connect_ns),
        .first_byte_ms = ms_of(r->first_byte_ns),
        .between_bytes_ms = ms_of(r->between_bytes_ns),
        .handler = &handler,
        .user = f,
    };
    f->fetch = http_fetch_open(f->http->client, &opts, &why, &e);
    if (!f->fetch)
        on_fail(f, why, e.text);
    else if (r->has_body)
        wasi_body_credit(f->http->ctx, f->exchange, HTTP_FETCH_WINDOW);
    free(fields);
}

static void world_fetch(void *user, uint32_t exchange, const struct wasi_request *request)
{
    struct run_http *h = user;
    struct fetch *f = xnew(struct fetch);
    f->http = h;
    f->exchange = exchange;
    DL_APPEND(h->fetches, f);
    begin(f, request);
}

static struct fetch *find(struct run_http *h, uint32_t exchange)
{
    struct fetch *f;
    DL_SEARCH_SCALAR(h->fetches, f, exchange, exchange);
    return f;
}

static void world_fetch_drop(void *user, uint32_t exchange)
{
    struct run_http *h = user;
    struct fetch *f = find(h, exchange);
    DL_DELETE(h->fetches, f);
    http_fetch_free(f->fetch);
    free(f);
}

static void world_body_data(void *user, uint32_t exchange, struct span data)
{
    http_fetch_send(find(user, exchange)->fetch, data);
}

static void world_body_end(void *user, uint32_t exchange, bool finished,
                           const struct http_field *trailers, size_t ntrailers)
{
    struct fetch *f = find(user, exchange);
    struct http_fetch_field out[HTTP_FETCH_FIELDS_MAX];
    size_t n = MIN(ntrailers, HTTP_FETCH_FIELDS_MAX);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct http_fetch_field){trailers[i].name, trailers[i].value};
    if (finished)
        http_fetch_send_end(f->fetch, out, n);
    else
        fail(f, HTTP_INTERNAL_ERROR, "the request's body was not finished");
}

static void world_body_consumed(void *user, uint32_t exchange, size_t n)
{
    http_fetch_consumed(find(user, exchange)->fetch, n);
}

const struct wasi_world run_http_world = {
    .fetch = world_fetch,
    .fetch_drop = world_fetch_drop,
    .body_data = world_body_data,
    .body_end = world_body_end,
    .body_consumed = world_body_consumed,
};

/* ---- life ---- */

bool run_http_open(const char *allow, const char *ca_file, struct run_http **out, struct err *e)
{
    struct run_http *h = xnew(struct run_http);
    h->loop = loop_new();
    struct http_client_opts opts = {.loop = h->loop, .allow = allow, .ca_file = ca_file};
    if (!http_client_open(&opts, &h->client, e)) {
        run_http_close(h);
        return false;
    }
    *out = h;
    return true;
}

void run_http_close(struct run_http *h)
{
    if (!h)
        return;
    http_client_close(h->client);
    loop_free(h->loop);
    free(h);
}

void run_http_use(struct run_http *h, struct wasi_ctx *ctx)
{
    h->ctx = ctx;
}

static void on_timer(void *user)
{
    struct run_http *h = user;
    h->timer = NULL;
    look_again(h);
}

void run_http_turn(struct run_http *h, int fd, uint64_t wait_ms)
{
    struct err e = ERR_INIT;
    struct loop_fd *watch = fd >= 0 ? loop_fd_open(h->loop, fd, look_again, h, &e) : NULL;
    if (fd >= 0 && !watch)
        wait_ms = 0; /* a file, which is always ready */
    if (wait_ms != UINT64_MAX)
        h->timer = loop_after(h->loop, wait_ms, on_timer, h);
    loop_run(h->loop);
    loop_fd_close(&watch);
    loop_timer_stop(&h->timer);
}
