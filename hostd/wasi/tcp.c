/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:sockets/tcp: a socket's way from made to bound, connected or listening, and the streams of a connection.
 * Spec: wasi:sockets 0.2 and component-model.md 12.8.
 * Keeps: start-x checks and notes down, finish-x does; a socket lives as long as its handle or one of its streams. What
 * an output stream accepted goes to the system at once; the little that the system did not take waits in `rest`. */
#include "hostd/wasi/sockets.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define BACKLOG_DEFAULT 128
#define BACKLOG_MAX 4096
#define READ_BYTES 16384u /* read ahead, while there is something */
#define WRITE_BYTES \
    16384u /* of one permit: a socket that is ready to be written takes that, but for tiny buffers */
#define NS_PER_S 1000000000u

enum state {
    FRESH,
    BINDING,
    BOUND,
    CONNECTING,
    CONNECTED,
    PREPARING, /* to listen */
    LISTENING,
    CLOSED, /* a failed attempt to connect */
};

enum { SHUT_RECEIVE, SHUT_SEND, SHUT_BOTH }; /* shutdown-type */

struct tcp {
    struct net_socket socket; /* first: for the functions of net.c */
    struct wasi_ctx *ctx;
    uint32_t holders;
    enum state state;
    union net_addr pending; /* BINDING: to be bound to */
    int connect_error;      /* CONNECTING: it failed at once */
    int backlog;

    uint8_t *read; /* READ_BYTES of which [from, to) are not taken yet; NULL: nothing is there */
    size_t from, to;
    bool ended, stopped; /* the peer's end; our shutdown(receive) */
    int read_error;

    struct buf rest;          /* accepted, not yet taken by the system */
    bool finishing, finished; /* shutdown(send): when rest is empty; done */
    int write_error;
};

_Static_assert(offsetof(struct tcp, socket) == 0, "net.c takes it for its socket");

static struct tcp *tcp_new(struct wasi_ctx *c, int fd, bool v6)
{
    struct tcp *t = xnew(struct tcp);
    t->ctx = c;
    t->holders = 1;
    t->socket = (struct net_socket){fd, v6};
    t->backlog = BACKLOG_DEFAULT;
    return t;
}

