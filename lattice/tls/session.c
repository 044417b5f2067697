/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: OpenSSL between two queues in memory. */
#include "lattice/tls/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

struct tls_session {
    SSL *ssl;
    BIO *in, *out;       /* belong to ssl */
    unsigned long error; /* OpenSSL's, of what broke */
};

struct tls_session *tls_session_new(SSL *ssl)
{
    struct tls_session *s = xnew(struct tls_session);
    s->ssl = ssl;
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    assert(s->ssl && s->in && s->out);
    BIO_set_mem_eof_return(s->in, -1);
    SSL_set_bio(s->ssl, s->in, s->out);
    return s;
}

/* Servers are told names only, never addresses (RFC 6066, 3). */
struct tls_session *tls_session_to(SSL_CTX *context, const char *host)
{
    SSL *ssl = SSL_new(context);
    assert(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1) {
        SSL_set_tlsext_host_name(ssl, host);
        SSL_set1_host(ssl, host);
    }
    SSL_set_connect_state(ssl);
    return tls_session_new(ssl);
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s);
}

bool tls_session_settled(const struct tls_session *s)
{
    return SSL_is_init_finished(s->ssl);
}

struct str tls_session_protocol(const struct tls_session *s)
{
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(s->ssl, &name, &n);
    return (struct str){(const char *)name, n};
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
        s->error = ERR_peek_error();
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

void tls_session_why(const struct tls_session *s, struct err *e)
{
    const char *reason = s->error ? ERR_reason_error_string(s->error) : NULL;
    long verdict = SSL_get_verify_result(s->ssl);
    if (verdict != X509_V_OK)
        err_set(e, ERR_PEER, "its certificate: %s", X509_verify_cert_error_string(verdict));
    else
        err_set(e, ERR_PROTOCOL, "TLS: %s", reason ? reason : "the other side broke off");
}
