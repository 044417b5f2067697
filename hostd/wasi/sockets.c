/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:sockets: its interfaces, and the network, a handle that stands for nothing: what a guest may reach is settled by
 * the rules of its context (wasi_opts.net), each time it asks. Without rules no socket is made.
 * Spec: wasi:sockets 0.2. */
#include "hostd/wasi/sockets.h"

#include "lattice/base/num.h"

static void network_drop(void *user, void *obj)
{
    (void)user;
    (void)obj;
}
const struct comp_class wasi_network_class = {"network", network_drop};

static enum comp_host_status
instance_network(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    static char the_network; /* nothing to tell one handle from another */
    (void)args;
    *result = wasi_own(hc, &wasi_network_class, &the_network);
    return wasi_done(hc);
}

static enum comp_host_status network_error_code(struct comp_host_call *hc,
                                                const struct wit_value *args,
                                                struct wit_value *result)
{
    const struct wasi_error *error = args[0].obj;
    *result = error->net_errno ? wasi_some(hc, wasi_bare(net_code(error->net_errno))) : WASI_NONE;
    return wasi_done(hc);
}

/* ---- rows ---- */

static const char network_wit[] =
    "use wasi:io/error.{error};\n"
    "resource network;\n"
    "enum error-code { unknown, access-denied, not-supported, invalid-argument, out-of-memory, "
    "timeout,\n"
    "  concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit,\n"
    "  address-not-bindable, address-in-use, remote-unreachable, connection-refused,\n"
    "  connection-reset, connection-aborted, datagram-too-large, name-unresolvable,\n"
    "  temporary-resolver-failure, permanent-resolver-failure }\n"
    "enum ip-address-family { ipv4, ipv6 }\n"
    "type ipv4-address = tuple<u8, u8, u8, u8>;\n"
    "type ipv6-address = tuple<u16, u16, u16, u16, u16, u16, u16, u16>;\n"
    "variant ip-address { ipv4(ipv4-address), ipv6(ipv6-address) }\n"
    "record ipv4-socket-address { port: u16, address: ipv4-address }\n"
    "record ipv6-socket-address { port: u16, flow-info: u32, address: ipv6-address, scope-id: u32 "
    "}\n"
    "variant ip-socket-address { ipv4(ipv4-socket-address), ipv6(ipv6-socket-address) }\n"
    "network-error-code: func(err: borrow<error>) -> option<error-code>;\n";
static const struct comp_host_func network_funcs[] = {
    {"network-error-code", network_error_code}, /* unstable in 0.2 */
    {NULL, NULL},
};

static const char instance_network_wit[] = "use wasi:sockets/network.{network};\n"
                                           "instance-network: func() -> network;\n";
static const struct comp_host_func instance_network_funcs[] = {
    {"instance-network", instance_network},
    {NULL, NULL},
};

static const char lookup_wit[] =
    "use wasi:io/poll.{pollable};\n"
    "use wasi:sockets/network.{network, error-code, ip-address};\n"
    "resource resolve-address-stream {\n"
    "  resolve-next-address: func() -> result<option<ip-address>, error-code>;\n"
    "  subscribe: func() -> pollable;\n"
    "}\n"
    "resolve-addresses: func(network: borrow<network>,\n"
    "  name: string) -> result<resolve-address-stream, error-code>;\n";

static const char tcp_wit[] =
    "use wasi:io/streams.{input-stream, output-stream};\n"
    "use wasi:io/poll.{pollable};\n"
    "use wasi:clocks/monotonic-clock.{duration};\n"
    "use wasi:sockets/network.{network, error-code, ip-socket-address, ip-address-family};\n"
    "enum shutdown-type { receive, send, both }\n"
    "resource tcp-socket {\n"
    "  start-bind: func(network: borrow<network>,\n"
    "    local-address: ip-socket-address) -> result<_, error-code>;\n"
    "  finish-bind: func() -> result<_, error-code>;\n"
    "  start-connect: func(network: borrow<network>,\n"
    "    remote-address: ip-socket-address) -> result<_, error-code>;\n"
    "  finish-connect: func() -> result<tuple<input-stream, output-stream>, error-code>;\n"
    "  start-listen: func() -> result<_, error-code>;\n"
    "  finish-listen: func() -> result<_, error-code>;\n"
    "  accept: func() -> result<tuple<tcp-socket, input-stream, output-stream>, error-code>;\n"
    "  local-address: func() -> result<ip-socket-address, error-code>;\n"
    "  remote-address: func() -> result<ip-socket-address, error-code>;\n"
    "  is-listening: func() -> bool;\n"
    "  address-family: func() -> ip-address-family;\n"
    "  set-listen-backlog-size: func(value: u64) -> result<_, error-code>;\n"
    "  keep-alive-enabled: func() -> result<bool, error-code>;\n"
    "  set-keep-alive-enabled: func(value: bool) -> result<_, error-code>;\n"
    "  keep-alive-idle-time: func() -> result<duration, error-code>;\n"
    "  set-keep-alive-idle-time: func(value: duration) -> result<_, error-code>;\n"
    "  keep-alive-interval: func() -> result<duration, error-code>;\n"
    "  set-keep-alive-interval: func(value: duration) -> result<_, error-code>;\n"
    "  keep-alive-count: func() -> result<u32, error-code>;\n"
    "  set-keep-alive-count: func(value: u32) -> result<_, error-code>;\n"
    "  hop-limit: func() -> result<u8, error-code>;\n"
    "  set-hop-limit: func(value: u8) -> result<_, error-code>;\n"
    "  receive-buffer-size: func() -> result<u64, error-code>;\n"
    "  set-receive-buffer-size: func(value: u64) -> result<_, error-code>;\n"
    "  send-buffer-size: func() -> result<u64, error-code>;\n"
    "  set-send-buffer-size: func(value: u64) -> result<_, error-code>;\n"
    "  subscribe: func() -> pollable;\n"
    "  shutdown: func(shutdown-type: shutdown-type) -> result<_, error-code>;\n"
    "}\n";

