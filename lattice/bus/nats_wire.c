/* SPDX-License-Identifier: Apache-2.0 */
/* The socket to a NATS server.
 * Keeps: `lost` is told from the loop only, never inside a call of the owner's; memory that a callback may be looking
 * at is freed after it returned. */
#include "lattice/bus/nats_wire.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "lattice/tls/tls.h"

#define CONNECT_MS 2000 /* for each address of a server */
#define READ_BYTES (64u * 1024)
#define WRITE_EAGER (64u * 1024)  /* unsent bytes that do not wait for the end of the turn */
#define RECORD_BYTES (16u * 1024) /* of plain text in a TLS record, at most */
#define KEPT_BYTES (256u * 1024)  /* memory that an empty queue holds on to */

/* A name on its way to addresses, on a pool thread. */
struct lookup {
    struct nats_wire *wire; /* NULL: closed meanwhile; the loop's */
    char *host;
    char port[8];
    struct addrinfo *found;
    int failed; /* getaddrinfo's */
};

/* Bytes that the socket has not taken yet: from `at` on. */
struct queue {
    struct buf bytes;
    size_t at;
};

struct nats_wire {
    struct loop *loop;
    const struct nats_wire_events *events;
    void *user;
    struct lookup *lookup; /* while it is under way */
    struct addrinfo *found, *next;
    struct loop_timer *timer; /* while connecting */
    int fd;                   /* -1: none */
    struct loop_fd *watch;
    struct loop_late *late;
    bool connected, blocked; /* the socket takes no more for now */
    bool busy, closed;       /* in a callback; freed when it returns */
    struct err why;          /* why.code: the wire is broken, `lost` is due or has been told */
    bool told;

    uint8_t *in; /* READ_BYTES */
    struct nats_parser parser;
    struct queue out;
    bool crowded; /* `room` is due: more than WRITE_EAGER was unsent since the last one */

    struct tls_session *tls; /* NULL: without */
    struct queue cipher;
};

/* ---- queues --------------------------------------------------------------------------------------- */

static size_t queue_size(const struct queue *q)
{
    return q->bytes.n - q->at;
}

static struct span queue_span(const struct queue *q, size_t max)
{
    return (struct span){q->bytes.p + q->at, MIN(queue_size(q), max)};
}

/* What is gone gives way when it is more than what is left: a queue that never gets empty must not grow for that. */
static void queue_drop(struct queue *q, size_t n)
{
    q->at += n;
    if (q->at <= queue_size(q))
        return;
    buf_drop(&q->bytes, q->at);
    q->at = 0;
    if (q->bytes.n == 0 && q->bytes.cap > KEPT_BYTES)
        buf_fini(&q->bytes);
}

/* ---- what breaks a wire --------------------------------------------------------------------------- */

static void hang_up(struct nats_wire *w)
{
    loop_timer_stop(&w->timer);
    loop_fd_close(&w->watch);
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

/* `lost` follows at the end of the turn. */
static void broke(struct nats_wire *w, const struct err *why)
{
    if (w->why.code)
        return;
    w->why = *why;
    hang_up(w);
    loop_late_arm(w->late);
}

static void broke_errno(struct nats_wire *w, int errnum)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_IO, "%s", strerror(errnum));
    broke(w, &e);
}

static void wire_free(struct nats_wire *w)
{
    hang_up(w);
    loop_late_free(&w->late);
    if (w->found)
        freeaddrinfo(w->found);
    tls_session_free(w->tls);
    nats_parser_fini(&w->parser);
    buf_fini(&w->out.bytes);
    buf_fini(&w->cipher.bytes);
    free(w->in);
    free(w);
}

/* Around everything that calls back; the wire may be gone after `leave`. */
static void enter(struct nats_wire *w)
{
    assert(!w->busy);
    w->busy = true;
}

static void leave(struct nats_wire *w)
{
    w->busy = false;
    if (w->closed)
        wire_free(w);
}

/* ---- writing -------------------------------------------------------------------------------------- */

