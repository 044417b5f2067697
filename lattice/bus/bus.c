/* SPDX-License-Identifier: Apache-2.0 */
/* What both builds of the bus share: checks of what is published, requests, flush, states.
 *
 * Requests are multiplexed on one inbox subscription per bus: the last token of the reply subject is
 * "{slot}.{id}" in hexadecimal, so an answer finds its request without a search and a late one finds nothing.
 * Flushing is a request to ourselves: the server handles what one connection sends in order, so when our own
 * message is back, everything before it has arrived, subscriptions included. */
#include "lattice/bus/bus_int.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define RETRY_WINDOW_MS 1000 /* after a reconnect, others may not be back yet */
#define RETRY_DELAY_MS 100

enum request_kind { REQUEST_ONE, REQUEST_MANY, REQUEST_FLUSH };

typedef void flush_fn(void *user, const struct err *e);

struct bus_request {
    struct bus *bus;
    uint32_t slot;
    uint64_t id;
    enum request_kind kind;
    bus_reply_fn *fn;
    flush_fn *flushed; /* REQUEST_FLUSH only */
    void *user;
    uint64_t timeout_ms;
    char *subject;
    struct loop_timer *timer;
    struct loop_timer *retry_timer;
    struct bus_copy *again; /* kept only while a retry is possible */
};

/* ---- subjects and headers ------------------------------------------------------------------------- */

static bool token_ok(struct str token, bool wildcards, bool last)
{
    if (token.n == 0)
        return false;
    for (size_t i = 0; i < token.n; i++) {
        unsigned char c = (unsigned char)token.p[i];
        if (c <= ' ' || c == 0x7f)
            return false;
    }
    if (str_eq(token, STR("*")))
        return wildcards;
    if (str_eq(token, STR(">")))
        return wildcards && last;
    return true;
}

bool bus_subject_ok(struct str subject, bool wildcards)
{
    if (subject.n == 0 || subject.n > BUS_SUBJECT_MAX)
        return false;
    struct str rest = subject, token;
    while (str_cut(&rest, '.', &token))
        if (!token_ok(token, wildcards, token.p + token.n == subject.p + subject.n))
            return false;
    return true;
}

bool bus_subject_match(struct str pattern, struct str subject)
{
    struct str want, have;
    while (str_cut(&pattern, '.', &want)) {
        if (!str_cut(&subject, '.', &have))
            return false;
        if (str_eq(want, STR(">")))
            return true;
        if (!str_eq(want, STR("*")) && !str_eq(want, have))
            return false;
    }
    return !str_cut(&subject, '.', &have);
}

static bool header_ok(const struct bus_header *h)
{
    if (h->name.n == 0 || memchr(h->name.p, ':', h->name.n))
        return false;
    for (size_t i = 0; i < h->name.n; i++)
        if ((unsigned char)h->name.p[i] <= ' ')
            return false;
    for (size_t i = 0; i < h->value.n; i++)
        if (h->value.p[i] == '\r' || h->value.p[i] == '\n' || h->value.p[i] == '\0')
            return false;
    return true;
}

static bool subject_error(struct str subject, const char *what, struct err *e)
{
    char text[96];
    return err_set(e, ERR_INVALID, "'%s' is not a %s", str_escape(subject, text, sizeof text),
                   what);
}

struct str bus_header(const struct bus_msg *m, const char *name)
{
    for (size_t i = 0; i < m->nheaders; i++)
        if (str_eqz(m->headers[i].name, name))
            return m->headers[i].value;
    return STR_NONE;
}

/* ---- publish and subscribe ------------------------------------------------------------------------ */

