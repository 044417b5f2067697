/* SPDX-License-Identifier: Apache-2.0 */
/* TCP under the connections: listening socket, accepting, and the carrier of each connection, on libuv streams.
 * Keeps: uv handles live until their close callback, whatever became of server and connection; one read buffer per
 * listener, since a read is handled before the next one begins. */
#include "lattice/http/http_server_int.h"

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

struct tcp_listener {
    uv_tcp_t socket;
    uv_prepare_t flush;
    struct http_server *server; /* NULL once the server is gone */
    uint8_t *read_buffer;
    unsigned open; /* handles */
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
};

/* ---- the carrier of one connection ---- */

static void on_closed(uv_handle_t *h)
{
    struct tcp_conn *t = h->data;
    buf_fini(&t->rest);
    free(t);
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
    out->len = t->conn ? MIN(READ_BYTES, conn_room(t->conn)) : 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct tcp_conn *t = stream->data;
    if (!t->conn || n == 0)
        return;
    if (n < 0)
        conn_lost(t->conn, n == UV_EOF);
    else
        conn_input(t->conn, (struct span){(const uint8_t *)b->base, (size_t)n});
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
    t->conn = conn_new(l->server, &tcp_transport, t, str_of(peer));
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

static void on_listener_closed(uv_handle_t *h)
{
    struct tcp_listener *l = h->data;
    if (--l->open > 0)
        return;
    free(l->read_buffer);
    free(l);
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

static void on_prepare(uv_prepare_t *h)
{
    struct tcp_listener *l = h->data;
    uv_prepare_stop(h);
    if (l->server)
        server_flush(l->server);
}

bool tcp_listen(struct http_server *s, struct str address, struct err *e)
{
    struct sockaddr_storage a = {0};
    if (!parse_address(address, &a, e))
        return false;
    signal(SIGPIPE, SIG_IGN); /* a client that left is an error of its connection only */
    uv_loop_t *uv = loop_uv(s->loop);
    struct tcp_listener *l = xnew(struct tcp_listener);
    l->server = s;
    l->open = 2;
    l->read_buffer = xalloc(READ_BYTES);
    uv_prepare_init(uv, &l->flush);
    uv_tcp_init(uv, &l->socket);
    l->flush.data = l->socket.data = l;
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
    uv_close((uv_handle_t *)&l->flush, on_listener_closed);
    s->listener = NULL;
}

void tcp_want_flush(struct http_server *s)
{
    struct tcp_listener *l = s->listener;
    uv_prepare_start(&l->flush, on_prepare);
}
