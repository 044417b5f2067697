/* SPDX-License-Identifier: Apache-2.0 */
/* What sockets have in common: the rules of who may be reached, addresses between WIT and the system, errors, options.
 * Keeps: an address that no rule names is reached by nothing; a rule with a name holds for the addresses that the guest
 * itself got by looking that name up, and for no others. */
#include "hostd/wasi/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define RULES_MAX 1024u

/* ---- rules ---- */

enum host_kind { HOST_ANY, HOST_NAME, HOST_ADDRESS };

struct rule {
    enum host_kind kind;
    char *name;
    union net_addr addr;
    uint32_t prefix; /* bits of addr that count */
    uint16_t port;
    bool any_port;
};

struct wasi_net {
    struct rule *rules;
    size_t n;
};

struct wasi_resolved { /* by a rule's name */
    union net_addr addr;
    size_t rule;
};

struct wasi_net *wasi_net_new(void)
{
    return xnew(struct wasi_net);
}

void wasi_net_free(struct wasi_net *n)
{
    for (size_t i = 0; n && i < n->n; i++)
        free(n->rules[i].name);
    if (n)
        free(n->rules);
    free(n);
}

static bool read_port(struct str text, struct rule *r)
{
    uint64_t port;
    r->any_port = str_eqz(text, "*");
    if (r->any_port)
        return true;
    if (!str_u64(text, &port) || port > UINT16_MAX)
        return false;
    r->port = (uint16_t)port;
    return true;
}

/* "10.0.0.0/8", "::1". False: it is no address. */
static bool read_address(struct str text, struct rule *r)
{
    char ip[INET6_ADDRSTRLEN];
    size_t slash = str_find(text, '/');
    struct str head = str_sub(text, 0, slash);
    uint64_t prefix;
    if (head.n >= sizeof ip)
        return false;
    memcpy(ip, head.p, head.n);
    ip[head.n] = '\0';
    bool v4 = inet_pton(AF_INET, ip, &r->addr.v4.sin_addr) == 1;
    if (!v4 && inet_pton(AF_INET6, ip, &r->addr.v6.sin6_addr) != 1)
        return false;
    r->kind = HOST_ADDRESS;
    r->addr.sa.sa_family = v4 ? AF_INET : AF_INET6;
    r->prefix = v4 ? 32 : 128;
    if (slash == text.n)
        return true;
    if (!str_u64(str_sub(text, slash + 1, text.n), &prefix) || prefix > r->prefix)
        return false;
    r->prefix = (uint32_t)prefix;
    return true;
}

static bool is_name(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '.' && c != '_')
            return false;
    }
    return text.n > 0;
}

/* "*", "[::1]", "127.0.0.1", "db.example.com" */
static bool read_host(struct str text, struct rule *r)
{
    if (str_eqz(text, "*")) {
        r->kind = HOST_ANY;
        return true;
    }
    if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        return read_address(str_sub(text, 1, text.n - 1), r);
    if (read_address(text, r))
        return r->addr.sa.sa_family == AF_INET; /* the other kind has brackets */
    if (!is_name(text))
        return false;
    r->kind = HOST_NAME;
    r->name = str_dup(text);
    return true;
}

bool wasi_net_allow(struct wasi_net *n, struct str rule, struct err *e)
{
    struct rule r = {0};
    size_t colon = str_rfind(rule, ':');
    if (n->n == RULES_MAX)
        return err_set(e, ERR_LIMIT, "more than %u rules", RULES_MAX);
    if (colon == rule.n || !read_port(str_sub(rule, colon + 1, rule.n), &r) ||
        !read_host(str_sub(rule, 0, colon), &r))
        return err_set(e, ERR_INVALID,
                       "'%.*s' is not HOST:PORT (HOST: a name, 127.0.0.1, 10.0.0.0/8, [::1] or *; "
                       "PORT: a number or *)",
                       STR_ARG(rule));
    n->rules = xrealloc(n->rules, (n->n + 1) * sizeof *n->rules);
    n->rules[n->n++] = r;
    return true;
}

