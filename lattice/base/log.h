/* SPDX-License-Identifier: Apache-2.0 */
/* Structured log: one line per event on stderr, text or JSON. Only programs log, libraries return errors.
 * Text from outside is escaped and capped here. Any thread; one write(2) per line.
 *
 *   log_info("provider started", LS("provider", id), LI("pid", pid));
 *   log_warn("link refused", LS("component", id), LE(&e));
 */
#ifndef HOSTD_BASE_LOG_H
#define HOSTD_BASE_LOG_H

#include "lattice/base/err.h"
#include "lattice/base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

struct log_field {
    const char *key; /* NULL: the sentinel in front */
    struct str s;    /* used when p != NULL */
    int64_t i;
};

#define LS(k, v) ((struct log_field){.key = (k), .s = (v)})
#define LZ(k, v) ((struct log_field){.key = (k), .s = str_of(v)})
#define LI(k, v) ((struct log_field){.key = (k), .i = (int64_t)(v)})
#define LE(err) ((struct log_field){.key = "error", .s = str_of((err)->text)})

#define log_at(level, event, ...)                                                         \
    do {                                                                                  \
        const struct log_field fields_[] = {{0}, ##__VA_ARGS__};                          \
        log_write((level), (event), fields_ + 1, sizeof fields_ / sizeof fields_[0] - 1); \
    } while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

void log_open(enum log_level level, bool json, const char *program); /* default: warn, text */
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *f, size_t n);
bool log_level_parse(struct str s, enum log_level *out); /* error warn info debug trace */

#endif
