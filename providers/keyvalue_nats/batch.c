/* SPDX-License-Identifier: Apache-2.0 */
/* batch.get-many, set-many and delete-many: one message to JetStream per key, a window of them under way. Not atomic:
 * every key is tried, and the error counts those that failed and tells why the first did. */
#include "lattice/base/num.h"
#include "providers/keyvalue_nats/provider.h"

#define BATCH_KEYS_MAX 10000u
#define BATCH_WINDOW 64u
#define BATCH_FOUND_BYTES_MAX (4u << 20) /* of get-many; a call's results end at 8 MiB */

struct item {
    struct call *call;
    struct wit_value key;    /* of the caller */
    struct span set;         /* set-many */
    struct wit_value option; /* get-many: what was found */
    struct wit_value pair[2];
    struct wit_value pair_value;
};

typedef bool item_fn(struct item *it, struct str key, struct err *e);

static item_fn item_get, item_set, item_delete;

static void pump(struct call *c, item_fn *start);

static void item_failed(struct call *c, const struct err *e)
{
    if (c->failed_items++ == 0)
        c->problem = *e;
}

static void item_done(struct item *it, item_fn *start)
{
    struct call *c = it->call;
    c->open_items--;
    pump(c, start);
}

static bool keep_found(struct item *it, struct span value, struct err *e)
{
    struct call *c = it->call;
    if (value.n > BATCH_FOUND_BYTES_MAX - c->found_bytes)
        return err_set(e, ERR_LIMIT, "the values are more than %u bytes, get fewer at once",
                       BATCH_FOUND_BYTES_MAX);
    struct span copy = arena_span(c->arena, value);
    if (!copy.p && value.n)
        return arena_full(c->arena, e);
    c->found_bytes += value.n;
    it->pair[0] = it->key;
    it->pair[1] = wit_bytes(copy);
    it->pair_value = (struct wit_value){.v = it->pair, .n = ARRAY_LEN(it->pair)};
    it->option = (struct wit_value){.n = 1, .v = &it->pair_value};
    return true;
}

static void on_got(void *user, const struct kv_entry *entry, const struct err *failed)
{
    struct item *it = user;
    struct err e = ERR_INIT;
    if (entry && !keep_found(it, entry->value, &e))
        item_failed(it->call, &e);
    else if (!entry && failed->code != ERR_NOT_FOUND)
        item_failed(it->call, failed);
    item_done(it, item_get);
}

static void on_set(void *user, const struct kv_entry *entry, const struct err *failed)
{
    struct item *it = user;
    if (!entry)
        item_failed(it->call, failed);
    item_done(it, item_set);
}

static void on_deleted(void *user, const struct kv_entry *entry, const struct err *failed)
{
    struct item *it = user;
    if (!entry)
        item_failed(it->call, failed);
    item_done(it, item_delete);
}

static bool item_get(struct item *it, struct str key, struct err *e)
{
    return kv_get(it->call->store->kv, key, on_got, it, e);
}

static bool item_set(struct item *it, struct str key, struct err *e)
{
    return kv_put(it->call->store->kv, key, it->set, on_set, it, e);
}

static bool item_delete(struct item *it, struct str key, struct err *e)
{
    return kv_delete(it->call->store->kv, key, on_deleted, it, e);
}

static void finish(struct call *c, bool answers_values)
{
    if (c->failed_items) {
        if (c->nitems > 1)
            err_wrap(&c->problem, "%u of %u keys failed, the first", c->failed_items, c->nitems);
        call_fail(c, &c->problem);
        return;
    }
    struct err e = ERR_INIT;
    struct wit_value *found = arena_array(c->arena, struct wit_value, c->nitems);
    if (!answers_values) {
        call_ok(c, NULL);
    } else if (!found) {
        arena_full(c->arena, &e);
        call_fail(c, &e);
    } else {
        for (uint32_t i = 0; i < c->nitems; i++)
            found[i] = c->items[i].option;
        call_ok(c, &(struct wit_value){.v = found, .n = c->nitems});
    }
}

/* Fills the window; ends the call when all is done. */
static void pump(struct call *c, item_fn *start)
{
    while (c->next_item < c->nitems && c->open_items < BATCH_WINDOW) {
        struct item *it = &c->items[c->next_item++];
        struct err e = ERR_INIT;
        struct str key;
        if (key_encode(wit_get_str(&it->key), c->arena, &key, &e) && start(it, key, &e))
            c->open_items++;
        else
            item_failed(c, &e);
    }
    if (c->open_items == 0)
        finish(c, start == item_get);
}

/* args[1] is a list of keys, or of pairs of key and value. */
static void begin(struct call *c, bool pairs, item_fn *start)
{
    struct err e = ERR_INIT;
    const struct wit_value *list = &c->args[1];
    bool ok = list->n <= BATCH_KEYS_MAX ||
              err_set(&e, ERR_LIMIT, "%u keys at once, the limit is %u", list->n, BATCH_KEYS_MAX);
    if (ok)
        c->items = arena_array(c->arena, struct item, list->n);
    if (!ok || (!c->items && !arena_full(c->arena, &e))) {
        call_fail(c, &e);
        return;
    }
    c->nitems = list->n;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct wit_value *v = &list->v[i];
        c->items[i] = (struct item){.call = c, .key = pairs ? v->v[0] : *v};
        if (pairs)
            c->items[i].set = wit_get_bytes(&v->v[1]);
    }
    pump(c, start);
}

void batch_get_many(struct call *c)
{
    begin(c, false, item_get);
}

void batch_set_many(struct call *c)
{
    begin(c, true, item_set);
}

void batch_delete_many(struct call *c)
{
    begin(c, false, item_delete);
}
