/* SPDX-License-Identifier: Apache-2.0 */
/* How a call that did not yield a response looks to the HTTP client (wRPC 4.1). */
#include "providers/http_server/provider.h"

#include <stdio.h>
#include "lattice/base/num.h"

/* Rows for the codes that are neither "the component's own upstream failed" (502) nor below. */
static uint16_t status_of(enum http_error_code code)
{
    static const struct {
        enum http_error_code code;
        uint16_t status;
    } rows[] = {
        {HTTP_RESPONSE_TIMEOUT, 504},
        {HTTP_CONNECTION_TIMEOUT, 504},
        {HTTP_CONNECTION_READ_TIMEOUT, 504},
        {HTTP_CONNECTION_WRITE_TIMEOUT, 504},
        {HTTP_DNS_TIMEOUT, 504},
        {HTTP_CONNECTION_LIMIT_REACHED, 503},
        {HTTP_INTERNAL_ERROR, 500},
        {HTTP_CONFIGURATION_ERROR, 500},
        {HTTP_LOOP_DETECTED, 508},
        {HTTP_REQUEST_DENIED, 403},
        {HTTP_REQUEST_LENGTH_REQUIRED, 411},
        {HTTP_REQUEST_BODY_SIZE, 413},
        {HTTP_REQUEST_METHOD_INVALID, 405},
        {HTTP_REQUEST_URI_INVALID, 400},
        {HTTP_REQUEST_URI_TOO_LONG, 414},
        {HTTP_REQUEST_HEADER_SECTION_SIZE, 431},
        {HTTP_REQUEST_HEADER_SIZE, 431},
        {HTTP_REQUEST_TRAILER_SECTION_SIZE, 431},
        {HTTP_REQUEST_TRAILER_SIZE, 431},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].code == code)
            return rows[i].status;
    }
    return 502;
}

void failure_of_error(const struct http_error *error, struct failure *out)
{
    char text[160];
    out->status = status_of(error->code);
    out->retry = error->code == HTTP_CONNECTION_LIMIT_REACHED;
    if (error->text.n > 0)
        snprintf(out->text, sizeof out->text, "%s", str_escape(error->text, text, sizeof text));
    else
        snprintf(out->text, sizeof out->text, "component answered %s",
                 http_error_name(error->code));
}

void failure_of_call(const struct err *why, struct failure *out)
{
    static const struct {
        enum err_code code;
        uint16_t status;
        bool retry;
        const char *text;
    } rows[] = {
        {ERR_NO_RESPONDERS, 503, true, "component is not running"},
        {ERR_TIMEOUT, 504, false, "component did not answer in time"},
        {ERR_LIMIT, 503, true, "a limit on calls was reached"},
        {ERR_CLOSED, 503, true, "connection to the lattice was closed"},
    };
    *out = (struct failure){.status = 500};
    const char *text = "component failed";
    if (why) {
        out->status = 502;
        text = "call to the component failed";
    }
    for (size_t i = 0; why && i < ARRAY_LEN(rows); i++) {
        if (rows[i].code == why->code) {
            out->status = rows[i].status;
            out->retry = rows[i].retry;
            text = rows[i].text;
        }
    }
    snprintf(out->text, sizeof out->text, "%s", text);
}
