/* SPDX-License-Identifier: Apache-2.0 */
/* Types: layout, limits, equality, printing; interfaces from text; names and versions. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/num.h"
#include "wrpc/wit.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 8 << 20);
}
static void teardown(void)
{
    arena_fini(&arena);
}

static const struct wit_iface *parse_named(const char *name, const char *text,
                                           const struct wit_iface *const *uses, size_t nuses)
{
    struct err e = ERR_INIT;
    const struct wit_iface *i = wit_parse(&arena, str_of(name), str_of(text), uses, nuses, &e);
    ck_assert_msg(i != NULL, "%s", e.text);
    return i;
}

static const struct wit_iface *parse(const char *text)
{
    return parse_named("test", text, NULL, 0);
}

static void assert_type_text(const struct wit_type *t, const char *want)
{
    struct buf b = BUF_INIT;
    wit_type_text(t, &b);
    buf_byte(&b, 0);
    ck_assert_str_eq((char *)b.p, want);
    buf_fini(&b);
}

static void assert_func_text(const struct wit_iface *i, const char *name, const char *want)
{
    struct buf b = BUF_INIT;
    const struct wit_func *f = wit_iface_func(i, str_of(name));
    ck_assert_msg(f != NULL, "%s", name);
    wit_func_text(f, &b);
    buf_byte(&b, 0);
    ck_assert_str_eq((char *)b.p, want);
    buf_fini(&b);
}

/* ---- layout: component-model CanonicalABI.md, "Alignment", "Element Size", "Flattening" ---- */

static const struct {
    const char *type;
    uint32_t size, align, flat, wire_min;
} layouts[] = {
    {"bool", 1, 1, 1, 1},
    {"u16", 2, 2, 1, 1},
    {"char", 4, 4, 1, 1},
    {"f64", 8, 8, 1, 8},
    {"string", 8, 4, 2, 1},
    {"list<u64>", 8, 4, 2, 1},
    {"tuple<u8, u32, u8>", 12, 4, 3, 3},
    {"tuple<u8, u64, u8>", 24, 8, 3, 3},
    {"option<u8>", 2, 1, 2, 1},
    {"option<u64>", 16, 8, 2, 1},
    {"option<string>", 12, 4, 3, 1},
    {"result", 1, 1, 1, 1},
    {"result<u8, string>", 12, 4, 3, 1},
    {"result<tuple<f32, u8>, u64>", 16, 8, 3, 1},
    {"v", 32, 8, 5, 1},
    {"e257", 2, 2, 1, 1},
    {"f9", 2, 2, 1, 2},
    {"f33", 8, 4, 2, 5},
    {"own<r>", 4, 4, 1, 1},
    {"tuple<string, string, string, string, string, string, string, string, string, string,"
     " string, string, string, string, string, string, string>",
     136, 4, WIT_FLAT_CAP, 17},
};

START_TEST(test_layout)
{
    struct buf b = BUF_INIT;
    buf_str(&b,
            STR("resource r; variant v { none, a(u8), b(tuple<u8, string, u64>) } enum e257 {"));
    for (int i = 0; i < 257; i++)
        buf_printf(&b, "e%d,", i);
    buf_str(&b, STR("} flags f9 {"));
    for (int i = 0; i < 9; i++)
        buf_printf(&b, "g%d,", i);
    buf_str(&b, STR("} flags f33 {"));
    for (int i = 0; i < 33; i++)
        buf_printf(&b, "h%d,", i);
    buf_printf(&b, "} type it = %s;", layouts[_i].type);
    buf_byte(&b, 0);
    const struct wit_type *t = wit_iface_type(parse((char *)b.p), STR("it"));
    buf_fini(&b);
    ck_assert_uint_eq(t->size, layouts[_i].size);
    ck_assert_uint_eq(t->align, layouts[_i].align);
    ck_assert_uint_eq(t->flat, layouts[_i].flat);
    ck_assert_uint_eq(t->wire_min, layouts[_i].wire_min);
}
END_TEST

