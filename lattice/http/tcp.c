/* SPDX-License-Identifier: Apache-2.0 */
/* TCP under the connections: listening socket, accepting, and the carrier of each connection, on libuv streams; with a
 * TLS session between socket and connection where the server has a certificate.
 * Keeps: uv handles live until their close callback, whatever became of server and connection; one read buffer per
 * listener, since a read is handled before the next one begins. */
#include "lattice/http/http_server_int.h"
#include "lattice/http/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <uv.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define BACKLOG 1024
#define READ_BYTES (64u * 1024)
#define RECORD_BYTES (16u * 1024) /* of plain text, at most, in a TLS record */

struct tcp_listener {
    uv_tcp_t socket;
    struct http_server *server; /* NULL once the server is gone */
    uint8_t *read_buffer;
    unsigned refs; /* the server's, the socket's */
    bool listening;
};

struct tcp_conn {
    uv_tcp_t socket;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct tcp_listener *listener;
    struct http_conn *conn; /* NULL once the connection is gone */
    struct buf rest;        /* being written */
    bool shutting;
    /* TLS only */
    struct tls_session *tls; /* NULL: without */
    uint32_t nwrites;        /* pieces of cipher text that the socket has not taken yet */
    bool flight;             /* send_rest waits for them */
    bool reading, pumping, broken;
    bool settled;        /* on a protocol */
    bool posted, closed; /* on_post is due; the socket is gone */
};

/* Cipher text on its way. */
struct tls_write {
    uv_write_t write;
    struct tcp_conn *conn;
    struct buf bytes;
};

/* ---- the carrier of one connection ---- */

static void tcp_conn_free(struct tcp_conn *t)
{
    tls_session_free(t->tls);
    buf_fini(&t->rest);
    free(t);
}

static void on_closed(uv_handle_t *h)
{
    struct tcp_conn *t = h->data;
    t->closed = true;
    if (!t->posted)
        tcp_conn_free(t);
}

static void tcp_conn_close(void *carrier, bool broken)
{
    struct tcp_conn *t = carrier;
    t->conn = NULL;
    /* a reset is how a client can tell a broken reply from one that ends by closing */
    if (!broken || t->shutting || uv_tcp_close_reset(&t->socket, on_closed) != 0)
        uv_close((uv_handle_t *)&t->socket, on_closed);
}

static ssize_t tcp_send(void *carrier, struct span data)
{
    struct tcp_conn *t = carrier;
    uv_buf_t b = {.base = (char *)data.p, .len = data.n};
    int n = uv_try_write((uv_stream_t *)&t->socket, &b, 1);
    if (n == UV_EAGAIN)
        return 0;
    return n;
}

static void on_written(uv_write_t *req, int status)
{
    struct tcp_conn *t = req->data;
    buf_fini(&t->rest);
    if (!t->conn)
        return;
    if (status < 0)
        conn_lost(t->conn, false);
    else
        conn_sent(t->conn);
}

static void tcp_send_rest(void *carrier, struct buf *data)
{
    struct tcp_conn *t = carrier;
    t->rest = *data;
    *data = (struct buf)BUF_INIT;
    uv_buf_t b = {.base = (char *)t->rest.p, .len = t->rest.n};
    t->write.data = t;
    /* cannot fail before the request is queued: the stream is open and writable */
    int failed = uv_write(&t->write, (uv_stream_t *)&t->socket, &b, 1, on_written);
    assert(!failed);
    (void)failed;
}

static size_t tcp_unsent(const void *carrier)
{
    const struct tcp_conn *t = carrier;
    return uv_stream_get_write_queue_size((const uv_stream_t *)&t->socket);
}

static void on_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    struct tcp_conn *t = h->data;
    (void)suggested;
    out->base = (char *)t->listener->read_buffer;
    size_t room = !t->conn ? 0 : t->tls ? READ_BYTES : conn_room(t->conn);
    out->len = MIN(READ_BYTES, room);
}

static void tls_pump(struct tcp_conn *t);

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct tcp_conn *t = stream->data;
    if (!t->conn || n == 0)
        return;
    struct span bytes = {(const uint8_t *)b->base, n > 0 ? (size_t)n : 0};
    if (n < 0) {
        conn_lost(t->conn, n == UV_EOF);
    } else if (t->tls) {
        tls_session_input(t->tls, bytes);
        tls_pump(t);
    } else {
        conn_input(t->conn, bytes);
    }
}

static void tcp_read_on(void *carrier, bool on)
{
    struct tcp_conn *t = carrier;
    if (on)
        uv_read_start((uv_stream_t *)&t->socket, on_room, on_read);
    else
        uv_read_stop((uv_stream_t *)&t->socket);
}

static void on_shut(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status; /* the other side's end of file, or the deadline, finishes it */
}

static void tcp_shut(void *carrier)
{
    struct tcp_conn *t = carrier;
    t->shutting = uv_shutdown(&t->shutdown, (uv_stream_t *)&t->socket, on_shut) == 0;
}

