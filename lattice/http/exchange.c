/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its reply, as the handler sees them whichever protocol carries them.
 * Keeps: a head is checked whole before its protocol is given it; no field that frames a message comes from a
 * handler, and no body longer or shorter than its content-length leaves as a complete one; `active` turns false
 * exactly once, by the handler's end or abort, or by gone(). */
#include "lattice/http/http_server_int.h"

#include <assert.h>
#include <stdio.h>
#include "lattice/base/num.h"

const char *http_gone_text(enum http_gone why)
{
    static const char *const texts[] = {
        [HTTP_GONE_CLIENT] = "client left",     [HTTP_GONE_TIMEOUT] = "client too slow",
        [HTTP_GONE_INVALID] = "malformed body", [HTTP_GONE_LIMIT] = "body too large",
        [HTTP_GONE_CLOSED] = "server closed",
    };
    return texts[why];
}

/* ---- life ---- */

static void apply_limits(struct http_exchange *x)
{
    const struct http_limits *limits = &x->conn->server->limits;
    x->fields.max = x->trailers.max = limits->headers_max;
    x->fields.bytes.max = x->trailers.bytes.max = limits->head_bytes_max;
}

void exchange_init(struct http_exchange *x, struct http_conn *c)
{
    x->conn = c;
    apply_limits(x);
}

/* The limits may have changed since the request before. */
void exchange_begin(struct http_exchange *x)
{
    x->begun = true;
    apply_limits(x);
}

/* Keeps the memory of the fields for the next request. */
void exchange_reset(struct http_exchange *x)
{
    assert(!x->active);
    fields_clear(&x->fields);
    fields_clear(&x->trailers);
    *x = (struct http_exchange){.conn = x->conn, .fields = x->fields, .trailers = x->trailers};
}

void exchange_fini(struct http_exchange *x)
{
    assert(!x->active);
    fields_fini(&x->fields);
    fields_fini(&x->trailers);
}

static void deactivate(struct http_exchange *x)
{
    assert(x->active);
    x->active = false;
    x->conn->server->nexchanges--;
}

void exchange_gone(struct http_exchange *x, enum http_gone why)
{
    struct http_server *s = x->conn->server;
    if (!x->active)
        return;
    deactivate(x);
    s->handler->gone(s->user, x, why);
}

void http_exchange_abort(struct http_exchange *x)
{
    deactivate(x);
    x->conn->protocol->abort(x);
}

const struct http_head *http_exchange_head(const struct http_exchange *x)
{
    return &x->head;
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

bool http_reply_started(const struct http_exchange *x)
{
    return x->reply_started;
}

void http_body_consumed(struct http_exchange *x, size_t n)
{
    assert(x->active && n <= x->unconsumed_bytes);
    x->unconsumed_bytes -= n;
    x->conn->protocol->consumed(x, n);
}

/* ---- the request ---- */

void exchange_request(struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    x->head_done = x->active = true;
    s->nexchanges++;
    s->handler->request(s->user, x);
    if (x->expects_continue && x->active && !x->reply_started) {
        x->expects_continue = false;
        x->conn->protocol->proceed(x);
    }
}

bool exchange_body(struct http_exchange *x, struct span data)
{
    struct http_server *s = x->conn->server;
    if (data.n > s->limits.body_bytes_max - MIN(x->body_bytes, s->limits.body_bytes_max))
        return false;
    x->body_bytes += data.n;
    if (x->active) {
        x->unconsumed_bytes += data.n;
        s->handler->body(s->user, x, data);
    }
    return true;
}

void exchange_complete(struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    x->request_done = true;
    fields_views(&x->trailers);
    if (x->active)
        s->handler->body_end(s->user, x, x->trailers.views, x->trailers.n);
}

/* ---- reply heads ---- */

const char *status_reason(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *text;
    } rows[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {418, "I'm a teapot"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].status == status)
            return rows[i].text;
    }
    return ""; /* may be empty: RFC 9112, 4 */
}

static bool name_ok(struct str name)
{
    static const char punctuation[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < name.n; i++) {
        char ch = name.p[i];
        bool alnum = (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z');
        if (!alnum && (ch == 0 || !strchr(punctuation, ch)))
            return false;
    }
    return name.n > 0;
}

static bool value_ok(struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char ch = (unsigned char)value.p[i];
        if ((ch < 32 && ch != '\t') || ch == 127)
            return false;
    }
    return true;
}

enum field_kind { FIELD_PLAIN, FIELD_HOP, FIELD_LENGTH, FIELD_DATE, FIELD_BODY };

static enum field_kind field_kind(struct str name)
{
    static const struct {
        struct str name;
        enum field_kind kind;
    } rows[] = {
        {STR_INIT("connection"), FIELD_HOP},
        {STR_INIT("keep-alive"), FIELD_HOP},
        {STR_INIT("proxy-connection"), FIELD_HOP},
        {STR_INIT("te"), FIELD_HOP},
        {STR_INIT("trailer"), FIELD_HOP},
        {STR_INIT("transfer-encoding"), FIELD_HOP},
        {STR_INIT("upgrade"), FIELD_HOP},
        {STR_INIT("content-length"), FIELD_LENGTH},
        {STR_INIT("date"), FIELD_DATE},
        {STR_INIT("host"), FIELD_BODY},
        {STR_INIT("content-type"), FIELD_BODY},
        {STR_INIT("content-encoding"), FIELD_BODY},
        {STR_INIT("content-range"), FIELD_BODY},
        {STR_INIT("set-cookie"), FIELD_BODY},
        {STR_INIT("authorization"), FIELD_BODY},
        {STR_INIT("cache-control"), FIELD_BODY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].name.n == name.n && str_ieq(rows[i].name, name))
            return rows[i].kind;
    }
    return FIELD_PLAIN;
}