/* False: the socket takes no more now, or is broken. */
static bool write_some(struct nats_wire *w, struct queue *q)
{
    struct span s = queue_span(q, SIZE_MAX);
    ssize_t n = send(w->fd, s.p, s.n, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        broke_errno(w, errno);
    if (n > 0)
        queue_drop(q, (size_t)n);
    return n >= 0 && (size_t)n == s.n;
}

/* A record at a time, so that little is encrypted that the socket does not take at once. */
static bool encrypt_some(struct nats_wire *w)
{
    struct span s = queue_span(&w->out, RECORD_BYTES);
    if (s.n == 0 || !tls_session_settled(w->tls))
        return false;
    if (!tls_session_write(w->tls, s)) {
        struct err e = ERR_INIT;
        tls_session_why(w->tls, &e);
        broke(w, &e);
        return false;
    }
    queue_drop(&w->out, s.n);
    tls_session_output(w->tls, &w->cipher.bytes);
    return true;
}

static void flush(struct nats_wire *w)
{
    struct queue *q = w->tls ? &w->cipher : &w->out;
    if (!w->connected || w->fd < 0)
        return;
    bool goes_on = true;
    while (goes_on && w->fd >= 0) {
        if (queue_size(q))
            goes_on = write_some(w, q);
        else
            goes_on = w->tls && encrypt_some(w);
    }
    bool blocked = queue_size(q) > 0;
    if (w->fd >= 0 && blocked != w->blocked)
        loop_fd_writable(w->watch, blocked);
    w->blocked = blocked;
}

struct buf *nats_wire_out(struct nats_wire *w)
{
    return &w->out.bytes;
}

size_t nats_wire_unsent(const struct nats_wire *w)
{
    return queue_size(&w->out) + queue_size(&w->cipher);
}

void nats_wire_send(struct nats_wire *w)
{
    if (nats_wire_unsent(w) > WRITE_EAGER && !w->blocked)
        flush(w);
    if (nats_wire_unsent(w) > WRITE_EAGER)
        w->crowded = true;
    if (!w->blocked)
        loop_late_arm(w->late);
}

void nats_wire_expect_room(struct nats_wire *w)
{
    w->crowded = true;
    loop_late_arm(w->late);
}

/* ---- reading -------------------------------------------------------------------------------------- */

/* What the server says, in plain text. */
static void take(struct nats_wire *w, struct span in)
{
    struct nats_frame f;
    struct err e = ERR_INIT;
    enum nats_parse result = NATS_FRAME;
    const struct tls_session *tls = w->tls;
    while (!w->closed && w->fd >= 0 && w->tls == tls && result == NATS_FRAME) {
        result = nats_parse(&w->parser, &in, &f, &e);
        if (result == NATS_FRAME)
            w->events->frame(w->user, &f);
        else if (result == NATS_BROKEN)
            broke(w, &e);
    }
    if (!w->closed && w->tls != tls && in.n) /* behind the greeting: TLS must make sense of it */
        tls_session_input(w->tls, in);
}

static void take_cipher(struct nats_wire *w)
{
    uint8_t plain[RECORD_BYTES];
    ssize_t n = 1;
    while (n > 0 && !w->closed && w->fd >= 0) {
        n = tls_session_read(w->tls, plain, sizeof plain);
        tls_session_output(w->tls, &w->cipher.bytes);
        if (n > 0)
            take(w, (struct span){plain, (size_t)n});
    }
    if (w->closed || w->fd < 0)
        return;
    struct err e = ERR_INIT;
    if (n == TLS_ENDED)
        err_set(&e, ERR_CLOSED, "the server closed the connection");
    else if (n == TLS_BROKEN)
        tls_session_why(w->tls, &e);
    flush(w); /* what the handshake says, alerts included */
    if (n < 0)
        broke(w, &e);
}

static void on_readable(struct nats_wire *w)
{
    struct err e = ERR_INIT;
    ssize_t n = recv(w->fd, w->in, READ_BYTES, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            broke_errno(w, errno);
        return;
    }
    if (n == 0) {
        err_set(&e, ERR_CLOSED, "the server closed the connection");
        broke(w, &e);
        return;
    }
    struct span in = {w->in, (size_t)n};
    if (w->tls)
        tls_session_input(w->tls, in);
    else
        take(w, in);
    if (!w->closed && w->tls)
        take_cipher(w);
}

static void tell_room(struct nats_wire *w)
{
    if (!w->crowded || nats_wire_unsent(w) > 0 || w->fd < 0)
        return;
    w->crowded = false;
    w->events->room(w->user);
}

/* The end of the loop's turn. */
static void on_late(void *user)
{
    struct nats_wire *w = user;
    enter(w);
    flush(w);
    tell_room(w);
    if (!w->closed && w->why.code && !w->told) {
        w->told = true;
        w->events->lost(w->user, &w->why);
    }
    leave(w);
}

/* ---- connecting ----------------------------------------------------------------------------------- */

static void dial(struct nats_wire *w, int errnum);

static void on_ready(void *user)
{
    struct nats_wire *w = user;
    enter(w);
    if (!w->connected) {
        int failed = 0;
        socklen_t n = sizeof failed;
        if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0)
            failed = errno;
        if (failed) {
            dial(w, failed);
        } else {
            loop_timer_stop(&w->timer);
            loop_fd_writable(w->watch, false);
            w->connected = true;
            w->events->open(w->user);
        }
    } else {
        if (w->blocked) {
            flush(w);
            tell_room(w);
        }
        if (!w->closed && w->fd >= 0)
            on_readable(w);
    }
    leave(w);
}

