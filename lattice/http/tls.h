/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lattice/http: TLS of one connection, as a machine between two queues of bytes; sockets are tcp.c's. */
#ifndef HOSTD_HTTP_TLS_H
#define HOSTD_HTTP_TLS_H

#include <sys/types.h>
#include "lattice/base/buf.h"
#include "lattice/http/http_server.h"

struct tls_session;

struct tls_session *tls_session_new(struct http_tls *tls, bool http1_only);
void tls_session_free(struct tls_session *s); /* NULL is fine */

/* What ALPN settled on; known when the client has said something. */
bool tls_session_is_http2(const struct tls_session *s);

/* What came from the client. */
void tls_session_input(struct tls_session *s, struct span bytes);
/* What it says, as far as it is complete: a number of bytes, 0 for none yet. The handshake happens in here. */
enum { TLS_ENDED = -1, TLS_BROKEN = -2 };
ssize_t tls_session_read(struct tls_session *s, uint8_t *out, size_t room);
/* What we say. False: it cannot be said. */
bool tls_session_write(struct tls_session *s, struct span bytes);
void tls_session_bye(struct tls_session *s); /* and no more */
/* Appends what must go to the client now; to be looked at after each of the above. */
void tls_session_output(struct tls_session *s, struct buf *out);

#endif