START_TEST(test_contents)
{
    const struct wit_iface *i =
        parse("resource r; type a = list<option<borrow<r>>>; type b = tuple<u8, f32>;"
              "type c = result<future<list<string>>, own<r>>;"); /* a future is a handle */
    const struct wit_type *a = wit_iface_type(i, STR("a")), *b = wit_iface_type(i, STR("b")),
                          *c = wit_iface_type(i, STR("c"));
    ck_assert(a->has_resource && a->has_borrow && a->has_heap && !a->has_async);
    ck_assert(!b->has_resource && !b->has_borrow && !b->has_heap && !b->has_async);
    ck_assert(c->has_resource && !c->has_borrow && !c->has_heap && c->has_async);
    ck_assert_uint_eq(a->depth, 3);
    ck_assert_uint_eq(b->nodes, 3);
}
END_TEST

/* 41 definitions, 2^40 leaves. */
START_TEST(test_expanded_nodes_are_limited)
{
    struct err e = ERR_INIT;
    const struct wit_type *t = wit_prim(WIT_U8);
    for (int i = 0; i < 40 && t; i++) {
        struct wit_case pair[2] = {{STR(""), t}, {STR(""), t}};
        t = wit_cases(&arena, WIT_TUPLE, pair, 2, &e);
    }
    ck_assert(!t);
    ck_assert_int_eq(e.code, ERR_LIMIT);
}
END_TEST

START_TEST(test_depth_is_limited)
{
    struct err e = ERR_INIT;
    const struct wit_type *t = wit_prim(WIT_U8);
    int made = 0;
    for (; made < 300 && t; made++)
        t = wit_list(&arena, t, &e);
    ck_assert(!t);
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert_int_eq(made, WIT_DEPTH_MAX);
}
END_TEST