static const struct http_transport tcp_transport = {
    .send = tcp_send,
    .send_rest = tcp_send_rest,
    .unsent = tcp_unsent,
    .read_on = tcp_read_on,
    .shut = tcp_shut,
    .close = tcp_conn_close,
};

/* ---- the same with TLS ---- */

static void on_cipher_written(uv_write_t *req, int status)
{
    struct tls_write *w = req->data;
    struct tcp_conn *t = w->conn;
    buf_fini(&w->bytes);
    free(w);
    t->nwrites--;
    if (!t->conn)
        return;
    if (status < 0) {
        conn_lost(t->conn, false);
    } else if (t->flight && t->nwrites == 0) {
        t->flight = false;
        conn_sent(t->conn);
    }
}

/* Gives the socket what the session has for it; false when the socket is broken. */
static bool tls_flush(struct tcp_conn *t)
{
    struct buf cipher = BUF_INIT;
    tls_session_output(t->tls, &cipher);
    uv_buf_t b = {.base = (char *)cipher.p, .len = cipher.n};
    int n = cipher.n == 0 || t->nwrites ? 0 : uv_try_write((uv_stream_t *)&t->socket, &b, 1);
    n = n == UV_EAGAIN ? 0 : n;
    if (n < 0 || (size_t)n == cipher.n) {
        buf_fini(&cipher);
        return n >= 0;
    }
    buf_drop(&cipher, (size_t)n);
    struct tls_write *w = xnew(struct tls_write);
    *w = (struct tls_write){.conn = t, .bytes = cipher};
    w->write.data = w;
    b = (uv_buf_t){.base = (char *)w->bytes.p, .len = w->bytes.n};
    if (uv_write(&w->write, (uv_stream_t *)&t->socket, &b, 1, on_cipher_written) != 0) {
        buf_fini(&w->bytes);
        free(w);
        return false;
    }
    t->nwrites++;
    return true;
}

/* A record at a time, so that little is encrypted that the socket does not take at once. */
static ssize_t tls_send(void *carrier, struct span data)
{
    struct tcp_conn *t = carrier;
    size_t sent = 0;
    while (sent < data.n && t->nwrites == 0) {
        struct span piece = {data.p + sent, MIN(data.n - sent, (size_t)RECORD_BYTES)};
        if (!tls_session_write(t->tls, piece) || !tls_flush(t))
            return -1;
        sent += piece.n;
    }
    return (ssize_t)sent;
}

static void tls_pump(struct tcp_conn *t)
{
    uint8_t plain[RECORD_BYTES];
    t->pumping = true;
    while (t->conn && t->reading) {
        ssize_t n = tls_session_read(t->tls, plain, MIN(sizeof plain, conn_room(t->conn)));
        if (!tls_flush(t))
            n = TLS_BROKEN;
        if (n == 0)
            break;
        if (n < 0) {
            conn_lost(t->conn, n == TLS_ENDED);
            break;
        }
        if (!t->settled)
            conn_set_protocol(t->conn, http_tls_is_http2(t->tls));
        t->settled = true;
        conn_input(t->conn, (struct span){plain, (size_t)n});
    }
    t->pumping = false;
}

/* What may not be told to a connection from inside of it; the socket may have gone meanwhile. */
static void on_post(void *user)
{
    struct tcp_conn *t = user;
    t->posted = false;
    if (t->closed) {
        tcp_conn_free(t);
        return;
    }
    if (t->conn && t->broken) {
        conn_lost(t->conn, false);
    } else if (t->conn && t->flight && t->nwrites == 0) {
        t->flight = false;
        conn_sent(t->conn);
    }
    tls_pump(t);
}

static void post(struct tcp_conn *t)
{
    if (t->posted)
        return;
    t->posted = true;
    loop_post(t->listener->server->loop, on_post, t);
}

static void tls_send_rest(void *carrier, struct buf *data)
{
    struct tcp_conn *t = carrier;
    t->broken = !tls_session_write(t->tls, buf_span(data)) || !tls_flush(t);
    buf_fini(data);
    t->flight = true;
    if (t->broken || t->nwrites == 0)
        post(t);
}

/* Plain text may be waiting already. */
static void tls_read_on(void *carrier, bool on)
{
    struct tcp_conn *t = carrier;
    t->reading = on;
    tcp_read_on(carrier, on);
    if (on && !t->pumping)
        post(t);
}

static void tls_shut(void *carrier)
{
    struct tcp_conn *t = carrier;
    tls_session_bye(t->tls);
    tls_flush(t);
    tcp_shut(carrier);
}

static const struct http_transport tls_transport = {
    .send = tls_send,
    .send_rest = tls_send_rest,
    .unsent = tcp_unsent,
    .read_on = tls_read_on,
    .shut = tls_shut,
    .close = tcp_conn_close,
};

/* ---- accepting ---- */

static void peer_text(const uv_tcp_t *socket, char *out, size_t cap)
{
    struct sockaddr_storage a = {0};
    int n = sizeof a;
    out[0] = 0;
    if (uv_tcp_getpeername(socket, (struct sockaddr *)&a, &n) == 0)
        uv_ip_name((const struct sockaddr *)&a, out, cap);
}

