/* SPDX-License-Identifier: Apache-2.0 */
/* The wire codec against byte vectors: each row is decoded, printed, encoded again, and fed one byte at a time. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "wrpc/wit.h"

/* ---- helpers ---- */

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 4 << 20);
}
static void teardown(void)
{
    arena_fini(&arena);
}

struct bytes {
    uint8_t b[512];
    size_t n;
};

static struct bytes unhex(const char *hex)
{
    struct bytes out = {.n = 0};
    for (int used; sscanf(hex, " %2hhx%n", &out.b[out.n], &used) == 1; hex += used)
        out.n++;
    return out;
}

static struct span view(const struct bytes *b)
{
    return (struct span){b->b, b->n};
}

static bool span_eq(struct span a, struct span b)
{
    return str_eq(span_str(a), span_str(b));
}

/* The interfaces of a 1.x lattice, as far as their types go. */
static const char prelude[] =
    "resource r;\n"
    "variant abc { a, b, c(string) }\n"
    "enum color { red, green }\n"
    "flags f3 { x, y, z }\n"
    "flags f20 { a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9 }\n"
    "record empty {}\n"
    "variant kv-error { no-such-store, access-denied, other(string) }\n"
    "record keys { keys: list<string>, cursor: option<u64> }\n"
    "record object-id { container: string, object: string }\n"
    "record object-metadata { created-at: u64, size: u64 }\n"
    "record message { subject: string, body: list<u8>, reply-to: option<string> }\n"
    "type hf = tuple<u64, s16, s8>;\n"
    "variant query-error { invalid-params(string), invalid-query(string), unexpected(string) }\n"
    "record request { prompt: string, images: option<list<string>> }\n"
    "record response { model: string, created-at: string, response: string, done: bool,\n"
    "  context: option<list<s32>>, total-duration: option<u64>, load-duration: option<u64>,\n"
    "  prompt-eval-count: option<u16>, prompt-eval-duration: option<u64>,\n"
    "  eval-count: option<u16>, eval-duration: option<u64> }\n"
    "enum level { trace, debug, info }\n"
    "type fields = list<tuple<string, list<list<u8>>>>;\n";

/* pg-value has 97 cases; the ones used here are 0 null, 17 int4 and 88 text. */
static void add_pg_value(struct buf *text)
{
    buf_str(text, STR("variant pg-value { "));
    for (int i = 0; i < 97; i++)
        buf_printf(text, "c%d%s, ", i, i == 17 ? "(s32)" : i == 88 || i == 86 ? "(string)" : "");
    buf_str(text, STR("}\nrecord row { column-name: string, value: pg-value }\n"));
    buf_str(text, STR("variant wide { "));
    for (int i = 0; i < 201; i++)
        buf_printf(text, "w%d, ", i);
    buf_str(text, STR("}\nflags f70 { "));
    for (int i = 0; i < 70; i++)
        buf_printf(text, "g%d, ", i);
    buf_str(text, STR("}\n"));
}

static const struct wit_type *type_of(const char *text)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    buf_str(&b, str_of(prelude));
    add_pg_value(&b);
    buf_printf(&b, "type it = %s;", text);
    const struct wit_iface *i = wit_parse(&arena, STR("test"), buf_view(&b), NULL, 0, &e);
    buf_fini(&b);
    ck_assert_msg(i != NULL, "%s: %s", text, e.text);
    return wit_iface_type(i, STR("it"));
}

static void assert_text(const struct wit_type *t, const struct wit_value *v, const char *want,
                        const char *hex)
{
    struct buf out = BUF_INIT;
    wit_value_text(t, v, &out);
    buf_byte(&out, 0);
    ck_assert_msg(strcmp((char *)out.p, want) == 0, "%s: got %s, want %s", hex, (char *)out.p,
                  want);
    buf_fini(&out);
}

