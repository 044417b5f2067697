/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:sockets/udp. Spec: wasi:sockets 0.2 and component-model.md 12.8.
 * A socket's association with one remote address is kept here, not in the system: undoing it there would give the
 * port away. Keeps: only the pair of streams made last works; a datagram is sent to, and taken from, only whom the
 * rules allow (a socket bound to an address that is allowed itself takes from everyone). */
#include "hostd/wasi/sockets.h"

#include <errno.h>
#include <poll.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define DATAGRAM_BYTES_MAX 65536u
#define DATAGRAMS_MAX 16u              /* of one receive, of one permit to send */
#define UNWANTED_MAX 64u               /* thrown away in one go */
#define RECEIVE_BYTES_MAX (256u << 10) /* of one receive: no further datagram is begun */

enum state { FRESH, BINDING, BOUND };

struct udp {
    struct net_socket socket; /* first: for the functions of net.c */
    struct wasi_ctx *ctx;
    uint32_t holders;
    enum state state;
    bool open; /* bound to an address that the rules allow */
    union net_addr pending;
    uint32_t pair; /* number of the streams made last; theirs are the rest */
    bool connected;
    union net_addr remote; /* when connected */
};

struct datagrams { /* either stream */
    struct udp *udp;
    uint32_t pair;
    uint32_t permit; /* out: datagrams that check-send allowed */
};

_Static_assert(offsetof(struct udp, socket) == 0, "net.c takes it for its socket");

static void release(struct udp *u)
{
    if (--u->holders > 0)
        return;
    net_close(u->ctx, u->socket.fd);
    free(u);
}

static void udp_drop(void *user, void *obj)
{
    (void)user;
    release(obj);
}
const struct comp_class wasi_udp_class = {"udp-socket", udp_drop};

static void datagrams_drop(void *user, void *obj)
{
    struct datagrams *d = obj;
    (void)user;
    release(d->udp);
    free(d);
}
const struct comp_class wasi_datagrams_in_class = {"incoming-datagram-stream", datagrams_drop};
const struct comp_class wasi_datagrams_out_class = {"outgoing-datagram-stream", datagrams_drop};

