/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:config/store and its older name wasi:config/runtime: the guest's named configuration, from the embedder.
 * Never an error: an unset key is none. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/num.h"

#define PAIRS_MAX 65536u

static enum comp_host_status get(struct comp_host_call *hc, const struct wit_value *args,
                                 struct wit_value *result)
{
    const struct wasi_opts *o = &wasi_of(hc)->opts;
    struct str value;
    bool have =
        o->world->config_get && o->world->config_get(o->user, wit_get_str(&args[0]), &value);
    *result = wasi_ok(hc, have ? wasi_some(hc, wasi_copy_bytes(hc, str_span(value))) : WASI_NONE);
    return wasi_done(hc);
}

static uint32_t count_pairs(const struct wasi_opts *o)
{
    uint32_t n = 0;
    struct str key, value;
    while (o->world->config_at && n < PAIRS_MAX && o->world->config_at(o->user, n, &key, &value))
        n++;
    return n;
}

static enum comp_host_status get_all(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    const struct wasi_opts *o = &wasi_of(hc)->opts;
    uint32_t n = count_pairs(o);
    struct wit_value *list = wasi_list(hc, n);
    (void)args;
    for (uint32_t i = 0; i < n && list; i++) {
        struct str key = STR(""), value = STR("");
        o->world->config_at(o->user, i, &key, &value);
        list[i] = wasi_tuple(hc,
                             (struct wit_value[]){wasi_copy_bytes(hc, str_span(key)),
                                                  wasi_copy_bytes(hc, str_span(value))},
                             2);
    }
    *result = wasi_ok(hc, (struct wit_value){.v = list, .n = n});
    return wasi_done(hc);
}

static const struct comp_host_func funcs[] = {
    {"get", get},
    {"get-all", get_all},
    {NULL, NULL},
};

static const char store_wit[] = "variant error { upstream(string), io(string) }\n"
                                "get: func(key: string) -> result<option<string>, error>;\n"
                                "get-all: func() -> result<list<tuple<string, string>>, error>;\n";
static const char runtime_wit[] =
    "variant config-error { upstream(string), io(string) }\n"
    "get: func(key: string) -> result<option<string>, config-error>;\n"
    "get-all: func() -> result<list<tuple<string, string>>, config-error>;\n";

static const struct wasi_row rows[] = {
    {"wasi:config/store@0.2.0-draft", {store_wit}, {funcs}, NULL},
    {"wasi:config/runtime@0.2.0-draft", {runtime_wit}, {funcs}, NULL},
};
const struct wasi_rows wasi_config_rows = {rows, ARRAY_LEN(rows)};
