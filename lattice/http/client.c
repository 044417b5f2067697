/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client: libcurl's multi interface with libuv's sockets and the loop's timers, and each fetch on top of it.
 *
 * Keeps: `inside` while libcurl or a handler runs; what may not be done then (adding, freeing, going on after a pause)
 * is marked on the fetch and done by settle, before control goes back to the loop. A fetch has an easy handle until
 * its transfer ended. One request at a time per connection, HTTP/2 included, so that a reader who is slow stops
 * nobody else's response. Idle easy handles are kept: a fresh one costs more than the request it is for. */
#include "lattice/http/http_client_int.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>
#include <utlist.h>
#include <uv.h>
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"

#define CONNECTIONS_MAX 1024L
#define IDLE_CONNECTIONS_MAX 64L
#define IDLE_EASIES_MAX 64u
#define CONNECT_MS 30000u
#define FIRST_BYTE_MS 600000u
#define BETWEEN_BYTES_MS 600000u
#define PATH_BYTES_MAX 65536u
/* So much of a body is kept after it was sent, for a connection that turns out to be dead when it is used again. */
#define REWIND_BYTES_MAX (64u << 10)

struct field {
    size_t name_at, name_n, value_at, value_n; /* in fetch.head */
};

struct http_fetch {
    struct http_fetch *prev, *next;
    struct http_client *client;
    const struct http_fetch_handler *handler; /* NULL once it ended or was freed */
    void *user;
    CURL *easy;
    struct curl_slist *headers, *trailers;
    bool added, dead, resume;
    bool marked; /* waits for settle, in next_marked's list */
    struct http_fetch *next_marked;
    bool has_failed; /* by our own judgement: failure says why */
    enum http_failure failure;
    char text[CURL_ERROR_SIZE];

    struct buf out; /* the request's body; in front of out_at: sent, kept for a second try */
    size_t out_at;
    bool out_cut, out_ended, out_paused; /* cut: the front is gone */
    bool may_trail;                      /* trailers may follow it */

    struct buf head; /* names and values of fields */
    struct field fields[HTTP_FETCH_FIELDS_MAX];
    size_t nfields;
    bool head_told, in_paused;
    size_t unread;

    struct loop_timer *timer;
    uint64_t timer_ms, deadline_ms, first_byte_ms, between_bytes_ms;
};

struct http_client {
    struct loop *loop;
    CURLM *multi;
    char *allow, *ca_file;
    struct loop_timer *timer;
    struct http_fetch *fetches, *marked;
    uint32_t nfetches;
    CURL *idle[IDLE_EASIES_MAX];
    uint32_t nidle;
    bool inside;
};

struct socket_watch {
    uv_poll_t poll; /* first: the loop frees what is left */
    struct http_client *client;
    curl_socket_t fd;
};

/* ---- ends ------------------------------------------------------------------------------------------ */

/* libcurl 7.88 does not forget that a handle once sent trailers, and then writes its next chunk beside its buffer. */
static void keep_easy(struct http_client *c, CURL *easy, bool had_trailers)
{
    if (c->nidle == IDLE_EASIES_MAX || had_trailers) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    c->idle[c->nidle++] = easy;
}

/* The transfer is over, one way or the other. Not while libcurl runs. */
static void drop_easy(struct http_fetch *f)
{
    if (!f->easy)
        return;
    if (f->added)
        curl_multi_remove_handle(f->client->multi, f->easy);
    keep_easy(f->client, f->easy, f->may_trail);
    f->easy = NULL;
    curl_slist_free_all(f->headers);
    f->headers = NULL;
    loop_timer_stop(&f->timer);
}

static void destroy(struct http_fetch *f)
{
    DL_DELETE(f->client->fetches, f);
    f->client->nfetches--;
    drop_easy(f);
    curl_slist_free_all(f->trailers);
    buf_fini(&f->out);
    buf_fini(&f->head);
    free(f);
}

