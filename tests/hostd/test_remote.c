/* SPDX-License-Identifier: Apache-2.0 */
/* Handles of resources that live elsewhere: nothing that cannot be read leaves an object behind (the sanitizers count).
 */
#include <check.h>
#include "hostd/remote.h"
#include "lattice/base/num.h"

static struct arena arena;
static struct err e;
static const struct wit_iface *iface;

static void open_types(void)
{
    arena_init(&arena, 1 << 20);
    e = (struct err)ERR_INIT;
    iface = wit_parse(&arena, STR("test:shop/desk"),
                      STR("resource ticket { stamp: func(); }\n"
                          "give: func() -> result<tuple<option<ticket>, list<ticket>>, string>;\n"
                          "take: func(t: list<ticket>);\n"),
                      NULL, 0, &e);
    ck_assert_msg(iface != NULL, "%s", e.text);
}

static void close_types(void)
{
    arena_fini(&arena);
}

static const struct wit_type *type_of(const char *func)
{
    const struct wit_func *f = wit_iface_func(iface, str_of(func));
    return f->result ? f->result : f->params[0].type;
}

/* In memory that may be written to, as decoding leaves it. */
static struct wit_value read_value(const struct wit_type *t, struct span bytes)
{
    struct wit_value v;
    size_t used;
    ck_assert_msg(wit_decode(&t, 1, bytes, &arena, &v, &used, NULL, &e), "%s", e.text);
    ck_assert_uint_eq(used, bytes.n);
    return v;
}

static const uint8_t given[] = {0, 1, 2, 'a', 'b', 3, 1, 'c', 0, 1, 'd'};

START_TEST(handles_come_and_go_as_their_bytes)
{
    const struct wit_type *t = type_of("give");
    struct wit_value v = read_value(t, (struct span){given, sizeof given}), wire;
    struct buf out = BUF_INIT;
    ck_assert_msg(remotes_from_wire(t, &v, &e), "%s", e.text);
    ck_assert(remotes_to_wire(&arena, t, &v, &wire, &e));
    ck_assert(wit_encode(&t, &wire, 1, &out, NULL, &e));
    ck_assert(str_eq(buf_view(&out), (struct str){(const char *)given, sizeof given}));
    remotes_release(t, &v);
    buf_fini(&out);
}
END_TEST

START_TEST(one_bad_handle_makes_none)
{
    const struct wit_type *t = type_of("take");
    uint8_t bytes[8192] = {2, 1, 'a', ((REMOTE_BYTES_MAX + 1) & 127) | 128,
                           (REMOTE_BYTES_MAX + 1) >> 7};
    struct wit_value v = read_value(t, (struct span){bytes, 5 + REMOTE_BYTES_MAX + 1});
    ck_assert(!remotes_from_wire(t, &v, &e));
    ck_assert_int_eq(e.code, ERR_PROTOCOL);
    ck_assert_uint_eq(v.v[0].n, 1);
    ck_assert_ptr_eq(v.v[0].p, &bytes[2]); /* still what came */
}
END_TEST

START_TEST(objects_are_released_where_there_is_no_memory_for_a_copy)
{
    const struct wit_type *t = type_of("give");
    struct wit_value v = read_value(t, (struct span){given, sizeof given}), wire;
    struct arena full;
    arena_init(&full, 1);
    ck_assert(remotes_from_wire(t, &v, &e));
    ck_assert(!remotes_to_wire(&full, t, &v, &wire, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    remotes_release(t, &v);
    arena_fini(&full);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hostd/remote");
    TCase *t = tcase_create("remote");
    tcase_add_checked_fixture(t, open_types, close_types);
    tcase_add_test(t, handles_come_and_go_as_their_bytes);
    tcase_add_test(t, one_bad_handle_makes_none);
    tcase_add_test(t, objects_are_released_where_there_is_no_memory_for_a_copy);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
