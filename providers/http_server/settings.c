/* SPDX-License-Identifier: Apache-2.0 */
/* A link's configuration: the table of keys, the other two forms in which it may come (config_json, config_b64), and
 * what the values must be together. */
#include "providers/http_server/provider.h"

#include <jansson.h>
#include <stdio.h>
#include "lattice/base/base64.h"
#include "lattice/base/num.h"
#include "providers/sdk/settings.h"

#define TIMEOUT_MS_MAX (24u * 3600 * 1000)
#define PAIRS_MAX 64
#define LIST_MAX 64
#define STREAMS_MAX 10000

/* As they are written; limits are 0 where nothing was said. */
struct raw {
    struct str address, cache_control, path, host, cert, key;
    uint64_t port, timeout_ms;
    bool readonly, access_log, one_request, http2;
    struct str origins, methods, headers, exposed;
    uint64_t max_age_s;
    uint64_t body_bytes, head_bytes, headers_max, connections, per_address, streams;
    uint64_t header_ms, idle_ms, body_ms, write_ms;
};

#define TEXT(key, member)                                        \
    {                                                            \
        key, SETTING_TEXT, offsetof(struct raw, member), 0, NULL \
    }
#define TRUTH(key, member)                                       \
    {                                                            \
        key, SETTING_BOOL, offsetof(struct raw, member), 0, NULL \
    }
#define NUMBER(key, member, max)                                     \
    {                                                                \
        key, SETTING_NUMBER, offsetof(struct raw, member), max, NULL \
    }

static const struct setting rows[] = {
    TEXT("address", address),
    NUMBER("port", port, 65535),
    TEXT("path", path),
    TEXT("host", host),
    NUMBER("timeout_ms", timeout_ms, TIMEOUT_MS_MAX),
    TRUTH("readonly_mode", readonly),
    TEXT("cache_control", cache_control),
    TRUTH("access_log", access_log),
    TEXT("cors_allowed_origins", origins),
    TEXT("cors_allowed_methods", methods),
    TEXT("cors_allowed_headers", headers),
    TEXT("cors_exposed_headers", exposed),
    NUMBER("cors_max_age_secs", max_age_s, UINT32_MAX),
    TRUTH("http2", http2),
    NUMBER("max_streams", streams, STREAMS_MAX),
    NUMBER("max_body_bytes", body_bytes, UINT64_MAX),
    NUMBER("max_header_bytes", head_bytes, 1 << 20),
    NUMBER("max_headers", headers_max, CALL_FIELDS_MAX),
    NUMBER("max_connections", connections, 1 << 20),
    NUMBER("max_connections_per_address", per_address, 1 << 20),
    NUMBER("header_timeout_ms", header_ms, TIMEOUT_MS_MAX),
    NUMBER("idle_timeout_ms", idle_ms, TIMEOUT_MS_MAX),
    NUMBER("body_timeout_ms", body_ms, TIMEOUT_MS_MAX),
    NUMBER("write_timeout_ms", write_ms, TIMEOUT_MS_MAX),
    TRUTH("disable_keepalive", one_request),
    TEXT("tls_cert_file", cert),
    TEXT("tls_priv_key_file", key),
};

/* ---- config_json, config_b64 ---- */

/* A JSON value as the text that a key of its own would have. */
static struct str as_text(const json_t *v, struct arena *a)
{
    if (json_is_string(v))
        return arena_str(a, (struct str){json_string_value(v), json_string_length(v)});
    char *dumped = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    struct str out = arena_str(a, str_of(dumped));
    free(dumped);
    return out;
}

/* Members of "tls" and "cors" are written with that name in front, too. */
static bool flatten(const json_t *object, const char *prefix, struct arena *a,
                    struct proto_pair *pairs, uint32_t *n, struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)object, key, v)
    {
        bool nested = !prefix[0] && json_is_object(v);
        if (json_is_null(v))
            continue;
        if (nested && (strcmp(key, "tls") == 0 || strcmp(key, "cors") == 0)) {
            if (!flatten(v, key, a, pairs, n, e))
                return false;
            continue;
        }
        if (*n == PAIRS_MAX)
            return err_set(e, ERR_LIMIT, "config_json: more than %d members", PAIRS_MAX);
        struct proto_pair *pair = &pairs[(*n)++];
        pair->key = str_of(arena_printf(a, "%s%s%s", prefix, prefix[0] ? "_" : "", key));
        pair->value = as_text(v, a);
        if (!pair->key.p || !pair->value.p)
            return arena_full(a, e);
    }
    return true;
}

static bool from_json(struct str text, struct arena *a, struct proto_map *out, struct err *e)
{
    json_error_t why;
    struct proto_pair *pairs = arena_array(a, struct proto_pair, PAIRS_MAX);
    json_t *json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
    uint32_t n = 0;
    bool ok = pairs != NULL || arena_full(a, e);
    if (ok && !json_is_object(json))
        ok = err_set(e, ERR_INVALID, "config_json: not a JSON object");
    ok = ok && flatten(json, "", a, pairs, &n, e);
    json_decref(json);
    *out = (struct proto_map){pairs, n};
    return ok;
}