static const char tcp_create_wit[] =
    "use wasi:sockets/network.{network, error-code, ip-address-family};\n"
    "use wasi:sockets/tcp.{tcp-socket};\n"
    "create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, "
    "error-code>;\n";
static const struct comp_host_func tcp_create_funcs[] = {
    {"create-tcp-socket", wasi_create_tcp_socket}, {NULL, NULL}};

static const char udp_wit[] =
    "use wasi:io/poll.{pollable};\n"
    "use wasi:sockets/network.{network, error-code, ip-socket-address, ip-address-family};\n"
    "record incoming-datagram { data: list<u8>, remote-address: ip-socket-address }\n"
    "record outgoing-datagram { data: list<u8>, remote-address: option<ip-socket-address> }\n"
    "resource udp-socket {\n"
    "  start-bind: func(network: borrow<network>,\n"
    "    local-address: ip-socket-address) -> result<_, error-code>;\n"
    "  finish-bind: func() -> result<_, error-code>;\n"
    "  %stream: func(remote-address: option<ip-socket-address>)\n"
    "    -> result<tuple<incoming-datagram-stream, outgoing-datagram-stream>, error-code>;\n"
    "  local-address: func() -> result<ip-socket-address, error-code>;\n"
    "  remote-address: func() -> result<ip-socket-address, error-code>;\n"
    "  address-family: func() -> ip-address-family;\n"
    "  unicast-hop-limit: func() -> result<u8, error-code>;\n"
    "  set-unicast-hop-limit: func(value: u8) -> result<_, error-code>;\n"
    "  receive-buffer-size: func() -> result<u64, error-code>;\n"
    "  set-receive-buffer-size: func(value: u64) -> result<_, error-code>;\n"
    "  send-buffer-size: func() -> result<u64, error-code>;\n"
    "  set-send-buffer-size: func(value: u64) -> result<_, error-code>;\n"
    "  subscribe: func() -> pollable;\n"
    "}\n"
    "resource incoming-datagram-stream {\n"
    "  receive: func(max-results: u64) -> result<list<incoming-datagram>, error-code>;\n"
    "  subscribe: func() -> pollable;\n"
    "}\n"
    "resource outgoing-datagram-stream {\n"
    "  check-send: func() -> result<u64, error-code>;\n"
    "  send: func(datagrams: list<outgoing-datagram>) -> result<u64, error-code>;\n"
    "  subscribe: func() -> pollable;\n"
    "}\n";

static const char udp_create_wit[] =
    "use wasi:sockets/network.{network, error-code, ip-address-family};\n"
    "use wasi:sockets/udp.{udp-socket};\n"
    "create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, "
    "error-code>;\n";
static const struct comp_host_func udp_create_funcs[] = {
    {"create-udp-socket", wasi_create_udp_socket}, {NULL, NULL}};

static const struct wasi_row rows[] = {
    {"wasi:sockets/network@0.2.12", {network_wit}, {network_funcs}, NULL},
    {"wasi:sockets/instance-network@0.2.12",
     {instance_network_wit},
     {instance_network_funcs},
     NULL},
    {"wasi:sockets/ip-name-lookup@0.2.12", {lookup_wit}, {wasi_lookup_funcs}, NULL},
    {"wasi:sockets/tcp@0.2.12", {tcp_wit}, {wasi_tcp_funcs}, NULL},
    {"wasi:sockets/tcp-create-socket@0.2.12", {tcp_create_wit}, {tcp_create_funcs}, NULL},
    {"wasi:sockets/udp@0.2.12", {udp_wit}, {wasi_udp_funcs}, NULL},
    {"wasi:sockets/udp-create-socket@0.2.12", {udp_create_wit}, {udp_create_funcs}, NULL},
};
const struct wasi_rows wasi_sockets_rows = {rows, ARRAY_LEN(rows)};