static void assert_encodes(const struct wit_type *t, const struct wit_value *v,
                           const struct bytes *want, const char *hex)
{
    struct err e = ERR_INIT;
    struct wit_pendings pend;
    struct buf out = BUF_INIT;
    ck_assert_msg(wit_encode(&t, v, 1, &out, &pend, &e), "%s: %s", hex, e.text);
    ck_assert_msg(span_eq(buf_span(&out), view(want)), "%s: encodes otherwise", hex);
    buf_fini(&out);
}

/* Every proper prefix wants more, never fails, and hints at no more than there will be. */
static void assert_resumes(const struct wit_type *t, const struct bytes *in, const char *hex)
{
    for (size_t n = 0; n < in->n; n++) {
        struct err e = ERR_INIT;
        struct wit_value v;
        struct wit_pendings pend;
        size_t used = 0, before = arena.used_bytes;
        /* an exact heap copy, so that reading past the prefix is seen */
        uint8_t *exact = malloc(n + 1);
        memcpy(exact, in->b, n);
        bool ok = wit_decode(&t, 1, (struct span){exact, n}, &arena, &v, &used, &pend, &e);
        free(exact);
        ck_assert_msg(!ok && e.code == ERR_NONE, "%s cut at %zu: %s", hex, n, e.text);
        ck_assert_msg(used > n && used <= in->n, "%s cut at %zu: wants %zu", hex, n, used);
        ck_assert_uint_eq(arena.used_bytes, before);
    }
}

struct row {
    const char *type, *value, *hex;
};

static void check_row(const struct row *r, bool encodes_back)
{
    struct err e = ERR_INIT;
    struct wit_value v, copy;
    struct wit_pendings pend;
    size_t used;
    const struct wit_type *t = type_of(r->type);
    struct bytes in = unhex(r->hex);
    ck_assert_msg(wit_decode(&t, 1, view(&in), &arena, &v, &used, &pend, &e), "%s: %s", r->hex,
                  e.text);
    ck_assert_uint_eq(used, in.n);
    assert_text(t, &v, r->value, r->hex);
    if (encodes_back)
        assert_encodes(t, &v, &in, r->hex);
    ck_assert(wit_value_copy(&arena, t, &v, &copy, &e));
    ck_assert(wit_value_eq(t, &v, &copy));
    assert_resumes(t, &in, r->hex);
}

/* ---- vectors: encode and decode ---- */

static const struct row primitives[] = {
    {"bool", "true", "01"},
    {"bool", "false", "00"},
    {"u8", "200", "c8"},
    {"s8", "-1", "ff"},
    {"u64", "18446744073709551615", "ff ff ff ff ff ff ff ff ff 01"},
    {"u32", "624485", "e5 8e 26"},
    {"u16", "300", "ac 02"},
    {"u16", "65535", "ff ff 03"},
    {"u32", "4294967295", "ff ff ff ff 0f"},
    {"s16", "-1", "7f"},
    {"s16", "63", "3f"},
    {"s16", "64", "c0 00"},
    {"s16", "-64", "40"},
    {"s16", "-65", "bf 7f"},
    {"s16", "-300", "d4 7d"},
    {"s16", "-8192", "80 40"},
    {"s16", "32767", "ff ff 01"},
    {"s32", "-123456", "c0 bb 78"},
    {"s32", "2147483647", "ff ff ff ff 07"},
    {"s32", "-134217728", "80 80 80 40"},
    {"s64", "9223372036854775807", "ff ff ff ff ff ff ff ff ff 00"},
    {"s64", "-1", "7f"},
    {"s64", "-4611686018427387904", "80 80 80 80 80 80 80 80 40"},
    {"f32", "1.5", "00 00 c0 3f"},
    {"f64", "-0.25", "00 00 00 00 00 00 d0 bf"},
    {"f64", "1", "00 00 00 00 00 00 f0 3f"},
    {"f32", "nan", "01 00 c0 7f"},
    {"char", "'A'", "41"},
    {"char", "'\xc3\xa9'", "c3 a9"},
    {"char", "'\xf0\x9f\x98\x80'", "f0 9f 98 80"},
    {"string", "\"hello\"", "05 68 65 6c 6c 6f"},
    {"string", "\"\"", "00"},
    /* the minima, in the form that every peer of the lattice reads */
    {"s16", "-32768", "80 80 02"},
    {"s16", "-8193", "ff bf 03"},
    {"s32", "-2147483648", "80 80 80 80 08"},
    {"s64", "-9223372036854775808", "80 80 80 80 80 80 80 80 80 01"},
};