static const uint8_t *bytes_of(const union net_addr *a)
{
    return a->sa.sa_family == AF_INET ? (const uint8_t *)&a->v4.sin_addr
                                      : (const uint8_t *)&a->v6.sin6_addr;
}

static bool same_prefix(const union net_addr *a, const union net_addr *b, uint32_t bits)
{
    const uint8_t *p = bytes_of(a), *q = bytes_of(b);
    if (a->sa.sa_family != b->sa.sa_family || memcmp(p, q, bits / 8) != 0)
        return false;
    uint32_t rest = bits % 8;
    return rest == 0 || (p[bits / 8] ^ q[bits / 8]) >> (8 - rest) == 0;
}

static bool has_resolved(const struct wasi_ctx *c, size_t rule, const union net_addr *a)
{
    for (size_t i = 0; i < c->nresolved; i++)
        if (c->resolved[i].rule == rule &&
            same_prefix(&c->resolved[i].addr, a, a->sa.sa_family == AF_INET ? 32 : 128))
            return true;
    return false;
}

bool net_allows(const struct wasi_ctx *c, const union net_addr *a)
{
    const struct wasi_net *net = c->opts.net;
    for (size_t i = 0; net && i < net->n; i++) {
        const struct rule *r = &net->rules[i];
        if (!r->any_port && r->port != net_port(a))
            continue;
        if (r->kind == HOST_ANY ||
            (r->kind == HOST_ADDRESS && same_prefix(&r->addr, a, r->prefix)) ||
            (r->kind == HOST_NAME && has_resolved(c, i, a)))
            return true;
    }
    return false;
}

bool net_allows_name(const struct wasi_ctx *c, struct str name)
{
    const struct wasi_net *net = c->opts.net;
    for (size_t i = 0; net && i < net->n; i++) {
        const struct rule *r = &net->rules[i];
        if (r->kind == HOST_ANY || (r->kind == HOST_NAME && str_ieq(name, str_of(r->name))))
            return true;
    }
    return false;
}

void net_resolved(struct wasi_ctx *c, struct str name, const union net_addr *a)
{
    const struct wasi_net *net = c->opts.net;
    for (size_t i = 0; net && i < net->n; i++) {
        const struct rule *r = &net->rules[i];
        if (r->kind != HOST_NAME || !str_ieq(name, str_of(r->name)) || has_resolved(c, i, a) ||
            c->nresolved == NET_RESOLVED_MAX)
            continue;
        c->resolved = xrealloc(c->resolved, (c->nresolved + 1) * sizeof *c->resolved);
        c->resolved[c->nresolved++] = (struct wasi_resolved){*a, i};
    }
}

/* ---- errors ---- */

/* errno, case of error-code */
static const struct {
    int error;
    uint32_t code;
} codes[] = {
    {EACCES, 1},     {EPERM, 1},          {EOPNOTSUPP, 2},  {EAFNOSUPPORT, 2},  {ENOPROTOOPT, 2},
    {EINVAL, 3},     {EDESTADDRREQ, 3},   {ENOMEM, 4},      {ENOBUFS, 4},       {ETIMEDOUT, 5},
    {EALREADY, 6},   {EAGAIN, 8},         {EISCONN, 9},     {ENOTCONN, 9},      {EMFILE, 10},
    {ENFILE, 10},    {EADDRNOTAVAIL, 11}, {EADDRINUSE, 12}, {EHOSTUNREACH, 13}, {ENETUNREACH, 13},
    {EHOSTDOWN, 13}, {ENETDOWN, 13},      {ENONET, 13},     {ECONNREFUSED, 14}, {ECONNRESET, 15},
    {EPIPE, 15},     {ECONNABORTED, 16},  {EMSGSIZE, 17},
};
#define CODE_UNKNOWN 0u

uint32_t net_code(int error)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].error == error)
            return codes[i].code;
    return CODE_UNKNOWN;
}