static void on_connect_timeout(void *user)
{
    struct nats_wire *w = user;
    w->timer = NULL;
    dial(w, ETIMEDOUT);
}

static int begin(struct nats_wire *w, const struct addrinfo *to)
{
    struct err e = ERR_INIT;
    int on = 1;
    w->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return errno;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(w->fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS)
        return errno;
    w->watch = loop_fd_open(w->loop, w->fd, on_ready, w, &e);
    if (!w->watch)
        return EIO;
    loop_fd_writable(w->watch, true);
    w->timer = loop_after(w->loop, CONNECT_MS, on_connect_timeout, w);
    return 0;
}

/* The next address, after one failed with errnum; with none left the wire is broken. */
static void dial(struct nats_wire *w, int errnum)
{
    struct err e = ERR_INIT;
    while (errnum || w->fd < 0) {
        hang_up(w);
        if (!w->next) {
            err_set(&e, ERR_IO, "no NATS server answers there (%s)", strerror(errnum));
            broke(w, &e);
            return;
        }
        const struct addrinfo *to = w->next;
        w->next = to->ai_next;
        errnum = begin(w, to);
    }
}

static void look_up(struct lookup *l, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    l->failed = getaddrinfo(l->host, l->port, &hints, &l->found);
}

static void lookup_work(void *user)
{
    look_up(user, 0);
}

static void lookup_done(void *user)
{
    struct lookup *l = user;
    struct nats_wire *w = l->wire;
    struct err e = ERR_INIT;
    if (!w && !l->failed)
        freeaddrinfo(l->found);
    if (w) {
        w->lookup = NULL;
        w->next = w->found = l->failed ? NULL : l->found;
    }
    if (w && l->failed) {
        err_set(&e, ERR_IO, "no NATS server answers there (%s: %s)", l->host,
                gai_strerror(l->failed));
        broke(w, &e);
    } else if (w) {
        dial(w, 0);
    }
    free(l->host);
    free(l);
}

/* ---- for the owner -------------------------------------------------------------------------------- */

struct nats_wire *nats_wire_open(struct loop *loop, const char *host, uint16_t port,
                                 const struct nats_wire_events *events, void *user)
{
    struct nats_wire *w = xnew(struct nats_wire);
    w->loop = loop;
    w->events = events;
    w->user = user;
    w->fd = -1;
    w->late = loop_late_new(loop, on_late, w);
    w->in = xalloc(READ_BYTES);
    w->lookup = xnew(struct lookup);
    w->lookup->wire = w;
    w->lookup->host = str_dup(str_of(host));
    snprintf(w->lookup->port, sizeof w->lookup->port, "%u", port);
    look_up(w->lookup, AI_NUMERICHOST); /* an address needs no thread */
    if (w->lookup->failed)
        loop_work(loop, lookup_work, lookup_done, w->lookup);
    else
        lookup_done(w->lookup);
    return w;
}

void nats_wire_close(struct nats_wire **wp)
{
    struct nats_wire *w = *wp;
    *wp = NULL;
    if (!w)
        return;
    if (w->lookup)
        w->lookup->wire = NULL;
    w->lookup = NULL;
    hang_up(w);
    w->closed = true;
    if (!w->busy)
        wire_free(w);
}

void nats_wire_secure(struct nats_wire *w, struct ssl_ctx_st *context, const char *host)
{
    assert(w->busy && !w->tls && nats_wire_unsent(w) == 0);
    w->tls = tls_session_to(context, host);
}

/* Waits for the socket; false when it is time to give up. */
static bool await(const struct nats_wire *w, uint64_t until_ms)
{
    uint64_t now = clock_mono_ms();
    struct pollfd p = {.fd = w->fd, .events = (short)(w->blocked ? POLLIN | POLLOUT : POLLIN)};
    if (now >= until_ms)
        return false;
    int n = poll(&p, 1, (int)(until_ms - now));
    return n > 0 || (n < 0 && errno == EINTR);
}

/* A socket that is closed with something unread is reset, and what it had sent may be lost: so the end of what the
 * server says is read, too. */
void nats_wire_finish(struct nats_wire *w, uint64_t timeout_ms)
{
    uint8_t ignored[4096];
    uint64_t until_ms = clock_mono_ms() + timeout_ms;
    bool shut = false, ended = false;
    while (w->fd >= 0 && !ended) {
        flush(w);
        if (w->fd >= 0 && !shut && nats_wire_unsent(w) == 0)
            shut = shutdown(w->fd, SHUT_WR) == 0;
        if (w->fd < 0 || !await(w, until_ms))
            break;
        ssize_t n = recv(w->fd, ignored, sizeof ignored, 0);
        ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    }
}
