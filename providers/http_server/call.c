/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request as one call of incoming-handler.handle: bodies and trailers in both directions, and every way in
 * which it can end.
 * Keeps: a call and its exchange end together; a response begins once. What the component sends may overtake its own
 * head and is kept until that came.
 * Back-pressure: a peer that paces decides how much of a request body we read, and is told of a response's bytes
 * only when the client's connection has room. For other peers wRPC has no word for "slower": a request body is paced
 * by round trips to the bus, and a response that outruns its client is broken off at REPLY_QUEUE_BYTES_MAX. */
#include "providers/http_server/provider.h"

#include <stdio.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define WATCH_MS 1000u
#define FLUSH_TIMEOUT_MS 10000u
#define FIELDS_MAX CALL_FIELDS_MAX

/* A bus round trip under way; outlives its call. */
struct pace {
    struct call *call; /* NULL when it is gone */
    size_t bytes;
};

struct call {
    struct call *prev, *next; /* of provider.calls */
    struct listener *listener;
    struct http_exchange *x;
    struct wrpc_call *wrpc;
    struct wrpc_out *body, *trailers; /* of the request */
    struct pace *pace;
    size_t held_bytes; /* of the request body: written, not yet reported as consumed */

    struct buf root;          /* of the response, until it is complete; wRPC bounds it */
    struct buf early;         /* body bytes that came before it */
    struct buf trailer_bytes; /* of the response */
    struct wrpc_stream_reader reader;
    bool started, body_ended, trailers_ended;
    bool complete; /* the component has no more to say */
    bool early_ended;
    size_t queued_bytes; /* on the client's connection */
    size_t owed_bytes;   /* of the response body: put there, not yet reported as consumed */

    uint16_t status;
    uint64_t bytes_in, bytes_out, begun_ms, progress_ms;
};

static const struct wit_path body_path = {2, {0, 0}}, trailers_path = {2, {0, 1}};

static const struct failure no_lattice = {503, true, "connection to the lattice is down"};

static void on_watch(void *user);
static void watch(struct provider *p); /* arms the timer when it is needed */

static struct provider *provider_of(const struct call *c)
{
    return c->listener->provider;
}

static uint64_t now_ms(const struct call *c)
{
    return loop_now_ms(sdk_loop(provider_of(c)->sdk));
}

/* ---- life ---- */

static void access_log(const struct call *c, const char *how)
{
    enum log_level level = c->listener->settings.access_log ? LOG_INFO : LOG_DEBUG;
    if (!log_enabled(level))
        return;
    const struct http_head *head = http_exchange_head(c->x);
    log_at(level, "request", LS("method", head->method), LS("path", head->path),
           LI("status", c->status), LI("bytes_in", c->bytes_in), LI("bytes_out", c->bytes_out),
           LI("ms", now_ms(c) - c->begun_ms), LS("client", head->peer),
           LZ("target", c->listener->target), LZ("end", how));
}

static struct call *call_new(struct listener *l, struct http_exchange *x)
{
    struct provider *p = l->provider;
    struct call *c = xnew(struct call);
    c->listener = l;
    l->ncalls++;
    c->x = x;
    c->begun_ms = c->progress_ms = now_ms(c);
    buf_init(&c->early, EARLY_BYTES_MAX);
    buf_init(&c->trailer_bytes, TRAILER_BYTES_MAX);
    DL_PREPEND(p->calls, c);
    http_exchange_set_user(x, c);
    return c;
}

static void unlink_call(struct call *c)
{
    struct provider *p = provider_of(c);
    DL_DELETE(p->calls, c);
    if (c->started)
        p->nstreaming--;
}

/* The exchange is over, or the caller ends it next. */
static void call_free(struct call *c)
{
    unlink_call(c);
    if (c->complete)
        wrpc_call_free(c->wrpc);
    else
        wrpc_call_abandon(c->wrpc);
    if (c->pace)
        c->pace->call = NULL;
    buf_fini(&c->root);
    buf_fini(&c->early);
    buf_fini(&c->trailer_bytes);
    listener_call_ended(c->listener);
    free(c);
}

