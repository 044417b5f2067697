/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a settings table against a configuration. */
#include "providers/sdk/settings.h"

#include <inttypes.h>
#include "lattice/base/buf.h"

static bool read_bool(struct str value, bool *out, struct err *e)
{
    bool yes = str_ieq(value, STR("true"));
    if (!yes && !str_ieq(value, STR("false")))
        return err_set(e, ERR_INVALID, "neither true nor false");
    *out = yes;
    return true;
}

static bool read_word(const char *const *words, struct str value, uint64_t *out, struct err *e)
{
    struct buf all = BUF_INIT;
    for (uint64_t i = 0; words[i]; i++) {
        if (str_ieq(value, str_of(words[i]))) {
            *out = i;
            buf_fini(&all);
            return true;
        }
        buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    err_set(e, ERR_INVALID, "none of: %.*s", STR_ARG(buf_view(&all)));
    buf_fini(&all);
    return false;
}

static bool apply(const struct setting *row, struct str value, void *out, struct err *e)
{
    void *at = (char *)out + row->at;
    switch (row->kind) {
    case SETTING_TEXT:
        *(struct str *)at = value;
        return true;
    case SETTING_BOOL:
        return read_bool(value, at, e);
    case SETTING_NUMBER:
        return (str_u64(value, at) && *(uint64_t *)at <= row->max) ||
               err_set(e, ERR_INVALID, "not a number up to %" PRIu64, row->max);
    case SETTING_WORD:
        return read_word(row->words, value, at, e);
    }
    return false;
}

/* Upper and lower case in keys are the same to upstream's providers. */
static bool find(const struct proto_map *map, struct str key, struct str *value)
{
    for (uint32_t i = 0; i < map->n; i++) {
        if (str_ieq(map->v[i].key, key)) {
            *value = map->v[i].value;
            return true;
        }
    }
    return false;
}

bool settings_apply(const struct setting *rows, size_t n, const struct proto_map *link,
                    const struct proto_map *fallback, void *out, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        struct str key = str_of(rows[i].key), value;
        if (!find(link, key, &value) && !find(fallback, key, &value))
            continue;
        if (!apply(&rows[i], value, out, e))
            return err_wrap(e, "setting %s", rows[i].key);
    }
    return true;
}
