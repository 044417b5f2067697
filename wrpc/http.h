/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP messages as plain structs, and their wrpc:http@0.1.0 root bytes. Shared by the http-server provider, the
 * daemon and hostd/wasi. Bodies and trailers travel beside the root on their own channels:
 * request body params.0.0, request trailers params.0.1; response body results.0.0, trailers results.0.1.
 * Spec: wasi:http/types 0.2, wrpc:http 0.1.0. Any thread. */
#ifndef HOSTD_WRPC_HTTP_H
#define HOSTD_WRPC_HTTP_H

#include "wrpc/wit.h"

#define HTTP_FIELDS_MAX 1000 /* fields of one message that we write */

/* One per value; several with the same name keep their order. Names are lower case. */
struct http_field {
    struct str name, value;
};

struct http_request {
    struct str method;          /* "GET", "PURGE" */
    struct str scheme;          /* "http", "https", other; empty: none */
    struct str authority;       /* empty: none */
    struct str path_with_query; /* empty: none */
    const struct http_field *fields;
    size_t nfields;
};

struct http_response {
    uint16_t status;
    const struct http_field *fields;
    size_t nfields;
    /* Decoded: what came inside the root instead of on its own channel. */
    struct span body; /* all of it; empty: it has its channel */
    bool trailers_ready;
    const struct http_field *trailers;
    size_t ntrailers;
};

/* wasi:http/types.error-code, in the order of its cases. */
/* clang-format off */
#define HTTP_ERRORS(X)                                                     \
    X(DNS_TIMEOUT, "DNS-timeout")                                          \
    X(DNS_ERROR, "DNS-error")                                              \
    X(DESTINATION_NOT_FOUND, "destination-not-found")                      \
    X(DESTINATION_UNAVAILABLE, "destination-unavailable")                  \
    X(DESTINATION_IP_PROHIBITED, "destination-IP-prohibited")              \
    X(DESTINATION_IP_UNROUTABLE, "destination-IP-unroutable")              \
    X(CONNECTION_REFUSED, "connection-refused")                            \
    X(CONNECTION_TERMINATED, "connection-terminated")                      \
    X(CONNECTION_TIMEOUT, "connection-timeout")                            \
    X(CONNECTION_READ_TIMEOUT, "connection-read-timeout")                  \
    X(CONNECTION_WRITE_TIMEOUT, "connection-write-timeout")                \
    X(CONNECTION_LIMIT_REACHED, "connection-limit-reached")                \
    X(TLS_PROTOCOL_ERROR, "TLS-protocol-error")                            \
    X(TLS_CERTIFICATE_ERROR, "TLS-certificate-error")                      \
    X(TLS_ALERT_RECEIVED, "TLS-alert-received")                            \
    X(REQUEST_DENIED, "HTTP-request-denied")                               \
    X(REQUEST_LENGTH_REQUIRED, "HTTP-request-length-required")             \
    X(REQUEST_BODY_SIZE, "HTTP-request-body-size")                         \
    X(REQUEST_METHOD_INVALID, "HTTP-request-method-invalid")               \
    X(REQUEST_URI_INVALID, "HTTP-request-URI-invalid")                     \
    X(REQUEST_URI_TOO_LONG, "HTTP-request-URI-too-long")                   \
    X(REQUEST_HEADER_SECTION_SIZE, "HTTP-request-header-section-size")     \
    X(REQUEST_HEADER_SIZE, "HTTP-request-header-size")                     \
    X(REQUEST_TRAILER_SECTION_SIZE, "HTTP-request-trailer-section-size")   \
    X(REQUEST_TRAILER_SIZE, "HTTP-request-trailer-size")                   \
    X(RESPONSE_INCOMPLETE, "HTTP-response-incomplete")                     \
    X(RESPONSE_HEADER_SECTION_SIZE, "HTTP-response-header-section-size")   \
    X(RESPONSE_HEADER_SIZE, "HTTP-response-header-size")                   \
    X(RESPONSE_BODY_SIZE, "HTTP-response-body-size")                       \
    X(RESPONSE_TRAILER_SECTION_SIZE, "HTTP-response-trailer-section-size") \
    X(RESPONSE_TRAILER_SIZE, "HTTP-response-trailer-size")                 \
    X(RESPONSE_TRANSFER_CODING, "HTTP-response-transfer-coding")           \
    X(RESPONSE_CONTENT_CODING, "HTTP-response-content-coding")             \
    X(RESPONSE_TIMEOUT, "HTTP-response-timeout")                           \
    X(UPGRADE_FAILED, "HTTP-upgrade-failed")                               \
    X(PROTOCOL_ERROR, "HTTP-protocol-error")                               \
    X(LOOP_DETECTED, "loop-detected")                                      \
    X(CONFIGURATION_ERROR, "configuration-error")                          \
    X(INTERNAL_ERROR, "internal-error")
/* clang-format on */

enum http_error_code {
#define X(id, text) HTTP_##id,
    HTTP_ERRORS(X)
#undef X
    HTTP_ERROR_COUNT
};

/* An error-code: the case, and its payload as a value of http_error_type's case (NULL when it has none). */
struct http_error {
    enum http_error_code code;
    struct wit_value payload;
    struct str
        text; /* internal-error's text, when there is one: a convenience copy of the payload */
};
const char *http_error_name(enum http_error_code code);
enum http_error_code http_error_find(const char *name); /* internal-error when there is none */

/* The WIT types; made at the first call, for ever. */
struct http_types {
    const struct wit_type *fields, *request, *response, *options, *method, *scheme, *error_code;
    const struct wit_type *handle_result; /* result<response, error-code> */
};
const struct http_types *http_types_get(void);
/* The text of wasi:http/types' plain (resource-free) types for wit_parse, shared with hostd/wasi. */
extern const char http_plain_types_wit[];

/* Root bytes. Encoding merges values of one name into one entry (peers refuse duplicates) and lower-cases names;
 * decoding gives one field per value. Decoded views live in the arena or borrow from `in`.
 * Decoding: as wit_decode, false with e->code == ERR_NONE when bytes are missing. */
bool http_request_encode(const struct http_request *r, struct buf *out, struct err *e);
bool http_request_decode(struct span in, struct arena *a, struct http_request *out, struct err *e);
bool http_response_encode(const struct http_response *r, struct buf *out, struct err *e);
/* Puts a body that is not empty, and encoded trailers, into an encoded response. Only our own processes are known to
 * read that form. */
void http_response_join(struct span response, struct span body, struct span trailers,
                        struct buf *out);
/* A payload that was left out is encoded as absent; internal-error takes its text then. */
bool http_error_encode(const struct http_error *x, struct buf *out, struct err *e);
/* *is_error tells which of the two was filled. */
bool http_result_decode(struct span in, struct arena *a, struct http_response *response,
                        struct http_error *error, bool *is_error, struct err *e);
/* The trailers channel: option<fields>. nfields == 0 encodes none. */
bool http_trailers_encode(const struct http_field *fields, size_t nfields, struct buf *out,
                          struct err *e);
bool http_trailers_decode(struct span in, struct arena *a, const struct http_field **fields,
                          size_t *nfields, struct err *e);

#endif