static void reply_failure(struct http_exchange *x, const struct failure *f)
{
    static const struct http_header headers[] = {
        {STR_INIT("content-type"), STR_INIT("text/plain; charset=utf-8")},
        {STR_INIT("retry-after"), STR_INIT("1")}};
    struct err e = ERR_INIT;
    char text[256];
    int n = snprintf(text, sizeof text, "%u: %s\n", f->status, f->text);
    struct span body = {(const uint8_t *)text, MIN((size_t)n, sizeof text - 1)};
    /* cannot fail: nothing in it can be refused */
    http_reply_full(x, f->status, headers, f->retry ? 2 : 1, body, &e);
}

/* Ends the exchange without a response of the component: a status while that is possible, else a broken connection. */
static void fail(struct call *c, const struct failure *f, const char *cause)
{
    struct http_exchange *x = c->x;
    bool too_late = c->started && !http_reply_retract(x);
    c->status = too_late ? c->status : f->status;
    access_log(c, cause);
    call_free(c);
    if (too_late)
        http_exchange_abort(x);
    else
        reply_failure(x, f);
}

static void fail_with(struct call *c, uint16_t status, const char *text)
{
    struct failure f = {.status = status};
    snprintf(f.text, sizeof f.text, "%s", text);
    fail(c, &f, text);
}

/* ---- the response ---- */

static void finish(struct call *c)
{
    struct provider *p = provider_of(c);
    struct http_header trailers[FIELDS_MAX];
    const struct http_field *fields;
    size_t n = 0;
    struct err e = ERR_INIT;
    arena_reset(&p->arena);
    if (!http_trailers_decode(buf_span(&c->trailer_bytes), &p->arena, &fields, &n, &e))
        n = 0; /* cut short or none */
    n = MIN(n, FIELDS_MAX);
    for (size_t i = 0; i < n; i++)
        trailers[i] = (struct http_header){fields[i].name, fields[i].value};
    access_log(c, "done");
    c->complete = true;
    http_reply_end(c->x, trailers, n); /* they borrow from c */
    call_free(c);
}

static void put_data(void *user, struct span data)
{
    struct call *c = user;
    c->bytes_out += data.n;
    c->owed_bytes += data.n;
    c->queued_bytes = http_reply_body(c->x, data);
}

/* The peer may send as much again as the client's connection had room for. */
static void pay(struct call *c)
{
    size_t n = c->owed_bytes;
    c->owed_bytes = 0;
    wrpc_call_consumed(c->wrpc, &body_path, n);
}

/* piece.n == 0: the channel ended. False: c is gone. */
static bool take_body(struct call *c, struct span piece)
{
    struct err e = ERR_INIT;
    if (c->body_ended)
        return true;
    if (piece.n > 0 && !wrpc_stream_feed(&c->reader, piece, put_data, c, &e)) {
        fail_with(c, 502, "malformed response body");
        return false;
    }
    if (c->queued_bytes > REPLY_QUEUE_BYTES_MAX) {
        fail_with(c, 502, "client reads too slowly");
        return false;
    }
    if (c->queued_bytes < REPLY_HIGH_BYTES)
        pay(c);
    if (piece.n == 0 && !c->reader.ended) {
        fail_with(c, 502, "response body was cut off");
        return false;
    }
    c->body_ended = piece.n == 0 || c->reader.ended;
    return true;
}

static void on_body(struct call *c, struct span piece)
{
    if (!c->started) {
        if (piece.n == 0)
            c->early_ended = true;
        buf_put(&c->early, piece.p, piece.n);
        if (c->early.full)
            fail_with(c, 502, "response body without a head");
        return;
    }
    if (take_body(c, piece) && c->body_ended && c->trailers_ended)
        finish(c);
}

