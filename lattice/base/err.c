/* SPDX-License-Identifier: Apache-2.0 */
/* Error values. Keeps: the text is always terminated, and the innermost cause survives any wrapping. */
#include "lattice/base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
    bool retry;
} codes[] = {
#define X(name, text, retry) {#name, text, retry},
    ERR_CODES(X)
#undef X
};

bool err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    assert(e && code != ERR_NONE);
    char text[ERR_TEXT_MAX]; /* an argument may be e->text itself */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    e->code = code;
    memcpy(e->text, text, sizeof text);
    return false;
}

bool err_wrap(struct err *e, const char *fmt, ...)
{
    char outer[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(outer, sizeof outer, fmt, ap);
    va_end(ap);

    size_t inner_n = strlen(e->text), outer_n = strlen(outer);
    size_t room = ERR_TEXT_MAX - 1 - inner_n;
    if (room < 3)
        return false; /* the cause fills everything */
    if (outer_n > room - 2)
        outer_n = room - 2;
    memmove(e->text + outer_n + 2, e->text, inner_n + 1);
    memcpy(e->text, outer, outer_n);
    memcpy(e->text + outer_n, ": ", 2);
    return false;
}

bool err_errno(struct err *e, int errnum, const char *fmt, ...)
{
    static const struct {
        int errnum;
        enum err_code code;
    } closer[] = {
        {ENOENT, ERR_NOT_FOUND}, {EEXIST, ERR_EXISTS},     {EACCES, ERR_DENIED},
        {EPERM, ERR_DENIED},     {ETIMEDOUT, ERR_TIMEOUT}, {EMFILE, ERR_LIMIT},
        {ENFILE, ERR_LIMIT},     {EADDRINUSE, ERR_EXISTS}, {EINVAL, ERR_INVALID},
    };
    enum err_code code = ERR_IO;
    for (size_t i = 0; i < sizeof closer / sizeof closer[0]; i++)
        if (closer[i].errnum == errnum)
            code = closer[i].code;

    char what[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    err_set(e, code, "%s", strerrordesc_np(errnum) ? strerrordesc_np(errnum) : "unknown error");
    return err_wrap(e, "%s", what);
}

const char *err_name(enum err_code code)
{
    return codes[code].name;
}

bool err_may_retry(enum err_code code)
{
    return codes[code].retry;
}