static size_t view_fields(const struct http_fetch *f, struct http_fetch_field *out)
{
    const char *text = (const char *)f->head.p;
    for (size_t i = 0; i < f->nfields; i++) {
        const struct field *x = &f->fields[i];
        out[i] = (struct http_fetch_field){{text + x->name_at, x->name_n},
                                           {text + x->value_at, x->value_n}};
    }
    return f->nfields;
}

static void tell_end(struct http_fetch *f)
{
    struct http_fetch_field fields[HTTP_FETCH_FIELDS_MAX];
    const struct http_fetch_handler *handler = MOVE(f->handler);
    if (handler)
        handler->end(f->user, fields, view_fields(f, fields));
}

static void tell_failure(struct http_fetch *f, enum http_failure why, const char *text)
{
    const struct http_fetch_handler *handler = MOVE(f->handler);
    if (handler)
        handler->fail(f->user, why, *text ? text : http_failure_name(why));
}

static void on_done(struct http_fetch *f, CURLcode code)
{
    enum http_failure why = f->has_failed ? f->failure : HTTP_FAIL_INTERNAL;
    if (code != CURLE_OK && !f->has_failed)
        why = http_failure_of(f->easy, code, f->text);
    if (code != CURLE_OK && !f->has_failed && !*f->text)
        snprintf(f->text, sizeof f->text, "%s", curl_easy_strerror(code));
    drop_easy(f);
    if (code == CURLE_OK && f->head_told)
        tell_end(f);
    else
        tell_failure(f, why, f->has_failed ? "" : f->text);
}

/* ---- entering libcurl, and leaving it ---------------------------------------------------------------- */

static void reap(struct http_client *c)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(c->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        char *owner;
        CURLcode code = m->data.result; /* m is gone with the handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &owner);
        on_done((struct http_fetch *)(void *)owner, code);
    }
}

/* What f was marked for. */
static void settle(struct http_fetch *f)
{
    if (f->dead) {
        destroy(f);
        return;
    }
    if (f->easy && !f->added) {
        f->added = true;
        curl_multi_add_handle(f->client->multi, f->easy);
    } else if (f->easy && f->resume) {
        curl_easy_pause(f->easy,
                        (f->in_paused ? CURLPAUSE_RECV : 0) | (f->out_paused ? CURLPAUSE_SEND : 0));
    }
    f->resume = false;
}

static void enter(struct http_client *c)
{
    assert(!c->inside);
    c->inside = true;
}

static void leave(struct http_client *c)
{
    struct http_fetch *f;
    do {
        reap(c);
        if ((f = c->marked)) {
            c->marked = f->next_marked;
            f->marked = false;
            settle(f);
        }
    } while (f);
    c->inside = false;
}

/* At once, or when libcurl is left. */
static void settle_soon(struct http_fetch *f)
{
    struct http_client *c = f->client;
    if (!f->marked) {
        f->marked = true;
        f->next_marked = c->marked;
        c->marked = f;
    }
    if (!c->inside) {
        enter(c);
        leave(c);
    }
}

static void act(struct http_client *c, curl_socket_t fd, int events)
{
    int running;
    enter(c);
    curl_multi_socket_action(c->multi, fd, events, &running);
    leave(c);
}

/* ---- sockets and timers for libcurl ------------------------------------------------------------------ */

static void on_ready(uv_poll_t *poll, int status, int events)
{
    const struct socket_watch *w = (struct socket_watch *)poll;
    int bits = status < 0 ? CURL_CSELECT_ERR : 0;
    bits |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    bits |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    act(w->client, w->fd, bits);
}

static void free_watch(uv_handle_t *h)
{
    free(h);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct http_client *c = user;
    struct socket_watch *w = socket_user;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(c->multi, fd, NULL);
        if (w) {
            uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, free_watch);
        }
        return 0;
    }
    if (!w) {
        w = xnew(struct socket_watch);
        w->client = c;
        w->fd = fd;
        if (uv_poll_init(loop_uv(c->loop), &w->poll, fd) != 0) {
            free(w);
            return -1;
        }
        curl_multi_assign(c->multi, fd, w);
    }
    uv_poll_start(&w->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_ready);
    return 0;
}

