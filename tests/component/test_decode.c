/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that are no component, or one that is refused: each with its code and what the message must tell. The public
 * suite (tests/spec/spec_component) has many more. */
#include <check.h>
#include <stdlib.h>
#include "tests/component/data.h"

#define PREAMBLE "\0asm\x0d\0\1\0"
#define ROW(bytes, code, text)                 \
    {                                          \
        "" bytes, sizeof bytes - 1, code, text \
    }

static const struct {
    const char *bytes;
    size_t n;
    enum err_code code;
    const char *text;
} rows[] = {
    ROW("", ERR_INVALID, "unexpected end"),
    ROW("\x7f"
        "ELF....",
        ERR_INVALID, "not a WebAssembly file"),
    ROW("\0asm\1\0\0\0", ERR_INVALID, "core module, but a component is needed"),
    ROW("\0asm\x0e\0\1\0", ERR_INVALID, "unknown binary version 0xe, layer 0x1"),
    ROW(PREAMBLE "\x0d\0", ERR_INVALID, "at offset 10: unknown section id 13"),
    ROW(PREAMBLE "\x07\x05\1", ERR_INVALID, "unexpected end"),
    ROW(PREAMBLE "\x07\x03\1\x7f\0", ERR_INVALID, "type section: 1 bytes too many"),
    ROW(PREAMBLE "\x07\x02\1\x30", ERR_INVALID, "invalid type 0x30"),
    ROW(PREAMBLE "\x07\x03\1\x70\5", ERR_INVALID, "unknown type 5: there are 0 so far"),
    ROW(PREAMBLE "\x07\x02\1\x72", ERR_INVALID, "unexpected end"),
    ROW(PREAMBLE "\x07\x03\1\x72\0", ERR_INVALID, "record type must have at least one member"),
    ROW(PREAMBLE "\x07\x09\1\x72\2\1a\x7f\1A\x7f", ERR_INVALID,
        "\"A\" conflicts with previous name"),
    ROW(PREAMBLE "\x07\x06\1\x72\1\1_\x7f", ERR_INVALID, "\"_\" is not in kebab case"),
    ROW(PREAMBLE "\x07\x03\1\x6e\x21", ERR_LIMIT, "flag"),
    ROW(PREAMBLE "\x07\x04\1\x67\x7f\0", ERR_INVALID, "fixed length cannot be empty"),
    ROW(PREAMBLE "\x07\x04\1\x66\1\x74", ERR_INVALID, "stream<char>"),
    ROW(PREAMBLE "\x07\x04\1\x63\x76\x7f", ERR_INVALID, "key of a map"),
    ROW(PREAMBLE "\x07\x02\1\x64", ERR_UNSUPPORTED, "error-context"),
    ROW(PREAMBLE "\x07\x04\1\x42\1\x03", ERR_INVALID, "an instance type cannot have imports"),
    ROW(PREAMBLE "\x07\x03\1\x68\0", ERR_INVALID, "unknown type 0"),
    ROW(PREAMBLE "\x09\1\0", ERR_UNSUPPORTED, "component start functions"),
    ROW(PREAMBLE "\x0a\x0d\1\0\3a:b\1\0\0\0\0\0\0\0", ERR_INVALID, "not a valid name"),
    ROW(PREAMBLE "\x07\5\1\x40\0\1\0\x0a\x0b\2\0\1a\1\0\0\1A\1\0", ERR_INVALID,
        "conflicts with previous name"),
    ROW(PREAMBLE "\x06\5\1\3\2\1\0", ERR_INVALID, "invalid outer alias count of 1"),
    ROW(PREAMBLE "\x08\5\1\x01\0\0\0", ERR_INVALID, "unknown function 0"),
    ROW(PREAMBLE "\x08\3\1\x1c\0", ERR_UNSUPPORTED, "error contexts"),
    ROW(PREAMBLE "\x08\4\1\x0a\x7f\2", ERR_INVALID, "must be 0 or 1"),
    ROW(PREAMBLE "\x08\3\1\x0e\0", ERR_INVALID, "unknown type 0"),
    ROW(PREAMBLE "\x02\4\1\0\0\0", ERR_INVALID, "unknown core module 0"),
    ROW(PREAMBLE "\x01\x08\0asm\1\0\0\1", ERR_INVALID, "core module 0 (from offset 10)"),
};

START_TEST(test_refused)
{
    struct err e = ERR_INIT;
    struct span in = {(const uint8_t *)rows[_i].bytes, rows[_i].n};
    ck_assert_ptr_null(comp_load(in, NULL, &e));
    ck_assert_msg(e.code == rows[_i].code && strstr(e.text, rows[_i].text), "%s: %s",
                  err_name(e.code), e.text);
}
END_TEST

