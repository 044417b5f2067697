/* SPDX-License-Identifier: Apache-2.0 */
/* wasmcloud:secrets: handles on the guest's named secrets (store), and their values (reveal). A handle holds the name
 * only; the value stays with the embedder until it is revealed, and then it is the guest's. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

enum { ERROR_UPSTREAM, ERROR_IO, ERROR_NOT_FOUND };
enum { VALUE_STRING, VALUE_BYTES };

struct secret {
    char *name;
};

static void secret_drop(void *user, void *obj)
{
    struct secret *s = obj;
    (void)user;
    free(s->name);
    free(s);
}
const struct comp_class wasi_secret_class = {"secret", secret_drop};

static bool find(const struct wasi_ctx *c, struct str name, struct wasi_secret *out)
{
    const struct wasi_opts *o = &c->opts;
    return o->world->secret_get && o->world->secret_get(o->user, name, out);
}

static enum comp_host_status get(struct comp_host_call *hc, const struct wit_value *args,
                                 struct wit_value *result)
{
    struct str name = wit_get_str(&args[0]);
    struct wasi_secret unused;
    if (!find(wasi_of(hc), name, &unused)) {
        *result = wasi_err(hc, wasi_bare(ERROR_NOT_FOUND));
        return wasi_done(hc);
    }
    struct secret *s = xnew(struct secret);
    s->name = str_dup(name);
    *result = wasi_ok(hc, wasi_own(hc, &wasi_secret_class, s));
    return wasi_done(hc);
}

static enum comp_host_status reveal(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    const struct secret *s = args[0].obj;
    struct wasi_secret v;
    if (!find(wasi_of(hc), str_of(s->name), &v))
        return comp_trap(hc, "a secret is there no more");
    *result = wasi_case(hc, v.is_text ? VALUE_STRING : VALUE_BYTES, wit_bytes(v.value));
    return wasi_done(hc);
}

static const struct comp_host_func store_funcs[] = {{"get", get}, {NULL, NULL}};
static const struct comp_host_func reveal_funcs[] = {{"reveal", reveal}, {NULL, NULL}};

static const char store_wit[] =
    "variant secrets-error { upstream(string), io(string), not-found }\n"
    "variant secret-value { %string(string), bytes(list<u8>) }\n"
    "resource secret;\n"
    "get: func(key: string) -> result<secret, secrets-error>;\n";
static const char reveal_wit[] = "use wasmcloud:secrets/store.{secret, secret-value};\n"
                                 "reveal: func(s: borrow<secret>) -> secret-value;\n";

static const struct wasi_row rows[] = {
    {"wasmcloud:secrets/store@0.1.0-draft", {store_wit}, {store_funcs}, NULL},
    {"wasmcloud:secrets/reveal@0.1.0-draft", {reveal_wit}, {reveal_funcs}, NULL},
};
const struct wasi_rows wasi_secrets_rows = {rows, ARRAY_LEN(rows)};
