/* SPDX-License-Identifier: Apache-2.0 */
/* The value codec: the first byte picks a type, the rest are bytes of a peer. What decodes must copy, print, and encode
 * to something that decodes to the same value; a proper prefix must never be more wrong than the whole. */
#include <assert.h>
#include <stdlib.h>
#include <pthread.h>

#include "wrpc/wit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char types_wit[] =
    "resource r;\n"
    "variant v { a, b(string), c(list<u8>), d(tuple<s64, f32>) }\n"
    "enum e { x, y }\n"
    "flags f { a, b, c, d, e, f, g, h, i }\n"
    "record empty {}\n"
    "record deep { a: option<list<v>>, b: result<s16, string>, c: list<tuple<e, f>>, d: char }\n"
    "type t0 = tuple<bool, u8, s8, u16, s16, u32, s32, u64, s64, f32, f64, char, string>;\n"
    "type t1 = list<deep>;\n"
    "type t2 = list<list<empty>>;\n"
    "type t3 = tuple<stream<u8>, future<option<list<string>>>, stream<string>, future>;\n"
    "type t4 = result<list<option<tuple<string, own<r>>>>, v>;\n"
    "type t5 = list<list<list<u16>>>;\n"
    "type t6 = tuple<borrow<r>, f, e, string, list<s8>>;\n";

#define NTYPES 7

static const struct wit_iface *iface;

static void make_types(void)
{
    static struct arena forever;
    struct err e = ERR_INIT;
    arena_init(&forever, 1 << 20);
    iface = wit_parse(&forever, STR("fuzz"), str_of(types_wit), NULL, 0, &e);
    assert(iface);
}

/* Which bytes encode a value is not unique (long numbers, ready streams), so values are compared, and only where
 * nothing was turned from ready into pending. */
static void check_round_trip(const struct wit_type *t, const struct wit_value *v, struct arena *a)
{
    struct err e = ERR_INIT;
    struct wit_value again;
    struct wit_pendings pend;
    struct buf out, text;
    size_t used;
    buf_init(&out, 1 << 20);
    buf_init(&text, 1 << 20);
    wit_value_text(t, v, &text);
    if (wit_encode(&t, v, 1, &out, &pend, &e)) {
        bool ok = wit_decode(&t, 1, buf_span(&out), a, &again, &used, &pend, &e);
        assert(ok || e.code == ERR_LIMIT);
        assert(!ok || used == out.n);
        assert(!ok || t->has_async || wit_value_eq(t, v, &again));
    }
    buf_fini(&text);
    buf_fini(&out);
}

static void check_prefix(const struct wit_type *t, struct span in, size_t whole, struct arena *a)
{
    struct err e = ERR_INIT;
    struct wit_value v;
    struct wit_pendings pend;
    size_t used = 0, n = whole / 2;
    bool ok = wit_decode(&t, 1, (struct span){in.p, n}, a, &v, &used, &pend, &e);
    assert(n == whole ? ok : !ok && (e.code == ERR_NONE || e.code == ERR_LIMIT));
    assert(e.code != ERR_NONE || ok || (used > n && used <= whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_types);
    if (size == 0)
        return 0;
    char name[3] = {'t', (char)('0' + data[0] % NTYPES), 0};
    const struct wit_type *t = wit_iface_type(iface, str_of(name));
    struct span in = {data + 1, size - 1};
    struct arena a;
    struct wit_value v, copy;
    struct wit_pendings pend;
    struct err e = ERR_INIT;
    size_t used;
    arena_init(&a, 1 << 20);
    if (wit_decode(&t, 1, in, &a, &v, &used, &pend, &e)) {
        assert(used <= in.n);
        check_prefix(t, in, used, &a);
        assert(!wit_value_copy(&a, t, &v, &copy, &e) || wit_value_eq(t, &v, &copy));
        check_round_trip(t, &v, &a);
    } else {
        assert(e.code != ERR_NONE || used > in.n);
    }
    arena_fini(&a);
    return 0;
}