static const struct row composites[] = {
    {"list<u8>", "[1, 2, 3]", "03 01 02 03"},
    {"list<s8>", "[1, -2]", "02 01 fe"},
    {"list<u16>", "[1, 300]", "02 01 ac 02"},
    {"list<string>", "[\"a\", \"bc\"]", "02 01 61 02 62 63"},
    {"list<bool>", "[]", "00"},
    {"tuple<u8, string, bool>", "(7, \"hi\", true)", "07 02 68 69 01"},
    {"option<u32>", "none", "00"},
    {"option<u32>", "some(5)", "01 05"},
    {"option<option<u8>>", "some(none)", "01 00"},
    {"result<u32, string>", "ok(1)", "00 01"},
    {"result<u32, string>", "err(\"x\")", "01 01 78"},
    {"result<_, string>", "ok", "00"},
    {"result", "err", "01"},
    {"abc", "c(\"boom\")", "02 04 62 6f 6f 6d"},
    {"abc", "a", "00"},
    {"color", "green", "01"},
    {"wide", "w200", "c8 01"},
    {"wide", "w127", "7f"},
    {"list<option<tuple<string, list<u8>>>>", "[some((\"a\", [49])), none]",
     "02 01 01 61 01 31 00"},
    {"f3", "{x, z}", "05"},
    {"f20", "{a0, b9}", "01 00 08"},
    {"f70", "{g0, g69}", "01 00 00 00 00 00 00 00 20"},
    {"own<r>", "r(dead)", "02 de ad"},
    {"borrow<r>", "r(6d7962)", "03 6d 79 62"},
    {"own<r>", "r()", "00"},
    {"empty", "{}", ""},
    {"tuple<bool, u8, string, u32, tuple<result<bool, string>>>",
     "(true, 254, \"test\", 66, (ok(true)))", "01 fe 04 74 65 73 74 42 00 01"},
};