static void turn_away(struct tcp_conn *t)
{
    static const char full[] =
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n"
        "connection: close\r\n\r\n";
    uv_buf_t b = {.base = (char *)full, .len = sizeof full - 1};
    uv_try_write((uv_stream_t *)&t->socket, &b, 1);
    uv_close((uv_handle_t *)&t->socket, on_closed);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct tcp_listener *l = stream->data;
    if (status < 0 || !l->server)
        return;
    struct tcp_conn *t = xnew(struct tcp_conn);
    t->listener = l;
    uv_tcp_init(stream->loop, &t->socket);
    t->socket.data = t;
    if (uv_accept(stream, (uv_stream_t *)&t->socket) != 0) {
        uv_close((uv_handle_t *)&t->socket, on_closed);
        return;
    }
    char peer[INET6_ADDRSTRLEN];
    struct address_count *address;
    uv_tcp_nodelay(&t->socket, 1);
    peer_text(&t->socket, peer, sizeof peer);
    if (!server_admit(l->server, str_of(peer), &address)) {
        turn_away(t);
        return;
    }
    t->tls = l->server->tls ? http_tls_session(l->server->tls, l->server->http1_only) : NULL;
    t->conn = conn_new(l->server, t->tls ? &tls_transport : &tcp_transport, t, str_of(peer));
    t->conn->address = address;
}

/* ---- listening ---- */

static bool parse_address(struct str text, struct sockaddr_storage *out, struct err *e)
{
    uint64_t port;
    char host[INET6_ADDRSTRLEN];
    size_t colon = str_rfind(text, ':');
    struct str name = str_sub(text, 0, colon);
    if (colon == text.n || !str_u64(str_sub(text, colon + 1, text.n), &port) || port > 65535)
        return err_set(e, ERR_INVALID, "not an address like 127.0.0.1:8080");
    bool v6 = name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';
    if (v6)
        name = str_sub(name, 1, name.n - 1);
    if (name.n >= sizeof host)
        return err_set(e, ERR_INVALID, "not an address like 127.0.0.1:8080");
    memcpy(host, name.p, name.n);
    host[name.n] = 0;
    int failed = v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)out)
                    : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)out);
    if (failed)
        return err_set(e, ERR_INVALID, "not a numeric address like 127.0.0.1:8080 or [::1]:8080");
    return true;
}

static bool listen_error(int failed, struct err *e)
{
    switch (failed) {
    case UV_EADDRINUSE:
        return err_set(e, ERR_EXISTS, "address already in use");
    case UV_EACCES:
    case UV_EPERM:
        return err_set(e, ERR_DENIED, "not permitted");
    default:
        return err_set(e, ERR_IO, "%s", uv_strerror(failed));
    }
}

static void listener_unref(struct tcp_listener *l)
{
    if (--l->refs > 0)
        return;
    free(l->read_buffer);
    free(l);
}

static void on_listener_closed(uv_handle_t *h)
{
    listener_unref(h->data);
}

static void bound_address(const uv_tcp_t *socket, char *out, size_t cap)
{
    struct sockaddr_storage a = {0};
    int n = sizeof a;
    char ip[INET6_ADDRSTRLEN] = "";
    uv_tcp_getsockname(socket, (struct sockaddr *)&a, &n);
    uv_ip_name((const struct sockaddr *)&a, ip, sizeof ip);
    if (a.ss_family == AF_INET6)
        snprintf(out, cap, "[%s]:%u", ip, ntohs(((const struct sockaddr_in6 *)&a)->sin6_port));
    else
        snprintf(out, cap, "%s:%u", ip, ntohs(((const struct sockaddr_in *)&a)->sin_port));
}

bool tcp_listen(struct http_server *s, struct str address, struct err *e)
{
    struct sockaddr_storage a = {0};
    if (!parse_address(address, &a, e))
        return false;
    signal(SIGPIPE, SIG_IGN); /* a client that left is an error of its connection only */
    struct tcp_listener *l = xnew(struct tcp_listener);
    l->server = s;
    l->refs = 2;
    l->read_buffer = xalloc(READ_BYTES);
    uv_tcp_init(loop_uv(s->loop), &l->socket);
    l->socket.data = l;
    s->listener = l;
    int failed = uv_tcp_bind(&l->socket, (const struct sockaddr *)&a, 0);
    if (!failed)
        failed = uv_listen((uv_stream_t *)&l->socket, BACKLOG, on_connection);
    l->listening = true;
    if (failed) {
        tcp_close(s);
        return listen_error(failed, e);
    }
    bound_address(&l->socket, s->address, sizeof s->address);
    return true;
}

void tcp_unlisten(struct http_server *s)
{
    struct tcp_listener *l = s->listener;
    if (l->listening)
        uv_close((uv_handle_t *)&l->socket, on_listener_closed);
    l->listening = false;
}

/* Connections that are still closing need the read buffer no more: their conn is NULL. */
void tcp_close(struct http_server *s)
{
    struct tcp_listener *l = s->listener;
    l->server = NULL;
    tcp_unlisten(s);
    listener_unref(l);
    s->listener = NULL;
}