bool bus_publish(struct bus *b, struct str subject, struct str reply,
                 const struct bus_header *headers, size_t nheaders, struct span data, struct err *e)
{
    loop_assert(b->loop);
    if (b->state == BUS_SHUT)
        return err_set(e, ERR_CLOSED, "the connection to %s is closed", b->url);
    if (!bus_subject_ok(subject, false))
        return subject_error(subject, "subject to publish to", e);
    if (reply.n && !bus_subject_ok(reply, false))
        return subject_error(reply, "reply subject", e);
    size_t size = data.n;
    if (nheaders > BUS_HEADERS_MAX)
        return err_set(e, ERR_LIMIT, "%zu headers, the limit is %d", nheaders, BUS_HEADERS_MAX);
    for (size_t i = 0; i < nheaders; i++) {
        if (!header_ok(&headers[i]))
            return subject_error(headers[i].name, "header that can be sent (name or value)", e);
        if (!add_ok(size, headers[i].name.n + headers[i].value.n + 4, &size))
            return err_set(e, ERR_LIMIT, "headers too large");
    }
    if (size > b->max_payload)
        return err_set(e, ERR_LIMIT, "message of %zu bytes, the server's max_payload is %zu", size,
                       b->max_payload);
    struct bus_msg m = {subject, reply, data, headers, nheaders, 0};
    return b->ops->publish(b, &m, e);
}

bool bus_subscribe(struct bus *b, struct str subject, struct str queue, bus_msg_fn *fn, void *user,
                   struct bus_sub **out, struct err *e)
{
    loop_assert(b->loop);
    if (b->state == BUS_SHUT)
        return err_set(e, ERR_CLOSED, "the connection to %s is closed", b->url);
    if (!bus_subject_ok(subject, true))
        return subject_error(subject, "subject to subscribe to", e);
    if (queue.n && !bus_subject_ok(queue, false))
        return subject_error(queue, "queue group", e);
    AUTO_FREE char *subject_z = str_dup(subject);
    AUTO_FREE char *queue_z = queue.n ? str_dup(queue) : NULL;
    struct bus_sub *sub;
    if (!b->ops->subscribe(b, subject_z, queue_z, &sub, e))
        return err_wrap(e, "subscribe to '%s'", subject_z);
    sub->bus = b;
    sub->fn = fn;
    sub->user = user;
    *out = sub;
    return true;
}

/* The echo that ends draining; outlives its subscription. */
struct bus_drain {
    struct bus_sub *sub; /* NULL: unsubscribed meanwhile */
    void (*done)(void *user);
    void *user;
};

void bus_unsubscribe(struct bus_sub **subp)
{
    struct bus_sub *sub = *subp;
    if (!sub)
        return;
    loop_assert(sub->bus->loop);
    *subp = NULL;
    assert(!sub->dead);
    sub->dead = true;
    if (sub->drain)
        sub->drain->sub = NULL;
    sub->bus->ops->unsubscribe(sub);
}

static void on_drain_echo(void *user, const struct err *e)
{
    struct bus_drain *d = user;
    (void)e; /* without an echo nothing more comes either */
    if (d->sub) {
        d->sub->drain = NULL;
        d->done(d->user);
    }
    free(d);
}

static void on_drain_down(void *user)
{
    on_drain_echo(user, NULL);
}

void bus_drain(struct bus_sub *sub, void (*done)(void *user), void *user)
{
    struct bus *b = sub->bus;
    loop_assert(b->loop);
    assert(!sub->dead && !sub->draining);
    struct bus_drain *d = xnew(struct bus_drain);
    *d = (struct bus_drain){.sub = sub, .done = done, .user = user};
    sub->drain = d;
    sub->draining = true;
    if (b->state != BUS_UP) { /* what was sent is lost with the connection */
        loop_post(b->loop, on_drain_down, d);
        return;
    }
    b->ops->drain(sub);
    bus_flush(b, BUS_DRAIN_TIMEOUT_MS, on_drain_echo, d);
}

/* ---- a message kept for later --------------------------------------------------------------------- */

static struct str copy_put(char **at, struct str s)
{
    struct str placed = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return placed;
}

