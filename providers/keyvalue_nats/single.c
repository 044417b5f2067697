/* SPDX-License-Identifier: Apache-2.0 */
/* store.get, set, delete and exists: one key, one message to JetStream. */
#include "providers/keyvalue_nats/provider.h"

static void on_value(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct call *c = user;
    struct wit_value bytes = entry ? wit_bytes(entry->value) : (struct wit_value){0};
    struct wit_value option = {.n = entry ? 1 : 0, .v = &bytes};
    if (!entry && e->code != ERR_NOT_FOUND)
        call_fail(c, e);
    else
        call_ok(c, &option);
}

static void on_presence(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct call *c = user;
    struct wit_value yes = wit_u64(entry != NULL);
    if (!entry && e->code != ERR_NOT_FOUND)
        call_fail(c, e);
    else
        call_ok(c, &yes);
}

static void on_written(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct call *c = user;
    if (entry)
        call_ok(c, NULL);
    else
        call_fail(c, e);
}

static bool key_of(struct call *c, struct str *key, struct err *e)
{
    return key_encode(wit_get_str(&c->args[1]), c->arena, key, e);
}

void store_get(struct call *c)
{
    struct err e = ERR_INIT;
    struct str key;
    if (!key_of(c, &key, &e) || !kv_get(c->store->kv, key, on_value, c, &e))
        call_fail(c, &e);
}

void store_exists(struct call *c)
{
    struct err e = ERR_INIT;
    struct str key;
    if (!key_of(c, &key, &e) || !kv_get(c->store->kv, key, on_presence, c, &e))
        call_fail(c, &e);
}

void store_set(struct call *c)
{
    struct err e = ERR_INIT;
    struct str key;
    if (!key_of(c, &key, &e) ||
        !kv_put(c->store->kv, key, wit_get_bytes(&c->args[2]), on_written, c, &e))
        call_fail(c, &e);
}

void store_delete(struct call *c)
{
    struct err e = ERR_INIT;
    struct str key;
    if (!key_of(c, &key, &e) || !kv_delete(c->store->kv, key, on_written, c, &e))
        call_fail(c, &e);
}