START_TEST(test_every_prefix)
{
    struct err e = ERR_INIT;
    struct span all = data_read("compose");
    for (size_t n = 0; n < all.n; n++) {
        uint8_t *copy = malloc(n + 1); /* exact size: reading on is an error under ASan */
        memcpy(copy, all.p, n);
        comp_unref(comp_load((struct span){copy, n}, NULL, &e));
        free(copy);
    }
    struct comp *c = comp_load(all, NULL, &e);
    ck_assert_ptr_nonnull(c);
    comp_unref(c);
}
END_TEST

/* Components in components: each is the previous one in a section 4. */
START_TEST(test_depth)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT, outer = BUF_INIT;
    for (int depth = 1; depth <= 40; depth++) {
        struct comp *c;
        buf_clear(&outer);
        buf_put(&outer, PREAMBLE, 8);
        if (b.n) {
            buf_byte(&outer, 4);
            buf_leb_u64(&outer, b.n);
            buf_put(&outer, b.p, b.n);
        }
        c = comp_load(buf_span(&outer), NULL, &e);
        ck_assert_int_eq(c != NULL, depth <= 32);
        if (!c)
            ck_assert_ptr_nonnull(strstr(e.text, "nested deeper than 32"));
        comp_unref(c);
        buf_clear(&b);
        buf_put(&b, outer.p, outer.n);
    }
    buf_fini(&b);
    buf_fini(&outer);
}
END_TEST

/* (type $1 (tuple $0 $0)) (type $2 (tuple $1 $1)) ...: 2^40 leaves in 41 definitions */
START_TEST(test_type_bomb)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    buf_put(&b, PREAMBLE "\x07\xa2\1\x29\x7d", 13);
    for (uint8_t i = 0; i < 40; i++)
        buf_put(&b, (const uint8_t[]){0x6f, 2, i, i}, 4);
    ck_assert_ptr_null(comp_load(buf_span(&b), NULL, &e));
    ck_assert_msg(e.code == ERR_LIMIT, "%s", e.text);
    buf_fini(&b);
}
END_TEST

/* Sixteen lists of 2^28 - 1 bytes in one record: no sum of sizes may come round to a small one. */
START_TEST(test_size_bomb)
{
    struct err e = ERR_INIT;
    for (uint8_t n = 2; n <= 32; n++) {
        struct buf b = BUF_INIT, s = BUF_INIT;
        buf_put(&b, PREAMBLE "\x07", 9);
        buf_put(&s, "\2\x67\x7d\xff\xff\xff\x7f\x6f", 8);
        buf_byte(&s, n);
        for (uint8_t i = 0; i < n; i++)
            buf_byte(&s, 0);
        buf_leb_u64(&b, s.n);
        buf_put(&b, s.p, s.n);
        ck_assert_ptr_null(comp_load(buf_span(&b), NULL, &e));
        ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "values of this type"), "%s", e.text);
        buf_fini(&b);
        buf_fini(&s);
    }
}
END_TEST

/* An instance type of a function with a large parameter, used again and again: few bytes, much to look at. */
START_TEST(test_work_bomb)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT, s = BUF_INIT;
    buf_put(&b, PREAMBLE, 8);
    buf_leb_u64(&s, 17);
    buf_byte(&s, 0x7d);
    for (uint8_t i = 0; i < 15; i++)
        buf_put(&s, (const uint8_t[]){0x6f, 2, i, i}, 4); /* 2^15 leaves */
    buf_put(&s, "\x42\3\2\3\2\1\x0f\1\x40\1\1a\0\1\0\4\0\1f\1\1",
            21); /* (instance (export "f" (func (param "a" $15)))) */
    buf_byte(&b, 7);
    buf_leb_u64(&b, s.n);
    buf_put(&b, s.p, s.n);
    buf_clear(&s);
    buf_leb_u64(&s, 5000);
    for (int i = 0; i < 5000; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "i%d", i);
        buf_byte(&s, 0);
        buf_leb_u64(&s, (uint64_t)n);
        buf_put(&s, name, (size_t)n);
        buf_put(&s, "\5\x10", 2);
    }
    buf_byte(&b, 10);
    buf_leb_u64(&b, s.n);
    buf_put(&b, s.p, s.n);
    ck_assert_ptr_null(comp_load(buf_span(&b), NULL, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "steps"), "%s", e.text);
    buf_fini(&b);
    buf_fini(&s);
}
END_TEST