static void on_trailers(struct call *c, struct span piece)
{
    struct err e = ERR_INIT;
    const struct http_field *fields;
    size_t n;
    if (c->trailers_ended)
        return;
    buf_put(&c->trailer_bytes, piece.p, piece.n);
    arena_reset(&provider_of(c)->arena);
    c->trailers_ended = piece.n == 0 || c->trailer_bytes.full ||
                        http_trailers_decode(buf_span(&c->trailer_bytes), &provider_of(c)->arena,
                                             &fields, &n, &e) ||
                        e.code != ERR_NONE;
    if (c->started && c->body_ended && c->trailers_ended)
        finish(c);
}

/* Body and trailers that came with the head. False: c is gone. */
static bool take_joined(struct call *c, const struct http_response *r)
{
    struct err e = ERR_INIT;
    if (r->trailers_ready) { /* too many to write: as good as none, see finish */
        http_trailers_encode(r->trailers, r->ntrailers, &c->trailer_bytes, &e);
        c->trailers_ended = true;
    }
    if (r->body.n == 0)
        return true;
    put_data(c, r->body);
    c->body_ended = true;
    if (c->queued_bytes > REPLY_QUEUE_BYTES_MAX) {
        fail_with(c, 502, "client reads too slowly");
        return false;
    }
    return true;
}

static void start_response(struct call *c, const struct http_response *r)
{
    struct http_header headers[FIELDS_MAX + 1 + CORS_HEADERS_MAX];
    struct str cache_control = c->listener->settings.cache_control;
    struct err e = ERR_INIT;
    size_t n = 0;
    if (r->nfields > FIELDS_MAX) {
        fail_with(c, 502, "response has too many header fields");
        return;
    }
    for (size_t i = 0; i < r->nfields; i++) {
        headers[n++] = (struct http_header){r->fields[i].name, r->fields[i].value};
        if (str_ieq(r->fields[i].name, STR("cache-control")))
            cache_control = STR_NONE;
    }
    if (cache_control.n > 0)
        headers[n++] = (struct http_header){STR("cache-control"), cache_control};
    n = cors_headers(&c->listener->settings.cors, http_exchange_head(c->x), headers, n);
    if (!http_reply_head(c->x, r->status, headers, n, &e)) {
        log_warn("response refused", LZ("target", c->listener->target), LE(&e));
        fail_with(c, 502, "component's response cannot be sent");
        return;
    }
    c->started = true;
    c->status = r->status;
    provider_of(c)->nstreaming++;
    watch(provider_of(c));
    struct buf early = c->early;
    c->early = (struct buf)BUF_INIT;
    bool alive = take_joined(c, r) && (early.n == 0 || take_body(c, buf_span(&early))) &&
                 (!c->early_ended || take_body(c, (struct span){NULL, 0}));
    buf_fini(&early);
    if (alive && c->body_ended && c->trailers_ended)
        finish(c);
}

static void on_root(struct call *c, struct span piece)
{
    struct provider *p = provider_of(c);
    struct http_response response;
    struct http_error error;
    struct failure f;
    struct err e = ERR_INIT;
    bool is_error;
    if (c->started || piece.n == 0)
        return;
    if (c->root.n > 0)
        buf_put(&c->root, piece.p, piece.n);
    struct span root = c->root.n > 0 ? buf_span(&c->root) : piece;
    arena_reset(&p->arena);
    if (!http_result_decode(root, &p->arena, &response, &error, &is_error, &e)) {
        if (e.code != ERR_NONE) {
            log_warn("response cannot be read", LZ("target", c->listener->target), LE(&e));
            fail_with(c, 502, "component's response cannot be read");
        } else if (c->root.n == 0) {
            buf_put(&c->root, piece.p, piece.n);
        }
        return;
    }
    if (is_error) {
        failure_of_error(&error, &f);
        c->complete = true;
        fail(c, &f, http_error_name(error.code));
        return;
    }
    start_response(c, &response);
}

static void on_bytes(void *user, const struct wit_path *path, struct span piece)
{
    struct call *c = user;
    c->progress_ms = now_ms(c);
    if (path->n == 0)
        on_root(c, piece);
    else if (wit_path_eq(path, &body_path))
        on_body(c, piece);
    else if (wit_path_eq(path, &trailers_path))
        on_trailers(c, piece);
}

