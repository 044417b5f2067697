/* SPDX-License-Identifier: Apache-2.0 */
/* A set of texts, each with the value it came with first. Owns copies of its keys. */
#include "manifests/manifests_int.h"
#include "lattice/base/map.h"

struct set_entry {
    UT_hash_handle hh;
    const void *value;
    char key[];
};

const void *set_find(const struct set *s, struct str key)
{
    struct set_entry *found;
    MAP_FIND(s->head, key, found);
    return found ? found->value : NULL;
}

const void *set_add(struct set *s, struct str key, const void *value)
{
    const void *earlier = set_find(s, key);
    if (earlier)
        return earlier;
    struct set_entry *en = xalloc(sizeof *en + key.n + 1);
    if (key.n > 0)
        memcpy(en->key, key.p, key.n);
    en->value = value;
    HASH_ADD_KEYPTR(hh, s->head, en->key, key.n, en);
    return NULL;
}

void set_fini(struct set *s)
{
    struct set_entry *en, *next;
    HASH_ITER(hh, s->head, en, next)
    {
        HASH_DELETE(hh, s->head, en);
        free(en);
    }
}
