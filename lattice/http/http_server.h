/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of an HTTP/1.1 and HTTP/2 server on the loop: framing, keep-alive, pipelining, streams, limits and
 * deadlines. What to answer is the handler's affair. Loop thread only.
 *
 *   http_server_open -> handler.request(x), .body(x) ..., .body_end(x)
 *   http_reply_head(x), http_reply_body(x) ..., http_reply_end(x)          or http_reply_full(x)
 *
 * An exchange is one request and its reply. It is the handler's from request() until the handler ends it
 * (http_reply_end, http_reply_full, http_exchange_abort) or gone() is called; no callback comes after either.
 * Every function of an exchange may be called inside every callback, and later.
 *
 * Back-pressure: reading stops while body bytes that were delivered but not yet reported by http_body_consumed
 * exceed body_window_bytes; http_reply_body tells how much is queued, drained() when little is left. In HTTP/2 it is
 * the stream's and the connection's windows that close, and the other streams go on.
 *
 * A connection speaks HTTP/2 when its client begins with that protocol's preface (h2c with prior knowledge), over TLS
 * when ALPN settled on it.
 *
 * In a simulated loop there are no sockets: the client side of a connection is in http_sim.h.
 * Spec: RFC 9110, RFC 9112, RFC 9113; over TLS, RFC 9110 4.2.2. */
#ifndef HOSTD_HTTP_SERVER_H
#define HOSTD_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include "lattice/base/err.h"
#include "lattice/base/str.h"

struct loop;
struct http_server;
struct http_exchange;

struct http_header {
    struct str name, value;
};

/* A request's head. Views live as long as the exchange is the handler's. */
struct http_head {
    struct str method;
    struct str target;    /* as sent; HTTP/2: the path */
    struct str path;      /* path and query; "*" for OPTIONS, never empty */
    struct str authority; /* of an absolute target, else of Host; may be empty in HTTP/1.0 */
    struct str peer;      /* the client's address, without the port */
    const struct http_header *headers; /* names as sent, values trimmed */
    size_t nheaders;
    uint8_t major, minor; /* of HTTP: 1.0, 1.1, 2.0 */
    bool has_body;        /* false: body_end follows at once */
    bool has_length;      /* length_bytes is known */
    uint64_t length_bytes;
};

enum http_gone {
    HTTP_GONE_CLIENT,  /* closed or broke the connection */
    HTTP_GONE_TIMEOUT, /* body or write deadline, or too slow */
    HTTP_GONE_INVALID, /* the body was malformed */
    HTTP_GONE_LIMIT,   /* the body was too large */
    HTTP_GONE_CLOSED,  /* the server is being closed */
};
const char *http_gone_text(enum http_gone why);

struct http_handler {
    void (*request)(void *user, struct http_exchange *x); /* the head is complete */
    void (*body)(void *user, struct http_exchange *x, struct span data);
    /* The request is complete; trailers live during the call. */
    void (*body_end)(void *user, struct http_exchange *x, const struct http_header *trailers,
                     size_t n);
    void (*drained)(void *user, struct http_exchange *x); /* the queue fell below write_low_bytes */
    /* The exchange is over without the handler's doing; a status was sent if none had been and one could. */
    void (*gone)(void *user, struct http_exchange *x, enum http_gone why);
};

/* Rows: field, default, what it bounds. 0 in the struct means the default. */
#define HTTP_LIMITS(X)                                                                         \
    X(uint32_t, connections_max, 10000)             /* open at a time */                       \
    X(uint32_t, connections_per_address_max, 10000) /* of them, from one client address */     \
    X(uint32_t, requests_max, UINT32_MAX)           /* on one connection, which then closes */ \
    X(uint32_t, streams_max, 128)          /* HTTP/2: requests at a time on a connection */    \
    X(uint32_t, head_bytes_max, 64 * 1024) /* request line and fields; trailers likewise */    \
    X(uint32_t, headers_max, 128)          /* fields in a head, and in trailers */             \
    X(uint32_t, target_bytes_max, 16 * 1024)                                                   \
    X(uint64_t, body_bytes_max, UINT64_MAX)    /* of one request */                            \
    X(uint32_t, body_window_bytes, 256 * 1024) /* delivered, not consumed: reading stops */    \
    X(uint32_t, pipeline_bytes_max, 16 * 1024) /* read ahead while a reply is pending */       \
    X(uint32_t, write_high_bytes, 256 * 1024)  /* queued: drained() will be called */          \
    X(uint32_t, write_low_bytes, 64 * 1024)                                                    \
    X(uint32_t, header_timeout_ms, 15000) /* first byte to last of a head */                   \
    X(uint32_t, idle_timeout_ms, 75000)   /* between requests */                               \
    X(uint32_t, body_timeout_ms, 30000)   /* no byte of the body came */                       \
    X(uint32_t, body_rate_min, 64)        /* bytes per second, after the first 20 s */         \
    X(uint32_t, write_timeout_ms, 30000)  /* the client took no byte */                        \
    X(uint32_t, linger_ms, 2000)          /* for a client to read our last words */