static void on_end(void *user, const struct err *why)
{
    struct call *c = user;
    struct failure f;
    if (c->started)
        return; /* what is left comes on the other channels */
    failure_of_call(why, &f);
    c->complete = !why || why->code != ERR_TIMEOUT;
    fail(c, &f, why ? why->text : "no result");
}

/* ---- stalled responses ---- */

static void watch(struct provider *p)
{
    if (p->nstreaming > 0 && !p->watch)
        p->watch = loop_after(sdk_loop(p->sdk), WATCH_MS, on_watch, p);
}

static void on_watch(void *user)
{
    struct provider *p = user;
    p->watch = NULL;
    struct call *c, *next;
    DL_FOREACH_SAFE(p->calls, c, next)
    {
        uint64_t quiet_ms = now_ms(c) - c->progress_ms;
        if (c->started && c->body_ended && quiet_ms >= TRAILERS_TIMEOUT_MS)
            finish(c);
        else if (c->started && c->owed_bytes == 0 && quiet_ms >= STALL_TIMEOUT_MS)
            fail_with(c, 504, "response body stalled");
    }
    watch(p);
}

void calls_fail(struct provider *p)
{
    struct call *c, *next;
    DL_FOREACH_SAFE(p->calls, c, next)
    {
        fail(c, &no_lattice, no_lattice.text);
    }
}

/* ---- the request ---- */

static bool host_like(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        if (!((ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z') ||
              (ch && strchr("-._:[]", ch))))
            return false;
    }
    return s.n > 0;
}

/* The first value of a list: what the outermost proxy says. */
static struct str first_of(struct str list)
{
    return str_trim(str_sub(list, 0, str_find(list, ',')));
}

/* host of a Forwarded field's first element (RFC 7239, 4); empty when it has none. */
static struct str forwarded_host(struct str list)
{
    struct str rest = first_of(list), part;
    while (str_cut(&rest, ';', &part)) {
        part = str_trim(part);
        if (part.n <= 5 || !str_ieq(str_sub(part, 0, 5), STR("host=")))
            continue;
        struct str host = str_sub(part, 5, part.n);
        bool quoted = host.n > 2 && host.p[0] == '"' && host.p[host.n - 1] == '"';
        return quoted ? str_sub(host, 1, host.n - 1) : host;
    }
    return STR_NONE;
}

/* What proxies in front say of the outer request; Forwarded weighs more than X-Forwarded-Host. */
static void apply_forwarded(struct http_request *r)
{
    struct str x_host = STR_NONE, host = STR_NONE;
    for (size_t i = 0; i < r->nfields; i++) {
        struct str name = r->fields[i].name, value = r->fields[i].value;
        if (str_ieq(name, STR("forwarded")))
            host = forwarded_host(value);
        else if (str_ieq(name, STR("x-forwarded-host")))
            x_host = first_of(value);
        else if (str_ieq(name, STR("x-forwarded-proto")) && str_ieq(first_of(value), STR("https")))
            r->scheme = STR("https");
    }
    if (host_like(host))
        r->authority = host;
    else if (host_like(x_host))
        r->authority = x_host;
}

static bool is_hop(struct str name)
{
    static const struct str names[] = {STR_INIT("connection"), STR_INIT("keep-alive"),
                                       STR_INIT("te"),         STR_INIT("transfer-encoding"),
                                       STR_INIT("upgrade"),    STR_INIT("proxy-connection"),
                                       STR_INIT("expect"),     STR_INIT("http2-settings")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_ieq(name, names[i]))
            return true;
    }
    return false;
}

/* Did the request come over TLS? */
static bool is_tls(const struct listener *l)
{
    const struct listener *shared = l->provider->shared;
    return (shared ? shared : l)->tls != NULL;
}

