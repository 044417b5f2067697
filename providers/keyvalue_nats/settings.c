/* SPDX-License-Identifier: Apache-2.0 */
/* A link's configuration, read by a table of keys. What we do not serve is refused by name: silence would change what
 * an operator asked for. */
#include <inttypes.h>
#include "lattice/base/num.h"
#include "providers/keyvalue_nats/provider.h"

#define TTL_MS_MAX (100ull * 366 * 24 * 3600 * 1000)

enum row_kind {
    ROW_TEXT,
    ROW_BOOL,
    ROW_NUMBER, /* up to max */
    ROW_FILE,   /* nothing but "file" */
    ROW_REFUSED,
};

/* Keys that are not here have no meaning to us. */
static const struct row {
    const char *key;
    enum row_kind kind;
    size_t at; /* in struct settings */
    uint64_t max;
} rows[] = {
    {"bucket", ROW_TEXT, offsetof(struct settings, bucket), 0},
    {"cluster_uri", ROW_TEXT, offsetof(struct settings, cluster_uri), 0},
    {"js_domain", ROW_TEXT, offsetof(struct settings, js_domain), 0},
    {"client_jwt", ROW_TEXT, offsetof(struct settings, client_jwt), 0},
    {"client_seed", ROW_TEXT, offsetof(struct settings, client_seed), 0},
    {"enable_bucket_auto_create", ROW_BOOL, offsetof(struct settings, create), 0},
    {"replicas", ROW_NUMBER, offsetof(struct settings, replicas), 5},
    {"history", ROW_NUMBER, offsetof(struct settings, history), 64},
    {"ttl_ms", ROW_NUMBER, offsetof(struct settings, ttl_ms), TTL_MS_MAX},
    {"storage", ROW_FILE, 0, 0},
    {"tls_ca", ROW_REFUSED, 0, 0},
    {"tls_ca_file", ROW_REFUSED, 0, 0},
};

static bool read_bool(struct str value, bool *out, struct err *e)
{
    bool yes = str_ieq(value, STR("true"));
    if (!yes && !str_ieq(value, STR("false")))
        return err_set(e, ERR_INVALID, "neither true nor false");
    *out = yes;
    return true;
}

static bool read_row(const struct row *row, struct str value, struct settings *s, struct err *e)
{
    void *at = (char *)s + row->at;
    switch (row->kind) {
    case ROW_TEXT:
        *(struct str *)at = value;
        return true;
    case ROW_BOOL:
        return read_bool(value, at, e);
    case ROW_NUMBER:
        return (str_u64(value, at) && *(uint64_t *)at <= row->max) ||
               err_set(e, ERR_INVALID, "not a number up to %" PRIu64, row->max);
    case ROW_FILE:
        return str_eqz(value, "file") ||
               err_set(e, ERR_UNSUPPORTED, "only 'file' storage is supported");
    case ROW_REFUSED:
        break;
    }
    return err_set(e, ERR_UNSUPPORTED, "not supported yet");
}

bool settings_read(const struct proto_map *link, const struct proto_map *fallback,
                   struct settings *out, struct err *e)
{
    struct settings s = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str key = str_of(rows[i].key), value;
        if (!proto_map_get(link, key, &value) && !proto_map_get(fallback, key, &value))
            continue;
        if (!read_row(&rows[i], value, &s, e))
            return err_wrap(e, "setting %s", rows[i].key);
    }
    if (s.bucket.n == 0)
        return err_set(e, ERR_INVALID, "the link's target configuration names no bucket");
    if ((s.client_jwt.n == 0) != (s.client_seed.n == 0))
        return err_set(e, ERR_INVALID, "client_jwt and client_seed go together");
    if (s.client_jwt.n && s.cluster_uri.n == 0)
        return err_set(e, ERR_INVALID, "client_jwt and client_seed need a cluster_uri");
    *out = s;
    return true;
}
