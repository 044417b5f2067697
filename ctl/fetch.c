/* SPDX-License-Identifier: Apache-2.0 */
/* A small document from an HTTP server, for arguments that may be URLs. */
#include "ctl/table.h"

#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/http/http_client.h"

#define REDIRECTS_MAX 5u
#define PATIENCE_MS 5000u /* for all of it */
#define URL_BYTES_MAX 4096u

struct document {
    struct ctl *c;
    struct buf *out;
    struct http_fetch *fetch;
    struct loop_timer *timer;
    uint16_t status;
    char *location; /* of a redirect, in c->arena */
};

static const struct http_fetch_field *find_field(const struct http_fetch_field *v, size_t n,
                                                 struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq(v[i].name, name))
            return &v[i];
    return NULL;
}

static void on_head(void *user, uint16_t status, const struct http_fetch_field *fields, size_t n)
{
    struct document *d = user;
    const struct http_fetch_field *to = find_field(fields, n, STR("location"));
    d->status = status;
    if (status >= 300 && status < 400 && to && to->value.n <= URL_BYTES_MAX)
        d->location = arena_printf(&d->c->arena, "%.*s", STR_ARG(to->value));
}

static void on_body(void *user, struct span data)
{
    struct document *d = user;
    if (d->status == 200)
        buf_put(d->out, data.p, data.n);
    if (d->out->full)
        session_answer(d->c, NULL); /* the rest is not wanted */
    else
        http_fetch_consumed(d->fetch, data.n);
}

static void on_end(void *user, const struct http_fetch_field *trailers, size_t n)
{
    const struct document *d = user;
    (void)trailers, (void)n;
    session_answer(d->c, NULL);
}

static void on_fail(void *user, enum http_failure why, const char *text)
{
    const struct document *d = user;
    struct err e = ERR_INIT;
    err_set(&e, ERR_IO, "%s (%s)", text, http_failure_name(why));
    session_answer(d->c, &e);
}

static void on_timeout(void *user)
{
    struct document *d = user;
    struct err e = ERR_INIT;
    d->timer = NULL;
    err_set(&e, ERR_TIMEOUT, "not there within %u ms", PATIENCE_MS);
    session_answer(d->c, &e);
}

bool is_url(const char *text)
{
    return str_starts(str_of(text), STR("http://")) || str_starts(str_of(text), STR("https://"));
}

/* One request, to where an earlier one may have sent us. */
static bool ask(struct document *d, struct http_client *client, const char *url, struct err *e)
{
    static const struct http_fetch_handler handler = {
        .head = on_head, .body = on_body, .end = on_end, .fail = on_fail};
    struct str rest = str_of(url);
    bool tls = str_starts(rest, STR("https://"));
    rest = str_sub(rest, tls ? 8 : 7, rest.n);
    size_t slash = str_find(rest, '/');
    enum http_failure why;
    struct http_fetch_opts opts = {
        .method = STR("GET"),
        .scheme = tls ? STR("https") : STR("http"),
        .authority = str_sub(rest, 0, slash),
        .path_with_query = str_sub(rest, slash, str_find(rest, '#')),
        .connect_ms = PATIENCE_MS,
        .handler = &handler,
        .user = d,
    };
    d->status = 0;
    d->location = NULL;
    d->fetch = http_fetch_open(client, &opts, &why, e);
    bool ok = session_await(d->c, d->fetch != NULL, e);
    http_fetch_free(d->fetch);
    return ok;
}

/* An absolute address, or a path on the same server. */
static const char *next_url(struct document *d, const char *url)
{
    if (!d->location || is_url(d->location) || d->location[0] != '/')
        return d->location && is_url(d->location) ? d->location : NULL;
    struct str root = str_of(url);
    size_t from = str_find(root, '/') + 2;
    root = str_sub(root, 0, from + str_find(str_sub(root, from, root.n), '/'));
    return arena_printf(&d->c->arena, "%.*s%s", STR_ARG(root), d->location);
}

static bool get(struct document *d, struct http_client *client, const char *url, struct err *e)
{
    bool secret = str_starts(str_of(url), STR("https://"));
    for (uint32_t i = 0; i <= REDIRECTS_MAX; i++) {
        if (!ask(d, client, url, e))
            return false;
        if (d->status == 200)
            return buf_ok(d->out, e);
        const char *to = next_url(d, url);
        if (!to)
            return err_set(e, d->status == 404 ? ERR_NOT_FOUND : ERR_PEER, "the server answers %u",
                           d->status);
        if (secret && !str_starts(str_of(to), STR("https://")))
            return err_set(e, ERR_DENIED, "the server sends us on to '%.100s', without TLS", to);
        url = to;
    }
    return err_set(e, ERR_LIMIT, "sent on more than %u times", REDIRECTS_MAX);
}

bool fetch_url(struct ctl *c, const char *url, struct buf *out, struct err *e)
{
    struct document d = {.c = c, .out = out};
    struct http_client *client;
    if (!c->loop)
        c->loop = loop_new();
    struct http_client_opts opts = {.loop = c->loop, .allow = "*"};
    if (!http_client_open(&opts, &client, e))
        return false;
    d.timer = loop_after(c->loop, PATIENCE_MS, on_timeout, &d);
    bool ok = get(&d, client, url, e) || err_wrap(e, "'%s'", url);
    loop_timer_stop(&d.timer);
    http_client_close(client);
    return ok;
}
