/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: what all sessions of a kind have in common, and whom a client believes. */
#include "lattice/tls/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include "lattice/base/num.h"

bool tls_failed(struct err *e, const char *what, const char *of)
{
    char text[160] = "unknown reason";
    unsigned long code = ERR_get_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(e, ERR_INVALID, "%s '%s': %s", what, of, text);
}

SSL_CTX *tls_context_new(bool server, struct err *e)
{
    SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!c) {
        tls_failed(e, "TLS", server ? "server" : "client");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets do */
    return c;
}

void tls_context_free(SSL_CTX *c)
{
    SSL_CTX_free(c);
}

static bool trust_text(SSL_CTX *c, const char *pem, struct err *e)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    assert(in);
    size_t n = 0;
    for (X509 *one; (one = PEM_read_bio_X509(in, NULL, NULL, NULL)); n++) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(c), one);
        X509_free(one);
    }
    BIO_free(in);
    ERR_clear_error(); /* how the text ends */
    return n || err_set(e, ERR_INVALID, "no certificate in the text that was given to trust");
}

SSL_CTX *tls_client_context(const char *ca_file, const char *ca, struct err *e)
{
    SSL_CTX *c = tls_context_new(false, e);
    if (!c)
        return NULL;
    bool ok = true;
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_verify_paths(c); /* nothing there is no fault */
    ERR_clear_error();
    if (ca_file && SSL_CTX_load_verify_file(c, ca_file) != 1)
        ok = tls_failed(e, "certificates to trust", ca_file);
    if (ok && ca)
        ok = trust_text(c, ca, e);
    if (ok)
        return c;
    SSL_CTX_free(c);
    return NULL;
}
