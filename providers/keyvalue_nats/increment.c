/* SPDX-License-Identifier: Apache-2.0 */
/* atomics.increment: the value is a decimal number in text, as upstream stores it. Read, or remembered (recent.c), then
 * written on condition that nobody wrote in between; who loses waits a random, growing moment and starts over.
 * Keeps: a write whose answer got lost is not repeated, the caller learns that its outcome is unknown. */
#include <inttypes.h>
#include <stdio.h>
#include "lattice/base/num.h"
#include "lattice/base/rand.h"
#include "providers/keyvalue_nats/provider.h"

#define BACKOFF_MIN_MS 2u
#define BACKOFF_SHIFT_MAX 6u /* up to 128 ms */

static void try_once(void *user);
static void read_value(struct call *c);

/* Somebody else wrote. If we tried with what we remembered that says nothing about how many there are. */
static void lost(struct call *c)
{
    struct loop *loop = sdk_loop(c->provider->sdk);
    if (recent_drop(c->store, c->key, c->revision)) {
        read_value(c);
        return;
    }
    uint64_t span = (uint64_t)BACKOFF_MIN_MS << MIN(c->attempts, BACKOFF_SHIFT_MAX);
    c->attempts++;
    c->timer = loop_after(loop, 1 + rand_u64() % span, try_once, c);
}

static void on_written(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct call *c = user;
    if (entry) {
        recent_put(c->store, c->key, c->sum.u64, entry->revision);
        call_ok(c, &c->sum);
    } else if (e->code == ERR_CONFLICT &&
               loop_now_ms(sdk_loop(c->provider->sdk)) < c->deadline_ms) {
        lost(c);
    } else {
        call_fail(c, e);
    }
}

static void write_sum(struct call *c)
{
    struct err e = ERR_INIT;
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, c->sum.u64);
    struct span value = {(const uint8_t *)text, (size_t)n};
    if (!kv_update(c->store->kv, c->key, value, c->revision, on_written, c, &e))
        call_fail(c, &e);
}

/* entry: NULL where there is no value, which counts as 0. */
static bool add(struct call *c, const struct kv_entry *entry, struct err *e)
{
    struct str text = entry ? span_str(entry->value) : STR("0");
    uint64_t before, delta = c->args[2].u64;
    char shown[48];
    if (!str_u64(text, &before))
        return err_set(e, ERR_INVALID, "the value '%s' is not a decimal number of 64 bits",
                       str_escape(text, shown, sizeof shown));
    c->revision = entry ? entry->revision : 0;
    return add_ok(before, delta, &c->sum.u64) ||
           err_set(e, ERR_LIMIT, "%" PRIu64 " + %" PRIu64 " does not fit 64 bits", before, delta);
}

static void on_value(void *user, const struct kv_entry *entry, const struct err *failed)
{
    struct call *c = user;
    struct err e = ERR_INIT;
    if (!entry && failed->code != ERR_NOT_FOUND)
        call_fail(c, failed);
    else if (add(c, entry, &e))
        write_sum(c);
    else
        call_fail(c, &e);
}

static void read_value(struct call *c)
{
    struct err e = ERR_INIT;
    if (!kv_get(c->store->kv, c->key, on_value, c, &e))
        call_fail(c, &e);
}

static void try_once(void *user)
{
    struct call *c = user;
    c->timer = NULL;
    const struct recent *known = recent_find(c->store, c->key);
    if (!known || !add_ok(known->value, c->args[2].u64, &c->sum.u64)) {
        read_value(c);
        return;
    }
    c->revision = known->revision;
    write_sum(c);
}

void atomics_increment(struct call *c)
{
    struct err e = ERR_INIT;
    c->deadline_ms = loop_now_ms(sdk_loop(c->provider->sdk)) + CALL_WAIT_MS;
    if (key_encode(wit_get_str(&c->args[1]), c->arena, &c->key, &e))
        try_once(c);
    else
        call_fail(c, &e);
}
