/* SPDX-License-Identifier: Apache-2.0 */
/* A component with several links for one interface. Every word of the path is done in turn:
 *   NAME    set-link-name of wasmcloud:bus/lattice@2.0.0 for store and atomics; says the error if there is one
 *   !NAME   the same of 1.0.0, which says nothing
 *   +KEY    adds one to the key in the bucket of the link that is chosen, and says the count
 * Built by tests/guests/build. */
#include "../../../deploy/examples/guest.h"

#define BUS1 "wasmcloud:bus/lattice@1.0.0"
#define BUS2 "wasmcloud:bus/lattice@2.0.0"
#define SIX const char *, size_t, const char *, size_t, const char *, size_t

IMPORT(BUS1, "[constructor]call-target-interface") handle_t target_v1(SIX);
IMPORT(BUS1, "set-link-name") void set_link_v1(const char *name, size_t name_n, const handle_t *targets, size_t n);
IMPORT(BUS2, "[constructor]call-target-interface") handle_t target_v2(SIX);
IMPORT(BUS2, "set-link-name")
void set_link_v2(const char *name, size_t name_n, const handle_t *targets, size_t n, void *ret);

static _Alignas(8) uint8_t ret[32];
static struct text said;

static void say(struct text t)
{
    said = join(said, t);
}

#define STORE_INTERFACE "wasi", 4, "keyvalue", 8, "store", 5
#define ATOMICS_INTERFACE "wasi", 4, "keyvalue", 8, "atomics", 7

static void choose(struct text name)
{
    if (starts(name, TEXT("!"))) {
        const handle_t targets[] = {target_v1(STORE_INTERFACE), target_v1(ATOMICS_INTERFACE)};
        set_link_v1(name.p + 1, name.n - 1, targets, 2);
        return;
    }
    const handle_t targets[] = {target_v2(STORE_INTERFACE), target_v2(ATOMICS_INTERFACE)};
    set_link_v2(name.p, name.n, targets, 2, ret);
    if (ret[0])
        say((struct text){*(const char **)(ret + 4), *(size_t *)(ret + 8)});
}

static void count(struct text key)
{
    struct result bucket;
    struct count_result r;
    store_open("", 0, &bucket);
    bucket_increment(ok_handle(&bucket), key.p, key.n, 1, &r);
    say(r.is_err & 1 ? TEXT("error") : decimal(r.count));
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void serve(handle_t request, handle_t out)
{
    struct text path = request_head(request).path;
    for (size_t at = 1, end; at < path.n; at = end + 1) {
        for (end = at; end < path.n && path.p[end] != '/'; end++)
            ;
        struct text word = {path.p + at, end - at};
        if (starts(word, TEXT("+")))
            count((struct text){word.p + 1, word.n - 1});
        else
            choose(word);
        say(TEXT("\n"));
    }
    answer(out, 200, said);
}