/* Every component instantiates the one in it twice: 2^n instances. */
START_TEST(test_instance_bomb)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT, outer = BUF_INIT;
    buf_put(&b, PREAMBLE, 8);
    for (int depth = 0; depth < 20; depth++) {
        buf_clear(&outer);
        buf_put(&outer, PREAMBLE "\x04", 9);
        buf_leb_u64(&outer, b.n);
        buf_put(&outer, b.p, b.n);
        buf_put(&outer, "\x05\x07\2\0\0\0\0\0\0", 9);
        buf_clear(&b);
        buf_put(&b, outer.p, outer.n);
    }
    struct comp *c = comp_load(buf_span(&b), NULL, &e);
    ck_assert_msg(c != NULL, "%s", e.text);
    ck_assert_ptr_null(comp_link(c, NULL, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "instances"), "%s", e.text);
    comp_unref(c);
    buf_fini(&b);
    buf_fini(&outer);
}
END_TEST

/* A component of one section: `head`, a count or length, then n times `entry`. */
static void refuse_many(uint8_t section, const char *head, uint32_t n, struct str entry,
                        const char *text)
{
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT, s = BUF_INIT;
    buf_str(&s, str_of(head));
    buf_leb_u64(&s, n);
    for (uint32_t i = 0; i < n; i++)
        buf_str(&s, entry);
    buf_put(&b, PREAMBLE, 8);
    buf_byte(&b, section);
    buf_leb_u64(&b, s.n);
    buf_put(&b, s.p, s.n);
    ck_assert_ptr_null(comp_load(buf_span(&b), NULL, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, text), "%s", e.text);
    buf_fini(&b);
    buf_fini(&s);
}

START_TEST(test_gigantic_names)
{
    static const struct str letter = {"a", 1};
    refuse_many(10, "\1\1", 1025, letter, "name of 1025 bytes, limit is 1024"); /* an import's */
    refuse_many(10, "\1\1", 10u << 20, letter, "name of 10485760 bytes");
    refuse_many(7, "\1\x6e\1", 1025, letter, "name of 1025 bytes"); /* flags' */
}
END_TEST

START_TEST(test_many_instances)
{
    refuse_many(2, "", 100000, (struct str){"\1\0", 2}, "10000"); /* core, without exports */
    refuse_many(5, "", 100000, (struct str){"\1\0", 2}, "10000");
    refuse_many(7, "", 100000, (struct str){"\x42\0", 2}, "10000"); /* types of instances */
}
END_TEST

static bool same_name(struct str s, const char *z)
{
    return str_eqz(s, z);
}

START_TEST(test_interfaces)
{
    struct err e = ERR_INIT;
    struct comp *c = comp_load(data_read("resources"), NULL, &e);
    ck_assert_uint_eq(comp_nimports(c), 1);
    const struct wit_iface *i = comp_import(c, 0);
    ck_assert(same_name(i->name, "test:host/files@1.2.3"));
    ck_assert_uint_eq(i->nfuncs, 5);
    ck_assert_uint_eq(i->nresources, 2);
    ck_assert(same_name(i->resources[1]->name, "file"));
    const struct wit_func *f = wit_iface_func(i, STR("[method]file.size"));
    ck_assert(f && f->nparams == 1 && f->params[0].type->kind == WIT_BORROW);
    ck_assert_uint_eq(comp_nexports(c), 1);
    ck_assert(same_name(comp_export(c, 0)->name, ""));
    ck_assert_uint_eq(comp_export(c, 0)->nfuncs, 10);
    comp_unref(c);
}
END_TEST

START_TEST(test_known_frames)
{
    struct err e = ERR_INIT;
    struct buf found = BUF_INIT, again = BUF_INIT;
    struct comp *c = comp_load(data_read("compose"), NULL, &e);
    comp_frames(c, &found);
    ck_assert_uint_gt(found.n, 0);
    comp_unref(c);
    struct comp_limits limits = {.known_frames = buf_span(&found)};
    c = comp_load(data_read("compose"), &limits, &e);
    ck_assert_msg(c, "%s", e.text);
    comp_frames(c, &again);
    ck_assert(str_eq(buf_view(&again), buf_view(&found)));
    comp_unref(c);
    /* whatever they say, and wherever they end, the component loads */
    for (size_t n = 0; n < found.n; n++) {
        limits.known_frames.n = n;
        found.p[n] ^= 0xff;
        c = comp_load(data_read("compose"), &limits, &e);
        ck_assert_msg(c, "%s", e.text);
        comp_unref(c);
    }
    buf_fini(&again);
    buf_fini(&found);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decode");
    TCase *t = tcase_create("decode");
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, test_refused, 0, sizeof rows / sizeof *rows);
    tcase_add_test(t, test_every_prefix);
    tcase_add_test(t, test_depth);
    tcase_add_test(t, test_type_bomb);
    tcase_add_test(t, test_size_bomb);
    tcase_add_test(t, test_work_bomb);
    tcase_add_test(t, test_instance_bomb);
    tcase_add_test(t, test_gigantic_names);
    tcase_add_test(t, test_many_instances);
    tcase_add_test(t, test_interfaces);
    tcase_add_test(t, test_known_frames);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    wasm_init();
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
