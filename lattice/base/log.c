/* SPDX-License-Identifier: Apache-2.0 */
/* One line per event: "2026-01-02T03:04:05.678901Z WARN hostd provider exited provider="x" code=3", or the same as
 * a JSON object. Keeps: one write(2) per line, values escaped and capped, so a guest can neither forge a line nor
 * flood one. */
#include "lattice/base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

#define LINE_MAX_BYTES 4096
#define VALUE_MAX_BYTES 1024

static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
static atomic_int threshold = LOG_WARN;
static bool as_json;
static const char *program_name = "hostd";

void log_open(enum log_level level, bool json, const char *program)
{
    atomic_store(&threshold, (int)level);
    as_json = json;
    program_name = program;
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

bool log_level_parse(struct str s, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_ieq(s, str_of(names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

struct line {
    char text[LINE_MAX_BYTES];
    size_t n;
};

static void add(struct line *l, const char *s)
{
    size_t n = MIN(strlen(s), sizeof l->text - 3 - l->n); /* room for the end */
    memcpy(l->text + l->n, s, n);
    l->n += n;
}

/* JSON has no \x escape: double its backslash. */
static void add_json_text(struct line *l, struct str s)
{
    char escaped[VALUE_MAX_BYTES];
    str_escape(s, escaped, sizeof escaped);
    for (const char *p = escaped; *p && l->n < sizeof l->text - 8; p++) {
        if (p[0] == '\\' && p[1] == 'x')
            add(l, "\\");
        l->text[l->n++] = *p;
        if (p[0] == '\\' && p[1] != 'x')
            l->text[l->n++] = *++p;
    }
}

static void add_value(struct line *l, const struct log_field *f)
{
    char text[VALUE_MAX_BYTES];
    if (!f->s.p) {
        snprintf(text, sizeof text, "%lld", (long long)f->i);
        add(l, text);
        return;
    }
    add(l, "\"");
    if (as_json)
        add_json_text(l, f->s);
    else
        add(l, str_escape(f->s, text, sizeof text));
    add(l, "\"");
}

void log_write(enum log_level level, const char *event, const struct log_field *f, size_t n)
{
    static const char *const upper[] = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    if (!log_enabled(level))
        return;
    struct line l = {.n = 0};
    char stamp[CLOCK_TEXT_MAX];
    clock_text(clock_wall_ns(), stamp);
    if (as_json) {
        const struct log_field head[] = {LZ("timestamp", stamp), LZ("level", upper[level]),
                                         LZ("target", program_name), LZ("message", event)};
        for (size_t i = 0; i < ARRAY_LEN(head) + n; i++) {
            const struct log_field *x = i < ARRAY_LEN(head) ? &head[i] : &f[i - ARRAY_LEN(head)];
            add(&l, i ? ",\"" : "{\"");
            add(&l, x->key);
            add(&l, "\":");
            add_value(&l, x);
        }
        add(&l, "}");
    } else {
        add(&l, stamp);
        add(&l, " ");
        add(&l, upper[level]);
        add(&l, " ");
        add(&l, program_name);
        add(&l, ": ");
        add(&l, event);
        for (size_t i = 0; i < n; i++) {
            add(&l, " ");
            add(&l, f[i].key);
            add(&l, "=");
            add_value(&l, &f[i]);
        }
    }
    l.text[l.n++] = '\n';
    ssize_t ignored = write(2, l.text, l.n);
    (void)ignored;
}
