/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a link's settings, and what they must be together. */
#include "lattice/base/num.h"
#include "providers/keyvalue_nats/provider.h"
#include "providers/sdk/settings.h"

#define TTL_MS_MAX (100ull * 366 * 24 * 3600 * 1000)

static const char *const storages[] = {"file", "memory", NULL};

static const struct setting rows[] = {
    {"bucket", SETTING_TEXT, offsetof(struct settings, bucket), 0, NULL},
    {"cluster_uri", SETTING_TEXT, offsetof(struct settings, cluster_uri), 0, NULL},
    {"js_domain", SETTING_TEXT, offsetof(struct settings, js_domain), 0, NULL},
    {"client_jwt", SETTING_TEXT, offsetof(struct settings, client_jwt), 0, NULL},
    {"client_seed", SETTING_TEXT, offsetof(struct settings, client_seed), 0, NULL},
    {"watch", SETTING_TEXT, offsetof(struct settings, watch), 0, NULL},
    {"enable_bucket_auto_create", SETTING_BOOL, offsetof(struct settings, create), 0, NULL},
    {"replicas", SETTING_NUMBER, offsetof(struct settings, replicas), 5, NULL},
    {"history", SETTING_NUMBER, offsetof(struct settings, history), 64, NULL},
    {"ttl_ms", SETTING_NUMBER, offsetof(struct settings, ttl_ms), TTL_MS_MAX, NULL},
    {"storage", SETTING_WORD, offsetof(struct settings, storage), 0, storages},
    {"tls_ca", SETTING_TEXT, offsetof(struct settings, tls_ca), 0, NULL},
    {"tls_ca_file", SETTING_TEXT, offsetof(struct settings, tls_ca_file), 0, NULL},
};

bool settings_read(const struct proto_map *link, const struct proto_map *fallback,
                   struct settings *out, struct err *e)
{
    struct settings s = {0};
    if (!settings_apply(rows, ARRAY_LEN(rows), link, fallback, &s, e))
        return false;
    if (s.bucket.n == 0)
        return err_set(e, ERR_INVALID, "the link's configuration names no bucket");
    if ((s.client_jwt.n == 0) != (s.client_seed.n == 0))
        return err_set(e, ERR_INVALID, "client_jwt and client_seed go together");
    if (s.client_jwt.n && s.cluster_uri.n == 0)
        return err_set(e, ERR_INVALID, "client_jwt and client_seed need a cluster_uri");
    if ((s.tls_ca.n || s.tls_ca_file.n) && s.cluster_uri.n == 0)
        return err_set(e, ERR_INVALID, "tls_ca and tls_ca_file need a cluster_uri");
    *out = s;
    return true;
}
