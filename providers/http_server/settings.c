/* SPDX-License-Identifier: Apache-2.0 */
/* A link's configuration, read by a table of keys. What we do not serve yet is refused by name: silence would change
 * what an operator asked for. */
#include "providers/http_server/provider.h"

#include <stdio.h>
#include "lattice/base/num.h"

#define TIMEOUT_MS_MAX (24u * 3600 * 1000)

static bool read_address(struct str value, struct settings *s, struct err *e)
{
    if (value.n == 0 || value.n >= sizeof s->address)
        return err_set(e, ERR_INVALID, "not an address like 127.0.0.1:8080");
    snprintf(s->address, sizeof s->address, "%.*s", STR_ARG(value));
    return true;
}

/* Replaces the port of the address. */
static bool read_port(struct str value, struct settings *s, struct err *e)
{
    uint64_t port;
    if (!str_u64(value, &port) || port == 0 || port > 65535)
        return err_set(e, ERR_INVALID, "not a port");
    size_t colon = str_rfind(str_of(s->address), ':');
    if (colon + 7 > sizeof s->address)
        return err_set(e, ERR_INVALID, "address is too long");
    snprintf(s->address + colon, sizeof s->address - colon, ":%u", (unsigned)port);
    return true;
}

static bool read_timeout(struct str value, struct settings *s, struct err *e)
{
    uint64_t ms;
    if (!str_u64(value, &ms) || ms > TIMEOUT_MS_MAX)
        return err_set(e, ERR_INVALID, "not a number of milliseconds up to %u", TIMEOUT_MS_MAX);
    s->timeout_ms = ms;
    return true;
}

static bool read_readonly(struct str value, struct settings *s, struct err *e)
{
    bool yes = str_ieq(value, STR("true"));
    if (!yes && !str_ieq(value, STR("false")))
        return err_set(e, ERR_INVALID, "neither true nor false");
    s->readonly = yes;
    return true;
}

static bool read_cache_control(struct str value, struct settings *s, struct err *e)
{
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] < 32 || value.p[i] == 127)
            return err_set(e, ERR_INVALID, "not a header value");
    }
    if (value.n >= sizeof s->cache_control)
        return err_set(e, ERR_LIMIT, "longer than %zu bytes", sizeof s->cache_control - 1);
    snprintf(s->cache_control, sizeof s->cache_control, "%.*s", STR_ARG(value));
    return true;
}

static bool refuse(struct str value, struct settings *s, struct err *e)
{
    (void)value;
    (void)s;
    return err_set(e, ERR_UNSUPPORTED, "not supported yet");
}

/* In this order, since a port amends an address. Keys that are not here have no meaning to us. */
static const struct {
    const char *key;
    bool (*read)(struct str value, struct settings *s, struct err *e);
} rows[] = {
    {"address", read_address},
    {"port", read_port},
    {"timeout_ms", read_timeout},
    {"readonly_mode", read_readonly},
    {"cache_control", read_cache_control},
    {"path", refuse},
    {"host", refuse},
    {"tls_cert_file", refuse},
    {"tls_priv_key_file", refuse},
    {"config_json", refuse},
    {"config_b64", refuse},
};

bool settings_read(const struct proto_map *link, struct str default_address, struct settings *out,
                   struct err *e)
{
    struct settings s = {0};
    if (!read_address(default_address, &s, e))
        return err_wrap(e, "default_address");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str value;
        if (proto_map_get(link, str_of(rows[i].key), &value) && !rows[i].read(value, &s, e))
            return err_wrap(e, "%s '%.*s'", rows[i].key, (int)MIN(value.n, 80), value.p);
    }
    *out = s;
    return true;
}
