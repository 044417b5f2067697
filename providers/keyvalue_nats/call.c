/* SPDX-License-Identifier: Apache-2.0 */
/* The served functions as a table; a call from its parameters to its answer. */
#include "providers/keyvalue_nats/provider.h"

#include <assert.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define STORE "wrpc:keyvalue/store@0.2.0-draft"
#define ATOMICS "wrpc:keyvalue/atomics@0.2.0-draft"
#define BATCH "wrpc:keyvalue/batch@0.2.0-draft"

static const struct {
    struct str instance, func;
    operation_fn *run;
} rows[] = {
    {STR_INIT(STORE), STR_INIT("get"), store_get},
    {STR_INIT(STORE), STR_INIT("set"), store_set},
    {STR_INIT(STORE), STR_INIT("delete"), store_delete},
    {STR_INIT(STORE), STR_INIT("exists"), store_exists},
    {STR_INIT(STORE), STR_INIT("list-keys"), store_list_keys},
    {STR_INIT(ATOMICS), STR_INIT("increment"), atomics_increment},
    {STR_INIT(BATCH), STR_INIT("get-many"), batch_get_many},
    {STR_INIT(BATCH), STR_INIT("set-many"), batch_set_many},
    {STR_INIT(BATCH), STR_INIT("delete-many"), batch_delete_many},
};

/* All three interfaces: they share the error, and no two functions a name. */
static const char functions_wit[] =
    "variant error { no-such-store, access-denied, other(string) }\n"
    "record key-response { keys: list<string>, cursor: option<u64> }\n"
    "get: func(bucket: string, key: string) -> result<option<list<u8>>, error>;\n"
    "set: func(bucket: string, key: string, value: list<u8>) -> result<_, error>;\n"
    "delete: func(bucket: string, key: string) -> result<_, error>;\n"
    "exists: func(bucket: string, key: string) -> result<bool, error>;\n"
    "list-keys: func(bucket: string, cursor: option<u64>) -> result<key-response, error>;\n"
    "increment: func(bucket: string, key: string, delta: u64) -> result<u64, error>;\n"
    "get-many: func(bucket: string, keys: list<string>)\n"
    "  -> result<list<option<tuple<string, list<u8>>>>, error>;\n"
    "set-many: func(bucket: string, key-values: list<tuple<string, list<u8>>>)\n"
    "  -> result<_, error>;\n"
    "delete-many: func(bucket: string, keys: list<string>) -> result<_, error>;\n";
enum { ERROR_NO_SUCH_STORE, ERROR_ACCESS_DENIED, ERROR_OTHER };

struct served {
    struct provider *provider;
    const struct wit_func *func;
    operation_fn *run;
    struct sdk_func *handle;
};

/* ---- ends ---- */

static void call_free(struct call *c)
{
    struct provider *p = c->provider;
    loop_timer_stop(&c->timer);
    kv_unwatch(&c->watch);
    if (c->typed)
        sdk_drop(c->typed);
    DL_DELETE(p->calls, c);
    free(c);
    provider_end_if_idle(p);
}

static void answer(struct call *c, const struct wit_value *result)
{
    sdk_answer(MOVE(c->typed), c->served->func->result, result);
    call_free(c);
}

void call_ok(struct call *c, const struct wit_value *ok)
{
    answer(c, &(struct wit_value){.n = 0, .v = ok});
}

void call_fail(struct call *c, const struct err *why)
{
    struct str text = str_of(why->text);
    struct wit_value other = wit_str(text);
    struct wit_value error = {.n = ERROR_OTHER, .v = &other};
    bool no_store = why->code == ERR_NOT_FOUND;
    if (no_store || why->code == ERR_DENIED)
        error = (struct wit_value){.n = no_store ? ERROR_NO_SUCH_STORE : ERROR_ACCESS_DENIED};
    /* a read from a bucket that is gone gets no answer at all */
    bool lost = no_store || why->code == ERR_NO_RESPONDERS || why->code == ERR_TIMEOUT;
    if (lost && c->store)
        store_check(c->store);
    answer(c, &(struct wit_value){.n = 1, .v = &error});
}