enum comp_host_status wasi_create_udp_socket(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    struct wasi_ctx *c = wasi_of(hc);
    bool v6 = args[0].n == NET_IPV6;
    if (!c->opts.net)
        return net_refuse(hc, NET_ACCESS_DENIED, result);
    int fd = net_open(c, v6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
    if (fd < 0)
        return net_end(hc, errno, result);
    struct udp *u = xnew(struct udp);
    *u = (struct udp){.ctx = c, .holders = 1, .socket = {fd, v6}};
    return net_end_with(hc, wasi_own(hc, &wasi_udp_class, u), result);
}

/* ---- bind, stream ---- */

static bool of_family(const struct udp *u, const union net_addr *a)
{
    return u->socket.v6 == (a->sa.sa_family == AF_INET6);
}

static bool may_be_target(const struct udp *u, const union net_addr *a)
{
    return of_family(u, a) && net_is_unicast(a) && !net_is_any(a) && net_port(a) != 0;
}

static enum comp_host_status start_bind(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct udp *u = args[0].obj;
    union net_addr a = net_addr_of(&args[2]);
    if (u->state != FRESH)
        return net_refuse(hc, u->state == BINDING ? NET_CONCURRENCY_CONFLICT : NET_INVALID_STATE,
                          result);
    if (!of_family(u, &a) || !net_is_unicast(&a))
        return net_refuse(hc, NET_INVALID_ARGUMENT, result);
    if (net_port(&a) != 0 && !net_allows(u->ctx, &a)) /* any free port serves clients */
        return net_refuse(hc, NET_ACCESS_DENIED, result);
    u->pending = a;
    u->state = BINDING;
    return net_end(hc, 0, result);
}

static enum comp_host_status finish_bind(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    struct udp *u = args[0].obj;
    union net_addr a = {0};
    socklen_t n = sizeof a;
    if (u->state != BINDING)
        return net_refuse(hc, NET_NOT_IN_PROGRESS, result);
    int error = bind(u->socket.fd, &u->pending.sa, net_addr_size(&u->pending)) < 0 ? errno : 0;
    u->state = error ? FRESH : BOUND;
    if (!error && getsockname(u->socket.fd, &a.sa, &n) == 0)
        u->open = net_allows(u->ctx, &a);
    return net_end(hc, error, result);
}

static struct wit_value make_stream(struct comp_host_call *hc, struct udp *u,
                                    const struct comp_class *class)
{
    struct datagrams *d = xnew(struct datagrams);
    *d = (struct datagrams){.udp = u, .pair = u->pair};
    u->holders++;
    return wasi_own(hc, class, d);
}

static enum comp_host_status make_streams(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct udp *u = args[0].obj;
    bool connected = args[1].n == 1;
    union net_addr remote = {0};
    if (u->state != BOUND)
        return net_refuse(hc, NET_INVALID_STATE, result);
    if (connected) {
        remote = net_addr_of(args[1].v);
        if (!may_be_target(u, &remote))
            return net_refuse(hc, NET_INVALID_ARGUMENT, result);
        if (!net_allows(u->ctx, &remote))
            return net_refuse(hc, NET_ACCESS_DENIED, result);
    }
    u->pair++;
    u->connected = connected;
    u->remote = remote;
    struct wit_value pair[] = {make_stream(hc, u, &wasi_datagrams_in_class),
                               make_stream(hc, u, &wasi_datagrams_out_class)};
    return net_end_with(hc, wasi_tuple(hc, pair, 2), result);
}

/* ---- receiving ---- */

static bool is_current(const struct datagrams *d)
{
    return d->pair == d->udp->pair;
}

static bool is_wanted(const struct datagrams *d, const union net_addr *from)
{
    const struct udp *u = d->udp;
    if (u->connected)
        return net_same(&u->remote, from);
    return u->open || net_allows(u->ctx, from);
}

/* The next datagram that the guest may see; -1 with errno. */
static ssize_t receive_one(const struct datagrams *d, uint8_t *bytes, union net_addr *from)
{
    for (uint32_t i = 0; i < UNWANTED_MAX; i++) {
        socklen_t n = sizeof *from;
        ssize_t got = recvfrom(d->udp->socket.fd, bytes, DATAGRAM_BYTES_MAX, 0, &from->sa, &n);
        if (got < 0 || is_wanted(d, from))
            return got;
    }
    errno = EAGAIN; /* more of them may wait: the guest comes again, and other guests in between */
    return -1;
}

static enum comp_host_status receive(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    const struct datagrams *d = args[0].obj;
    uint32_t max = (uint32_t)MIN(args[1].u64, DATAGRAMS_MAX), n = 0;
    struct wit_value *list = wasi_list(hc, max);
    if (!is_current(d))
        return net_refuse(hc, NET_INVALID_STATE, result);
    AUTO_FREE uint8_t *bytes = xalloc(DATAGRAM_BYTES_MAX);
    int error = 0;
    for (size_t total = 0; list && n < max && total < RECEIVE_BYTES_MAX;) {
        union net_addr from;
        ssize_t got = receive_one(d, bytes, &from);
        error = got < 0 ? errno : 0;
        if (error)
            break;
        struct wit_value members[] = {wasi_copy_bytes(hc, (struct span){bytes, (size_t)got}),
                                      net_addr_value(hc, &from)};
        list[n++] = wasi_tuple(hc, members, 2);
        total += (size_t)got;
    }
    if (error && error != EAGAIN && n == 0)
        return net_end(hc, error, result);
    return net_end_with(hc, (struct wit_value){.v = list, .n = n}, result);
}

static bool in_ready(void *obj)
{
    const struct datagrams *d = obj;
    return !is_current(d) || net_ready(d->udp->ctx, d->udp->socket.fd, POLLIN);
}

static enum comp_host_status in_subscribe(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, in_ready);
    return wasi_done(hc);
}

/* ---- sending ---- */

static enum comp_host_status check_send(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct datagrams *d = args[0].obj;
    if (!is_current(d))
        return net_refuse(hc, NET_INVALID_STATE, result);
    d->permit = net_ready(d->udp->ctx, d->udp->socket.fd, POLLOUT) ? DATAGRAMS_MAX : 0;
    return net_end_with(hc, wit_u64(d->permit), result);
}

