/* SPDX-License-Identifier: Apache-2.0 */
/* The error value. What can fail takes `struct err *e` last (never NULL), returns false or NULL, and
 * writes its outputs only on success. The value lives on the caller's stack: failing never allocates and
 * nothing needs freeing. Callers switch on the code, people read the text. Any thread. */
#ifndef HOSTD_BASE_ERR_H
#define HOSTD_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* name, text, may a retry help */
#define ERR_CODES(X)                                                                 \
    X(ERR_NONE, "no error", false)                                                   \
    X(ERR_INVALID, "invalid input", false)     /* malformed or contradictory data */ \
    X(ERR_UNSUPPORTED, "not supported", false) /* valid, but a feature we refuse */  \
    X(ERR_LIMIT, "limit reached", false)       /* the text names the limit */        \
    X(ERR_NOT_FOUND, "not found", false)                                             \
    X(ERR_EXISTS, "already exists", false)                                           \
    X(ERR_DENIED, "not permitted", false)                                            \
    X(ERR_CONFLICT, "lost a race", true) /* compare-and-set failed */                \
    X(ERR_IO, "input/output failure", true)                                          \
    X(ERR_TIMEOUT, "timed out", true)                                                \
    X(ERR_NO_RESPONDERS, "nobody serves this", true)                                 \
    X(ERR_PEER, "the other side failed", true)                                       \
    X(ERR_PROTOCOL, "protocol violation", false)                                     \
    X(ERR_CLOSED, "closed", true)                                                    \
    X(ERR_TRAP, "guest trapped", false)

enum err_code {
#define X(name, text, retry) name,
    ERR_CODES(X)
#undef X
};

#define ERR_TEXT_MAX 512

struct err {
    enum err_code code;
    char text[ERR_TEXT_MAX];
};

#define ERR_INIT                     \
    {                                \
        .code = ERR_NONE, .text = "" \
    }

/* Sets code and text; always returns false, so `return err_set(...)`. */
bool err_set(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Prepends "text: ". When room runs out the outer text is cut, never the cause. Returns false. */
bool err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets ERR_IO (or a closer code) from errno: "what: strerror". Returns false. */
bool err_errno(struct err *e, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

const char *err_name(enum err_code code);
bool err_may_retry(enum err_code code);

#endif