/* fields holds FIELDS_MAX; the server's limit on header fields is lower. */
static struct http_request wire_request(const struct call *c, struct http_field *fields)
{
    const struct http_head *head = http_exchange_head(c->x);
    struct http_request r = {
        .method = head->method,
        .scheme = is_tls(c->listener) ? STR("https") : STR("http"),
        .authority =
            head->authority.n > 0 ? head->authority : str_of(c->listener->settings.address),
        .path_with_query = head->path,
        .fields = fields,
    };
    for (size_t i = 0; i < head->nheaders && r.nfields < FIELDS_MAX; i++) {
        struct str name = head->headers[i].name, value = head->headers[i].value;
        if (str_ieq(name, STR("host")))
            value =
                head->authority; /* of an absolute target, whatever Host says (RFC 9112, 3.2.2) */
        if (!is_hop(name))
            fields[r.nfields++] = (struct http_field){name, value};
    }
    apply_forwarded(&r);
    return r;
}

static void pace(void *user);

/* Both are over when this returns. On failure trailers are lost with the call, which its end will tell. */
static void end_bodies(struct call *c, const struct http_field *trailers, size_t n)
{
    struct buf out = BUF_INIT;
    struct err e = ERR_INIT;
    wrpc_out_finish_stream(c->body);
    if (http_trailers_encode(trailers, n, &out, &e) &&
        wrpc_out_write(c->trailers, buf_span(&out), &e))
        wrpc_out_done(c->trailers);
    else
        wrpc_out_close(c->trailers);
    c->body = c->trailers = NULL;
    buf_fini(&out);
}

static bool open_bodies(struct call *c, struct err *e)
{
    if (!wrpc_call_param(c->wrpc, &body_path, &c->body, e) ||
        !wrpc_call_param(c->wrpc, &trailers_path, &c->trailers, e))
        return false;
    if (http_exchange_head(c->x)->has_body)
        wrpc_out_on_room(c->body, pace, c);
    else
        end_bodies(c, NULL, 0);
    return true;
}

/* The trace goes on where the client's was; nothing else of its header leaves the HTTP request. */
static size_t trace_headers(const struct http_request *r, struct bus_header out[2])
{
    static const struct str names[] = {STR_INIT("traceparent"), STR_INIT("tracestate")};
    size_t n = 0;
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        for (size_t i = 0; i < r->nfields; i++) {
            if (str_ieq(r->fields[i].name, names[k])) {
                out[n++] = (struct bus_header){names[k], r->fields[i].value};
                break;
            }
        }
    }
    return n;
}

static bool invoke(struct call *c, struct err *e)
{
    struct provider *p = provider_of(c);
    struct http_field fields[FIELDS_MAX];
    struct bus_header trace[2];
    struct http_request r = wire_request(c, fields);
    uint64_t timeout_ms = c->listener->settings.timeout_ms;
    struct sdk_call call = {
        .target = str_of(c->listener->target),
        .instance = STR("wrpc:http/incoming-handler@0.1.0"),
        .func = STR("handle"),
        .headers = trace,
        .nheaders = trace_headers(&r, trace),
        .deadline_ms = timeout_ms ? timeout_ms : CALL_TIMEOUT_MS,
        .paced = true,
        .bare = !http_exchange_head(c->x)->has_body,
    };
    buf_clear(&p->params);
    return http_request_encode(&r, &p->params, e) &&
           sdk_invoke(p->sdk, &call, buf_span(&p->params), &p->result_paths, on_bytes, on_end, c,
                      &c->wrpc, e) &&
           open_bodies(c, e);
}

static void refuse_method(struct http_exchange *x)
{
    static const struct http_header allow[] = {{STR_INIT("allow"), STR_INIT("GET, HEAD")}};
    struct err e = ERR_INIT;
    http_reply_full(x, 405, allow, ARRAY_LEN(allow), (struct span){NULL, 0}, &e);
}

/* What can be answered without the component. */
static bool answer_here(const struct listener *l, struct http_exchange *x)
{
    const struct http_head *head = http_exchange_head(x);
    struct err e = ERR_INIT;
    struct cors_answer cors;
    if (cors_preflight(&l->settings.cors, head, &cors)) {
        http_reply_full(x, 200, cors.headers, cors.n, (struct span){NULL, 0}, &e);
        return true;
    }
    if (!l->settings.readonly || str_eqz(head->method, "GET") || str_eqz(head->method, "HEAD"))
        return false;
    refuse_method(x);
    return true;
}