/* Case of error-code, or 0 with where it goes to. */
static uint32_t find_target(const struct udp *u, const struct wit_value *option, union net_addr *to)
{
    *to = option->n == 1 ? net_addr_of(option->v) : u->remote;
    if (option->n == 0)
        return u->connected ? 0 : NET_INVALID_ARGUMENT;
    if (!may_be_target(u, to) || (u->connected && !net_same(to, &u->remote)))
        return NET_INVALID_ARGUMENT;
    return net_allows(u->ctx, to) ? 0 : NET_ACCESS_DENIED;
}

/* One of the list; 0, or a case of error-code. */
static uint32_t send_one(const struct udp *u, const struct wit_value *datagram)
{
    const struct wit_value *data = &datagram->v[0];
    union net_addr to;
    uint32_t refusal = find_target(u, &datagram->v[1], &to);
    if (refusal)
        return refusal;
    ssize_t n = sendto(u->socket.fd, data->p, data->n, MSG_NOSIGNAL, &to.sa, net_addr_size(&to));
    return n < 0 ? net_code(errno) : 0;
}

static enum comp_host_status send_all(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    struct datagrams *d = args[0].obj;
    uint32_t n = args[1].n, sent = 0, refusal = 0;
    if (!is_current(d))
        return net_refuse(hc, NET_INVALID_STATE, result);
    if (n > d->permit)
        return comp_trap(hc, "%u datagrams to send, check-send permitted %u", n, d->permit);
    while (sent < n && !(refusal = send_one(d->udp, &args[1].v[sent])))
        sent++;
    d->permit -= sent;
    if (sent == 0 && refusal && refusal != NET_WOULD_BLOCK)
        return net_refuse(hc, refusal, result);
    return net_end_with(hc, wit_u64(sent), result); /* the rest fails when it is sent again */
}

static bool out_ready(void *obj)
{
    const struct datagrams *d = obj;
    return !is_current(d) || net_ready(d->udp->ctx, d->udp->socket.fd, POLLOUT);
}

static enum comp_host_status out_subscribe(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, out_ready);
    return wasi_done(hc);
}

/* ---- what is known of a socket ---- */

static bool always(void *obj)
{
    (void)obj;
    return true;
}

static enum comp_host_status subscribe(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, always); /* nothing of it takes time */
    return wasi_done(hc);
}

static enum comp_host_status local_address(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    const struct udp *u = args[0].obj;
    if (u->state != BOUND)
        return net_refuse(hc, NET_INVALID_STATE, result);
    return net_end_name(hc, u->socket.fd, false, result);
}

static enum comp_host_status remote_address(struct comp_host_call *hc, const struct wit_value *args,
                                            struct wit_value *result)
{
    const struct udp *u = args[0].obj;
    if (!u->connected)
        return net_refuse(hc, NET_INVALID_STATE, result);
    return net_end_with(hc, net_addr_value(hc, &u->remote), result);
}

#define METHOD(name) "[method]udp-socket." name
const struct comp_host_func wasi_udp_funcs[] = {
    {METHOD("start-bind"), start_bind},
    {METHOD("finish-bind"), finish_bind},
    {METHOD("stream"), make_streams},
    {METHOD("local-address"), local_address},
    {METHOD("remote-address"), remote_address},
    {METHOD("address-family"), net_address_family},
    {METHOD("unicast-hop-limit"), net_hop_limit},
    {METHOD("set-unicast-hop-limit"), net_set_hop_limit},
    {METHOD("receive-buffer-size"), net_receive_size},
    {METHOD("set-receive-buffer-size"), net_set_receive_size},
    {METHOD("send-buffer-size"), net_send_size},
    {METHOD("set-send-buffer-size"), net_set_send_size},
    {METHOD("subscribe"), subscribe},
    {"[method]incoming-datagram-stream.receive", receive},
    {"[method]incoming-datagram-stream.subscribe", in_subscribe},
    {"[method]outgoing-datagram-stream.check-send", check_send},
    {"[method]outgoing-datagram-stream.send", send_all},
    {"[method]outgoing-datagram-stream.subscribe", out_subscribe},
    {NULL, NULL},
};
