/* SPDX-License-Identifier: Apache-2.0 */
/* Names of imports and exports: what is one, and which two are too alike. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/component/component_int.h"

static const struct {
    const char *name;
    bool ok;
    enum name_kind kind;
    const char *resource, *member;
} names[] = {
    {"run", true, NAME_LABEL},
    {"get-HTTP-page2", true, NAME_LABEL},
    {"wasi:http/types@0.2.2", true, NAME_INTERFACE},
    {"a:b/c", true, NAME_INTERFACE},
    {"a:b/c@1.0.0-rc.1+build", true, NAME_INTERFACE},
    {"[constructor]fields", true, NAME_CONSTRUCTOR, "fields", ""},
    {"[method]fields.get", true, NAME_METHOD, "fields", "get"},
    {"[static]fields.from-list", true, NAME_STATIC, "fields", "from-list"},
    {"", false},
    {"Run", false},
    {"snake_case", false},
    {"-a", false},
    {"a-", false},
    {"a--b", false},
    {"1a", false},
    {"a:b", false},
    {"a:b/c@", false},
    {"a:b/c@1", false},
    {"A:b/c", false},
    {"[constructor]", false},
    {"[method]fields", false},
    {"[method]fields.", false},
    {"[method].get", false},
    {"[dtor]fields", false},
    {"a\nb", false},
};

START_TEST(test_parse)
{
    struct extern_name n = {0};
    struct err e = ERR_INIT;
    ck_assert_msg(extern_name_parse(str_of(names[_i].name), &n, &e) == names[_i].ok, "%s",
                  names[_i].name);
    if (!names[_i].ok) {
        ck_assert_int_eq(e.code, ERR_INVALID);
        return;
    }
    ck_assert_int_eq(n.kind, names[_i].kind);
    if (names[_i].resource) {
        ck_assert(str_eqz(n.resource, names[_i].resource));
        ck_assert(str_eqz(n.member, names[_i].member));
    }
}
END_TEST

static const struct {
    const char *a, *b;
    bool conflict;
} pairs[] = {
    {"a", "a", true},
    {"foo", "FOO", true},
    {"a-b", "A-B", true},
    {"a", "b", false},
    {"[method]a.b", "[static]a.b", true},
    {"[method]a.a", "a", true},
    {"[static]a.a", "[method]a.a", true},
    {"[constructor]a", "a", false},
    {"[constructor]a", "[constructor]A", true},
    {"[method]a.b", "b", false},
    {"ns:p/a", "a", false},
    {"ns:p/a@1.0.0", "ns:p/a@1.0.1", false},
};

START_TEST(test_strongly_unique)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    struct str x = name_key(&a, str_of(pairs[_i].a)), y = name_key(&a, str_of(pairs[_i].b));
    ck_assert_msg(str_eq(x, y) == pairs[_i].conflict, "%s and %s", pairs[_i].a, pairs[_i].b);
    arena_fini(&a);
}
END_TEST

START_TEST(test_name_map)
{
    struct arena a;
    struct name_map m = {0};
    char name[16];
    arena_init(&a, 1 << 20);
    ck_assert_uint_eq(name_map_find(&m, STR("x")), NONE);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%u", i);
        ck_assert_int_eq(name_map_put(&a, &m, arena_str(&a, str_of(name)), i), MAP_PUT);
    }
    ck_assert_int_eq(name_map_put(&a, &m, STR("n7"), 0), MAP_EXISTS);
    ck_assert_uint_eq(name_map_find(&m, STR("n7")), 7);
    ck_assert_uint_eq(name_map_find(&m, STR("n1000")), NONE);
    ck_assert_int_eq(name_map_put(&a, &m, STR(""), 5), MAP_PUT); /* the empty name is a name */
    ck_assert_uint_eq(name_map_find(&m, STR("")), 5);
    arena_fini(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("names");
    TCase *t = tcase_create("names");
    tcase_add_loop_test(t, test_parse, 0, sizeof names / sizeof *names);
    tcase_add_loop_test(t, test_strongly_unique, 0, sizeof pairs / sizeof *pairs);
    tcase_add_test(t, test_name_map);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
