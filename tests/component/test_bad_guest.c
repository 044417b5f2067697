/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that lie (data/bad.wat): pointers, lengths, discriminants, characters, text, handles, allocators. Each lie is
 * a trap of that call with a text that says what it was, and no object of the host is lost or dropped twice by it. */
#include <check.h>
#include <stdlib.h>
#include "tests/component/data.h"
#include "tests/component/fake_host.h"

#define PAGE 65536u
#define TEXT_AT 64u
#define UNALIGNED "unaligned pointer"
#define BEYOND "content out-of-bounds"
#define TOO_LONG "pointer/length out of bounds"
#define REALLOC_BEYOND "realloc return: beyond end of memory"
#define POINTER_OUT "pointer out of bounds of memory"

static const struct lie {
    const char *func;
    uint32_t a, b;
    const char *trap; /* NULL: none */
    uint32_t poked;   /* four bytes at TEXT_AT */
} lies[] = {
    /* strings and lists that are results */
    {"string-at", TEXT_AT, 4, NULL, 0x64636261},
    {"string-at", PAGE, 0, NULL, 0},
    {"string-at", PAGE, 1, BEYOND, 0},
    {"string-at", PAGE - 3, 4, BEYOND, 0},
    {"string-at", PAGE + 1, 0, BEYOND, 0},
    {"string-at", UINT32_MAX, 0, BEYOND, 0},
    {"string-at", 1, UINT32_MAX, TOO_LONG, 0},
    {"string-at", 0, 1u << 28, TOO_LONG, 0},
    {"string-at", TEXT_AT, 2, "utf-8", 0x80c0},     /* overlong NUL */
    {"string-at", TEXT_AT, 3, "utf-8", 0x80a0ed},   /* surrogate */
    {"string-at", TEXT_AT, 4, "utf-8", 0x808090f4}, /* behind U+10FFFF */
    {"string-at", TEXT_AT, 3, "utf-8", 0x809ff0},   /* cut short */
    {"string-at", TEXT_AT, 1, "utf-8", 0x80},
    {"string-at", TEXT_AT, 1, "utf-8", 0xff},
    {"utf16-at", TEXT_AT, 2, NULL, 0xdc00d800},
    {"utf16-at", TEXT_AT, 1, "utf-16", 0xd800},
    {"utf16-at", TEXT_AT, 2, "utf-16", 0xd800dc00}, /* the wrong way round */
    {"utf16-at", TEXT_AT + 1, 1, UNALIGNED, 0},
    {"utf16-at", PAGE - 2, 2, BEYOND, 0},
    {"utf16-at", 0, 1u << 27, TOO_LONG, 0},
    {"latin-at", TEXT_AT, 4, NULL, 0xffe9fcdf},
    {"latin-at", TEXT_AT, 1u << 31 | 1, "utf-16", 0xd800},
    {"latin-at", TEXT_AT + 1, 1, UNALIGNED, 0},
    {"latin-at", TEXT_AT, UINT32_MAX, TOO_LONG, 0},
    {"list-at", 8, 4, NULL, 0},
    {"list-at", 4, 1, UNALIGNED, 0},
    {"list-at", 4, 0, UNALIGNED, 0},
    {"list-at", PAGE, 0, NULL, 0},
    {"list-at", PAGE, 1, BEYOND, 0},
    {"list-at", 0, 1u << 25, BEYOND, 0},
    {"list-at", 0, 1u << 29, BEYOND, 0}, /* 2^32 bytes come round to none */
    {"bytes-at", PAGE - 1, 2, BEYOND, 0},
    {"bytes-at", UINT32_MAX, 2, BEYOND, 0},
    {"strings-at", TEXT_AT, 1, BEYOND, PAGE + 1},
    {"strings-at", PAGE - 4, 1, BEYOND, 0},
    /* results that lie in memory */
    {"tuple-at", 2, 0, UNALIGNED, 0},
    {"tuple-at", PAGE - 8, 0, POINTER_OUT, 0},
    {"tuple-at", UINT32_MAX - 3, 0, POINTER_OUT, 0},
    {"variant-at", TEXT_AT, 0, NULL, 0},
    {"variant-at", TEXT_AT, 0, "invalid variant discriminant 3", 3},
    {"variant-at", TEXT_AT, 0, "invalid variant discriminant 255", UINT32_MAX},
    {"enum-of", 1, 0, NULL, 0},
    {"enum-of", 2, 0, "invalid variant discriminant 2", 0},
    {"enum-of", UINT32_MAX, 0, "invalid variant discriminant", 0},
    {"bool-of", 0xffffff00, 0, NULL, 0},
    {"char-of", 0x10ffff, 0, NULL, 0},
    {"char-of", 0x110000, 0, "char", 0},
    {"char-of", 0xd800, 0, "char", 0},
    {"char-of", UINT32_MAX, 0, "char", 0},
    /* arguments of imports, and where their results are wanted */
    {"say", PAGE - 1, 2, BEYOND, 0},
    {"say", TEXT_AT, 1, "utf-8", 0xfe},
    {"say16", 1, 1, UNALIGNED, 0},
    {"count", 2, 1, UNALIGNED, 0},
    {"count", PAGE - 4, 2, BEYOND, 0},
    {"ask", 2, 0, UNALIGNED, 0},
    {"ask", PAGE - 4, 0, POINTER_OUT, 0},
    {"pair", 4, 0, UNALIGNED, 0},
    {"pair", PAGE - 8, 0, POINTER_OUT, 0},
    {"pair", PAGE, 0, POINTER_OUT, 0},
    /* handles */
    {"look", 1, 0, NULL, 0},
    {"look", 0, 0, "unknown handle index 0", 0},
    {"look", 2, 0, "unknown handle index 2", 0},
    {"look", UINT32_MAX, 0, "unknown handle index 4294967295", 0},
    {"give", 2, 0, "unknown handle index 2", 0},
    {"keep-twice", 0, 0, "unknown handle index 1", 0},
    {"drop-twice", 0, 0, "unknown handle index 1", 0},
    {"look-after-drop", 0, 0, "unknown handle index 1", 0},
    {"hoard", 0, 0, "limit is 100000 handles", 0},
    /* calls while nothing may be called */
    {"post", 0, 0, "cannot leave component instance", 0},
};

