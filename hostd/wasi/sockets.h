/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets inside: addresses, what a guest may reach, errors; for sockets.c, tcp.c, udp.c and lookup.c.
 * Every socket is non-blocking; what is not ready parks the guest, by wasi_watch. Functions that can fail return an
 * errno value, 0 when all went well, which net_code turns into the guest's error-code. */
#ifndef HOSTD_WASI_SOCKETS_H
#define HOSTD_WASI_SOCKETS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include "hostd/wasi/wasi_int.h"

#define NET_SOCKETS_MAX 256u   /* of one guest, at a time */
#define NET_RESOLVED_MAX 1024u /* addresses that one guest looked up by allowed names */

/* Cases of error-code that are no errno value's. */
enum {
    NET_ACCESS_DENIED = 1,
    NET_INVALID_ARGUMENT = 3,
    NET_CONCURRENCY_CONFLICT = 6,
    NET_NOT_IN_PROGRESS = 7,
    NET_WOULD_BLOCK = 8,
    NET_INVALID_STATE = 9,
    NET_NEW_SOCKET_LIMIT = 10,
    NET_NAME_UNRESOLVABLE = 18,
    NET_TEMPORARY_FAILURE = 19,
    NET_PERMANENT_FAILURE = 20,
};
enum { NET_IPV4, NET_IPV6 }; /* ip-address-family, and cases of addresses */

union net_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* ---- net.c ---- */

uint32_t net_code(int error);
/* result<_, error-code>: of an errno value; of a case; of a value. */
enum comp_host_status net_end(struct comp_host_call *hc, int error, struct wit_value *result);
enum comp_host_status net_refuse(struct comp_host_call *hc, uint32_t code,
                                 struct wit_value *result);
enum comp_host_status net_end_with(struct comp_host_call *hc, struct wit_value value,
                                   struct wit_value *result);

socklen_t net_addr_size(const union net_addr *a);
uint16_t net_port(const union net_addr *a);
bool net_is_any(const union net_addr *a); /* 0.0.0.0, :: */
bool net_is_unicast(
    const union net_addr *a); /* a single host's; an IPv4 address inside IPv6 is not */
bool net_same(const union net_addr *a, const union net_addr *b);
union net_addr net_addr_of(const struct wit_value *v); /* ip-socket-address */
struct wit_value net_addr_value(struct comp_host_call *hc, const union net_addr *a);
struct wit_value net_ip_value(struct comp_host_call *hc, const union net_addr *a); /* ip-address */
/* Of the socket: our side, or with `peer` the other; result<ip-socket-address, error-code>. */
enum comp_host_status net_end_name(struct comp_host_call *hc, int fd, bool peer,
                                   struct wit_value *result);

/* May the guest reach, or be reached at, this address; look up this name? */
bool net_allows(const struct wasi_ctx *c, const union net_addr *a);
bool net_allows_name(const struct wasi_ctx *c, struct str name);
/* The name was looked up: what its rules allow, they allow for this address. */
void net_resolved(struct wasi_ctx *c, struct str name, const union net_addr *a);

/* A socket of the family, -1 with errno; counts for NET_SOCKETS_MAX until net_close. */
int net_open(struct wasi_ctx *c, int family, int type);
bool net_count(struct wasi_ctx *c); /* for a socket that accept made; false: one too many */
void net_close(struct wasi_ctx *c, int fd);
/* Has the descriptor one of `events` (POLLIN, POLLOUT)? When not, it is watched. */
bool net_ready(struct wasi_ctx *c, int fd, short events);

/* Integers of getsockopt. */
int net_option(int fd, int level, int name, int *value);
int net_set_option(int fd, int level, int name, int value);

/* Methods of sockets of either kind, whose objects begin with this. */
struct net_socket {
    int fd;
    bool v6;
};
comp_host_fn net_address_family, net_hop_limit, net_set_hop_limit;
/* The two buffers, as the guest sees them: what the system adds for itself left out. */
comp_host_fn net_receive_size, net_set_receive_size, net_send_size, net_set_send_size;

/* ---- tcp.c, udp.c, lookup.c ---- */

extern const struct comp_host_func wasi_tcp_funcs[], wasi_udp_funcs[], wasi_lookup_funcs[];
comp_host_fn wasi_create_tcp_socket, wasi_create_udp_socket;
extern const struct comp_class wasi_tcp_class, wasi_udp_class, wasi_datagrams_in_class,
    wasi_datagrams_out_class, wasi_lookup_class;

#endif