static const struct row interfaces[] = {
    {"tuple<string, string>", "(\"default\", \"counter\")",
     "07 64 65 66 61 75 6c 74 07 63 6f 75 6e 74 65 72"},
    {"result<option<list<u8>>, kv-error>", "ok(some([52, 50]))", "00 01 02 34 32"},
    {"result<option<list<u8>>, kv-error>", "ok(none)", "00 00"},
    {"result<option<list<u8>>, kv-error>", "err(no-such-store)", "01 00"},
    {"result<option<list<u8>>, kv-error>", "err(other(\"boom\"))", "01 02 04 62 6f 6f 6d"},
    {"tuple<string, string, list<u8>>", "(\"default\", \"k\", [1, 2])",
     "07 64 65 66 61 75 6c 74 01 6b 02 01 02"},
    {"tuple<string, string, u64>", "(\"default\", \"n\", 300)",
     "07 64 65 66 61 75 6c 74 01 6e ac 02"},
    {"result<u64, kv-error>", "ok(301)", "00 ad 02"},
    {"tuple<string, option<u64>>", "(\"default\", none)", "07 64 65 66 61 75 6c 74 00"},
    {"result<keys, kv-error>", "ok({keys: [\"a\", \"bc\"], cursor: some(128)})",
     "00 02 01 61 02 62 63 01 80 01"},
    {"tuple<string, list<string>>", "(\"default\", [\"a\", \"b\"])",
     "07 64 65 66 61 75 6c 74 02 01 61 01 62"},
    {"result<list<option<tuple<string, list<u8>>>>, kv-error>", "ok([some((\"a\", [49])), none])",
     "00 02 01 01 61 01 31 00"},
    {"tuple<string, string, list<u8>>", "(\"0\", \"k\", [118])", "01 30 01 6b 01 76"},
    {"tuple<object-id, u64, u64>", "({container: \"c\", object: \"o\"}, 0, 18446744073709551615)",
     "01 63 01 6f 00 ff ff ff ff ff ff ff ff ff 01"},
    {"result<object-metadata, string>", "ok({created-at: 1700000000, size: 1024})",
     "00 80 e2 cf aa 06 80 08"},
    {"tuple<object-id, object-id>",
     "({container: \"c1\", object: \"o1\"}, {container: \"c2\", object: \"o2\"})",
     "02 63 31 02 6f 31 02 63 32 02 6f 32"},
    {"result<tuple<stream<u8>, future<result<_, string>>>, string>", "ok((stream(#0), future(#1)))",
     "00 00 00"},
    {"result<future<result<_, string>>, string>", "ok(future(#0))", "00 00"},
    {"message", "{subject: \"a.b\", body: [104, 105], reply-to: none}", "03 61 2e 62 02 68 69 00"},
    {"message", "{subject: \"a.b\", body: [104, 105], reply-to: some(\"_R.1\")}",
     "03 61 2e 62 02 68 69 01 04 5f 52 2e 31"},
    {"tuple<string, list<u8>, u32>", "(\"a.b\", [104, 105], 1000)", "03 61 2e 62 02 68 69 e8 07"},
    {"result<_, string>", "err(\"bad\")", "01 03 62 61 64"},
    {"tuple<string, list<pg-value>>", "(\"SELECT 1\", [c17(-5), c88(\"hi\"), c0])",
     "08 53 45 4c 45 43 54 20 31 03 11 7b 58 02 68 69 00"},
    {"result<list<list<row>>, query-error>",
     "ok([[{column-name: \"id\", value: c17(7)}, {column-name: \"name\", value: c88(\"bob\")}]])",
     "00 01 02 02 69 64 11 07 04 6e 61 6d 65 58 03 62 6f 62"},
    {"result<list<list<row>>, query-error>", "err(invalid-query(\"syntax\"))",
     "01 01 06 73 79 6e 74 61 78"},
    {"hf", "(4503599627370496, -52, 1)", "80 80 80 80 80 80 80 08 4c 01"},
    {"tuple<level, string, string>", "(info, \"ctx\", \"hello\")",
     "02 03 63 74 78 05 68 65 6c 6c 6f"},
    {"request", "{prompt: \"why?\", images: none}", "04 77 68 79 3f 00"},
    {"result<response, string>",
     "ok({model: \"llama3\", created-at: \"2024-01-01T00:00:00Z\", response: \"Because.\", done: "
     "true,"
     " context: some([1, -1, 128009]), total-duration: some(5000000000), load-duration: none,"
     " prompt-eval-count: some(26), prompt-eval-duration: some(130000000), eval-count: some(298),"
     " eval-duration: none})",
     "00 06 6c 6c 61 6d 61 33 14 32 30 32 34 2d 30 31 2d 30 31 54 30 30 3a 30 30 3a 30 30 5a 08 42"
     "65 63 61 75 73 65 2e 01 01 03 01 7f 89 e8 07 01 80 e4 97 d0 12 00 01 1a 01 80 c9 fe 3d 01 aa"
     "02 00"},
    {"option<fields>", "none", "00"},
    {"option<fields>", "some([(\"x\", [[121]])])", "01 01 01 78 01 01 79"},
};

START_TEST(test_primitives)
{
    check_row(&primitives[_i], true);
}
END_TEST

START_TEST(test_composites)
{
    check_row(&composites[_i], true);
}
END_TEST

START_TEST(test_interfaces)
{
    check_row(&interfaces[_i], true);
}
END_TEST

/* ---- vectors: forms that we read and do not write ---- */