struct bus_copy *bus_copy_new(const struct bus_msg *m)
{
    size_t text = m->subject.n + m->reply.n;
    for (size_t i = 0; i < m->nheaders; i++)
        text += m->headers[i].name.n + m->headers[i].value.n;
    size_t head = sizeof(struct bus_copy) + m->nheaders * sizeof(struct bus_header);
    struct bus_copy *c = xalloc(head + text + m->data.n);
    char *p = (char *)c + head;
    struct bus_header *headers = (struct bus_header *)(c + 1);
    c->size = head + text + m->data.n;
    c->msg = *m;
    c->msg.headers = headers;
    c->msg.subject = copy_put(&p, m->subject);
    c->msg.reply = copy_put(&p, m->reply);
    for (size_t i = 0; i < m->nheaders; i++) {
        headers[i].name = copy_put(&p, m->headers[i].name);
        headers[i].value = copy_put(&p, m->headers[i].value);
    }
    c->msg.data = str_span(copy_put(&p, span_str(m->data)));
    return c;
}

/* ---- requests ------------------------------------------------------------------------------------- */

static void request_reply_subject(const struct bus_request *r, char out[BUS_INBOX_MAX + 32])
{
    snprintf(out, BUS_INBOX_MAX + 32, "%s%" PRIx32 ".%" PRIx64, r->bus->inbox, r->slot, r->id);
}

static struct bus_request *request_find(struct bus *b, struct str reply_subject)
{
    size_t prefix = strlen(b->inbox);
    if (reply_subject.n <= prefix || reply_subject.n >= BUS_INBOX_MAX + 32)
        return NULL;
    char text[BUS_INBOX_MAX + 32];
    memcpy(text, reply_subject.p + prefix, reply_subject.n - prefix);
    text[reply_subject.n - prefix] = '\0';
    uint32_t slot;
    uint64_t id;
    int used = 0;
    if (sscanf(text, "%8" SCNx32 ".%16" SCNx64 "%n", &slot, &id, &used) != 2 || text[used] != '\0')
        return NULL;
    struct bus_request *r = slot < b->nrequests ? b->requests[slot] : NULL;
    return r && r->id == id ? r : NULL;
}

static bool request_add(struct bus *b, struct bus_request *r, struct err *e)
{
    if (b->used_requests >= BUS_REQUESTS_MAX)
        return err_set(e, ERR_LIMIT, "%d requests are waiting for an answer already",
                       BUS_REQUESTS_MAX);
    if (b->used_requests == b->nrequests) {
        uint32_t grown = b->nrequests ? b->nrequests * 2 : 16;
        b->requests = xrealloc(b->requests, grown * sizeof *b->requests);
        memset(b->requests + b->nrequests, 0, (grown - b->nrequests) * sizeof *b->requests);
        b->next_slot = b->nrequests;
        b->nrequests = grown;
    }
    while (b->requests[b->next_slot])
        b->next_slot = (b->next_slot + 1) % b->nrequests;
    r->slot = b->next_slot;
    r->id = b->next_id++;
    b->requests[r->slot] = r;
    b->next_slot = (b->next_slot + 1) % b->nrequests;
    b->used_requests++;
    return true;
}

static void request_free(struct bus_request *r)
{
    struct bus *b = r->bus;
    assert(b->requests[r->slot] == r);
    b->requests[r->slot] = NULL;
    b->used_requests--;
    loop_timer_stop(&r->timer);
    loop_timer_stop(&r->retry_timer);
    free(r->again);
    free(r->subject);
    free(r);
}

/* The last call of the request's function; the handle is gone before it, so that it cannot be cancelled twice. */
static void request_end(struct bus_request *r, const struct bus_msg *m, const struct err *e)
{
    bus_reply_fn *fn = r->fn;
    flush_fn *flushed = r->flushed;
    void *user = r->user;
    request_free(r);
    if (flushed)
        flushed(user, e);
    else
        fn(user, m, e);
}

static void on_request_timeout(void *user)
{
    struct bus_request *r = user;
    struct err e = ERR_INIT;
    r->timer = NULL;
    if (r->kind != REQUEST_MANY)
        err_set(&e, ERR_TIMEOUT, "no answer from '%s' within %" PRIu64 " ms%s", r->subject,
                r->timeout_ms, r->bus->state == BUS_UP ? "" : ": not connected to the NATS server");
    request_end(r, NULL, &e);
}

