/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lattice/http: TLS sessions of the server; sockets are tcp.c's. */
#ifndef HOSTD_HTTP_TLS_H
#define HOSTD_HTTP_TLS_H

#include "lattice/http/http_server.h"
#include "lattice/tls/tls.h"

struct tls_session *http_tls_session(struct http_tls *tls, bool http1_only);
/* What ALPN settled on; known when the client has said something. */
bool http_tls_is_http2(const struct tls_session *s);

#endif