static void on_timer(void *user)
{
    struct http_client *c = user;
    c->timer = NULL;
    act(c, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *user)
{
    struct http_client *c = user;
    (void)multi;
    loop_timer_stop(&c->timer);
    if (ms >= 0)
        c->timer = loop_after(c->loop, (uint64_t)ms, on_timer, c);
    return 0;
}

/* ---- deadlines of a response ------------------------------------------------------------------------- */

static void on_deadline(void *user);

/* UINT64_MAX: for ever. A timer that is due too early stays, and looks again: most deadlines are only ever put off. */
static void expect_within(struct http_fetch *f, uint64_t ms)
{
    f->deadline_ms = ms == UINT64_MAX ? ms : loop_now_ms(f->client->loop) + ms;
    if (f->timer && f->timer_ms > f->deadline_ms)
        loop_timer_stop(&f->timer);
    if (!f->timer && ms != UINT64_MAX) {
        f->timer = loop_after(f->client->loop, ms, on_deadline, f);
        f->timer_ms = f->deadline_ms;
    }
}

static void on_deadline(void *user)
{
    struct http_fetch *f = user;
    uint64_t now = loop_now_ms(f->client->loop);
    f->timer = NULL;
    if (f->deadline_ms == UINT64_MAX)
        return; /* the reader is slow, not the server */
    if (now < f->deadline_ms) {
        expect_within(f, f->deadline_ms - now);
        return;
    }
    enter(f->client);
    drop_easy(f);
    tell_failure(f, HTTP_FAIL_READ_TIMEOUT, "");
    leave(f->client);
}

static int on_connected(void *user, char *remote, char *local, int remote_port, int local_port)
{
    struct http_fetch *f = user;
    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    expect_within(f, f->first_byte_ms);
    return CURL_PREREQFUNC_OK;
}

/* ---- what comes from the server (libcurl calls) ------------------------------------------------------ */

/* What a callback returns to end the transfer. */
static size_t break_off(struct http_fetch *f, enum http_failure why)
{
    f->has_failed = true;
    f->failure = why;
    return 0;
}

static void clear_fields(struct http_fetch *f)
{
    f->nfields = 0;
    buf_clear(&f->head);
}

static void tell_head(struct http_fetch *f)
{
    struct http_fetch_field fields[HTTP_FETCH_FIELDS_MAX];
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 100 && status < 200) { /* an interim answer */
        clear_fields(f);
        return;
    }
    f->head_told = true;
    expect_within(f, f->between_bytes_ms);
    size_t n = view_fields(f, fields);
    f->handler->head(f->user, (uint16_t)status, fields, n);
    clear_fields(f); /* trailers may follow */
}

static bool add_field(struct http_fetch *f, struct str line)
{
    size_t colon = str_find(line, ':');
    struct str name = str_sub(line, 0, colon), value = str_trim(str_sub(line, colon + 1, line.n));
    if (f->nfields == HTTP_FETCH_FIELDS_MAX)
        return false;
    struct field *x = &f->fields[f->nfields++];
    *x = (struct field){.name_at = f->head.n, .name_n = name.n, .value_n = value.n};
    buf_str(&f->head, name);
    x->value_at = f->head.n;
    buf_str(&f->head, value);
    return !f->head.full;
}