static void on_request_retry(void *user)
{
    struct bus_request *r = user;
    struct err e = ERR_INIT;
    r->retry_timer = NULL;
    struct bus_copy *again = MOVE(r->again);
    bool ok = bus_publish(r->bus, again->msg.subject, again->msg.reply, again->msg.headers,
                          again->msg.nheaders, again->msg.data, &e);
    free(again);
    if (!ok)
        request_end(r, NULL, &e);
}

static void on_no_responders(struct bus_request *r)
{
    struct err e = ERR_INIT;
    if (r->again && !r->retry_timer) {
        r->retry_timer = loop_after(r->bus->loop, RETRY_DELAY_MS, on_request_retry, r);
        return;
    }
    if (r->kind != REQUEST_MANY)
        err_set(&e, ERR_NO_RESPONDERS, "nobody answers requests to '%s'", r->subject);
    request_end(r, NULL, &e);
}

static void on_reply(void *user, const struct bus_msg *m)
{
    struct bus *b = user;
    struct bus_request *r = request_find(b, m->subject);
    static const struct err none = ERR_INIT;
    if (!r)
        return; /* late or forged */
    if (m->status == BUS_STATUS_NO_RESPONDERS)
        on_no_responders(r);
    else if (r->kind == REQUEST_FLUSH)
        request_end(r, NULL, NULL);
    else if (r->kind == REQUEST_ONE)
        request_end(r, m, &none);
    else if (m->data.n == 0)
        request_end(r, NULL, &none);
    else
        r->fn(r->user, m, &none);
}

static bool request_start(struct bus_request *r, const struct bus_msg *m, struct err *e)
{
    struct bus *b = r->bus;
    loop_assert(b->loop);
    if (b->state == BUS_SHUT || !b->inbox_sub) {
        free(r);
        return err_set(e, ERR_CLOSED, "the connection to %s is closed", b->url);
    }
    if (!request_add(b, r, e)) {
        free(r);
        return false;
    }
    char reply[BUS_INBOX_MAX + 32];
    request_reply_subject(r, reply);
    struct bus_msg out = *m;
    out.reply = str_of(reply);
    if (r->kind == REQUEST_FLUSH)
        out.subject = out.reply;
    r->subject = str_dup(out.subject);
    if (!bus_publish(b, out.subject, out.reply, out.headers, out.nheaders, out.data, e)) {
        request_free(r);
        return false;
    }
    if (r->kind != REQUEST_FLUSH && loop_now_ms(b->loop) < b->retry_until_ms)
        r->again = bus_copy_new(&out);
    r->timer = loop_after(b->loop, r->timeout_ms, on_request_timeout, r);
    return true;
}

bool bus_request(struct bus *b, struct str subject, const struct bus_header *headers,
                 size_t nheaders, struct span data, uint64_t timeout_ms, bus_reply_fn *fn,
                 void *user, struct bus_request **out, struct err *e)
{
    struct bus_request *r = xnew(struct bus_request);
    *r = (struct bus_request){
        .bus = b, .kind = REQUEST_ONE, .fn = fn, .user = user, .timeout_ms = timeout_ms};
    struct bus_msg m = {.subject = subject, .headers = headers, .nheaders = nheaders, .data = data};
    if (!request_start(r, &m, e))
        return false;
    if (out)
        *out = r;
    return true;
}

bool bus_request_many(struct bus *b, struct str subject, struct span data, uint64_t timeout_ms,
                      bus_reply_fn *fn, void *user, struct bus_request **out, struct err *e)
{
    struct bus_request *r = xnew(struct bus_request);
    *r = (struct bus_request){
        .bus = b, .kind = REQUEST_MANY, .fn = fn, .user = user, .timeout_ms = timeout_ms};
    struct bus_msg m = {.subject = subject, .data = data};
    if (!request_start(r, &m, e))
        return false;
    if (out)
        *out = r;
    return true;
}

void bus_cancel(struct bus_request **r)
{
    if (*r)
        request_free(*r);
    *r = NULL;
}

void bus_flush(struct bus *b, uint64_t timeout_ms, flush_fn *done, void *user)
{
    struct err e = ERR_INIT;
    struct bus_request *r = xnew(struct bus_request);
    *r = (struct bus_request){
        .bus = b, .kind = REQUEST_FLUSH, .flushed = done, .user = user, .timeout_ms = timeout_ms};
    struct bus_msg m = {0};
    if (!request_start(r, &m, &e))
        done(user, &e);
}

