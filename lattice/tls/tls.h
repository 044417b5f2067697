/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of one connection, as a machine between two queues of bytes: the sockets are the caller's. By OpenSSL, 1.2 and
 * later, its own choice of ciphers. A session is used by one thread at a time; a context by any number of sessions.
 *
 *   tls_session_input(s, what came); n = tls_session_read(s, ...); tls_session_write(s, what we say);
 *   tls_session_output(s, &what must go out): to be looked at after each of the others */
#ifndef HOSTD_TLS_H
#define HOSTD_TLS_H

#include <sys/types.h>
#include "lattice/base/buf.h"

struct ssl_st;
struct ssl_ctx_st;
struct tls_session;

/* "what 'of': the library's reason". Returns false. */
bool tls_failed(struct err *e, const char *what, const char *of);
/* With what holds for everybody here. NULL: e says why. */
struct ssl_ctx_st *tls_context_new(bool server, struct err *e);
void tls_context_free(struct ssl_ctx_st *context); /* NULL is fine */

/* A client's context: the system's certificates are trusted, and those in a file or a text of PEM; both may be NULL. */
struct ssl_ctx_st *tls_client_context(const char *ca_file, const char *ca, struct err *e);

/* Takes ssl, which must know which side it is. */
struct tls_session *tls_session_new(struct ssl_st *ssl);
/* A client's, which insists on a certificate for host, a name or an address. */
struct tls_session *tls_session_to(struct ssl_ctx_st *context, const char *host);
void tls_session_free(struct tls_session *s); /* NULL is fine */

/* The handshake is done: from here on there can be written. */
bool tls_session_settled(const struct tls_session *s);
/* What ALPN settled on, or the empty view. */
struct str tls_session_protocol(const struct tls_session *s);

/* What came from the other side. */
void tls_session_input(struct tls_session *s, struct span bytes);
/* What it says, as far as it is complete: a number of bytes, 0 for none yet. The handshake happens in here. */
enum { TLS_ENDED = -1, TLS_BROKEN = -2 };
ssize_t tls_session_read(struct tls_session *s, uint8_t *out, size_t room);
/* What we say. False: it cannot be said. */
bool tls_session_write(struct tls_session *s, struct span bytes);
void tls_session_bye(struct tls_session *s); /* and no more */
/* Appends what must go to the other side now. */
void tls_session_output(struct tls_session *s, struct buf *out);
/* Why the last reading said TLS_BROKEN. */
void tls_session_why(const struct tls_session *s, struct err *e);

#endif
