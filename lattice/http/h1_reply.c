/* SPDX-License-Identifier: Apache-2.0 */
/* Replies in HTTP/1.1 (RFC 9112, 4 to 7): formatted at once, behind what the connection has to send already.
 * A reply of unknown length is chunked, or ends with the connection in HTTP/1.0. */
#include "lattice/http/http_server_int.h"

static void put_number(struct buf *out, uint64_t v, unsigned base)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    buf_put(out, text + at, sizeof text - at);
}

static void put_field(struct buf *out, struct str name, struct str value)
{
    buf_str(out, name);
    buf_put(out, ": ", 2);
    buf_str(out, value);
    buf_put(out, "\r\n", 2);
}

static bool is_chunked(const struct http_exchange *x)
{
    return x->framing == REPLY_OPEN && x->head.minor > 0;
}

static void put_framing(struct http_exchange *x, const struct reply_head *h, struct buf *out)
{
    if (h->length != LENGTH_UNKNOWN && h->status != 204) {
        buf_str(out, STR("content-length: "));
        put_number(out, h->length, 10);
        buf_put(out, "\r\n", 2);
    } else if (is_chunked(x)) {
        buf_str(out, STR("transfer-encoding: chunked\r\n"));
    }
    if (x->conn->closing)
        buf_str(out, STR("connection: close\r\n"));
    else if (x->head.minor == 0)
        buf_str(out, STR("connection: keep-alive\r\n"));
}

void h1_put_head(struct http_exchange *x, const struct reply_head *h)
{
    struct http_conn *c = x->conn;
    struct buf *out = &c->out;
    bool ends_by_closing = x->framing == REPLY_OPEN && !is_chunked(x);
    if (ends_by_closing || x->expects_continue || c->server->stopping)
        c->closing = true;
    x->head_at = out->n;
    x->head_run = c->sends;
    buf_str(out, STR("HTTP/1.1 "));
    put_number(out, h->status, 10);
    buf_put(out, " ", 1);
    buf_str(out, str_of(status_reason(h->status)));
    buf_put(out, "\r\n", 2);
    for (size_t i = 0; i < h->nheaders; i++) {
        if (reply_field_travels(&h->headers[i]))
            put_field(out, h->headers[i].name, h->headers[i].value);
    }
    if (!h->has_date)
        put_field(out, STR("date"), server_date(c->server));
    put_framing(x, h, out);
    buf_put(out, "\r\n", 2);
    conn_touch(c);
}

bool h1_retract(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (c->sends != x->head_run)
        return false;
    c->out.n = x->head_at;
    return true;
}

void h1_put_body(struct http_exchange *x, struct span data)
{
    struct buf *out = &x->conn->out;
    bool chunked = is_chunked(x);
    if (chunked) {
        put_number(out, data.n, 16);
        buf_put(out, "\r\n", 2);
    }
    buf_put(out, data.p, data.n);
    if (chunked)
        buf_put(out, "\r\n", 2);
    conn_touch(x->conn);
}

void h1_put_trailers(struct http_exchange *x, const struct http_header *trailers, size_t n)
{
    struct buf *out = &x->conn->out;
    if (!is_chunked(x))
        return;
    buf_str(out, STR("0\r\n"));
    for (size_t i = 0; i < n; i++) {
        if (reply_trailer_travels(&trailers[i]))
            put_field(out, trailers[i].name, trailers[i].value);
    }
    buf_put(out, "\r\n", 2);
    conn_touch(x->conn);
}

void h1_put_continue(struct http_exchange *x)
{
    buf_str(&x->conn->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    conn_touch(x->conn);
}