/* ---- life and state ------------------------------------------------------------------------------- */

void bus_set_url(struct bus *b, struct str url)
{
    struct str rest = url, one;
    size_t n = 0;
    b->url[0] = '\0';
    while (str_cut(&rest, ',', &one) && n < sizeof b->url) {
        size_t at = str_rfind(one, '@'), host = at < one.n ? at + 1 : 0;
        size_t scheme = host ? str_find(one, '/') : 0;
        scheme = scheme + 2 <= host ? scheme + 2 : 0; /* "nats://" */
        n += (size_t)snprintf(b->url + n, sizeof b->url - n, "%s%.*s%.*s", n ? "," : "",
                              (int)scheme, one.p, STR_ARG(str_sub(one, host, one.n)));
    }
}

bool bus_base_init(struct bus *b, const struct bus_ops *ops, struct loop *loop,
                   const struct bus_opts *opts, struct err *e)
{
    b->ops = ops;
    b->loop = loop;
    b->on_state = opts->on_state;
    b->on_refused = opts->on_refused;
    b->user = opts->user;
    b->state = BUS_CONNECTING;
    b->max_payload = BUS_MAX_PAYLOAD_DEFAULT;
    bus_set_url(b, str_of(opts->url));
    char nuid[NUID_LEN + 1];
    rand_nuid(nuid);
    snprintf(b->inbox, sizeof b->inbox, "_INBOX.%s.", nuid);
    char subject[BUS_INBOX_MAX + 1];
    snprintf(subject, sizeof subject, "%s>", b->inbox);
    return bus_subscribe(b, str_of(subject), STR_NONE, on_reply, b, &b->inbox_sub, e);
}

void bus_base_fini(struct bus *b)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_CLOSED, "the connection to %s was closed", b->url);
    b->state = BUS_SHUT; /* nothing new can start from the callbacks below */
    for (uint32_t i = 0; i < b->nrequests; i++)
        if (b->requests[i])
            request_end(b->requests[i], NULL, &e);
    free(b->requests);
    b->requests = NULL;
    b->nrequests = 0;
    bus_unsubscribe(&b->inbox_sub);
}

void bus_close(struct bus *b)
{
    if (!b)
        return;
    loop_assert(b->loop);
    b->ops->close(b);
}

void bus_set_state(struct bus *b, enum bus_state state, const struct err *why)
{
    static const struct err none = ERR_INIT;
    b->state = state;
    if (state == BUS_UP && b->times_up++ > 0)
        b->retry_until_ms = loop_now_ms(b->loop) + RETRY_WINDOW_MS;
    for (struct bus_listener *l = b->listeners, *next; l; l = next) {
        next = l->next;
        l->fn(l->user, state);
    }
    if (b->on_state)
        b->on_state(b->user, state, why ? why : &none);
}

void bus_refused(struct bus *b, const struct err *why)
{
    if (b->on_refused && b->refusals++ < BUS_REFUSALS_MAX)
        b->on_refused(b->user, why);
}

size_t bus_unsent(const struct bus *b)
{
    return b->ops->unsent(b);
}

void bus_on_room(struct bus *b, void (*fn)(void *user), void *user)
{
    b->on_room = fn;
    b->room_user = user;
}

void bus_room(struct bus *b)
{
    if (b->on_room)
        b->on_room(b->room_user);
}

void bus_listen(struct bus *b, struct bus_listener *l)
{
    l->next = b->listeners;
    b->listeners = l;
}

void bus_unlisten(struct bus *b, struct bus_listener *l)
{
    struct bus_listener **at = &b->listeners;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
}

enum bus_state bus_state(const struct bus *b)
{
    return b->state;
}

struct loop *bus_loop(const struct bus *b)
{
    return b->loop;
}

size_t bus_max_payload(const struct bus *b)
{
    return b->max_payload;
}

struct str bus_url(const struct bus *b)
{
    return str_of(b->url);
}
