/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the HTTP client: whom it may ask, and what an error of libcurl means. */
#ifndef HOSTD_HTTP_CLIENT_INT_H
#define HOSTD_HTTP_CLIENT_INT_H

#include <curl/curl.h>
#include "lattice/http/http_client.h"

/* ---- client_allow.c ---- */

/* Where a request goes, checked: views of the caller's texts. */
struct http_target {
    bool tls;
    struct str host; /* an IPv6 address with its brackets */
    uint16_t port;
};
/* scheme and authority of a request; false: not a place that HTTP can reach. */
bool http_target_parse(struct str scheme, struct str authority, struct http_target *out,
                       struct err *e);
bool http_allow_check(struct str patterns, struct err *e); /* are they well-formed? */
bool http_allow_fits(struct str patterns, const struct http_target *target);

/* ---- client_error.c ---- */

/* Of a transfer that ended with code; text is libcurl's own, and may be empty. */
enum http_failure http_failure_of(CURL *easy, CURLcode code, const char *text);

#endif