enum comp_host_status net_end(struct comp_host_call *hc, int error, struct wit_value *result)
{
    *result = error ? wasi_err(hc, wasi_bare(net_code(error))) : WASI_OK;
    return wasi_done(hc);
}

enum comp_host_status net_refuse(struct comp_host_call *hc, uint32_t code, struct wit_value *result)
{
    *result = wasi_err(hc, wasi_bare(code));
    return wasi_done(hc);
}

enum comp_host_status net_end_with(struct comp_host_call *hc, struct wit_value value,
                                   struct wit_value *result)
{
    *result = wasi_ok(hc, value);
    return wasi_done(hc);
}

/* ---- addresses ---- */

socklen_t net_addr_size(const union net_addr *a)
{
    return a->sa.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

uint16_t net_port(const union net_addr *a)
{
    return ntohs(a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

bool net_is_any(const union net_addr *a)
{
    return a->sa.sa_family == AF_INET ? a->v4.sin_addr.s_addr == INADDR_ANY
                                      : IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

bool net_is_unicast(const union net_addr *a)
{
    if (a->sa.sa_family == AF_INET)
        return !IN_MULTICAST(ntohl(a->v4.sin_addr.s_addr)) &&
               a->v4.sin_addr.s_addr != INADDR_BROADCAST;
    return !IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr) && !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) &&
           (!IN6_IS_ADDR_V4COMPAT(&a->v6.sin6_addr) || IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr));
}

bool net_same(const union net_addr *a, const union net_addr *b)
{
    return same_prefix(a, b, a->sa.sa_family == AF_INET ? 32 : 128) && net_port(a) == net_port(b);
}

union net_addr net_addr_of(const struct wit_value *v)
{
    const struct wit_value *members = v->v->v;
    union net_addr a = {0};
    if (v->n == NET_IPV4) {
        uint8_t ip[4];
        for (size_t i = 0; i < sizeof ip; i++)
            ip[i] = (uint8_t)members[1].v[i].u64;
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons((uint16_t)members[0].u64);
        memcpy(&a.v4.sin_addr, ip, sizeof ip);
        return a;
    }
    a.v6.sin6_family = AF_INET6;
    a.v6.sin6_port = htons((uint16_t)members[0].u64);
    a.v6.sin6_flowinfo = htonl((uint32_t)members[1].u64);
    for (size_t i = 0; i < 8; i++)
        a.v6.sin6_addr.s6_addr16[i] = htons((uint16_t)members[2].v[i].u64);
    a.v6.sin6_scope_id = (uint32_t)members[3].u64;
    return a;
}

static struct wit_value ip_tuple(struct comp_host_call *hc, const union net_addr *a)
{
    struct wit_value parts[8];
    const uint8_t *p = bytes_of(a);
    if (a->sa.sa_family == AF_INET) {
        for (size_t i = 0; i < 4; i++)
            parts[i] = wit_u64(p[i]);
        return wasi_tuple(hc, parts, 4);
    }
    for (size_t i = 0; i < 8; i++)
        parts[i] = wit_u64((uint64_t)p[2 * i] << 8 | p[2 * i + 1]);
    return wasi_tuple(hc, parts, 8);
}

struct wit_value net_ip_value(struct comp_host_call *hc, const union net_addr *a)
{
    return wasi_case(hc, a->sa.sa_family == AF_INET ? NET_IPV4 : NET_IPV6, ip_tuple(hc, a));
}

struct wit_value net_addr_value(struct comp_host_call *hc, const union net_addr *a)
{
    struct wit_value port = wit_u64(net_port(a)), ip = ip_tuple(hc, a);
    if (a->sa.sa_family == AF_INET)
        return wasi_case(hc, NET_IPV4, wasi_tuple(hc, (struct wit_value[]){port, ip}, 2));
    struct wit_value members[] = {port, wit_u64(ntohl(a->v6.sin6_flowinfo)), ip,
                                  wit_u64(a->v6.sin6_scope_id)};
    return wasi_case(hc, NET_IPV6, wasi_tuple(hc, members, 4));
}

enum comp_host_status net_end_name(struct comp_host_call *hc, int fd, bool peer,
                                   struct wit_value *result)
{
    union net_addr a = {0};
    socklen_t n = sizeof a;
    if ((peer ? getpeername(fd, &a.sa, &n) : getsockname(fd, &a.sa, &n)) < 0)
        return net_end(hc, errno, result);
    return net_end_with(hc, net_addr_value(hc, &a), result);
}

/* ---- descriptors ---- */

bool net_count(struct wasi_ctx *c)
{
    if (c->nsockets == NET_SOCKETS_MAX)
        return false;
    c->nsockets++;
    return true;
}

int net_open(struct wasi_ctx *c, int family, int type)
{
    if (!net_count(c)) {
        errno = EMFILE;
        return -1;
    }
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family == AF_INET6)
        net_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (fd < 0)
        c->nsockets--;
    return fd;
}

