/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, in one table: libcurl's codes (and the system's, where a connection failed) to ours. */
#include "lattice/http/http_client_int.h"

#include <errno.h>
#include "lattice/base/num.h"

const char *http_failure_name(enum http_failure why)
{
    static const char *const names[] = {
#define X(name, text) [HTTP_FAIL_##name] = text,
        HTTP_FAILURES(X)
#undef X
    };
    return names[why];
}

static const struct row {
    CURLcode code;
    int os_errno; /* 0: any */
    enum http_failure why;
} rows[] = {
    {CURLE_COULDNT_RESOLVE_HOST, 0, HTTP_FAIL_DNS_ERROR},
    {CURLE_COULDNT_CONNECT, ECONNREFUSED, HTTP_FAIL_REFUSED},
    {CURLE_COULDNT_CONNECT, EHOSTUNREACH, HTTP_FAIL_UNROUTABLE},
    {CURLE_COULDNT_CONNECT, ENETUNREACH, HTTP_FAIL_UNROUTABLE},
    {CURLE_COULDNT_CONNECT, ETIMEDOUT, HTTP_FAIL_CONNECT_TIMEOUT},
    {CURLE_COULDNT_CONNECT, 0, HTTP_FAIL_UNAVAILABLE},
    {CURLE_OPERATION_TIMEDOUT, 0, HTTP_FAIL_CONNECT_TIMEOUT}, /* we set no other limit there */
    {CURLE_SSL_CONNECT_ERROR, 0, HTTP_FAIL_TLS_PROTOCOL},
    {CURLE_SSL_CIPHER, 0, HTTP_FAIL_TLS_PROTOCOL},
    {CURLE_PEER_FAILED_VERIFICATION, 0, HTTP_FAIL_TLS_CERTIFICATE},
    {CURLE_SSL_ISSUER_ERROR, 0, HTTP_FAIL_TLS_CERTIFICATE},
    {CURLE_SSL_INVALIDCERTSTATUS, 0, HTTP_FAIL_TLS_CERTIFICATE},
    {CURLE_SSL_CACERT_BADFILE, 0, HTTP_FAIL_CONFIGURATION},
    {CURLE_SSL_ENGINE_INITFAILED, 0, HTTP_FAIL_CONFIGURATION},
    {CURLE_URL_MALFORMAT, 0, HTTP_FAIL_URI},
    {CURLE_UNSUPPORTED_PROTOCOL, 0, HTTP_FAIL_PROTOCOL}, /* no HTTP/1 status line */
    {CURLE_WEIRD_SERVER_REPLY, 0, HTTP_FAIL_PROTOCOL},
    {CURLE_HTTP2, 0, HTTP_FAIL_PROTOCOL},
    {CURLE_HTTP2_STREAM, 0, HTTP_FAIL_TERMINATED},
    {CURLE_GOT_NOTHING, 0, HTTP_FAIL_TERMINATED},
    {CURLE_SEND_ERROR, 0, HTTP_FAIL_TERMINATED},
    {CURLE_SEND_FAIL_REWIND, 0, HTTP_FAIL_TERMINATED},
    {CURLE_RECV_ERROR, 0, HTTP_FAIL_TERMINATED},
    {CURLE_PARTIAL_FILE, 0, HTTP_FAIL_RESPONSE_INCOMPLETE},
    {CURLE_OUT_OF_MEMORY, 0, HTTP_FAIL_RESPONSE_HEADERS_SIZE}, /* a line over its own limit */
};

enum http_failure http_failure_of(CURL *easy, CURLcode code, const char *text)
{
    long os_errno = 0;
    curl_off_t looked_up_us = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
    curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up_us);
    if (code == CURLE_OPERATION_TIMEDOUT && looked_up_us == 0)
        return HTTP_FAIL_DNS_TIMEOUT;
    if ((code == CURLE_SSL_CONNECT_ERROR || code == CURLE_RECV_ERROR) && strstr(text, " alert "))
        return HTTP_FAIL_TLS_ALERT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].code == code && (!rows[i].os_errno || rows[i].os_errno == os_errno))
            return rows[i].why;
    return HTTP_FAIL_INTERNAL;
}