static void on_request(void *user, struct http_exchange *x)
{
    struct err e = ERR_INIT;
    struct failure f = {0};
    const char *why = "";
    struct listener *l = listener_route(user, http_exchange_head(x), &f.status, &why);
    if (!l) {
        snprintf(f.text, sizeof f.text, "%s", why);
        reply_failure(x, &f);
        return;
    }
    if (answer_here(l, x))
        return;
    if (bus_state(sdk_bus(l->provider->sdk)) != BUS_UP) {
        reply_failure(x, &no_lattice);
        return;
    }
    struct call *c = call_new(l, x);
    if (!invoke(c, &e)) {
        log_warn("call cannot be made", LZ("target", l->target), LE(&e));
        failure_of_call(&e, &f);
        fail(c, &f, e.text);
    }
}

static void on_round_trip(void *user, const struct err *e)
{
    struct pace *pc = user;
    struct call *c = pc->call;
    (void)e; /* a dead connection ends the call by itself */
    size_t bytes = pc->bytes;
    free(pc);
    if (!c)
        return;
    c->pace = NULL;
    pace(c);
    http_body_consumed(c->x, bytes);
}

/* Over what was written since the last one, unless one is under way or that is little. */
static void round_trip(struct call *c)
{
    if (c->pace || c->held_bytes < PACE_BYTES)
        return;
    c->pace = xnew(struct pace);
    *c->pace = (struct pace){.call = c, .bytes = c->held_bytes};
    c->held_bytes = 0;
    bus_flush(sdk_bus(provider_of(c)->sdk), FLUSH_TIMEOUT_MS, on_round_trip, c->pace);
}

/* After every write, and whenever the peer made room: lets the client's connection read on if it may. */
static void pace(void *user)
{
    struct call *c = user;
    if (!c->body)
        return;
    uint64_t room = wrpc_out_room(c->body);
    if (room == UINT64_MAX) {
        round_trip(c);
    } else if (room > 0) {
        size_t n = c->held_bytes;
        c->held_bytes = 0;
        http_body_consumed(c->x, n);
    }
}

/* The last piece takes the writer with it. */
static bool write_body(struct call *c, struct span data, struct err *e)
{
    const struct http_head *head = http_exchange_head(c->x);
    if (head->has_length && c->bytes_in == head->length_bytes)
        return wrpc_out_last_chunk(MOVE(c->body), data, e);
    return wrpc_out_chunk(c->body, data, e);
}

static void on_request_body(void *user, struct http_exchange *x, struct span data)
{
    struct call *c = http_exchange_user(x);
    struct err e = ERR_INIT;
    struct failure f;
    (void)user;
    c->bytes_in += data.n;
    if (!write_body(c, data, &e)) {
        failure_of_call(&e, &f);
        fail(c, &f, e.text);
        return;
    }
    c->held_bytes += data.n;
    pace(c);
}

static void on_request_end(void *user, struct http_exchange *x, const struct http_header *trailers,
                           size_t n)
{
    struct call *c = http_exchange_user(x);
    struct http_field fields[FIELDS_MAX];
    (void)user;
    if (!c->trailers)
        return; /* there was no body, which is known since the beginning */
    n = MIN(n, FIELDS_MAX);
    for (size_t i = 0; i < n; i++)
        fields[i] = (struct http_field){trailers[i].name, trailers[i].value};
    end_bodies(c, fields, n);
}

static void on_drained(void *user, struct http_exchange *x)
{
    struct call *c = http_exchange_user(x);
    (void)user;
    c->progress_ms = now_ms(c);
    pay(c);
}

static void on_gone(void *user, struct http_exchange *x, enum http_gone why)
{
    struct call *c = http_exchange_user(x);
    (void)user;
    access_log(c, http_gone_text(why));
    call_free(c);
}

const struct http_handler call_handler = {
    .request = on_request,
    .body = on_request_body,
    .body_end = on_request_end,
    .drained = on_drained,
    .gone = on_gone,
};
