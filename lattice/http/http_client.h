/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to HTTP servers, on the loop: HTTP/1.1 and, where TLS agrees on it, HTTP/2; certificates are always
 * verified; connections are kept and used again. Bodies stream both ways in constant memory. Redirects are not
 * followed, nothing is decoded, proxies and the environment are not looked at. Loop thread only.
 *
 *   http_fetch_open -> handler.head, .body ..., .end       or .fail at any point; then http_fetch_free
 *   http_fetch_send ..., http_fetch_send_end               the request's body, where it has one
 *
 * A fetch may be freed at any time, inside its callbacks too; that cancels it. After end and fail nothing comes.
 * Back-pressure: reading stops while HTTP_FETCH_WINDOW bytes that were delivered are not yet reported by
 * http_fetch_consumed. Of the request's body at most that much should be unsent; sent() tells what has left.
 * Trailers of a request travel with HTTP/1.1 bodies of unknown length only; those of a response always.
 * Spec: RFC 9110, 9112, 9113; by libcurl. */
#ifndef HOSTD_HTTP_CLIENT_H
#define HOSTD_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include "lattice/base/err.h"
#include "lattice/base/str.h"

struct loop;
struct http_client;
struct http_fetch;

#define HTTP_FETCH_WINDOW (64u << 10)
#define HTTP_FETCH_HEAD_BYTES_MAX (64u << 10) /* header fields, or trailers, of one response */
#define HTTP_FETCH_FIELDS_MAX 256u
#define HTTP_FETCHES_MAX 10000u /* at a time, of one client */
#define HTTP_FETCH_LENGTH_UNKNOWN UINT64_MAX

/* Why a request failed. The texts are names of wasi:http's error-code, which covers the ground. */
#define HTTP_FAILURES(X)                                            \
    X(DNS_TIMEOUT, "DNS-timeout")                                   \
    X(DNS_ERROR, "DNS-error")                                       \
    X(UNAVAILABLE, "destination-unavailable")                       \
    X(UNROUTABLE, "destination-IP-unroutable")                      \
    X(REFUSED, "connection-refused")                                \
    X(TERMINATED, "connection-terminated")                          \
    X(CONNECT_TIMEOUT, "connection-timeout")                        \
    X(READ_TIMEOUT, "connection-read-timeout")                      \
    X(LIMIT, "connection-limit-reached")                            \
    X(TLS_PROTOCOL, "TLS-protocol-error")                           \
    X(TLS_CERTIFICATE, "TLS-certificate-error")                     \
    X(TLS_ALERT, "TLS-alert-received")                              \
    X(DENIED, "HTTP-request-denied")                                \
    X(METHOD, "HTTP-request-method-invalid")                        \
    X(URI, "HTTP-request-URI-invalid")                              \
    X(REQUEST_BODY_SIZE, "HTTP-request-body-size")                  \
    X(RESPONSE_INCOMPLETE, "HTTP-response-incomplete")              \
    X(RESPONSE_HEADERS_SIZE, "HTTP-response-header-section-size")   \
    X(RESPONSE_TRAILERS_SIZE, "HTTP-response-trailer-section-size") \
    X(PROTOCOL, "HTTP-protocol-error")                              \
    X(CONFIGURATION, "configuration-error")                         \
    X(INTERNAL, "internal-error")

enum http_failure {
#define X(name, text) HTTP_FAIL_##name,
    HTTP_FAILURES(X)
#undef X
};
const char *http_failure_name(enum http_failure why);

struct http_fetch_field {
    struct str name, value;
};

/* Views live during the call. */
struct http_fetch_handler {
    void (*head)(void *user, uint16_t status, const struct http_fetch_field *fields, size_t n);
    void (*body)(void *user, struct span data);
    void (*end)(void *user, const struct http_fetch_field *trailers, size_t n);
    void (*fail)(void *user, enum http_failure why, const char *text);
    void (*sent)(void *user, size_t n); /* of the request's body; may be NULL */
};

struct http_fetch_opts {
    struct str method;
    struct str scheme;                     /* "http" or "https" in any case; empty: https */
    struct str authority, path_with_query; /* an empty path is "/" */
    const struct http_fetch_field *fields; /* no control bytes in them */
    size_t nfields;
    bool has_body;
    uint64_t body_bytes; /* HTTP_FETCH_LENGTH_UNKNOWN; looked at when has_body */
    uint64_t connect_ms, first_byte_ms, between_bytes_ms; /* 0: 30 s, 600 s, 600 s */
    const struct http_fetch_handler *handler;
    void *user;
};

struct http_client_opts {
    struct loop *loop;
    /* Who may be asked: patterns between commas, each [SCHEME://]HOST[:PORT], HOST being a name, an address, *.SUFFIX
     * or *. NULL or empty: nobody. A pattern without a port fits every port. */
    const char *allow;
    const char *ca_file; /* certificates in PEM to trust beside the system's; NULL: none */
};
bool http_client_open(const struct http_client_opts *opts, struct http_client **out, struct err *e);
void http_client_close(struct http_client *c); /* when no fetch is left; NULL is fine */

/* NULL: refused, with why and e's text; nothing is called then. Texts are copied. */
struct http_fetch *http_fetch_open(struct http_client *c, const struct http_fetch_opts *opts,
                                   enum http_failure *why, struct err *e);
void http_fetch_send(struct http_fetch *f, struct span data);
void http_fetch_send_end(struct http_fetch *f, const struct http_fetch_field *trailers, size_t n);
void http_fetch_consumed(struct http_fetch *f, size_t n); /* n bytes that body() delivered */
void http_fetch_free(struct http_fetch *f);               /* NULL is fine */

#endif
