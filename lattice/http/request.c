/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes to an exchange: the tokeniser's callbacks, and what it leaves to us to refuse (RFC 9112, 6.1 and 11.2:
 * whatever two readers could frame differently is an error, never a guess).
 * Keeps: request() is called once per complete and acceptable head; body() only between it and body_end(). */
#include "lattice/http/http_server_int.h"

#include "lattice/base/num.h"

/* Of a body that nobody waits for any more we read this much to keep the connection. */
#define UNWANTED_BYTES_MAX (256u * 1024)

/* Refuses the request; returns what a callback gives the tokeniser to stop. */
static int refuse(struct http_conn *c, uint16_t status)
{
    c->refuse = status;
    return HPE_USER;
}

static int on_begin(llhttp_t *p)
{
    struct http_conn *c = p->data;
    exchange_begin(&c->x);
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = p->data;
    struct http_exchange *x = &c->x;
    if (n > c->server->limits.target_bytes_max - x->target_n)
        return refuse(c, 414);
    x->target_n += (uint32_t)n;
    buf_put(&x->fields.bytes, at, n);
    return x->fields.bytes.full ? refuse(c, 431) : 0;
}

static struct fields *section(struct http_exchange *x)
{
    return x->head_done ? &x->trailers : &x->fields;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = p->data;
    bool starts = !c->in_name;
    c->in_name = true;
    c->gap = at + n;
    c->gap_breaks = false;
    return fields_name(section(&c->x), starts, (struct str){at, n}) ? 0 : refuse(c, 431);
}

/* Is there a line end between the name and here? What of the gap came in earlier reads was looked at by then. */
static void look_at_gap(struct http_conn *c, const char *until)
{
    c->gap_breaks |= memchr(c->gap, '\n', (size_t)(until - c->gap)) != NULL;
}

/* A value comes in several pieces when reads cut it, and when it is folded. Only then does a piece end before the
 * input does, or begin on another line than its name. Folding is refused (RFC 9112, 5.2). */
static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = p->data;
    bool starts = !c->in_value;
    if (c->gap)
        look_at_gap(c, at);
    c->gap = NULL;
    if (starts ? n > 0 && c->gap_breaks : c->value_over)
        return refuse(c, 400);
    c->in_value = true;
    c->value_over = at + n != c->input_end;
    return fields_value(section(&c->x), starts, (struct str){at, n}) ? 0 : refuse(c, 431);
}

static int on_name_end(llhttp_t *p)
{
    struct http_conn *c = p->data;
    const struct fields *f = section(&c->x);
    if (!c->in_name || f->marks[f->n - 1].name_n == 0)
        return refuse(c, 400); /* ": value" passes the tokeniser */
    c->in_name = false;
    return 0;
}

static int on_value_end(llhttp_t *p)
{
    struct http_conn *c = p->data;
    c->in_value = false;
    c->gap = NULL;
    return 0;
}

/* ---- the head is complete ---- */

/* In one pass. */
struct framing_fields framing_find(const struct fields *f)
{
    struct framing_fields r = {0};
    for (uint32_t i = 0; i < f->n; i++) {
        struct str name = f->views[i].name, value = f->views[i].value;
        switch (name.n) {
        case 4:
            if (str_ieq(name, STR("host"))) {
                r.hosts++;
                r.host = value;
            }
            break;
        case 6:
            if (str_ieq(name, STR("expect")))
                r.expect = value;
            break;
        case 14:
            if (str_ieq(name, STR("content-length"))) {
                r.lengths++;
                r.length = value;
            }
            break;
        case 17:
            if (str_ieq(name, STR("transfer-encoding"))) {
                r.codings++;
                r.coding = value;
            }
            break;
        default:
            break;
        }
    }
    return r;
}

bool authority_ok(struct str a)
{
    for (size_t i = 0; i < a.n; i++) {
        char ch = a.p[i];
        bool alnum = (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z');
        if (!alnum && !(ch && strchr("-._~%!$&'()*+,;=:[]", ch)))
            return false;
    }
    return true;
}

static bool starts_with_scheme(struct str target, struct str *rest)
{
    static const struct str schemes[] = {STR_INIT("http://"), STR_INIT("https://")};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        struct str s = schemes[i];
        if (target.n >= s.n && str_ieq(str_sub(target, 0, s.n), s)) {
            *rest = str_sub(target, s.n, target.n);
            return true;
        }
    }
    return false;
}

/* Splits the target into authority and path (RFC 9112, 3.2). */
static bool split_target(struct http_head *h, struct str host)
{
    struct str rest;
    h->authority = host;
    if (h->target.n == 0)
        return false;
    if (h->target.p[0] == '/') {
        h->path = h->target;
        return true;
    }
    if (str_eq(h->target, STR("*"))) {
        h->path = h->target;
        return str_eq(h->method, STR("OPTIONS"));
    }
    if (!starts_with_scheme(h->target, &rest))
        return false;
    size_t end = MIN(str_find(rest, '/'), str_find(rest, '?'));
    h->authority = str_sub(rest, 0, end);
    h->path = str_sub(rest, end, rest.n);
    if (h->path.n == 0)
        h->path = STR("/");
    return h->authority.n > 0 && h->path.p[0] == '/' && authority_ok(h->authority);
}

