/* SPDX-License-Identifier: Apache-2.0 */
/* TLS by OpenSSL over memory queues. TLS 1.2 and later, the library's own choice of ciphers; ALPN settles on HTTP/2
 * where both sides can, else on HTTP/1.1. */
#include "lattice/http/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

struct http_tls {
    SSL_CTX *context;
};

struct tls_session {
    SSL *ssl;
    BIO *in, *out; /* belong to ssl */
    bool http1_only;
};

static bool openssl_failed(struct err *e, const char *what, const char *path)
{
    char text[160] = "unknown reason";
    unsigned long code = ERR_get_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(e, ERR_INVALID, "%s '%s': %s", what, path, text);
}

/* A client that offers protocols, and none of ours, is refused. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned int n, void *user)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    const struct tls_session *s = SSL_get_app_data(ssl);
    unsigned skip = s->http1_only ? 3 : 0;
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
    bool ok = true;
    t->context = SSL_CTX_new(TLS_server_method());
    if (!t->context)
        ok = openssl_failed(e, "TLS", "");
    else if (SSL_CTX_use_certificate_chain_file(t->context, cert_path) != 1)
        ok = openssl_failed(e, "certificate chain", cert_path);
    else if (SSL_CTX_use_PrivateKey_file(t->context, key_path, SSL_FILETYPE_PEM) != 1)
        ok = openssl_failed(e, "private key", key_path);
    else if (SSL_CTX_check_private_key(t->context) != 1)
        ok = openssl_failed(e, "private key does not fit the certificate", key_path);
    if (!ok) {
        http_tls_free(t);
        return false;
    }
    SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
    SSL_CTX_set_options(t->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(t->context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF); /* tickets do */
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

struct tls_session *tls_session_new(struct http_tls *tls, bool http1_only)
{
    struct tls_session *s = xnew(struct tls_session);
    s->ssl = SSL_new(tls->context);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    assert(s->ssl && s->in && s->out);
    BIO_set_mem_eof_return(s->in, -1);
    s->http1_only = http1_only;
    SSL_set_app_data(s->ssl, s);
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_accept_state(s->ssl);
    return s;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s);
}

bool tls_session_is_http2(const struct tls_session *s)
{
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(s->ssl, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}

void tls_session_input(struct tls_session *s, struct span bytes)
{
    BIO_write(s->in, bytes.p, (int)MIN(bytes.n, (size_t)INT32_MAX));
}

ssize_t tls_session_read(struct tls_session *s, uint8_t *out, size_t room)
{
    ERR_clear_error();
    int n = SSL_read(s->ssl, out, (int)MIN(room, (size_t)INT32_MAX));
    if (n > 0)
        return n;
    switch (SSL_get_error(s->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    default:
        return TLS_BROKEN;
    }
}

bool tls_session_write(struct tls_session *s, struct span bytes)
{
    size_t written;
    ERR_clear_error();
    return bytes.n == 0 ||
           (SSL_write_ex(s->ssl, bytes.p, bytes.n, &written) == 1 && written == bytes.n);
}

void tls_session_bye(struct tls_session *s)
{
    ERR_clear_error();
    SSL_shutdown(s->ssl);
}

void tls_session_output(struct tls_session *s, struct buf *out)
{
    char *p;
    long n = BIO_get_mem_data(s->out, &p);
    if (n > 0) {
        buf_put(out, p, (size_t)n);
        (void)BIO_reset(s->out);
    }
}
