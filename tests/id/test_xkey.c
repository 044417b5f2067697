/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed boxes: against those that the Go nkeys library (0.4.7) made between the two curve keys of the lattice
 * protocol, section 10; and against everything that is not such a box. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lattice/base/num.h"
#include "lattice/id/id.h"

#define NONCE "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7"
#define XKV1 "786b7631"

static const struct {
    const char *message, *box;
} vectors[] = {
    {"", XKV1 NONCE "d71e0e40c840e7ac147f4eb8fb2ebc35"},
    {"hello", XKV1 NONCE "22fad5e340cd92e14a3cce4b8770199d61d7838a58"},
    {"{\"password\":{\"kind\":\"String\",\"value\":\"p\\u00e4ss\"}}", XKV1 NONCE
     "5441899e667799db1662b22074525c2972909f8744c4e67905eb6984e65f12c3c74d5b5c9929b30e068ab8d9083c"
     "134b141c5dbe6e6cf2063570599c7334fda6847c"},
};

static struct id_key first, second;
static struct err e;

static void setup(void)
{
    e = (struct err)ERR_INIT;
    ck_assert(id_key_from_seed(STR("SXAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H74KM"),
                               &first, &e));
    ck_assert(id_key_from_seed(STR("SXACAIJCEMSCKJRHFAUSUKZMFUXC6MBRGIZTINJWG44DSOR3HQ6T4PY4AQ"),
                               &second, &e));
}

static struct buf unhex(const char *hex)
{
    struct buf b = BUF_INIT;
    unsigned byte;
    for (; *hex; hex += 2) {
        ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
        buf_byte(&b, (uint8_t)byte);
    }
    return b;
}

static bool opens(const struct id_key *to, const struct id_key *from, struct span box,
                  const char *want)
{
    struct buf out = {.secret = true};
    bool ok = id_open(to, from->public_key, box, &out, &e);
    ck_assert(!ok || str_eqz(buf_view(&out), want));
    ck_assert(ok || out.n == 0);
    buf_fini(&out);
    return ok;
}

START_TEST(seals_as_the_go_library_does)
{
    struct buf want = unhex(vectors[_i].box), nonce = unhex(NONCE), box = BUF_INIT;
    ck_assert(id_seal_nonce(&first, second.public_key, nonce.p,
                            str_span(str_of(vectors[_i].message)), &box, &e));
    ck_assert_uint_eq(box.n, want.n);
    ck_assert_mem_eq(box.p, want.p, want.n);
    ck_assert(opens(&second, &first, buf_span(&want), vectors[_i].message));
    /* both ends share the key */
    ck_assert(opens(&first, &second, buf_span(&want), vectors[_i].message));
    buf_fini(&want);
    buf_fini(&nonce);
    buf_fini(&box);
}
END_TEST

START_TEST(every_box_has_a_nonce_of_its_own)
{
    struct buf a = BUF_INIT, b = BUF_INIT;
    ck_assert(id_seal(&first, second.public_key, str_span(STR("x")), &a, &e));
    ck_assert(id_seal(&first, second.public_key, str_span(STR("x")), &b, &e));
    ck_assert(!str_eq(buf_view(&a), buf_view(&b)));
    ck_assert(opens(&second, &first, buf_span(&a), "x"));
    ck_assert(opens(&second, &first, buf_span(&b), "x"));
    buf_fini(&a);
    buf_fini(&b);
}
END_TEST

START_TEST(a_changed_or_cut_box_does_not_open)
{
    struct buf box = unhex(vectors[1].box);
    for (size_t i = 0; i < box.n; i++) {
        box.p[i] ^= 1;
        ck_assert_msg(!opens(&second, &first, buf_span(&box), ""), "byte %zu", i);
        box.p[i] ^= 1;
    }
    for (size_t n = 0; n < box.n; n++) {
        struct buf cut = BUF_INIT; /* of exactly that size, so that reading past it is seen */
        buf_put(&cut, box.p, n);
        ck_assert_msg(!opens(&second, &first, buf_span(&cut), ""), "%zu bytes", n);
        buf_fini(&cut);
    }
    buf_byte(&box, 0);
    ck_assert(!opens(&second, &first, buf_span(&box), ""));
    buf_fini(&box);
}
END_TEST

START_TEST(other_keys_do_not_open_it)
{
    struct buf box = unhex(vectors[1].box);
    struct id_key other;
    id_key_generate(ID_CURVE, &other);
    ck_assert(!opens(&other, &first, buf_span(&box), ""));
    ck_assert_int_eq(e.code, ERR_DENIED);
    ck_assert(!opens(&second, &other, buf_span(&box), ""));
    buf_fini(&box);
}
END_TEST

START_TEST(a_box_over_the_limit_is_refused_unread)
{
    struct span huge = {(const uint8_t *)"xkv1", (size_t)ID_BOX_MAX + 1};
    struct buf out = BUF_INIT;
    ck_assert(!id_open(&second, first.public_key, huge, &out, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert(!id_seal(&first, second.public_key, huge, &out, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert_uint_eq(out.n, 0);
}
END_TEST

/* A public key of low order would make the shared key one that everybody knows. */
START_TEST(nothing_is_sealed_for_a_weak_key)
{
    uint8_t weak[ID_RAW_BYTES] = {0};
    struct buf out = BUF_INIT;
    ck_assert(!id_seal(&first, weak, str_span(STR("x")), &out, &e));
    ck_assert_uint_eq(out.n, 0);
    weak[0] = 1;
    ck_assert(!id_seal(&first, weak, str_span(STR("x")), &out, &e));
    buf_fini(&out);
}
END_TEST

START_TEST(only_curve_keys_are_for_sealing)
{
    uint8_t raw[ID_RAW_BYTES];
    ck_assert(
        id_xkey_parse(STR("XA2YA4WWGZMIBUNO5IZJVX4REE4DQUPNEGRI4O3V5FS5BUWNCZRFI2LE"), raw, &e));
    ck_assert_mem_eq(raw, second.public_key, sizeof raw);
    ck_assert(
        !id_xkey_parse(STR("NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB"), raw, &e));
    ck_assert(!id_xkey_parse(STR(""), raw, &e));
    ck_assert_mem_eq(raw, second.public_key, sizeof raw);
}
END_TEST

/* The bytes that a secret buffer let go of are gone, wherever it moved to. */
START_TEST(a_secret_buffer_moves_without_leaving_its_bytes)
{
    struct buf b = {.secret = true};
    for (int i = 0; i < 1000; i++)
        buf_str(&b, STR("abcdef"));
    ck_assert_uint_eq(b.n, 6000);
    ck_assert_mem_eq(b.p + 5994, "abcdef", 6);
    buf_fini(&b);
    ck_assert(b.secret && !b.p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sealed boxes");
    TCase *tc = tcase_create("boxes");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, seals_as_the_go_library_does, 0, (int)ARRAY_LEN(vectors));
    tcase_add_test(tc, every_box_has_a_nonce_of_its_own);
    tcase_add_test(tc, a_changed_or_cut_box_does_not_open);
    tcase_add_test(tc, other_keys_do_not_open_it);
    tcase_add_test(tc, a_box_over_the_limit_is_refused_unread);
    tcase_add_test(tc, nothing_is_sealed_for_a_weak_key);
    tcase_add_test(tc, only_curve_keys_are_for_sealing);
    tcase_add_test(tc, a_secret_buffer_moves_without_leaving_its_bytes);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