/* As much as the system takes; how much that was. */
static size_t send_some(struct tcp *t, struct span data)
{
    ssize_t n;
    do {
        n = send(t->socket.fd, data.p, data.n, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        t->write_error = errno;
    return n > 0 ? (size_t)n : 0;
}

/* Sends what waits; then closes our side, if that was asked for. */
static void pump(struct tcp *t)
{
    if (t->rest.n > 0 && !t->write_error)
        buf_drop(&t->rest, send_some(t, buf_span(&t->rest)));
    if (t->finishing && !t->finished && (t->rest.n == 0 || t->write_error)) {
        shutdown(t->socket.fd, SHUT_WR);
        t->finished = true;
    }
}

static void release(struct tcp *t)
{
    if (--t->holders > 0)
        return;
    pump(t);
    net_close(t->ctx, t->socket.fd);
    free(t->read);
    buf_fini(&t->rest);
    free(t);
}

static void tcp_drop(void *user, void *obj)
{
    (void)user;
    release(obj);
}
const struct comp_class wasi_tcp_class = {"tcp-socket", tcp_drop};

enum comp_host_status wasi_create_tcp_socket(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    struct wasi_ctx *c = wasi_of(hc);
    bool v6 = args[0].n == NET_IPV6;
    if (!c->opts.net)
        return net_refuse(hc, NET_ACCESS_DENIED, result);
    int fd = net_open(c, v6 ? AF_INET6 : AF_INET, SOCK_STREAM);
    if (fd < 0)
        return net_end(hc, errno, result);
    net_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* a port in TIME_WAIT can be listened on */
    return net_end_with(hc, wasi_own(hc, &wasi_tcp_class, tcp_new(c, fd, v6)), result);
}

/* ---- the streams of a connection ---- */

static struct wasi_error failure_of(int error)
{
    return (struct wasi_error){
        .http_code = WASI_NO_HTTP_CODE, .net_errno = error, .text = strerrordesc_np(error)};
}

static void read_ahead(struct tcp *t)
{
    if (!t->read)
        t->read = xalloc(READ_BYTES);
    ssize_t n = recv(t->socket.fd, t->read, READ_BYTES, 0);
    t->from = 0;
    t->to = n > 0 ? (size_t)n : 0;
    t->ended = n == 0;
    if (n < 0 && errno == EAGAIN)
        wasi_watch(t->ctx, t->socket.fd);
    else if (n < 0 && errno != EINTR)
        t->read_error = errno;
    if (n <= 0) {
        free(t->read);
        t->read = NULL;
    }
}

static enum wasi_state in_peek(struct wasi_input *s, struct span *view)
{
    struct tcp *t = s->source;
    if (t->stopped)
        return WASI_CLOSED;
    if (t->from == t->to && !t->ended && !t->read_error)
        read_ahead(t);
    *view = (struct span){t->read ? t->read + t->from : NULL, t->to - t->from};
    if (t->read_error)
        s->failure = failure_of(t->read_error);
    return t->read_error ? WASI_FAILED : t->ended ? WASI_CLOSED : WASI_OPEN;
}

static void in_take(struct wasi_input *s, size_t n)
{
    struct tcp *t = s->source;
    t->from += n;
    if (t->from < t->to)
        return;
    free(t->read); /* a socket that waits costs no buffer */
    t->read = NULL;
    t->from = t->to = 0;
}

static void in_drop(struct wasi_input *s)
{
    release(s->source);
}

static const struct wasi_input_ops in_ops = {in_peek, in_take, in_drop};

static enum wasi_state out_room(struct wasi_output *s, size_t *n)
{
    struct tcp *t = s->sink;
    *n = 0;
    pump(t);
    if (t->write_error)
        s->failure = failure_of(t->write_error);
    if (t->write_error || t->finishing)
        return t->write_error ? WASI_FAILED : WASI_CLOSED;
    if (net_ready(t->ctx, t->socket.fd, POLLOUT) && t->rest.n == 0)
        *n = WRITE_BYTES;
    return WASI_OPEN;
}

static void out_write(struct wasi_output *s, struct span data)
{
    struct tcp *t = s->sink;
    size_t sent = t->rest.n == 0 ? send_some(t, data) : 0;
    if (!t->write_error)
        buf_put(&t->rest, data.p + sent, data.n - sent);
}

static bool out_flushed(struct wasi_output *s)
{
    struct tcp *t = s->sink;
    pump(t);
    if (t->rest.n == 0 || t->write_error)
        return true;
    net_ready(t->ctx, t->socket.fd, POLLOUT);
    return false;
}

static void out_drop(struct wasi_output *s)
{
    struct tcp *t = s->sink;
    pump(t);
    release(t);
}

static const struct wasi_output_ops out_ops = {out_room, out_write, out_flushed, out_drop};

static void make_streams(struct comp_host_call *hc, struct tcp *t, struct wit_value out[2])
{
    t->holders += 2;
    out[0] = wasi_own(hc, &wasi_input_class, wasi_input_new(&in_ops, t));
    out[1] = wasi_own(hc, &wasi_output_class, wasi_output_new(&out_ops, t));
}

/* ---- bind, connect, listen, accept ---- */

/* Only a socket in one of these states may begin: the refusal of start-x, or 0. */
static uint32_t check_start(const struct tcp *t, bool may)
{
    if (t->state == BINDING || t->state == CONNECTING || t->state == PREPARING)
        return NET_CONCURRENCY_CONFLICT;
    return may ? 0 : NET_INVALID_STATE;
}

static bool of_family(const struct tcp *t, const union net_addr *a)
{
    return t->socket.v6 == (a->sa.sa_family == AF_INET6);
}

static enum comp_host_status start_bind(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    union net_addr a = net_addr_of(&args[2]);
    uint32_t refusal = check_start(t, t->state == FRESH);
    if (!refusal && (!of_family(t, &a) || !net_is_unicast(&a)))
        refusal = NET_INVALID_ARGUMENT;
    if (!refusal && net_port(&a) != 0 && !net_allows(t->ctx, &a)) /* any free port serves clients */
        refusal = NET_ACCESS_DENIED;
    if (refusal)
        return net_refuse(hc, refusal, result);
    t->pending = a;
    t->state = BINDING;
    return net_end(hc, 0, result);
}

static enum comp_host_status finish_bind(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    if (t->state != BINDING)
        return net_refuse(hc, NET_NOT_IN_PROGRESS, result);
    int error = bind(t->socket.fd, &t->pending.sa, net_addr_size(&t->pending)) < 0 ? errno : 0;
    t->state = error ? FRESH : BOUND;
    return net_end(hc, error, result);
}

static enum comp_host_status start_connect(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    union net_addr a = net_addr_of(&args[2]);
    uint32_t refusal = check_start(t, t->state == FRESH || t->state == BOUND);
    if (!refusal &&
        (!of_family(t, &a) || !net_is_unicast(&a) || net_is_any(&a) || net_port(&a) == 0))
        refusal = NET_INVALID_ARGUMENT;
    if (!refusal && !net_allows(t->ctx, &a))
        refusal = NET_ACCESS_DENIED;
    if (refusal)
        return net_refuse(hc, refusal, result);
    int error = connect(t->socket.fd, &a.sa, net_addr_size(&a)) < 0 ? errno : 0;
    t->connect_error = error == EINPROGRESS || error == EINTR ? 0 : error;
    t->state = CONNECTING;
    return net_end(hc, 0, result);
}

static enum comp_host_status finish_connect(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    struct wit_value streams[2];
    int error = t->connect_error;
    if (t->state != CONNECTING)
        return net_refuse(hc, NET_NOT_IN_PROGRESS, result);
    if (!error && !net_ready(t->ctx, t->socket.fd, POLLOUT))
        return net_refuse(hc, NET_WOULD_BLOCK, result);
    if (!error)
        net_option(t->socket.fd, SOL_SOCKET, SO_ERROR, &error);
    t->state = error ? CLOSED : CONNECTED;
    if (error) /* no port is left for our side */
        return net_end(hc, error == EADDRNOTAVAIL ? EADDRINUSE : error, result);
    make_streams(hc, t, streams);
    return net_end_with(hc, wasi_tuple(hc, streams, 2), result);
}

static enum comp_host_status start_listen(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    union net_addr a = {0};
    socklen_t n = sizeof a;
    uint32_t refusal = check_start(t, t->state == BOUND);
    if (!refusal && (getsockname(t->socket.fd, &a.sa, &n) < 0 || !net_allows(t->ctx, &a)))
        refusal = NET_ACCESS_DENIED;
    if (refusal)
        return net_refuse(hc, refusal, result);
    t->state = PREPARING;
    return net_end(hc, 0, result);
}

static enum comp_host_status finish_listen(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    if (t->state != PREPARING)
        return net_refuse(hc, NET_NOT_IN_PROGRESS, result);
    int error = listen(t->socket.fd, t->backlog) < 0 ? errno : 0;
    t->state = error ? CLOSED : LISTENING;
    return net_end(hc, error, result);
}

static enum comp_host_status accept_one(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    if (t->state != LISTENING)
        return net_refuse(hc, NET_INVALID_STATE, result);
    if (!net_count(t->ctx))
        return net_refuse(hc, NET_NEW_SOCKET_LIMIT, result);
    int fd = accept4(t->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        t->ctx->nsockets--;
        return net_end(hc, error, result);
    }
    struct tcp *peer = tcp_new(t->ctx, fd, t->socket.v6);
    peer->state = CONNECTED;
    struct wit_value triple[3] = {wasi_own(hc, &wasi_tcp_class, peer)};
    make_streams(hc, peer, triple + 1);
    return net_end_with(hc, wasi_tuple(hc, triple, 3), result);
}

static enum comp_host_status end_shutdown(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    if (t->state != CONNECTED)
        return net_refuse(hc, NET_INVALID_STATE, result);
    if (args[1].n != SHUT_SEND) {
        t->stopped = true;
        shutdown(t->socket.fd, SHUT_RD);
    }
    if (args[1].n != SHUT_RECEIVE) {
        t->finishing = true;
        pump(t);
    }
    return net_end(hc, 0, result);
}

/* ---- what is known of a socket ---- */

static bool socket_ready(void *obj)
{
    struct tcp *t = obj;
    pump(t);
    switch (t->state) {
    case CONNECTING:
        return t->connect_error || net_ready(t->ctx, t->socket.fd, POLLOUT);
    case LISTENING:
        return net_ready(t->ctx, t->socket.fd, POLLIN);
    default:
        return true;
    }
}

static enum comp_host_status subscribe(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, socket_ready);
    return wasi_done(hc);
}

static enum comp_host_status local_address(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    const struct tcp *t = args[0].obj;
    if (t->state == FRESH || t->state == BINDING || t->state == CLOSED)
        return net_refuse(hc, NET_INVALID_STATE, result);
    return net_end_name(hc, t->socket.fd, false, result);
}

static enum comp_host_status remote_address(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct tcp *t = args[0].obj;
    if (t->state != CONNECTED)
        return net_refuse(hc, NET_INVALID_STATE, result);
    return net_end_name(hc, t->socket.fd, true, result);
}

static enum comp_host_status is_listening(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    const struct tcp *t = args[0].obj;
    *result = wit_u64(t->state == LISTENING);
    return wasi_done(hc);
}

/* ---- options ---- */

static enum comp_host_status set_backlog(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    struct tcp *t = args[0].obj;
    if (args[1].u64 == 0)
        return net_refuse(hc, NET_INVALID_ARGUMENT, result);
    if (t->state == CONNECTING || t->state == CONNECTED || t->state == CLOSED)
        return net_refuse(hc, NET_INVALID_STATE, result);
    t->backlog = (int)MIN(args[1].u64, BACKLOG_MAX);
    int error = t->state == LISTENING && listen(t->socket.fd, t->backlog) < 0 ? errno : 0;
    return net_end(hc, error, result);
}

static enum comp_host_status keep_alive(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    const struct tcp *t = args[0].obj;
    int value = 0, error = net_option(t->socket.fd, SOL_SOCKET, SO_KEEPALIVE, &value);
    return error ? net_end(hc, error, result) : net_end_with(hc, wit_u64(value != 0), result);
}

static enum comp_host_status set_keep_alive(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct tcp *t = args[0].obj;
    return net_end(hc, net_set_option(t->socket.fd, SOL_SOCKET, SO_KEEPALIVE, args[1].u64 != 0),
                   result);
}

/* Options of keep-alive: numbers whose unit is so many of the guest's. */
static enum comp_host_status get_probe(struct comp_host_call *hc, const struct wit_value *args,
                                       int name, uint64_t unit, struct wit_value *result)
{
    const struct tcp *t = args[0].obj;
    int value = 0, error = net_option(t->socket.fd, IPPROTO_TCP, name, &value);
    return error ? net_end(hc, error, result)
                 : net_end_with(hc, wit_u64((uint64_t)value * unit), result);
}

/* Rounded up, and cut to what Linux takes. */
static enum comp_host_status set_probe(struct comp_host_call *hc, const struct wit_value *args,
                                       int name, uint64_t unit, uint64_t max,
                                       struct wit_value *result)
{
    const struct tcp *t = args[0].obj;
    uint64_t value = args[1].u64 / unit + (args[1].u64 % unit != 0);
    if (value == 0)
        return net_refuse(hc, NET_INVALID_ARGUMENT, result);
    return net_end(hc, net_set_option(t->socket.fd, IPPROTO_TCP, name, (int)MIN(value, max)),
                   result);
}

#define PROBE_SECONDS_MAX 32767
#define PROBE_COUNT_MAX 127

static enum comp_host_status idle_time(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    return get_probe(hc, args, TCP_KEEPIDLE, NS_PER_S, result);
}

static enum comp_host_status set_idle_time(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    return set_probe(hc, args, TCP_KEEPIDLE, NS_PER_S, PROBE_SECONDS_MAX, result);
}

static enum comp_host_status interval(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    return get_probe(hc, args, TCP_KEEPINTVL, NS_PER_S, result);
}

static enum comp_host_status set_interval(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    return set_probe(hc, args, TCP_KEEPINTVL, NS_PER_S, PROBE_SECONDS_MAX, result);
}

static enum comp_host_status count(struct comp_host_call *hc, const struct wit_value *args,
                                   struct wit_value *result)
{
    return get_probe(hc, args, TCP_KEEPCNT, 1, result);
}

static enum comp_host_status set_count(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    return set_probe(hc, args, TCP_KEEPCNT, 1, PROBE_COUNT_MAX, result);
}

#define METHOD(name) "[method]tcp-socket." name
const struct comp_host_func wasi_tcp_funcs[] = {
    {METHOD("start-bind"), start_bind},
    {METHOD("finish-bind"), finish_bind},
    {METHOD("start-connect"), start_connect},
    {METHOD("finish-connect"), finish_connect},
    {METHOD("start-listen"), start_listen},
    {METHOD("finish-listen"), finish_listen},
    {METHOD("accept"), accept_one},
    {METHOD("local-address"), local_address},
    {METHOD("remote-address"), remote_address},
    {METHOD("is-listening"), is_listening},
    {METHOD("address-family"), net_address_family},
    {METHOD("set-listen-backlog-size"), set_backlog},
    {METHOD("keep-alive-enabled"), keep_alive},
    {METHOD("set-keep-alive-enabled"), set_keep_alive},
    {METHOD("keep-alive-idle-time"), idle_time},
    {METHOD("set-keep-alive-idle-time"), set_idle_time},
    {METHOD("keep-alive-interval"), interval},
    {METHOD("set-keep-alive-interval"), set_interval},
    {METHOD("keep-alive-count"), count},
    {METHOD("set-keep-alive-count"), set_count},
    {METHOD("hop-limit"), net_hop_limit},
    {METHOD("set-hop-limit"), net_set_hop_limit},
    {METHOD("receive-buffer-size"), net_receive_size},
    {METHOD("set-receive-buffer-size"), net_set_receive_size},
    {METHOD("send-buffer-size"), net_send_size},
    {METHOD("set-send-buffer-size"), net_set_send_size},
    {METHOD("subscribe"), subscribe},
    {METHOD("shutdown"), end_shutdown},
    {NULL, NULL},
};