/* 0, or the status to refuse with. */
static uint16_t check_head(const struct http_conn *c, const struct framing_fields *f)
{
    const llhttp_t *p = &c->parser;
    if (p->http_major != 1 || p->http_minor > 1)
        return 505;
    if (p->method == HTTP_CONNECT)
        return 501;
    if (f->hosts > 1 || (f->hosts == 0 && p->http_minor == 1) || !authority_ok(f->host))
        return 400;
    if (f->codings && (p->http_minor == 0 || f->codings > 1 || f->lengths))
        return 400;
    if (f->codings && !str_ieq(f->coding, STR("chunked")))
        return 501; /* a coding we do not know */
    if (f->lengths > 1)
        return 400;
    if (f->expect.n && !str_ieq(f->expect, STR("100-continue")))
        return 417;
    return 0;
}

static void fill_head(struct http_conn *c, const struct framing_fields *f)
{
    struct http_exchange *x = &c->x;
    const llhttp_t *p = &c->parser;
    x->head = (struct http_head){
        .method = str_of(llhttp_method_name((llhttp_method_t)p->method)),
        .target = {(const char *)x->fields.bytes.p, x->target_n},
        .peer = str_of(c->peer),
        .headers = x->fields.views,
        .nheaders = x->fields.n,
        .major = 1,
        .minor = p->http_minor,
        .has_body = f->codings > 0 || (f->lengths && p->content_length > 0),
        .has_length = f->codings == 0,
        .length_bytes = f->codings ? 0 : p->content_length,
    };
    x->expects_continue = f->expect.n > 0 && p->http_minor == 1 && x->head.has_body;
}

static int on_head(llhttp_t *p)
{
    struct http_conn *c = p->data;
    struct http_server *s = c->server;
    struct http_exchange *x = &c->x;
    p->upgrade = 0; /* we speak nothing else: an Upgrade field is just a field */
    fields_views(&x->fields);
    struct framing_fields f = framing_find(&x->fields);
    uint16_t status = check_head(c, &f);
    if (status)
        return refuse(c, status);
    fill_head(c, &f);
    if (!split_target(&x->head, f.host))
        return refuse(c, 400);
    if (x->head.length_bytes > s->limits.body_bytes_max)
        return refuse(c, 413);
    c->nrequests++;
    if (!llhttp_should_keep_alive(p) || s->stopping || c->nrequests >= s->limits.requests_max)
        c->closing = true;
    h1_body_begins(c);
    exchange_request(x);
    return c->dead ? refuse(c, 0) : 0;
}

/* ---- the body ---- */

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = p->data;
    struct http_exchange *x = &c->x;
    bool wanted = x->active;
    if (!exchange_body(x, (struct span){(const uint8_t *)at, n}))
        return refuse(c, 413);
    if (!wanted && (x->unwanted_bytes += n) > UNWANTED_BYTES_MAX) {
        c->closing = true; /* cheaper than reading on */
        return refuse(c, 0);
    }
    return c->dead ? refuse(c, 0) : 0;
}

static int on_extension(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = p->data;
    (void)at;
    c->x.extension_bytes += n;
    return c->x.extension_bytes > c->server->limits.head_bytes_max ? refuse(c, 400) : 0;
}

static int on_complete(llhttp_t *p)
{
    exchange_complete(&((struct http_conn *)p->data)->x);
    return HPE_PAUSED;
}

const llhttp_settings_t http_request_settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_field_complete = on_name_end,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_message_complete = on_complete,
};

/* Which status tells the client what the tokeniser did not like. */
static uint16_t status_of(llhttp_errno_t err)
{
    switch (err) {
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
        return 505;
    default:
        return 400;
    }
}

bool request_feed(struct http_conn *c, struct span in, size_t *used)
{
    c->refuse = UINT16_MAX;
    c->input_end = (const char *)in.p + in.n;
    if (c->gap)
        c->gap = (const char *)in.p;
    llhttp_errno_t err = llhttp_execute(&c->parser, (const char *)in.p, in.n);
    if (err == HPE_OK) {
        *used = in.n;
        if (c->gap)
            look_at_gap(c, c->input_end);
        c->refuse = 0;
        return true;
    }
    if (err == HPE_PAUSED) {
        *used = (size_t)((const uint8_t *)llhttp_get_error_pos(&c->parser) - in.p);
        llhttp_resume(&c->parser);
        c->refuse = 0;
        return true;
    }
    if (c->refuse == UINT16_MAX)
        c->refuse = status_of(err);
    return false;
}