/* One line at a time: a status line, a field, or the empty line behind them; then lines of trailers. */
static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct http_fetch *f = user;
    struct str line = str_trim((struct str){p, n});
    (void)size;
    if (f->dead)
        return 0;
    if (line.n == 0) {
        if (!f->head_told)
            tell_head(f);
        return n;
    }
    if (!f->head_told && str_starts(line, STR("HTTP/"))) {
        clear_fields(f);
        return n;
    }
    if (p[0] == ' ' || p[0] == '\t' || str_find(line, ':') == line.n)
        return break_off(f, HTTP_FAIL_PROTOCOL);
    if (!add_field(f, line))
        return break_off(f, f->head_told ? HTTP_FAIL_RESPONSE_TRAILERS_SIZE
                                         : HTTP_FAIL_RESPONSE_HEADERS_SIZE);
    return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct http_fetch *f = user;
    (void)size;
    if (f->dead)
        return 0;
    if (f->unread >= HTTP_FETCH_WINDOW) {
        f->in_paused = true;
        expect_within(f, UINT64_MAX);
        return CURL_WRITEFUNC_PAUSE;
    }
    expect_within(f, f->between_bytes_ms);
    f->unread += n;
    f->handler->body(f->user, (struct span){(const uint8_t *)p, n});
    return n;
}

void http_fetch_consumed(struct http_fetch *f, size_t n)
{
    assert(n <= f->unread);
    f->unread -= n;
    if (!f->in_paused || f->unread > HTTP_FETCH_WINDOW / 2)
        return;
    f->in_paused = false;
    if (f->easy)
        expect_within(f, f->between_bytes_ms);
    f->resume = true;
    settle_soon(f);
}

/* ---- what goes to the server ------------------------------------------------------------------------- */

