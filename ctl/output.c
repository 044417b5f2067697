/* SPDX-License-Identifier: Apache-2.0 */
/* One result, as text or as JSON, on stdout; errors and notices on stderr, so that stdout stays parseable. */
#include "ctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- tables --------------------------------------------------------------------------------------- */

void table_begin(struct table *t, size_t columns)
{
    *t = (struct table){.columns = columns};
}

static void add_cell(struct table *t, struct str s)
{
    if (t->ncells == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 32;
        t->cells = xrealloc(t->cells, t->cap * sizeof *t->cells);
    }
    size_t room = 4 * s.n + 8; /* every byte escaped */
    char *cell = xalloc(room);
    t->cells[t->ncells++] = str_show(s, cell, room);
}

void table_row(struct table *t, size_t n, const struct str *cells)
{
    for (size_t i = 0; i < t->columns; i++)
        add_cell(t, i < n ? cells[i] : STR_NONE);
}

/* Characters, not bytes: names may be any UTF-8. */
static size_t width(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void table_end(struct table *t, struct ctl *c)
{
    size_t *widths = xcalloc(t->columns, sizeof *widths);
    for (size_t i = 0; i < t->ncells; i++)
        widths[i % t->columns] = MAX(widths[i % t->columns], width(t->cells[i]));
    for (size_t i = 0; i < t->ncells; i++) {
        size_t column = i % t->columns, last = i - column + t->columns;
        while (last > i && !*t->cells[last - 1])
            last--; /* no blanks at the end of a line */
        buf_printf(&c->text, "%s%s", column || last == i ? "" : "  ", t->cells[i]);
        for (size_t pad = width(t->cells[i]); i + 1 < last && pad < widths[column] + 3; pad++)
            buf_byte(&c->text, ' ');
        if (column + 1 == t->columns)
            buf_byte(&c->text, '\n');
        free(t->cells[i]);
    }
    free(t->cells);
    free(widths);
}

/* ---- results -------------------------------------------------------------------------------------- */

json_t *json_str(struct str s)
{
    if (!s.p)
        return json_null();
    json_t *v = json_stringn(s.p, s.n);
    if (v)
        return v;
    size_t room = 4 * s.n + 8;
    AUTO_FREE char *escaped = xalloc(room);
    return json_string(str_escape(s, escaped, room));
}

json_t *json_from(struct buf *b)
{
    json_t *v = json_loadb((const char *)b->p, b->n, 0, NULL);
    buf_clear(b);
    return v ? v : json_null();
}

void result_set(struct ctl *c, const char *key, json_t *value)
{
    if (!c->result)
        c->result = json_object();
    json_object_set_new(c->result, key, value);
}

void result_say(struct ctl *c, const char *fmt, ...)
{
    size_t start = c->text.n;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_printf(&c->text, "%s\n", text);
    result_set(c, "result",
               json_str((struct str){(const char *)c->text.p + start, c->text.n - start - 1}));
}

void notice(const struct ctl *c, const char *fmt, ...)
{
    va_list args;
    if (c->json)
        return;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static void print_json(json_t *v, FILE *out)
{
    json_dumpf(v, out, JSON_INDENT(2) | JSON_ENCODE_ANY);
    fputc('\n', out);
}

int output_result(struct ctl *c)
{
    bool ok = true;
    if (!c->result)
        c->result = json_object();
    if (!c->bare) {
        ok = !json_is_false(json_object_get(c->result, "success"));
        json_object_set_new(c->result, "success", json_boolean(ok));
    }
    if (c->json)
        print_json(c->result, stdout);
    else if (c->text.n)
        fwrite(c->text.p, 1, c->text.n, stdout);
    return fflush(stdout) == 0 && ok ? 0 : 1;
}

/* Peers and files have their words in errors: those do not speak to the terminal. */
static void print_error(const struct err *e)
{
    char shown[4 * ERR_TEXT_MAX];
    struct str rest = str_of(e->text), line;
    fputs("hostctl: ", stderr);
    while (str_cut(&rest, '\n', &line))
        fprintf(stderr, "%s\n", str_show(line, shown, sizeof shown));
}

int output_error(bool json, const struct err *e, bool usage)
{
    if (json) {
        json_t *v = json_pack("{s:b, s:o}", "success", 0, "error", json_str(str_of(e->text)));
        print_json(v, stderr);
        json_decref(v);
    } else {
        print_error(e);
    }
    return usage ? 2 : 1;
}