/* Either of these takes the place of all other keys. */
static bool whole_config(const struct proto_map *link, struct arena *a, struct proto_map *out,
                         struct err *e)
{
    struct str text;
    *out = *link;
    if (proto_map_get(link, STR("config_b64"), &text)) {
        char *copy = arena_printf(a, "%.*s", STR_ARG(text));
        if (!copy)
            return arena_full(a, e);
        size_t n = base64_decode(BASE64_STANDARD, str_of(copy), copy);
        if (n == SIZE_MAX)
            return err_set(e, ERR_INVALID, "config_b64: not base64");
        return from_json((struct str){copy, n}, a, out, e);
    }
    return !proto_map_get(link, STR("config_json"), &text) || from_json(text, a, out, e);
}

/* ---- values ---- */

static bool header_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 32 || s.p[i] == 127)
            return false;
    return true;
}

/* A JSON list of texts, as a header's list. Not given: stays as it is. */
static bool read_list(const char *key, struct str json_text, struct arena *a, struct str *out,
                      struct err *e)
{
    json_error_t why;
    if (!json_text.p)
        return true;
    json_t *json = json_loadb(json_text.p, json_text.n, 0, &why);
    bool ok = json_is_array(json) && json_array_size(json) <= LIST_MAX;
    struct buf list = BUF_INIT;
    for (size_t i = 0; ok && i < json_array_size(json); i++) {
        const char *item = json_string_value(json_array_get(json, i));
        ok = item && *item && header_value(str_of(item)) && !strchr(item, ',');
        if (ok)
            buf_printf(&list, "%s%s", i ? ", " : "", item);
    }
    json_decref(json);
    *out = arena_str(a, buf_view(&list));
    buf_fini(&list);
    return (ok || err_set(e, ERR_INVALID,
                          "setting %s: not a JSON list of texts like [\"a\", \"b\"]", key)) &&
           (out->p || arena_full(a, e));
}

static bool read_cors(const struct raw *raw, struct arena *a, struct cors *out, struct err *e)
{
    *out = (struct cors){.methods = STR("GET, POST, PUT, DELETE, HEAD, OPTIONS"),
                         .headers = STR("accept, accept-language, content-type, content-language"),
                         .max_age_s = raw->max_age_s};
    return read_list("cors_allowed_origins", raw->origins, a, &out->origins, e) &&
           read_list("cors_allowed_methods", raw->methods, a, &out->methods, e) &&
           read_list("cors_allowed_headers", raw->headers, a, &out->headers, e) &&
           read_list("cors_exposed_headers", raw->exposed, a, &out->exposed, e);
}

static bool read_address(const struct raw *raw, struct settings *s, struct err *e)
{
    struct str address = raw->address;
    size_t colon = str_rfind(address, ':');
    if (raw->port)
        address.n = MIN(address.n, colon);
    if (address.n == 0 || address.n + 7 > sizeof s->address)
        return err_set(e, ERR_INVALID, "setting address: not one like 127.0.0.1:8080");
    if (raw->port)
        snprintf(s->address, sizeof s->address, "%.*s:%u", STR_ARG(address), (unsigned)raw->port);
    else
        snprintf(s->address, sizeof s->address, "%.*s", STR_ARG(address));
    return true;
}

/* 0 means the server's default. */
static struct http_limits limits_of(const struct raw *raw)
{
    return (struct http_limits){.body_bytes_max = raw->body_bytes,
                                .head_bytes_max = (uint32_t)raw->head_bytes,
                                .headers_max = (uint32_t)raw->headers_max,
                                .streams_max = (uint32_t)raw->streams,
                                .connections_max = (uint32_t)raw->connections,
                                .connections_per_address_max = (uint32_t)raw->per_address,
                                .requests_max = raw->one_request ? 1 : 0,
                                .header_timeout_ms = (uint32_t)raw->header_ms,
                                .idle_timeout_ms = (uint32_t)raw->idle_ms,
                                .body_timeout_ms = (uint32_t)raw->body_ms,
                                .write_timeout_ms = (uint32_t)raw->write_ms,
                                .write_high_bytes = REPLY_HIGH_BYTES,
                                .write_low_bytes = REPLY_LOW_BYTES};
}

bool settings_read(const struct proto_map *link, const struct proto_map *fallback,
                   struct str default_address, struct arena *a, struct settings *out, struct err *e)
{
    struct raw raw = {.address = default_address, .http2 = true, .max_age_s = CORS_MAX_AGE_S};
    struct proto_map config;
    struct settings s = {0};
    if (!whole_config(link, a, &config, e) ||
        !settings_apply(rows, ARRAY_LEN(rows), &config, fallback, &raw, e) ||
        !read_address(&raw, &s, e) || !read_cors(&raw, a, &s.cors, e))
        return false;
    if (!header_value(raw.cache_control))
        return err_set(e, ERR_INVALID, "setting cache_control: not a header value");
    if ((raw.cert.n == 0) != (raw.key.n == 0))
        return err_set(e, ERR_INVALID, "tls_cert_file and tls_priv_key_file go together");
    s.cert_file = arena_str(a, raw.cert).p; /* with a NUL behind */
    s.key_file = arena_str(a, raw.key).p;
    s.timeout_ms = raw.timeout_ms;
    s.readonly = raw.readonly;
    s.access_log = raw.access_log;
    s.http2 = raw.http2;
    s.limits = limits_of(&raw);
    s.cache_control = arena_str(a, raw.cache_control);
    s.path = arena_str(a, raw.path);
    s.host = arena_str(a, raw.host);
    if (!s.cache_control.p || !s.path.p || !s.host.p || !s.cert_file || !s.key_file)
        return arena_full(a, e);
    *out = s;
    return true;
}