static size_t on_send(char *p, size_t size, size_t room, void *user)
{
    struct http_fetch *f = user;
    size_t n = MIN(f->out.n - f->out_at, size * room);
    if (f->dead)
        return CURL_READFUNC_ABORT;
    if (n == 0 && !f->out_ended) {
        f->out_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    if (n == 0)
        return 0;
    memcpy(p, f->out.p + f->out_at, n);
    f->out_at += n;
    if (f->out_cut || f->out_at > REWIND_BYTES_MAX) {
        f->out_cut = true;
        buf_drop(&f->out, f->out_at);
        f->out_at = 0;
    }
    if (f->handler->sent)
        f->handler->sent(f->user, n);
    return n;
}

/* A second try on a fresh connection. */
static int on_rewind(void *user, curl_off_t offset, int origin)
{
    struct http_fetch *f = user;
    if (f->out_cut || offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_FAIL;
    f->out_at = 0;
    return CURL_SEEKFUNC_OK;
}

static int on_trailers(struct curl_slist **list, void *user)
{
    struct http_fetch *f = user;
    *list = MOVE(f->trailers);
    return CURL_TRAILERFUNC_OK;
}

static void send_on(struct http_fetch *f)
{
    if (!f->out_paused)
        return;
    f->out_paused = false;
    f->resume = true;
    settle_soon(f);
}

static void add_line(struct curl_slist **list, const struct http_fetch_field *field)
{
    AUTO_FREE char *line =
        field->value.n ? xasprintf("%.*s: %.*s", STR_ARG(field->name), STR_ARG(field->value))
                       : xasprintf("%.*s;", STR_ARG(field->name));
    struct curl_slist *longer = curl_slist_append(*list, line);
    *list = longer ? longer : *list;
}

void http_fetch_send(struct http_fetch *f, struct span data)
{
    assert(!f->out_ended);
    if (!f->easy || data.n == 0)
        return;
    buf_put(&f->out, data.p, data.n);
    send_on(f);
}

void http_fetch_send_end(struct http_fetch *f, const struct http_fetch_field *trailers, size_t n)
{
    assert(!f->out_ended);
    f->out_ended = true;
    for (size_t i = 0; i < n; i++)
        add_line(&f->trailers, &trailers[i]);
    send_on(f);
}

/* ---- beginning --------------------------------------------------------------------------------------- */

/* libcurl writes these itself; of what it would add, the guest's own or none goes out. */
static struct curl_slist *make_headers(const struct http_fetch_opts *o)
{
    static const struct str own[] = {STR_INIT("host"), STR_INIT("content-length"),
                                     STR_INIT("transfer-encoding"), STR_INIT("connection"),
                                     STR_INIT("expect")};
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    bool accepts = false;
    for (size_t i = 0; i < o->nfields; i++) {
        bool skip = false;
        for (size_t k = 0; k < ARRAY_LEN(own); k++)
            skip |= str_ieq(o->fields[i].name, own[k]);
        accepts |= str_ieq(o->fields[i].name, STR("accept"));
        if (!skip)
            add_line(&list, &o->fields[i]);
    }
    return accepts ? list : curl_slist_append(list, "Accept:");
}

static bool takes_body(struct str method)
{
    return str_eqz(method, "POST") || str_eqz(method, "PUT") || str_eqz(method, "PATCH");
}

static void set_body(struct http_fetch *f, const struct http_fetch_opts *o)
{
    CURL *h = f->easy;
    bool known = !o->has_body || o->body_bytes != HTTP_FETCH_LENGTH_UNKNOWN;
    f->out_ended = !o->has_body;
    if (!o->has_body && !takes_body(o->method)) {
        curl_easy_setopt(h, str_eqz(o->method, "HEAD") ? CURLOPT_NOBODY : CURLOPT_HTTPGET, 1L);
        return;
    }
    curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE,
                     known ? (curl_off_t)(o->has_body ? o->body_bytes : 0) : (curl_off_t)-1);
    curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    curl_easy_setopt(h, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(h, CURLOPT_READDATA, f);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_rewind);
    curl_easy_setopt(h, CURLOPT_SEEKDATA, f);
    f->may_trail = !known;
    if (f->may_trail) {
        curl_easy_setopt(h, CURLOPT_TRAILERFUNCTION, on_trailers);
        curl_easy_setopt(h, CURLOPT_TRAILERDATA, f);
    }
}

static void set_where(struct http_fetch *f, const struct http_fetch_opts *o,
                      const struct http_target *t)
{
    AUTO_FREE char *url =
        xasprintf("%s://%.*s:%u/", t->tls ? "https" : "http", STR_ARG(t->host), (unsigned)t->port);
    AUTO_FREE char *method = str_dup(o->method);
    AUTO_FREE char *path = str_dup(o->path_with_query.n ? o->path_with_query : STR("/"));
    CURL *h = f->easy;
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h, CURLOPT_REQUEST_TARGET, path);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION,
                     t->tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    if (f->client->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, f->client->ca_file);
}

static void set_callbacks(struct http_fetch *f)
{
    CURL *h = f->easy;
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PRIVATE, f);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, f->text);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(h, CURLOPT_PREREQDATA, f);
}

static bool method_ok(struct str method)
{
    for (size_t i = 0; i < method.n; i++) {
        char c = method.p[i];
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
              (c && strchr("!#$%&'*+-.^_`|~", c))))
            return false;
    }
    return method.n > 0 && !str_eqz(method, "CONNECT");
}

/* A path as a request line may hold it; "*" asks the server itself. */
static bool path_ok(struct str path, struct str method)
{
    for (size_t i = 0; i < path.n; i++)
        if ((uint8_t)path.p[i] <= ' ' || path.p[i] == 0x7f)
            return false;
    return path.n == 0 || (path.p[0] == '/' && path.n <= PATH_BYTES_MAX) ||
           (str_eqz(path, "*") && str_eqz(method, "OPTIONS"));
}

static bool refuse(enum http_failure *why, enum http_failure what)
{
    *why = what;
    return false;
}