/* ---- starts ---- */

/* As upstream the bucket names one of the caller's links. Empty, or the bucket of the call's own link, is that link. */
static struct store *find_store(const struct call *c)
{
    struct str source = sdk_caller(c->typed), name = sdk_caller_link(c->typed);
    struct str bucket = wit_get_str(&c->args[0]);
    struct store *own = NULL;
    for (struct store *s = c->provider->stores; s; s = s->next) {
        const struct proto_link_def *def = s->link->def;
        if (!str_eq(def->source_id, source))
            continue;
        if (str_eq(def->name, bucket))
            return s;
        if (str_eq(def->name, name) && (bucket.n == 0 || str_eq(s->settings.bucket, bucket)))
            own = s;
    }
    return own;
}

static bool source_is_linked(const struct provider *p, struct str source)
{
    for (const struct store *s = p->stores; s; s = s->next)
        if (str_eq(s->link->def->source_id, source))
            return true;
    return false;
}

static void call_start(struct call *c)
{
    struct err e = ERR_INIT;
    struct str source = sdk_caller(c->typed);
    char text[128];
    c->store = find_store(c);
    if (!c->store && source_is_linked(c->provider, source)) {
        err_set(&e, ERR_NOT_FOUND, "no such store");
        call_fail(c, &e);
    } else if (!c->store) {
        err_set(&e, ERR_INVALID, "component '%s' has no link to this provider",
                str_escape(source, text, sizeof text));
        call_fail(c, &e);
    } else if (c->store->kv) {
        c->started = true;
        c->served->run(c);
    } else if (c->store->problem.code != ERR_NONE) {
        e = c->store->problem;
        call_fail(c, &e);
    }
}

static void on_call(void *user, struct sdk_typed *typed)
{
    const struct served *s = user;
    struct call *c = xnew(struct call);
    c->provider = s->provider;
    c->served = s;
    c->typed = typed;
    c->arena = sdk_arena(typed);
    c->args = sdk_args(typed);
    DL_APPEND(c->provider->calls, c);
    call_start(c);
}

/* ---- all of them ---- */

void calls_of_store_start(struct store *s)
{
    struct call *c, *next;
    DL_FOREACH_SAFE(s->provider->calls, c, next)
    {
        if (c->store != s || c->started)
            continue;
        c->started = true;
        c->served->run(c);
    }
}

void calls_of_store_fail(struct store *s, const struct err *why)
{
    struct call *c, *next;
    DL_FOREACH_SAFE(s->provider->calls, c, next)
    {
        if (c->store == s)
            call_fail(c, why);
    }
}

bool calls_serve(struct provider *p, struct err *e)
{
    const struct wit_iface *iface =
        wit_parse(&p->types, STR("wrpc:keyvalue"), str_of(functions_wit), NULL, 0, e);
    if (!iface)
        return false;
    p->served = xcalloc(ARRAY_LEN(rows), sizeof p->served[0]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct served *s = &p->served[i];
        *s = (struct served){p, wit_iface_func(iface, rows[i].func), rows[i].run, NULL};
        assert(s->func);
        if (!sdk_serve_typed(p->sdk, rows[i].instance, s->func, on_call, s, &s->handle, e))
            return false;
    }
    return true;
}

void calls_unserve(struct provider *p)
{
    for (size_t i = 0; p->served && i < ARRAY_LEN(rows); i++)
        sdk_func_stop(p->served[i].handle);
}

void calls_free(struct provider *p)
{
    while (p->calls)
        call_free(p->calls);
    for (size_t i = 0; p->served && i < ARRAY_LEN(rows); i++)
        sdk_func_free(p->served[i].handle);
    free(MOVE(p->served));
}
