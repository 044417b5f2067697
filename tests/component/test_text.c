/* SPDX-License-Identifier: Apache-2.0 */
/* Strings between encodings: the allocations that the ABI prescribes, and what is written. */
#include <check.h>
#include <stdlib.h>
#include "hostd/component/guest.h"

enum { U8, U16, L1, T16 }; /* what a value was lifted from: wit_value.aux & 3 */

static const struct {
    const char *text; /* UTF-8 */
    int from;
    uint32_t units; /* in the source encoding; 0 for UTF-8 */
    enum encoding to;
    struct text_plan want;
    const char *bytes; /* what is written, `want.final` of them */
} rows[] = {
    /* same encoding: one exact allocation */
    {"h\xc3\xa9", U8, 0, ENC_UTF8, {3, 0, 3, 1, 1, 3, false}, "h\xc3\xa9"},
    {"h\xc3\xa9", U16, 2, ENC_UTF16, {4, 0, 4, 2, 2, 2, true}, "h\0\xe9\0"},
    {"h\xc3\xa9", L1, 2, ENC_LATIN1_UTF16, {2, 0, 2, 2, 2, 2, false}, "h\xe9"},
    {"", U8, 0, ENC_UTF16, {0, 0, 0, 2, 2, 0, true}, ""},
    /* to UTF-8: one byte per unit, then the worst case, then the exact size */
    {"hi", U16, 2, ENC_UTF8, {2, 0, 2, 1, 1, 2, false}, "hi"},
    {"h\xc3\xa9", U16, 2, ENC_UTF8, {2, 6, 3, 1, 1, 3, false}, "h\xc3\xa9"},
    {"h\xc3\xa9", L1, 2, ENC_UTF8, {2, 4, 3, 1, 1, 3, false}, "h\xc3\xa9"},
    {"\xf0\x9f\x8e\x88", U16, 2, ENC_UTF8, {2, 6, 4, 1, 1, 4, false}, "\xf0\x9f\x8e\x88"},
    /* to UTF-16 */
    {"h\xc3\xa9", U8, 0, ENC_UTF16, {6, 0, 4, 2, 2, 2, true}, "h\0\xe9\0"},
    {"h\xc3\xa9", L1, 2, ENC_UTF16, {4, 0, 4, 2, 2, 2, true}, "h\0\xe9\0"},
    {"\xf0\x9f\x8e\x88", U8, 0, ENC_UTF16, {8, 0, 4, 2, 2, 2, true}, "\x3c\xd8\x88\xdf"},
    /* to latin1+utf16: narrow as long as it goes; bit 31 tags the wide form */
    {"h\xc3\xa9", U8, 0, ENC_LATIN1_UTF16, {3, 0, 2, 2, 2, 2, false}, "h\xe9"},
    {"h\xe2\x98\x83", U8, 0, ENC_LATIN1_UTF16, {4, 8, 4, 2, 2, 2 | 1u << 31, true}, "h\0\x03\x26"},
    {"h\xe2\x98\x83", U16, 2, ENC_LATIN1_UTF16, {2, 4, 4, 2, 2, 2 | 1u << 31, true}, "h\0\x03\x26"},
    {"h\xe2\x98\x83", T16, 2, ENC_LATIN1_UTF16, {4, 0, 4, 2, 2, 2 | 1u << 31, true}, "h\0\x03\x26"},
    {"h\xc3\xa9", T16, 2, ENC_LATIN1_UTF16, {4, 0, 2, 2, 1, 2, false}, "h\xe9"},
};

START_TEST(test_plan_and_store)
{
    struct wit_value v = wit_str(str_of(rows[_i].text));
    uint8_t out[16] = {0};
    v.aux = rows[_i].units << 2 | (uint32_t)rows[_i].from;
    struct text_plan p = text_plan(&v, rows[_i].to), w = rows[_i].want;
    ck_assert_uint_eq(p.alloc, w.alloc);
    ck_assert_uint_eq(p.grow, w.grow);
    ck_assert_uint_eq(p.final, w.final);
    ck_assert_uint_eq(p.align, w.align);
    ck_assert_uint_eq(p.final_align, w.final_align);
    ck_assert_uint_eq(p.units, w.units);
    ck_assert_int_eq(p.wide, w.wide);
    ck_assert(text_plan_ok(&p));
    text_store(&p, &v, rows[_i].to, out);
    ck_assert_mem_eq(out, rows[_i].bytes, w.final);
}
END_TEST

START_TEST(test_nothing)
{
    struct wit_value v = {0}; /* no bytes at all, not even an address */
    struct text_plan p = text_plan(&v, (enum encoding)_i);
    uint8_t out[1] = {'x'};
    ck_assert_uint_eq(p.alloc | p.grow | p.final | p.units, 0);
    text_store(&p, &v, (enum encoding)_i, out);
    ck_assert_int_eq(out[0], 'x');
}
END_TEST

START_TEST(test_too_long)
{
    struct wit_value v = {.p = (const uint8_t *)"", .n = 0, .aux = ((1u << 28) - 1) << 2 | U16};
    struct text_plan p = text_plan(&v, ENC_UTF8); /* the worst case is what counts */
    ck_assert(!text_plan_ok(&p));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *t = tcase_create("text");
    tcase_add_loop_test(t, test_plan_and_store, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(t, test_nothing, 0, 3);
    tcase_add_test(t, test_too_long);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
