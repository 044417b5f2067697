/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a link's settings, and the address they name. */
#include "providers/ollama/provider.h"
#include "providers/sdk/settings.h"

#include "lattice/base/num.h"

#define DEFAULT_MODEL "llama3" /* as upstream's */
#define DEFAULT_URL "http://127.0.0.1:11434"
#define GENERATE_PATH "/api/generate"
#define TIMEOUT_MS 600000u /* models take their time */
#define TIMEOUT_MS_MAX (24u * 3600 * 1000)

struct raw {
    struct str model_name, url, options, keep_alive;
    uint64_t timeout_ms;
};

static const struct setting rows[] = {
    {"model_name", SETTING_TEXT, offsetof(struct raw, model_name), 0, NULL},
    {"options", SETTING_TEXT, offsetof(struct raw, options), 0, NULL},
    {"keep_alive", SETTING_TEXT, offsetof(struct raw, keep_alive), 0, NULL},
    {"timeout_ms", SETTING_NUMBER, offsetof(struct raw, timeout_ms), TIMEOUT_MS_MAX, NULL},
};

/* Upstream reads `url` from its own configuration and `host` from a link's: either name will do in both. */
static const struct setting address_rows[] = {
    {"url", SETTING_TEXT, offsetof(struct raw, url), 0, NULL},
    {"host", SETTING_TEXT, offsetof(struct raw, url), 0, NULL},
};

/* "http://HOST:PORT[/BASE]", the scheme may be left out. */
static bool read_url(struct str url, struct arena *a, struct settings *s, struct err *e)
{
    s->scheme = str_starts(url, STR("https://")) ? STR("https") : STR("http");
    if (str_starts(url, STR("https://")) || str_starts(url, STR("http://")))
        url = str_sub(url, s->scheme.n + 3, url.n);
    s->authority = str_sub(url, 0, str_find(url, '/'));
    struct str base = str_sub(url, s->authority.n, url.n);
    while (str_ends(base, STR("/")))
        base.n--;
    if (s->authority.n == 0 || str_find(url, '@') < url.n || str_find(url, ' ') < url.n)
        return err_set(e, ERR_INVALID, "url: not an address like " DEFAULT_URL);
    s->path = str_of(arena_printf(a, "%.*s%s", STR_ARG(base), GENERATE_PATH));
    return s->path.p || arena_full(a, e);
}

bool settings_read(const struct proto_map *link, const struct proto_map *fallback, struct arena *a,
                   struct settings *out, struct err *e)
{
    const struct proto_map none = {NULL, 0};
    struct raw raw = {
        .model_name = STR(DEFAULT_MODEL), .url = STR(DEFAULT_URL), .timeout_ms = TIMEOUT_MS};
    if (!settings_apply(address_rows, ARRAY_LEN(address_rows), fallback, &none, &raw, e) ||
        !settings_apply(address_rows, ARRAY_LEN(address_rows), link, &none, &raw, e) ||
        !settings_apply(rows, ARRAY_LEN(rows), link, fallback, &raw, e))
        return false;
    if (raw.model_name.n == 0)
        return err_set(e, ERR_INVALID, "model_name: empty");
    if (raw.timeout_ms == 0)
        return err_set(e, ERR_INVALID, "timeout_ms: must be at least 1");
    *out = (struct settings){.model_name = raw.model_name,
                             .options = raw.options,
                             .keep_alive = raw.keep_alive,
                             .timeout_ms = raw.timeout_ms};
    return read_url(raw.url, a, out, e);
}
