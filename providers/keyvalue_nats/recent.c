/* SPDX-License-Identifier: Apache-2.0 */
/* The counters that increments of a store wrote last, so that the next increment need not read them first. What is
 * here is a guess: it is written on condition that the bucket still has the revision that we remember.
 * Keeps: a fixed number of places, a key has one of them; RECENT_MS bounds how long a bucket that was removed and made
 * again behind our back, with the same revision for another value, could be taken for the old one. */
#include "lattice/base/alloc.h"
#include "lattice/base/map.h"
#include "providers/keyvalue_nats/provider.h"

#define RECENT_PLACES 256u
#define RECENT_MS 1000u

static struct recent *place_of(const struct store *s, struct str key)
{
    return &s->recent[map_hash(map_key(key), key.n) % RECENT_PLACES];
}

static uint64_t now_ms(const struct store *s)
{
    return loop_now_ms(sdk_loop(s->provider->sdk));
}

static bool holds(const struct recent *r, struct str key)
{
    return r->key && str_eqz(key, r->key);
}

const struct recent *recent_find(const struct store *s, struct str key)
{
    const struct recent *r = s->recent ? place_of(s, key) : NULL;
    return r && holds(r, key) && now_ms(s) < r->until_ms ? r : NULL;
}

void recent_put(struct store *s, struct str key, uint64_t value, uint64_t revision)
{
    if (!s->recent)
        s->recent = xcalloc(RECENT_PLACES, sizeof *s->recent);
    struct recent *r = place_of(s, key);
    if (!holds(r, key)) {
        free(r->key);
        *r = (struct recent){.key = str_dup(key)};
    }
    if (revision > r->revision) { /* answers may overtake each other */
        r->value = value;
        r->revision = revision;
        r->until_ms = now_ms(s) + RECENT_MS;
    }
}

bool recent_drop(struct store *s, struct str key, uint64_t revision)
{
    struct recent *r = s->recent ? place_of(s, key) : NULL;
    if (!r || !holds(r, key) || r->revision != revision)
        return false;
    free(r->key);
    *r = (struct recent){0};
    return true;
}

void recent_clear(struct store *s)
{
    for (size_t i = 0; s->recent && i < RECENT_PLACES; i++)
        free(s->recent[i].key);
    free(s->recent);
    s->recent = NULL;
}