bool reply_field_travels(const struct http_header *h)
{
    enum field_kind kind = field_kind(h->name);
    return kind != FIELD_HOP && kind != FIELD_LENGTH;
}

bool reply_trailer_travels(const struct http_header *h)
{
    return name_ok(h->name) && value_ok(h->value) && field_kind(h->name) == FIELD_PLAIN;
}

/* Fills in what a head's fields say. */
static bool check_headers(const struct http_header *h, size_t n, struct reply_head *out,
                          struct err *e)
{
    char text[128];
    uint64_t known = LENGTH_UNKNOWN;
    for (size_t i = 0; i < n; i++) {
        if (!name_ok(h[i].name) || !value_ok(h[i].value))
            return err_set(e, ERR_INVALID, "header '%s' has bytes that must not be sent",
                           str_escape(h[i].name, text, sizeof text));
        enum field_kind kind = field_kind(h[i].name);
        out->has_date |= kind == FIELD_DATE;
        if (kind != FIELD_LENGTH)
            continue;
        uint64_t length;
        if (!str_u64(h[i].value, &length) || length == LENGTH_UNKNOWN ||
            (known != LENGTH_UNKNOWN && known != length))
            return err_set(e, ERR_INVALID,
                           "content-length '%s' is not a number, or not the only one",
                           str_escape(h[i].value, text, sizeof text));
        known = length;
    }
    out->length = known;
    return true;
}

static enum reply_framing choose_framing(const struct http_exchange *x, uint16_t status,
                                         uint64_t length)
{
    if (status == 204 || status == 304 || str_eq(x->head.method, STR("HEAD")))
        return REPLY_EMPTY;
    if (length != LENGTH_UNKNOWN)
        return REPLY_LENGTH;
    return REPLY_OPEN;
}

/* length overrides a content-length field unless it is LENGTH_UNKNOWN. */
static bool put_head(struct http_exchange *x, uint16_t status, const struct http_header *h,
                     size_t n, uint64_t length, struct err *e)
{
    struct reply_head head = {.status = status, .headers = h, .nheaders = n};
    assert(!x->reply_started);
    if (status < 200 || status > 999)
        return err_set(e, ERR_INVALID, "status %u cannot be sent", status);
    if (!check_headers(h, n, &head, e))
        return false;
    if (length != LENGTH_UNKNOWN)
        head.length = length;
    x->framing = choose_framing(x, status, head.length);
    x->reply_left = x->framing == REPLY_LENGTH ? head.length : 0;
    x->reply_started = true;
    x->conn->protocol->head(x, &head);
    return true;
}

bool http_reply_head(struct http_exchange *x, uint16_t status, const struct http_header *headers,
                     size_t n, struct err *e)
{
    assert(x->active);
    return put_head(x, status, headers, n, LENGTH_UNKNOWN, e);
}

bool http_reply_retract(struct http_exchange *x)
{
    assert(x->active && x->reply_started);
    if (!x->conn->protocol->retract(x))
        return false;
    x->reply_started = x->above_high = false;
    x->framing = REPLY_NONE;
    return true;
}

/* ---- bodies ---- */

static void put_body(struct http_exchange *x, struct span data)
{
    if (x->framing == REPLY_LENGTH) {
        if (data.n > x->reply_left) {
            /* the promise holds; what is behind it would be read as a reply */
            data.n = (size_t)x->reply_left;
            x->conn->closing = true;
        }
        x->reply_left -= data.n;
    }
    if (x->framing != REPLY_EMPTY && data.n > 0)
        x->conn->protocol->body(x, data);
}

size_t http_reply_body(struct http_exchange *x, struct span data)
{
    assert(x->active && x->reply_started);
    put_body(x, data);
    size_t queued = x->conn->protocol->queued(x);
    if (queued >= x->conn->server->limits.write_high_bytes)
        x->above_high = true;
    return queued;
}

void http_reply_end(struct http_exchange *x, const struct http_header *trailers, size_t n)
{
    assert(x->active && x->reply_started);
    if (x->framing == REPLY_LENGTH && x->reply_left > 0) {
        http_exchange_abort(x);
        return;
    }
    deactivate(x);
    x->reply_done = true;
    x->conn->protocol->end(x, trailers, n);
}

bool http_reply_full(struct http_exchange *x, uint16_t status, const struct http_header *headers,
                     size_t n, struct span body, struct err *e)
{
    assert(x->active);
    if (!put_head(x, status, headers, n, body.n, e))
        return false;
    put_body(x, body);
    http_reply_end(x, NULL, 0);
    return true;
}

void exchange_refuse(struct http_exchange *x, uint16_t status)
{
    static const struct http_header plain[] = {{STR_INIT("content-type"), STR_INIT("text/plain")}};
    char text[64];
    struct err e = ERR_INIT;
    assert(!x->active && !x->reply_started);
    int n = snprintf(text, sizeof text, "%u %s\n", status, status_reason(status));
    put_head(x, status, plain, ARRAY_LEN(plain), (uint64_t)n, &e);
    put_body(x, (struct span){(const uint8_t *)text, (size_t)n});
    x->reply_done = true;
    x->conn->protocol->end(x, NULL, 0);
}
