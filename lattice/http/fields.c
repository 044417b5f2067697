/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields while they arrive: text in one buffer, marks by offset because the buffer moves, views made once
 * when the section is complete.
 * Keeps: at most `max` fields; bytes.max bounds the text. */
#include "lattice/http/http_server_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define MARKS_FIRST 16

void fields_fini(struct fields *f)
{
    buf_fini(&f->bytes);
    free(f->marks);
    free(f->views);
    f->marks = NULL;
    f->views = NULL;
    f->n = f->cap = 0;
}

void fields_clear(struct fields *f)
{
    buf_clear(&f->bytes);
    f->n = 0;
}

static bool add_mark(struct fields *f)
{
    if (f->n == f->max)
        return false;
    if (f->n == f->cap) {
        f->cap = MIN(f->cap ? f->cap * 2 : MARKS_FIRST, f->max);
        f->marks = xrealloc(f->marks, f->cap * sizeof *f->marks);
        free(f->views);
        f->views = xcalloc(f->cap, sizeof *f->views);
    }
    f->marks[f->n++] = (struct field_mark){.name = (uint32_t)f->bytes.n};
    return true;
}

bool fields_name(struct fields *f, bool starts, struct str piece)
{
    if (starts && !add_mark(f))
        return false;
    buf_str(&f->bytes, piece);
    f->marks[f->n - 1].name_n += (uint32_t)piece.n;
    return !f->bytes.full;
}

bool fields_value(struct fields *f, bool starts, struct str piece)
{
    struct field_mark *m = &f->marks[f->n - 1];
    if (starts)
        m->value = (uint32_t)f->bytes.n;
    buf_str(&f->bytes, piece);
    m->value_n += (uint32_t)piece.n;
    return !f->bytes.full;
}

void fields_views(struct fields *f)
{
    const char *text = (const char *)f->bytes.p;
    for (uint32_t i = 0; i < f->n; i++) {
        const struct field_mark *m = &f->marks[i];
        f->views[i].name = (struct str){text + m->name, m->name_n};
        f->views[i].value = str_trim((struct str){text + m->value, m->value_n});
    }
}