static bool may_open(const struct http_client *c, const struct http_fetch_opts *o,
                     struct http_target *target, enum http_failure *why, struct err *e)
{
    if (!method_ok(o->method)) {
        err_set(e, ERR_INVALID, "method '%.*s'", STR_ARG(str_sub(o->method, 0, 64)));
        return refuse(why, HTTP_FAIL_METHOD);
    }
    if (!http_target_parse(o->scheme, o->authority, target, e))
        return refuse(why, e->code == ERR_UNSUPPORTED ? HTTP_FAIL_PROTOCOL : HTTP_FAIL_URI);
    if (!path_ok(o->path_with_query, o->method)) {
        err_set(e, ERR_INVALID, "the path is not one of HTTP");
        return refuse(why, HTTP_FAIL_URI);
    }
    if (!http_allow_fits(str_of(c->allow), target)) {
        err_set(e, ERR_DENIED, "%s://%.*s:%u is not among the servers that may be asked",
                target->tls ? "https" : "http", STR_ARG(target->host), (unsigned)target->port);
        return refuse(why, HTTP_FAIL_DENIED);
    }
    if (c->nfetches >= HTTP_FETCHES_MAX) {
        err_set(e, ERR_LIMIT, "%u requests are under way, which is the limit", c->nfetches);
        return refuse(why, HTTP_FAIL_LIMIT);
    }
    return true;
}

struct http_fetch *http_fetch_open(struct http_client *c, const struct http_fetch_opts *o,
                                   enum http_failure *why, struct err *e)
{
    struct http_target target;
    if (!may_open(c, o, &target, why, e))
        return NULL;
    CURL *easy = c->nidle ? c->idle[--c->nidle] : curl_easy_init();
    if (!easy) {
        err_set(e, ERR_LIMIT, "no memory for a request");
        refuse(why, HTTP_FAIL_INTERNAL);
        return NULL;
    }
    struct http_fetch *f = xnew(struct http_fetch);
    f->client = c;
    f->handler = o->handler;
    f->user = o->user;
    f->easy = easy;
    f->head.max = HTTP_FETCH_HEAD_BYTES_MAX;
    f->first_byte_ms = o->first_byte_ms ? o->first_byte_ms : FIRST_BYTE_MS;
    f->between_bytes_ms = o->between_bytes_ms ? o->between_bytes_ms : BETWEEN_BYTES_MS;
    f->headers = make_headers(o);
    set_callbacks(f);
    set_where(f, o, &target);
    set_body(f, o);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)MIN(o->connect_ms ? o->connect_ms : CONNECT_MS, (uint64_t)INT32_MAX));
    DL_APPEND(c->fetches, f);
    c->nfetches++;
    settle_soon(f);
    return f;
}

void http_fetch_free(struct http_fetch *f)
{
    if (!f)
        return;
    f->handler = NULL;
    f->dead = true;
    settle_soon(f);
}

/* ---- the client -------------------------------------------------------------------------------------- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

bool http_client_open(const struct http_client_opts *opts, struct http_client **out, struct err *e)
{
    if (!http_allow_check(str_of(opts->allow), e))
        return false;
    if (opts->ca_file && access(opts->ca_file, R_OK) != 0)
        return err_errno(e, errno, "certificates in '%s'", opts->ca_file);
    pthread_once(&curl_once, init_curl);
    CURLM *multi = curl_multi_init();
    if (!multi)
        return err_set(e, ERR_LIMIT, "no memory for an HTTP client");
    struct http_client *c = xnew(struct http_client);
    c->loop = opts->loop;
    c->multi = multi;
    c->allow = opts->allow ? str_dup(str_of(opts->allow)) : NULL;
    c->ca_file = opts->ca_file ? str_dup(str_of(opts->ca_file)) : NULL;
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, c);
    *out = c;
    return true;
}

void http_client_close(struct http_client *c)
{
    if (!c)
        return;
    assert(!c->fetches);
    while (c->nidle)
        curl_easy_cleanup(c->idle[--c->nidle]);
    curl_multi_cleanup(c->multi);
    loop_timer_stop(&c->timer);
    free(c->allow);
    free(c->ca_file);
    free(c);
}
