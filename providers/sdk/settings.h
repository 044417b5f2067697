/* SPDX-License-Identifier: Apache-2.0 */
/* A link's configuration into a struct, by a table of keys. Keys that are not in the table have no meaning; what we do
 * not serve is refused by name, for silence would change what an operator asked for. Any thread. */
#ifndef HOSTD_SDK_SETTINGS_H
#define HOSTD_SDK_SETTINGS_H

#include "lattice/proto/message.h"

enum setting_kind {
    SETTING_TEXT,   /* struct str, a view of the configuration */
    SETTING_BOOL,   /* bool */
    SETTING_NUMBER, /* uint64_t, up to max */
    SETTING_WORD,   /* uint64_t, which one of `words` it is */
};

struct setting {
    const char *key;
    enum setting_kind kind;
    size_t at; /* offset in the struct */
    uint64_t max;
    const char *const *words; /* ends with NULL */
};

/* What the link does not set is looked up in `fallback`, and stays as it is in neither. On failure some of *out may be
 * written. */
bool settings_apply(const struct setting *rows, size_t n, const struct proto_map *link,
                    const struct proto_map *fallback, void *out, struct err *e);

#endif
