/* SPDX-License-Identifier: Apache-2.0 */
/* Worlds and packages as WIT text: byte for byte what the public tool prints (tests/component/data/NAME.text), and
 * components made to have much more text than bytes. */
#include <check.h>
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/component/data.h"

#define PREAMBLE "\0asm\x0d\0\1\0"
#define TEXT_MAX (1u << 20)

static bool text_of(struct span wasm, struct buf *out, struct err *e)
{
    struct comp *c = comp_load(wasm, NULL, e);
    ck_assert_msg(c != NULL, "%s", e->text);
    bool ok = comp_world_text(c, out, e);
    comp_unref(c);
    return ok;
}

static const char *const golden[] = {"world", "package", "resources", "compose", "async"};

START_TEST(test_golden)
{
    char path[256];
    static char want[64 << 10];
    struct err e = ERR_INIT;
    struct buf text = {.max = TEXT_MAX};
    snprintf(path, sizeof path, "tests/component/data/%s.text", golden[_i]);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    want[fread(want, 1, sizeof want - 1, f)] = '\0';
    fclose(f);
    ck_assert_msg(text_of(data_read(golden[_i]), &text, &e), "%s", e.text);
    buf_byte(&text, '\0');
    ck_assert_str_eq((const char *)text.p, want);
    buf_fini(&text);
}
END_TEST

START_TEST(test_no_words)
{
    struct err e = ERR_INIT;
    struct buf text = {.max = TEXT_MAX};
    ck_assert(!text_of(data_read("bad"), &text, &e));
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
    ck_assert_msg(strstr(e.text, "\"v\" is: a world exports functions"), "%s", e.text);
    buf_fini(&text);
}
END_TEST

/* ---- made to be long ---- */

static void section(struct buf *out, uint8_t id, const struct buf *body)
{
    buf_byte(out, id);
    buf_leb_u64(out, body->n);
    buf_put(out, body->p, body->n);
}

static void name(struct buf *out, const char *before, unsigned n, const char *behind)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%s%u%s", before, n, behind);
    buf_byte(out, 0);
    buf_leb_u64(out, (uint64_t)len);
    buf_put(out, text, (size_t)len);
}

/* 15 tuples of two of the one before: 2^15 words; and functions that take one. */
START_TEST(test_ceiling)
{
    struct err e = ERR_INIT;
    struct buf wasm = BUF_INIT, types = BUF_INIT, imports = BUF_INIT, text = {.max = TEXT_MAX};
    buf_put(&types, "\x11\x7d", 2);
    for (uint8_t i = 0; i < 15; i++)
        buf_put(&types, (const uint8_t[]){0x6f, 2, i, i}, 4);
    buf_put(&types, "\x40\1\1p\x0f\1\0", 7);
    buf_byte(&imports, 14);
    for (unsigned i = 0; i < 14; i++) {
        name(&imports, "f", i, "");
        buf_put(&imports, "\1\x10", 2);
    }
    buf_put(&wasm, PREAMBLE, 8);
    section(&wasm, 7, &types);
    section(&wasm, 10, &imports);
    ck_assert_uint_lt(wasm.n, 250);
    ck_assert(!text_of(buf_span(&wasm), &text, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert_uint_le(text.n, TEXT_MAX);
    buf_fini(&wasm);
    buf_fini(&types);
    buf_fini(&imports);
    buf_fini(&text);
}
END_TEST

/* Types "t" of interfaces: u32, or what type `same` is. */
static void type_of_interface(struct buf *out, const unsigned *same)
{
    buf_put(out, "\x42\2", 2);
    if (same) {
        buf_put(out, "\2\3\2\1", 4);
        buf_leb_u64(out, *same);
    } else {
        buf_put(out, "\1\x79", 2);
    }
    buf_put(out, "\4\0\1t\3\0\0", 7);
}

/* Imports a:p0/i, a:p1/i ..., then a:p0/j, which uses the type of a:p1/i, and so on. */
static void chain(struct buf *wasm, unsigned n)
{
    struct buf types = BUF_INIT, imports = BUF_INIT, aliases = BUF_INIT;
    buf_put(wasm, PREAMBLE, 8);
    for (unsigned round = 0; round < 2; round++) {
        buf_clear(&types);
        buf_clear(&imports);
        buf_leb_u64(&types, n - round);
        buf_leb_u64(&imports, n - round);
        buf_leb_u64(&aliases, n);
        for (unsigned i = 0; i < n - round; i++) {
            type_of_interface(&types, round ? &(unsigned){n + i + 1} : NULL);
            name(&imports, "a:p", i, round ? "/j" : "/i");
            buf_byte(&imports, 5);
            buf_leb_u64(&imports, 2 * n * round + i);
            buf_put(&aliases, "\3\0", 2);
            buf_leb_u64(&aliases, i);
            buf_put(&aliases, "\1t", 2);
        }
        section(wasm, 7, &types);
        section(wasm, 10, &imports);
        if (!round)
            section(wasm, 6, &aliases);
    }
    buf_fini(&types);
    buf_fini(&imports);
    buf_fini(&aliases);
}

START_TEST(test_packages_that_lean_on_one_another)
{
    for (unsigned n = 64; n <= 65; n++) {
        struct err e = ERR_INIT;
        struct buf wasm = BUF_INIT, text = {.max = TEXT_MAX};
        chain(&wasm, n);
        bool ok = text_of(buf_span(&wasm), &text, &e);
        ck_assert_int_eq(ok, n == 64);
        ck_assert_msg(ok || strstr(e.text, "more than 64 packages"), "%s", e.text);
        buf_byte(&text, '\0');
        ck_assert(!ok || strstr((const char *)text.p, "interface j {\n    use a:p1/i.{t};\n  }\n"));
        buf_fini(&wasm);
        buf_fini(&text);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("world");
    TCase *t = tcase_create("world");
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, test_golden, 0, ARRAY_LEN(golden));
    tcase_add_test(t, test_no_words);
    tcase_add_test(t, test_ceiling);
    tcase_add_test(t, test_packages_that_lean_on_one_another);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    wasm_init();
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