static const struct row read_only[] = {
    {"u32", "1", "81 80 00"},
    {"s16", "-32768", "80 80 7e"},
    {"s32", "-2147483648", "80 80 80 80 78"},
    {"s64", "-9223372036854775808", "80 80 80 80 80 80 80 80 80 7f"},
    {"s32", "-1", "ff ff ff ff 0f"},
    {"s32", "-1", "ff ff ff ff 7f"},
    {"s16", "-1", "ff ff 7f"},
    {"s64", "0", "80 80 80 80 80 80 80 80 80 00"},
    {"color", "green", "81 00"},
    {"future<u8>", "ready(5)", "01 05"},
    {"future", "ready", "01"},
    {"stream<u8>", "[97, 98, 99]", "03 61 62 63"},
    {"stream<string>", "[\"a\", \"b\"]", "02 01 61 01 62"},
    {"tuple<stream<u8>, u8>", "([97], 7)", "01 61 07"},
};

START_TEST(test_read_only)
{
    check_row(&read_only[_i], false);
}
END_TEST

static const struct {
    const char *type, *hex;
    enum err_code code;
} refused[] = {
    {"u32", "81 80 80 80 80 00", ERR_INVALID},
    {"u32", "ff ff ff ff 10", ERR_INVALID},
    {"u16", "ff ff 04", ERR_INVALID},
    {"u64", "ff ff ff ff ff ff ff ff ff 02", ERR_INVALID},
    {"s16", "ff ff 04", ERR_INVALID},
    {"s16", "80 80 7d", ERR_INVALID},
    {"s32", "80 80 80 80 18", ERR_INVALID},
    {"s32", "80 80 80 80 70", ERR_INVALID},
    {"s64", "80 80 80 80 80 80 80 80 80 02", ERR_INVALID},
    {"bool", "02", ERR_INVALID},
    {"option<u8>", "02", ERR_INVALID},
    {"result", "02", ERR_INVALID},
    {"future<u8>", "02", ERR_INVALID},
    {"string", "02 c3 28", ERR_INVALID},
    {"string", "03 ed a0 80", ERR_INVALID},
    {"char", "ed a0 80", ERR_INVALID},
    {"char", "80", ERR_INVALID},
    {"char", "c0 80", ERR_INVALID},
    {"char", "f4 90 80 80", ERR_INVALID},
    {"f3", "08", ERR_INVALID},
    {"f20", "00 00 10", ERR_INVALID},
    {"f70", "00 00 00 00 00 00 00 00 40", ERR_INVALID},
    {"color", "02", ERR_INVALID},
    {"abc", "03", ERR_INVALID},
    {"wide", "c9 01", ERR_INVALID},
    {"string", "81 80 80 80 01", ERR_LIMIT},
    {"list<u8>", "ff ff ff ff 0f", ERR_LIMIT},
    {"list<u64>", "ff ff ff ff 0f", ERR_LIMIT},
    {"list<empty>", "ff ff ff ff 0f", ERR_LIMIT},
    {"list<list<empty>>", "02 80 80 08 ff ff ff 07", ERR_LIMIT},
    {"stream<u8>", "ff ff ff ff 0f", ERR_LIMIT},
};

START_TEST(test_refused)
{
    struct err e = ERR_INIT;
    struct wit_value v;
    struct wit_pendings pend;
    size_t used;
    const struct wit_type *t = type_of(refused[_i].type);
    struct bytes in = unhex(refused[_i].hex);
    size_t before = arena.used_bytes;
    ck_assert_msg(!wit_decode(&t, 1, view(&in), &arena, &v, &used, &pend, &e), "%s",
                  refused[_i].hex);
    ck_assert_msg(e.code == refused[_i].code, "%s: %s %s", refused[_i].hex, err_name(e.code),
                  e.text);
    ck_assert_uint_eq(arena.used_bytes, before);
}
END_TEST

START_TEST(test_long_char_waits)
{
    struct err e = ERR_INIT;
    struct wit_value v;
    size_t used = 0;
    const struct wit_type *t = type_of("char");
    struct bytes in = unhex("f0 9f 98");
    ck_assert(!wit_decode(&t, 1, view(&in), &arena, &v, &used, NULL, &e));
    ck_assert_int_eq(e.code, ERR_NONE);
    ck_assert_uint_eq(used, 4);
}
END_TEST

