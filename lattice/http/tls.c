/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server's side of TLS: its certificate, and ALPN, which settles on HTTP/2 where both sides can, else on
 * HTTP/1.1. */
#include "lattice/http/tls.h"

#include <assert.h>
#include <openssl/ssl.h>
#include "lattice/base/alloc.h"

struct http_tls {
    SSL_CTX *context;
};

/* A client that offers protocols, and none of ours, is refused. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned int n, void *user)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned skip = SSL_get_app_data(ssl) ? 3 : 0;
    (void)user;
    return SSL_select_next_proto((unsigned char **)out, out_n, ours + skip, sizeof ours - 1 - skip,
                                 in, n) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool http_tls_open(const char *cert_path, const char *key_path, struct http_tls **out,
                   struct err *e)
{
    struct http_tls *t = xnew(struct http_tls);
    t->context = tls_context_new(true, e);
    bool ok = t->context != NULL;
    if (ok && SSL_CTX_use_certificate_chain_file(t->context, cert_path) != 1)
        ok = tls_failed(e, "certificate chain", cert_path);
    if (ok && SSL_CTX_use_PrivateKey_file(t->context, key_path, SSL_FILETYPE_PEM) != 1)
        ok = tls_failed(e, "private key", key_path);
    if (ok && SSL_CTX_check_private_key(t->context) != 1)
        ok = tls_failed(e, "private key does not fit the certificate", key_path);
    if (!ok) {
        http_tls_free(t);
        return false;
    }
    SSL_CTX_set_alpn_select_cb(t->context, choose_protocol, NULL);
    *out = t;
    return true;
}

void http_tls_free(struct http_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    free(t);
}

struct tls_session *http_tls_session(struct http_tls *tls, bool http1_only)
{
    SSL *ssl = SSL_new(tls->context);
    assert(ssl);
    SSL_set_app_data(ssl, http1_only ? tls : NULL); /* choose_protocol's */
    SSL_set_accept_state(ssl);
    return tls_session_new(ssl);
}

bool http_tls_is_http2(const struct tls_session *s)
{
    return str_eqz(tls_session_protocol(s), "h2");
}