START_TEST(test_lies)
{
    const struct lie *x = &lies[_i];
    struct fake_host h = {0};
    struct guest g = guest_of(data_read("bad"), &fake_linker, &h);
    ck_assert_done(&g, "poke", ((struct wit_value[]){wit_u64(TEXT_AT), wit_u64(x->poked)}));
    struct wit_value args[] = {wit_u64(x->a), wit_u64(x->b)};
    enum comp_outcome o = guest_call(&g, x->func, args);
    const char *why = comp_trap_text(g.inst);
    ck_assert_msg(o == (x->trap ? COMP_TRAPPED : COMP_DONE), "%s(0x%x, 0x%x): outcome %d %s",
                  x->func, x->a, x->b, o, why);
    ck_assert_msg(!x->trap || strstr(why, x->trap), "%s(0x%x, 0x%x): %s", x->func, x->a, x->b, why);
    if (x->trap)
        ck_assert(!comp_inst_reset(g.inst, &h));
    guest_free(&g);
    ck_assert_int_eq(h.objects, 0);
}
END_TEST

/* ---- the allocator ---- */

enum { GOOD, ODD, BEHIND, NEAR, TRAPS, WRAPS, MOVES };

START_TEST(test_realloc_lies)
{
    static const struct {
        uint32_t mode;
        const char *func, *trap;
    } rows[] = {
        {GOOD, "take", NULL},
        {ODD, "take", NULL}, /* text may lie anywhere */
        {ODD, "take-list", "realloc return: result not aligned"},
        {BEHIND, "take", REALLOC_BEYOND},
        {BEHIND, "take-list", REALLOC_BEYOND},
        {NEAR, "take", REALLOC_BEYOND},
        {NEAR, "take-list", REALLOC_BEYOND},
        {TRAPS, "take", "unreachable"},
        {WRAPS, "take", REALLOC_BEYOND},
        {WRAPS, "take-list", REALLOC_BEYOND},
        {MOVES, "take", NULL},
        {MOVES, "take-list", NULL},
        {GOOD, "take-leaving", "cannot leave component instance"},
    };
    static const uint8_t text[] = "sixteen letters.";
    const struct wit_value numbers[2] = {wit_u64(1), wit_u64(2)};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fake_host h = {0};
        struct guest g = guest_of(data_read("bad"), &fake_linker, &h);
        bool list = strcmp(rows[i].func, "take-list") == 0;
        struct wit_value mode = wit_u64(rows[i].mode);
        struct wit_value arg = list ? (struct wit_value){.v = numbers, .n = 2}
                                    : (struct wit_value){.p = text, .n = 16};
        ck_assert_done(&g, "mode", &mode);
        if (rows[i].trap)
            ck_assert_trap(&g, rows[i].func, &arg, rows[i].trap);
        else
            ck_assert_done(&g, rows[i].func, &arg);
        guest_free(&g);
    }
}
END_TEST

/* An import's result is lowered by the caller's allocator, an empty one too. */
START_TEST(test_realloc_lies_about_nothing)
{
    struct fake_host h = {0};
    struct guest g = guest_of(data_read("bad"), &fake_linker, &h);
    struct wit_value wraps = wit_u64(WRAPS), args[] = {wit_u64(TEXT_AT), wit_u64(0)};
    ck_assert_done(&g, "ask", args);
    ck_assert_done(&g, "mode", &wraps);
    ck_assert_trap(&g, "ask", args, REALLOC_BEYOND);
    guest_free(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bad guest");
    TCase *t = tcase_create("lies");
    tcase_add_loop_test(t, test_lies, 0, sizeof lies / sizeof *lies);
    tcase_add_test(t, test_realloc_lies);
    tcase_add_test(t, test_realloc_lies_about_nothing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    wasm_init();
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
