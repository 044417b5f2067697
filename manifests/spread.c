/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of spreading. Pure. Keeps: the numbers per entry are those of wadm (not the method of largest
 * remainders), because users and tests know them; the same input gives the same output, and what it gave before
 * is its own fixed point, so nothing wanders. */
#include "manifests/manifests_int.h"

#include <assert.h>

/* ---- weights --------------------------------------------------------------------------------------- */

struct weighed {
    uint32_t weight, index;
};

/* Heaviest first; among equals the order of the manifest. */
static int heavier(const void *a, const void *b)
{
    const struct weighed *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

void spread_weights(uint32_t n, const uint32_t *weights, size_t nweights, uint32_t *counts)
{
    struct weighed sorted[MANIFEST_SPREAD_MAX];
    uint64_t sum = 0, given = 0;
    assert(nweights <= MANIFEST_SPREAD_MAX);
    for (size_t i = 0; i < nweights; i++) {
        sorted[i] = (struct weighed){weights[i], (uint32_t)i};
        sum += weights[i];
    }
    assert(sum > 0);
    for (size_t i = 0; i < nweights; i++) {
        counts[i] = (uint32_t)((uint64_t)n * weights[i] / sum); /* two factors below 2^32 */
        given += counts[i];
    }
    qsort(sorted, nweights, sizeof *sorted, heavier);
    for (size_t i = 0; given < n; i++, given++)
        counts[sorted[i].index]++;
}

/* ---- hosts of one entry ---------------------------------------------------------------------------- */

void spread_evenly(uint32_t count, const uint32_t *current, size_t n, uint32_t *targets)
{
    struct weighed *sorted = xcalloc(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++) {
        targets[i] = (uint32_t)(count / n);
        sorted[i] = (struct weighed){current[i], (uint32_t)i};
    }
    qsort(sorted, n, sizeof *sorted, heavier);
    for (size_t i = 0; i < count % n; i++)
        targets[sorted[i].index]++;
    free(sorted);
}

/* ---- entries to hosts ------------------------------------------------------------------------------ */

struct matcher {
    const struct spread_hosts *s;
    bool *visited; /* by host */
};

static bool fits(const struct spread_hosts *s, size_t entry, size_t host)
{
    return s->counts[entry] > 0 && s->eligible[entry * s->nhosts + host];
}

/* Finds a host for the entry, moving other entries aside where that helps (augmenting path). Depth: at most one
 * level per entry. */
static bool match(struct matcher *m, uint32_t entry)
{
    const struct spread_hosts *s = m->s;
    for (int kept = 1; kept >= 0; kept--) {
        for (size_t h = 0; h < s->nhosts; h++) {
            if (m->visited[h] || !fits(s, entry, h) || (s->before[h] == entry) != kept)
                continue;
            m->visited[h] = true;
            if (s->owner[h] == SPREAD_NOBODY || match(m, s->owner[h])) {
                s->owner[h] = entry;
                return true;
            }
        }
    }
    return false;
}

/* Which entry a host left over should help: better rank, then more instances per host so far. */
static uint32_t neediest(const struct spread_hosts *s, const uint32_t *hosts_of, size_t host)
{
    uint32_t best = SPREAD_NOBODY;
    for (uint32_t i = 0; i < s->nentries; i++) {
        if (!fits(s, i, host))
            continue;
        if (best == SPREAD_NOBODY || s->rank[i] < s->rank[best] ||
            (s->rank[i] == s->rank[best] && (uint64_t)s->counts[i] * (hosts_of[best] + 1) >
                                                (uint64_t)s->counts[best] * (hosts_of[i] + 1)))
            best = i;
    }
    return best;
}

bool spread_assign(struct arena *a, const struct spread_hosts *s, struct err *e)
{
    struct matcher m = {s, arena_array(a, bool, s->nhosts)};
    uint32_t *hosts_of = arena_array(a, uint32_t, s->nentries);
    if (!m.visited || !hosts_of)
        return arena_full(a, e);
    for (size_t h = 0; h < s->nhosts; h++)
        s->owner[h] = SPREAD_NOBODY;
    for (uint32_t i = 0; i < s->nentries; i++) {
        memset(m.visited, 0, s->nhosts * sizeof *m.visited);
        match(&m, i);
    }
    for (size_t h = 0; h < s->nhosts; h++)
        if (s->owner[h] != SPREAD_NOBODY)
            hosts_of[s->owner[h]]++;
    for (size_t h = 0; h < s->nhosts; h++) {
        if (s->owner[h] != SPREAD_NOBODY)
            continue;
        s->owner[h] = neediest(s, hosts_of, h);
        if (s->owner[h] != SPREAD_NOBODY)
            hosts_of[s->owner[h]]++;
    }
    return true;
}