void net_close(struct wasi_ctx *c, int fd)
{
    close(fd);
    c->nsockets--;
}

bool net_ready(struct wasi_ctx *c, int fd, short events)
{
    if (poll(&(struct pollfd){.fd = fd, .events = events}, 1, 0) != 0)
        return true;
    wasi_watch(c, fd);
    return false;
}

/* ---- options ---- */

int net_option(int fd, int level, int name, int *value)
{
    socklen_t n = sizeof *value;
    return getsockopt(fd, level, name, value, &n) < 0 ? errno : 0;
}

int net_set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? errno : 0;
}

/* ---- methods of sockets of either kind ---- */

enum comp_host_status net_address_family(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    const struct net_socket *s = args[0].obj;
    *result = wasi_bare(s->v6 ? NET_IPV6 : NET_IPV4);
    return wasi_done(hc);
}

enum comp_host_status net_hop_limit(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    const struct net_socket *s = args[0].obj;
    int value = 0, error = s->v6 ? net_option(s->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &value)
                                 : net_option(s->fd, IPPROTO_IP, IP_TTL, &value);
    return error ? net_end(hc, error, result)
                 : net_end_with(hc, wit_u64((uint64_t)value & 0xff), result);
}

enum comp_host_status net_set_hop_limit(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    const struct net_socket *s = args[0].obj;
    int value = (int)args[1].u64;
    if (value == 0)
        return net_refuse(hc, NET_INVALID_ARGUMENT, result);
    return net_end(hc,
                   s->v6 ? net_set_option(s->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, value)
                         : net_set_option(s->fd, IPPROTO_IP, IP_TTL, value),
                   result);
}

static enum comp_host_status buffer_size(struct comp_host_call *hc, const struct net_socket *s,
                                         int name, struct wit_value *result)
{
    int value = 0, error = net_option(s->fd, SOL_SOCKET, name, &value);
    if (error)
        return net_end(hc, error, result);
    return net_end_with(hc, wit_u64((uint64_t)value / 2), result); /* Linux doubles what is asked */
}

static enum comp_host_status set_buffer_size(struct comp_host_call *hc, const struct net_socket *s,
                                             int name, uint64_t value, struct wit_value *result)
{
    if (value == 0)
        return net_refuse(hc, NET_INVALID_ARGUMENT, result);
    return net_end(hc, net_set_option(s->fd, SOL_SOCKET, name, (int)MIN(value, INT32_MAX / 2)),
                   result);
}

enum comp_host_status net_receive_size(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    return buffer_size(hc, args[0].obj, SO_RCVBUF, result);
}

enum comp_host_status net_set_receive_size(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    return set_buffer_size(hc, args[0].obj, SO_RCVBUF, args[1].u64, result);
}

enum comp_host_status net_send_size(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    return buffer_size(hc, args[0].obj, SO_SNDBUF, result);
}

enum comp_host_status net_set_send_size(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    return set_buffer_size(hc, args[0].obj, SO_SNDBUF, args[1].u64, result);
}
