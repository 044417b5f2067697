/* SPDX-License-Identifier: Apache-2.0 */
/* From a stream's fields to an exchange. nghttp2 refuses what RFC 9113, 8 calls malformed (order and number of
 * pseudo-header fields, connection-specific fields, a content-length that the body does not keep to); the rest is as
 * in HTTP/1.1: whatever two readers could take differently is an error.
 * Keeps: pseudo-header fields stand in front of fields.bytes, and the exchange has a Host field like any other. */
#include "lattice/http/h2.h"

#include "lattice/base/num.h"

#define FIELD_OVERHEAD 32u /* of each field, as RFC 9113, 6.5.2 counts */

static struct str view(const struct http_exchange *x, struct field_mark m)
{
    return m.value_n ? (struct str){(const char *)x->fields.bytes.p + m.value, m.value_n} : STR("");
}

static void put_pseudo(struct h2_stream *s, struct str name, struct str value)
{
    const struct {
        struct str name;
        struct field_mark *mark;
    } rows[] = {{STR(":method"), &s->method},
                {STR(":scheme"), &s->scheme},
                {STR(":authority"), &s->authority},
                {STR(":path"), &s->path}};
    struct buf *bytes = &s->x.fields.bytes;
    if (str_eq(name, STR(":path")) && value.n > s->x.conn->server->limits.target_bytes_max) {
        s->refuse = 414;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_eq(rows[i].name, name)) {
            rows[i].mark->value = (uint32_t)bytes->n;
            rows[i].mark->value_n = (uint32_t)value.n;
            buf_str(bytes, value);
        }
    }
}

/* Its pieces may have come one by one, which nobody but HTTP/2 knows (RFC 9113, 8.2.3). */
static void put_cookie(struct h2_stream *s, struct str value)
{
    if (s->cookies.n > 0)
        buf_str(&s->cookies, STR("; "));
    buf_str(&s->cookies, value);
}

static void put_field(struct h2_stream *s, struct fields *f, struct str name, struct str value)
{
    if (!fields_name(f, true, name) || !fields_value(f, true, value))
        s->refuse = 431;
}

void h2_request_field(struct h2_stream *s, struct str name, struct str value)
{
    struct http_exchange *x = &s->x;
    s->head_bytes += name.n + value.n + FIELD_OVERHEAD;
    if (s->refuse)
        return;
    if (s->head_bytes > x->conn->server->limits.head_bytes_max)
        s->refuse = 431;
    else if (x->head_done)
        put_field(s, &x->trailers, name, value);
    else if (name.n > 0 && name.p[0] == ':')
        put_pseudo(s, name, value);
    else if (str_eq(name, STR("cookie")))
        put_cookie(s, value);
    else
        put_field(s, &x->fields, name, value);
}

/* ---- the head is complete ---- */

static bool path_ok(struct str path, struct str method)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] <= ' ' || path.p[i] >= 127)
            return false;
    }
    return path.n > 0 &&
           (path.p[0] == '/' || (str_eq(path, STR("*")) && str_eq(method, STR("OPTIONS"))));
}

/* 0, or the status to refuse with. */
static uint16_t check_head(const struct h2_stream *s, const struct framing_fields *f)
{
    const struct http_head *h = &s->x.head;
    struct str scheme = view(&s->x, s->scheme), authority = view(&s->x, s->authority);
    if (str_eq(h->method, STR("CONNECT")))
        return 501;
    if (!str_ieq(scheme, STR("http")) && !str_ieq(scheme, STR("https")))
        return 400;
    if (f->hosts > 1 || h->authority.n == 0 || !authority_ok(h->authority))
        return 400;
    if (f->hosts && authority.n && !str_ieq(f->host, authority))
        return 400;
    if (!path_ok(h->path, h->method) || f->codings || f->lengths > 1)
        return 400;
    if (f->expect.n && !str_ieq(f->expect, STR("100-continue")))
        return 417;
    return h->length_bytes > s->x.conn->server->limits.body_bytes_max ? 413 : 0;
}

/* What a reader of HTTP/1.1 expects. */
static void complete_fields(struct h2_stream *s)
{
    struct fields *f = &s->x.fields;
    bool has_host = false;
    for (uint32_t i = 0; i < f->n; i++)
        has_host |=
            f->marks[i].name_n == 4 && memcmp(f->bytes.p + f->marks[i].name, "host", 4) == 0;
    if (!has_host && s->authority.value_n) {
        struct buf host = BUF_INIT; /* the buffer it is in moves while it grows */
        buf_str(&host, view(&s->x, s->authority));
        put_field(s, f, STR("host"), buf_view(&host));
        buf_fini(&host);
    }
    if (s->cookies.n > 0)
        put_field(s, f, STR("cookie"), buf_view(&s->cookies));
    fields_views(f);
}

static void fill_head(struct h2_stream *s, const struct framing_fields *f, bool ends)
{
    struct http_exchange *x = &s->x;
    struct str authority = view(x, s->authority);
    uint64_t length = 0;
    bool has_length = f->lengths > 0 && str_u64(f->length, &length);
    x->head = (struct http_head){
        .method = view(x, s->method),
        .target = view(x, s->path),
        .path = view(x, s->path),
        .authority = authority.n ? authority : f->host,
        .peer = str_of(x->conn->peer),
        .headers = x->fields.views,
        .nheaders = x->fields.n,
        .major = 2,
        .has_body = !ends && !(has_length && length == 0),
        .has_length = ends || has_length,
        .length_bytes = length,
    };
    x->expects_continue = f->expect.n > 0 && x->head.has_body;
}

void h2_request_head(struct h2_stream *s, bool ends)
{
    struct http_exchange *x = &s->x;
    complete_fields(s);
    struct framing_fields f = framing_find(&x->fields);
    fill_head(s, &f, ends);
    if (!s->refuse)
        s->refuse = check_head(s, &f);
    s->head_bytes = 0; /* trailers may have as much */
    s->read_ms = s->rate_ms = loop_now_ms(x->conn->server->loop);
    if (s->refuse) {
        x->request_done = ends;
        exchange_refuse(x, s->refuse);
        return;
    }
    exchange_request(x);
    if (ends)
        exchange_complete(x);
}

/* ---- the body ---- */

void h2_request_body(struct h2_stream *s, struct span data)
{
    struct http_exchange *x = &s->x;
    bool wanted = x->active;
    s->read_ms = loop_now_ms(x->conn->server->loop);
    if (!exchange_body(x, data)) {
        h2_stream_fail(s, HTTP_GONE_LIMIT, 413);
        wanted = false;
    }
    /* what nobody wants is not in the way of other streams; its own window stays closed */
    if (!wanted)
        nghttp2_session_consume_connection(x->conn->h2->session, data.n);
}

void h2_request_end(struct h2_stream *s)
{
    if (s->refuse && s->x.active)
        h2_stream_fail(s, HTTP_GONE_INVALID, s->refuse); /* its trailers */
    exchange_complete(&s->x);
}
