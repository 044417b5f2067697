/* SPDX-License-Identifier: Apache-2.0 */
/* store.list-keys: the keys in the order of their last change, a page at a time. The cursor is the revision of the last
 * key of a page, so that a page goes on where the one before ended however the bucket changed: no key that stays is
 * left out, one that is written meanwhile may come again. */
#include "lattice/base/num.h"
#include "providers/keyvalue_nats/provider.h"

#define PAGE_KEYS_MAX 10000u
#define PAGE_BYTES_MAX (512u << 10)

static void end_page(struct call *c, bool more)
{
    struct wit_value cursor = wit_u64(c->cursor);
    const struct wit_value response[] = {{.v = c->keys, .n = c->nkeys},
                                         {.n = more ? 1 : 0, .v = &cursor}};
    call_ok(c, &(struct wit_value){.v = response, .n = ARRAY_LEN(response)});
}

static void on_late(void *user)
{
    static const struct err late = {.code = ERR_TIMEOUT, .text = "listing the keys timed out"};
    struct call *c = user;
    c->timer = NULL;
    call_fail(c, &late);
}

static void add_key(struct call *c, const struct kv_entry *entry)
{
    struct err e = ERR_INIT;
    struct str key;
    uint64_t after = c->args[1].n ? c->args[1].v->u64 : 0;
    if (entry->op != KV_PUT || entry->revision <= after)
        return;
    if (c->nkeys == PAGE_KEYS_MAX || c->keys_bytes >= PAGE_BYTES_MAX) {
        end_page(c, true);
    } else if (!key_decode(entry->key, c->arena, &key, &e)) {
        call_fail(c, &e);
    } else if (utf8_valid((const uint8_t *)key.p, key.n)) { /* else no caller can name it */
        c->keys[c->nkeys++] = wit_str(key);
        c->keys_bytes += key.n;
        c->cursor = entry->revision;
    }
}

static void on_key(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct call *c = user;
    if (entry) {
        add_key(c, entry);
    } else if (!e) {
        end_page(c, false);
    } else if (e->code == ERR_NOT_FOUND) {
        call_fail(c, e);
    } else { /* interrupted: it begins again */
        c->nkeys = 0;
        c->keys_bytes = 0;
    }
}

void store_list_keys(struct call *c)
{
    struct err e = ERR_INIT;
    c->keys = arena_array(c->arena, struct wit_value, PAGE_KEYS_MAX);
    bool ok = c->keys || arena_full(c->arena, &e);
    if (ok && kv_watch_open(c->store->kv, STR(">"), false, on_key, c, &c->watch, &e))
        c->timer = loop_after(sdk_loop(c->provider->sdk), CALL_WAIT_MS, on_late, c);
    else
        call_fail(c, &e);
}