START_TEST(test_bytes_behind_the_tuple_are_not_used)
{
    struct err e = ERR_INIT;
    struct wit_value v;
    size_t used = 0;
    const struct wit_type *t = type_of("string");
    struct bytes in = unhex("02 68 69 45 58 54");
    ck_assert(wit_decode(&t, 1, view(&in), &arena, &v, &used, NULL, &e));
    ck_assert_uint_eq(used, 3);
    ck_assert(wit_get_str(&v).p == (const char *)in.b + 1); /* borrowed, not copied */
}
END_TEST

START_TEST(test_tuple_of_nothing)
{
    struct err e = ERR_INIT;
    size_t used = 1;
    struct buf out = BUF_INIT;
    ck_assert(wit_decode(NULL, 0, (struct span){NULL, 0}, &arena, NULL, &used, NULL, &e));
    ck_assert_uint_eq(used, 0);
    ck_assert(wit_encode(NULL, NULL, 0, &out, NULL, &e));
    ck_assert_uint_eq(out.n, 0);
}
END_TEST

START_TEST(test_ceilings)
{
    struct err e = ERR_INIT;
    struct wit_value v;
    size_t used;
    struct arena small;
    struct bytes in = unhex("05 01 01 01 01 01");
    const struct wit_type *t = type_of("list<u16>");
    arena_init(&small, 64);
    ck_assert(!wit_decode(&t, 1, view(&in), &small, &v, &used, NULL, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    arena_fini(&small);
    ck_assert(wit_decode(&t, 1, view(&in), &arena, &v, &used, NULL, &e));
    struct buf out;
    buf_init(&out, 3);
    ck_assert(!wit_encode(&t, &v, 1, &out, NULL, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    buf_fini(&out);
}
END_TEST

START_TEST(test_host_handle_stays)
{
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT;
    int object;
    struct wit_value v = {.obj = &object};
    const struct wit_type *t = type_of("borrow<r>");
    ck_assert(!wit_encode(&t, &v, 1, &out, NULL, &e));
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
    buf_fini(&out);
}
END_TEST

/* ---- async: pending values, their order and their paths ---- */

START_TEST(test_pendings)
{
    struct err e = ERR_INIT;
    struct wit_value v[2];
    struct wit_pendings pend;
    size_t used;
    struct buf out = BUF_INIT;
    const struct wit_type *t[] = {type_of("u8"),
                                  type_of("result<tuple<stream<u8>, u8, future<fields>>, string>")};
    struct bytes in = unhex("09 00 00 07 00");
    ck_assert(wit_decode(t, 2, view(&in), &arena, v, &used, &pend, &e));
    ck_assert_uint_eq(pend.n, 2);
    ck_assert_int_eq(pend.at[0].type->kind, WIT_STREAM);
    ck_assert_uint_eq(pend.at[0].path.n, 2);
    ck_assert_uint_eq(pend.at[0].path.i[0], 1);
    ck_assert_uint_eq(pend.at[0].path.i[1], 0);
    ck_assert_int_eq(pend.at[1].type->kind, WIT_FUTURE);
    ck_assert_uint_eq(pend.at[1].path.i[1], 2);
    ck_assert_uint_eq(pend.at[1].index, 1);
    ck_assert(wit_encode(t, v, 2, &out, &pend, &e));
    ck_assert_uint_eq(pend.n, 2);
    ck_assert_uint_eq(pend.at[1].path.i[1], 2);
    ck_assert(out.n == in.n && memcmp(out.p, in.b, in.n) == 0);
    buf_clear(&out);
    ck_assert(!wit_encode(t, v, 2, &out, NULL, &e)); /* nowhere to put them */
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
    buf_fini(&out);
}
END_TEST

START_TEST(test_ready_goes_out_pending)
{
    struct err e = ERR_INIT;
    struct wit_pendings pend;
    struct buf out = BUF_INIT;
    struct wit_value five = wit_u64(5), v = {.v = &five, .n = WIT_READY};
    const struct wit_type *t = type_of("future<u8>");
    ck_assert(wit_encode(&t, &v, 1, &out, &pend, &e));
    ck_assert(out.n == 1 && out.p[0] == 0);
    ck_assert_uint_eq(pend.at[0].index, WIT_READY);
    ck_assert(pend.at[0].value == &v);
    buf_fini(&out);
}
END_TEST

static const struct {
    const char *types[2];
    const char *paths;
} path_rows[] = {
    {{"tuple<stream<u8>, u32>", NULL}, "0.0"},
    {{"stream<u8>", NULL}, "0"},
    {{"string", "stream<u8>"}, "1"},
    {{"result<future<u32>, string>", NULL}, "0"},
    {{"result<tuple<stream<string>, future<result<_, string>>>, string>", NULL}, "0.0 0.1"},
    {{"tuple<stream<u8>, future<option<fields>>, u16>", "option<u8>"}, "0.0 0.1"},
    {{"future<tuple<stream<u8>, u8, future<u8>>>", NULL}, "0 0.0 0.2"},
    {{"future<stream<u8>>", NULL}, "0"},
    {{"option<result<future<u8>, future<string>>>", NULL}, "0"},
    {{"list<string>", "u8"}, ""},
};

START_TEST(test_paths)
{
    struct err e = ERR_INIT;
    struct wit_pendings got;
    const struct wit_type *t[2];
    size_t n = 0;
    for (; n < 2 && path_rows[_i].types[n]; n++)
        t[n] = type_of(path_rows[_i].types[n]);
    ck_assert_msg(wit_paths(t, n, &got, &e), "%s", e.text);
    struct buf text = BUF_INIT;
    for (uint32_t i = 0; i < got.n; i++)
        for (uint32_t k = 0; k < got.at[i].path.n; k++)
            buf_printf(&text, "%s%u", k ? "." : i ? " " : "", got.at[i].path.i[k]);
    buf_byte(&text, 0);
    ck_assert_str_eq((char *)text.p, path_rows[_i].paths);
    buf_fini(&text);
}
END_TEST

START_TEST(test_async_in_lists_is_refused)
{
    static const char *const types[] = {"list<stream<u8>>", "stream<future<u8>>",
                                        "option<list<tuple<u8, future<u8>>>>"};
    struct err e = ERR_INIT;
    struct wit_pendings pend;
    const struct wit_type *t = type_of(types[_i]);
    ck_assert(!wit_paths(&t, 1, &pend, &e));
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
    ck_assert(!wit_can_travel(t, NULL, NULL, &e));
}
END_TEST

START_TEST(test_what_can_travel)
{
    struct err e = ERR_INIT;
    static const int host_class;
    struct wit_resource stream = {.name = STR("input-stream"), .owner = &host_class};
    const struct wit_type *handle = wit_handle(&arena, WIT_OWN, &stream, &e);
    ck_assert(wit_can_travel(type_of("list<tuple<string, r>>"), NULL, NULL, &e));
    ck_assert(wit_can_travel(type_of("stream<list<u8>>"), NULL, NULL, &e));
    ck_assert(!wit_can_travel(wit_list(&arena, handle, &e), NULL, NULL, &e));
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
    ck_assert(strstr(e.text, "input-stream") != NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("codec");
    TCase *c = tcase_create("vectors");
    tcase_add_checked_fixture(c, setup, teardown);
#define ROWS(test, table) tcase_add_loop_test(c, test, 0, (int)(sizeof table / sizeof table[0]))
    ROWS(test_primitives, primitives);
    ROWS(test_composites, composites);
    ROWS(test_interfaces, interfaces);
    ROWS(test_read_only, read_only);
    ROWS(test_refused, refused);
    ROWS(test_paths, path_rows);
#undef ROWS
    tcase_add_test(c, test_long_char_waits);
    tcase_add_test(c, test_bytes_behind_the_tuple_are_not_used);
    tcase_add_test(c, test_tuple_of_nothing);
    tcase_add_test(c, test_ceilings);
    tcase_add_test(c, test_host_handle_stays);
    tcase_add_test(c, test_pendings);
    tcase_add_test(c, test_ready_goes_out_pending);
    tcase_add_loop_test(c, test_async_in_lists_is_refused, 0, 3);
    tcase_add_test(c, test_what_can_travel);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