struct http_limits {
#define X(type, name, value) type name;
    HTTP_LIMITS(X)
#undef X
};

/* A certificate chain and its key, both files in PEM; outlives the servers that use it. */
struct http_tls;
bool http_tls_open(const char *cert_path, const char *key_path, struct http_tls **out,
                   struct err *e);
void http_tls_free(struct http_tls *t); /* NULL is fine */

/* HTTP/2: body bytes of all streams of a connection that were delivered and not consumed, if body_window_bytes is not
 * more: then no stream gets more of the client than that. */
#define HTTP_CONNECTION_WINDOW_BYTES (1u << 20)

struct http_server_opts {
    struct str address; /* "127.0.0.1:8080", "[::1]:8080"; port 0 takes a free one */
    struct http_limits limits;
    struct http_tls *tls; /* NULL: without; not in a simulated loop */
    bool http1_only;
    const struct http_handler *handler; /* static */
    void *user;
};

/* ERR_EXISTS: the address is in use; ERR_DENIED; ERR_INVALID: not an address. The text names the address. */
bool http_server_open(struct loop *loop, const struct http_server_opts *opts,
                      struct http_server **out, struct err *e);
/* Goes on with other limits, certificate and user, for requests under way too. The address stays as it is, and so do
 * open connections, whatever certificate they began with; opts must be with TLS if those it was opened with were. */
void http_server_change(struct http_server *s, const struct http_server_opts *opts);
struct str http_server_address(const struct http_server *s); /* as bound, with the real port */
uint32_t http_server_connections(const struct http_server *s);
uint32_t http_server_exchanges(const struct http_server *s); /* requests being answered */
/* Stops listening, closes idle connections, lets open exchanges end within grace_ms, then calls done(user), once.
 * The server still has to be closed, which may be done in the callback. */
void http_server_stop(struct http_server *s, uint64_t grace_ms, void (*done)(void *user),
                      void *user);
/* At once; gone() for open exchanges. Not from inside a handler's callback. NULL is fine. */
void http_server_close(struct http_server *s);

const struct http_head *http_exchange_head(const struct http_exchange *x);
void http_exchange_set_user(struct http_exchange *x, void *user);
void *http_exchange_user(const struct http_exchange *x);
/* The handler is done with n more bytes of the body. */
void http_body_consumed(struct http_exchange *x, size_t n);

/* Starts the reply, once. status 200..999. Framing is ours: connection, keep-alive, proxy-connection, te, trailer,
 * transfer-encoding and upgrade fields are left out; without content-length the body is sent chunked (HTTP/1.1), ended
 * by closing (HTTP/1.0) or by its last frame. Date is added. ERR_INVALID, and nothing sent: a name or value that must
 * not travel. */
bool http_reply_head(struct http_exchange *x, uint16_t status, const struct http_header *headers,
                     size_t n, struct err *e);
/* Queues body bytes (dropped where the reply has no body) and returns how many are queued on the connection now, in
 * HTTP/2 on the stream.
 * At write_high_bytes or more the handler should pause until drained(). */
size_t http_reply_body(struct http_exchange *x, struct span data);
/* Ends the reply; a body shorter than its content-length breaks the connection or stream. Trailers go out in chunked
 * bodies and in HTTP/2 only; those that must not travel are left out. */
void http_reply_end(struct http_exchange *x, const struct http_header *trailers, size_t n);
/* Head with content-length, body and end. On an error nothing was sent and the exchange goes on. */
bool http_reply_full(struct http_exchange *x, uint16_t status, const struct http_header *headers,
                     size_t n, struct span body, struct err *e);
/* Has http_reply_head succeeded? */
bool http_reply_started(const struct http_exchange *x);
/* Takes a started reply back while none of it has left, so that another can be given. False: too late. */
bool http_reply_retract(struct http_exchange *x);
/* Breaks the connection (HTTP/2: resets the stream): the only way to tell a client that a started reply failed. */
void http_exchange_abort(struct http_exchange *x);

#endif