START_TEST(test_empty_and_huge_are_refused)
{
    struct err e = ERR_INIT;
    ck_assert(!wit_cases(&arena, WIT_VARIANT, NULL, 0, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert(wit_cases(&arena, WIT_RECORD, NULL, 0, &e) != NULL);
    ck_assert(!wit_cases(&arena, WIT_FLAGS, NULL, WIT_CASES_MAX + 1, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
}
END_TEST

START_TEST(test_arena_ceiling)
{
    struct err e = ERR_INIT;
    struct arena small;
    arena_init(&small, 16);
    ck_assert(!wit_list(&small, wit_prim(WIT_U8), &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    arena_fini(&small);
}
END_TEST

/* ---- equality ---- */

static bool same_name(void *user, const struct wit_resource *a, const struct wit_resource *b)
{
    (void)user;
    return str_eq(a->name, b->name);
}

START_TEST(test_equality)
{
    static const char text[] = "resource r; record p { a: u32, b: list<string> }"
                               "f: func(x: p, y: borrow<r>) -> result<r, string>;";
    const struct wit_iface *a = parse(text), *b = parse(text);
    const struct wit_iface *c = parse("record p { a: u32, c: list<string> }");
    ck_assert(wit_type_eq(a->types[0].type, b->types[0].type, NULL, NULL));
    ck_assert(!wit_type_eq(a->types[0].type, c->types[0].type, NULL, NULL)); /* a label differs */
    ck_assert(!wit_type_eq(a->types[0].type, NULL, NULL, NULL));
    ck_assert(!wit_func_eq(&a->funcs[0], &b->funcs[0], NULL, NULL)); /* two resources */
    ck_assert(wit_func_eq(&a->funcs[0], &a->funcs[0], NULL, NULL));
    ck_assert(wit_func_eq(&a->funcs[0], &b->funcs[0], same_name, NULL));
}
END_TEST

/* ---- printing ---- */

static const struct {
    const char *type, *text;
} texts[] = {
    {"list<tuple<string, u8>>", "list<tuple<string, u8>>"},
    {"result<_, string>", "result<_, string>"},
    {"result", "result"},
    {"result<u8>", "result<u8>"},
    {"stream", "stream"},
    {"future<option<f32>>", "future<option<f32>>"},
    {"borrow<r>", "borrow<r>"},
    {"p", "record {a: u8, b: own<r>}"},
    {"v", "variant {x, y(char)}"},
    {"g", "flags {a, b}"},
};

START_TEST(test_printing)
{
    char text[256];
    snprintf(text, sizeof text,
             "resource r; record p { a: u8, b: r } variant v { x, y(char) } flags g { a, b }"
             "type it = %s;",
             texts[_i].type);
    assert_type_text(wit_iface_type(parse(text), STR("it")), texts[_i].text);
}
END_TEST

/* Types that only components have. */
START_TEST(test_maps_and_fixed_lists)
{
    struct err e = ERR_INIT;
    const struct wit_type *u8 = wit_prim(WIT_U8), *text = wit_prim(WIT_STRING);
    const struct wit_type *map = wit_map(&arena, text, u8, &e);
    const struct wit_type *pairs = wit_list(&arena, map->elem, &e);
    const struct wit_type *five = wit_fixed_list(&arena, u8, 5, &e);
    const struct wit_type *six = wit_fixed_list(&arena, u8, 6, &e);
    const struct wit_type *huge = wit_fixed_list(&arena, five, UINT32_MAX, &e);
    assert_type_text(map, "map<string, u8>");
    assert_type_text(five, "list<u8, 5>");
    ck_assert(map->kind == WIT_LIST && map->has_heap && map->size == 8);
    ck_assert(!wit_type_eq(map, pairs, NULL, NULL));
    ck_assert(!wit_type_eq(five, six, NULL, NULL));
    ck_assert(five->size == 5 && five->align == 1 && five->flat == 5 && !five->has_heap);
    ck_assert(huge->size >= 1u << 28 && huge->flat == WIT_FLAT_CAP);
    struct wit_case fields[] = {{STR("a"), huge}, {STR("b"), huge}, {STR("c"), huge}};
    ck_assert_uint_ge(wit_cases(&arena, WIT_RECORD, fields, 3, &e)->size, huge->size);
}
END_TEST

START_TEST(test_printing_is_capped)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    struct wit_case many[100];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = (struct wit_case){STR("somewhat-long"), NULL};
    wit_type_text(wit_cases(&arena, WIT_ENUM, many, 100, &e), &b);
    ck_assert_uint_lt(b.n, 260);
    ck_assert(str_ends(buf_view(&b), STR("...")) || str_ends(buf_view(&b), STR("...}")));
    buf_fini(&b);
}
END_TEST

/* ---- interfaces from text ---- */

static const char streams_wit[] = "/// what a stream says\n"
                                  "variant stream-error { last-operation-failed(error), closed, }\n"
                                  "resource error { to-debug-string: func() -> string; }\n"
                                  "@since(version = 0.2.0)\n"
                                  "resource input-stream {\n"
                                  "  /* reads /* nested */ */\n"
                                  "  read: func(len: u64) -> result<list<u8>, stream-error>;\n"
                                  "  subscribe: func() -> pollable;\n"
                                  "}\n"
                                  "use wasi:io/poll@0.2.0.{pollable};\n";

START_TEST(test_interface)
{
    const struct wit_iface *poll =
        parse_named("wasi:io/poll@0.2.0",
                    "resource pollable { ready: func() -> bool; }"
                    "poll: func(in: list<borrow<pollable>>) -> list<u32>;",
                    NULL, 0);
    const struct wit_iface *i = parse_named("wasi:io/streams@0.2.3", streams_wit, &poll, 1);
    ck_assert_uint_eq(i->nresources, 2);
    ck_assert_uint_eq(i->ntypes, 1);
    ck_assert_uint_eq(i->nfuncs, 3);
    assert_func_text(i, "[method]input-stream.read",
                     "[method]input-stream.read: func(self: borrow<input-stream>, len: u64)"
                     " -> result<list<u8>, variant {last-operation-failed(own<error>), closed}>");
    assert_func_text(i, "[method]input-stream.subscribe",
                     "[method]input-stream.subscribe: func(self: borrow<input-stream>)"
                     " -> own<pollable>");
    const struct wit_func *subscribe = wit_iface_func(i, STR("[method]input-stream.subscribe"));
    ck_assert(subscribe->result->resource == poll->resources[0]);
    ck_assert(!wit_iface_func(i, STR("read")));
}
END_TEST

START_TEST(test_resource_functions)
{
    const struct wit_iface *i =
        parse("resource fields { constructor(); from-list: static func(l: list<string>) -> "
              "result<fields, u8>; clone: func() -> fields; }"
              "type headers = fields; take: func(h: headers, %list: u8,);");
    assert_func_text(i, "[constructor]fields", "[constructor]fields: func() -> own<fields>");
    assert_func_text(i, "[static]fields.from-list",
                     "[static]fields.from-list: func(l: list<string>) -> result<own<fields>, u8>");
    assert_func_text(i, "take", "take: func(h: own<fields>, list: u8)");
}
END_TEST

START_TEST(test_use_forms)
{
    const struct wit_iface *types =
        parse_named("my:pkg/types@1.2.0", "record %record { a: u8 } resource thing;", NULL, 0);
    static const char *const paths[] = {"my:pkg/types@1.2.0", "my:pkg/types@1.0.0", "my:pkg/types",
                                        "types"};
    for (size_t k = 0; k < ARRAY_LEN(paths); k++) {
        char text[160];
        snprintf(text, sizeof text,
                 "f: func(t: stuff) -> rec; use %s.{%%record as rec, thing as stuff};", paths[k]);
        assert_func_text(parse_named("x", text, &types, 1), "f",
                         "f: func(t: own<thing>) -> record {a: u8}");
    }
}
END_TEST

static const struct {
    const char *text, *error;
} bad_texts[] = {
    {"type a = b;", "interface 'test': line 1: type 'b' is not declared"},
    {"type a = u8;\n\ntype a = u8;", "interface 'test': line 3: 'a' is declared twice"},
    {"f: func();\nf: func();", "interface 'test': line 2: 'f' is declared twice"},
    {"type a = u8", "interface 'test': line 1: unexpected end"},
    {"type a = list<u8;", "interface 'test': line 1: expected '>'"},
    {"type a = own<u8>;", "interface 'test': line 1: 'u8' is not a resource"},
    {"record r { a }", "interface 'test': line 1: expected ':'"},
    {"variant v { }", "interface 'test': line 1: variant without members"},
    {"/* open", "interface 'test': line 1: comment without end"},
    {"f: func(a: u8) -> ;", "interface 'test': line 1: expected a name"},
    {"use a:b/c.{d};", "interface 'test': line 1: used interface 'a:b/c' is not known here"},
    {"use a:b/c;", "interface 'test': line 1: expected 'use interface.{name, ...};'"},
    {"f = func();", "interface 'test': line 1: expected ':'"},
    {"resource r { f: func()", "interface 'test': line 1: '{' without '}'"},
    {"\x01", "interface 'test': line 1: unexpected character 0x01"},
    {"type Aa = u8;", "interface 'test': line 1: expected a name"},
};

START_TEST(test_bad_text)
{
    struct err e = ERR_INIT;
    ck_assert(!wit_parse(&arena, STR("test"), str_of(bad_texts[_i].text), NULL, 0, &e));
    ck_assert_str_eq(e.text, bad_texts[_i].error);
}
END_TEST

/* Every prefix of a good text ends in an error or an interface, and touches nothing behind it. */
START_TEST(test_cut_text)
{
    for (size_t n = 0; n < sizeof streams_wit; n++) {
        struct err e = ERR_INIT;
        struct str cut = {memcpy(malloc(n + 1), streams_wit, n), n};
        wit_parse(&arena, STR("cut"), cut, NULL, 0, &e);
        free((void *)(uintptr_t)cut.p);
    }
}
END_TEST

START_TEST(test_deep_text)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    buf_str(&b, STR("type a = "));
    for (int i = 0; i < 100000; i++)
        buf_str(&b, STR("list<"));
    ck_assert(!wit_parse(&arena, STR("x"), buf_view(&b), NULL, 0, &e));
    buf_fini(&b);
}
END_TEST

/* ---- names ---- */

START_TEST(test_name_parse)
{
    struct wit_name n;
    ck_assert(wit_name_parse(STR("wasi:http/incoming-handler@0.2.1-rc.1+b5"), &n));
    ck_assert(str_eqz(n.ns, "wasi") && str_eqz(n.pkg, "http"));
    ck_assert(str_eqz(n.iface, "incoming-handler") && str_eqz(n.version, "0.2.1-rc.1+b5"));
    ck_assert(str_eqz(n.unversioned, "wasi:http/incoming-handler"));
    ck_assert(wit_name_parse(STR("thomastaylor312:ollama/generate"), &n));
    ck_assert_uint_eq(n.version.n, 0);
}
END_TEST

START_TEST(test_bad_names)
{
    static const char *const bad[] = {"",
                                      "a",
                                      "a:b",
                                      "a/b",
                                      "a:b/",
                                      ":b/c",
                                      "a:/c",
                                      "a:b/c@",
                                      "a:b/c@x",
                                      "a:b/c@1.2",
                                      "a:b/c@01.2.3",
                                      "a:b/c@1.2.3-",
                                      "a:b/c@1.2.3-01",
                                      "a:b/c@1.2.3+",
                                      "a:b/c@1.2.3.4",
                                      "A:b/c",
                                      "a:B/c",
                                      "a:b/c d",
                                      "a:b/c/d",
                                      "a:b:c/d",
                                      "a:b/1c",
                                      "a:b/c-",
                                      "a:b/-c",
                                      "a:b/cD",
                                      "a:b/c@99999999999999999999.0.0",
                                      "a:b/c@0.0",
                                      "a/b:c"};
    struct wit_name n;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!wit_name_parse(str_of(bad[i]), &n), "%s", bad[i]);
}
END_TEST

static const struct {
    const char *a, *b;
    bool compatible;
} pairs[] = {
    {"wasi:io/poll@0.2.0", "wasi:io/poll@0.2.12", true},
    {"wasi:io/poll@0.2.0", "wasi:io/poll@0.3.0", false},
    {"wasi:io/poll@0.2.0", "wasi:io/poll@0.2", true},
    {"a:b/c@1.0.0", "a:b/c@1.9.3", true},
    {"a:b/c@1", "a:b/c@1.9.3", true},
    {"a:b/c@1.0.0", "a:b/c@2.0.0", false},
    {"a:b/c@0.0.1", "a:b/c@0.0.2", false},
    {"a:b/c@0.0.1", "a:b/c@0.0.1+build", true},
    {"a:b/c@0.2.0-draft", "a:b/c@0.2.0-draft", true},
    {"a:b/c@0.2.0-draft", "a:b/c@0.2.0", false},
    {"a:b/c@0.2.0-draft", "a:b/c@0.2.0-draft2", false},
    {"a:b/c@0.2.0-draft", "a:b/c@0.2.1-draft", false},
    {"a:b/c", "a:b/c", true},
    {"a:b/c", "a:b/c@1.0.0", false},
    {"a:b/c@1.0.0", "a:b/d@1.0.0", false},
    {"plain", "plain", true},
    {"plain", "other", false},
};

START_TEST(test_compatible)
{
    struct str a = str_of(pairs[_i].a), b = str_of(pairs[_i].b);
    ck_assert_msg(wit_name_compatible(a, b) == pairs[_i].compatible, "%s %s", a.p, b.p);
    ck_assert(wit_name_compatible(b, a) == pairs[_i].compatible);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("type");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, setup, teardown);
#define ROWS(test, table) tcase_add_loop_test(c, test, 0, (int)ARRAY_LEN(table))
    ROWS(test_layout, layouts);
    ROWS(test_printing, texts);
    ROWS(test_bad_text, bad_texts);
    ROWS(test_compatible, pairs);
#undef ROWS
    tcase_add_test(c, test_contents);
    tcase_add_test(c, test_expanded_nodes_are_limited);
    tcase_add_test(c, test_depth_is_limited);
    tcase_add_test(c, test_empty_and_huge_are_refused);
    tcase_add_test(c, test_arena_ceiling);
    tcase_add_test(c, test_equality);
    tcase_add_test(c, test_maps_and_fixed_lists);
    tcase_add_test(c, test_printing_is_capped);
    tcase_add_test(c, test_interface);
    tcase_add_test(c, test_resource_functions);
    tcase_add_test(c, test_use_forms);
    tcase_add_test(c, test_cut_text);
    tcase_add_test(c, test_deep_text);
    tcase_add_test(c, test_name_parse);
    tcase_add_test(c, test_bad_names);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
