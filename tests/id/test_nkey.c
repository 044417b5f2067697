/* SPDX-License-Identifier: Apache-2.0 */
/* Keys against the vectors of the lattice protocol, section 10, and RFC 8032. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "lattice/id/id.h"

static const struct {
    enum id_key_type type;
    const char *public_key, *seed;
} vectors[] = {
    {ID_SERVER, "NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB",
     "SNAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2D5U"},
    {ID_ACCOUNT, "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV",
     "SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI"},
    {ID_MODULE, "MAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLXP",
     "SMAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2CRY"},
    {ID_SERVICE, "VAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSLE",
     "SVAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H76SU"},
    {ID_USER, "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK",
     "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"},
    {ID_CLUSTER, "CAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3R53J",
     "SCAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYO7Q"},
    {ID_CURVE, "XCHUBRNNW2HSKYSK4WZBJ2TWPJXMSTMCTU6XWXQ22G5G6PRBHAUF76G7",
     "SXAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H74KM"},
};

static void raw_seed(uint8_t out[ID_RAW_BYTES], uint8_t first)
{
    for (int i = 0; i < ID_RAW_BYTES; i++)
        out[i] = (uint8_t)(first + i);
}

START_TEST(published_vectors)
{
    uint8_t raw[ID_RAW_BYTES], parsed[ID_RAW_BYTES];
    char text[ID_SEED_LEN + 1];
    struct id_key k;
    struct err e = ERR_INIT;
    enum id_key_type type;
    raw_seed(raw, 0);
    id_key_from_raw(vectors[_i].type, raw, &k);
    ck_assert_str_eq(id_key_public(&k, text), vectors[_i].public_key);
    ck_assert_str_eq(id_key_seed(&k, text), vectors[_i].seed);
    memset(&k, 0, sizeof k);
    ck_assert_msg(id_key_from_seed(str_of(vectors[_i].seed), &k, &e), "%s", e.text);
    ck_assert_int_eq(k.type, vectors[_i].type);
    ck_assert_str_eq(id_key_public(&k, text), vectors[_i].public_key);
    ck_assert_msg(id_public_parse(str_of(vectors[_i].public_key), &type, parsed, &e), "%s", e.text);
    ck_assert_int_eq(type, vectors[_i].type);
    ck_assert_mem_eq(parsed, k.public_key, ID_RAW_BYTES);
}
END_TEST

START_TEST(second_curve_key)
{
    uint8_t raw[ID_RAW_BYTES];
    char text[ID_SEED_LEN + 1];
    struct id_key k;
    raw_seed(raw, 0x20);
    id_key_from_raw(ID_CURVE, raw, &k);
    ck_assert_str_eq(id_key_public(&k, text),
                     "XA2YA4WWGZMIBUNO5IZJVX4REE4DQUPNEGRI4O3V5FS5BUWNCZRFI2LE");
    ck_assert_str_eq(id_key_seed(&k, text),
                     "SXACAIJCEMSCKJRHFAUSUKZMFUXC6MBRGIZTINJWG44DSOR3HQ6T4PY4AQ");
}
END_TEST

/* Any single changed character, and any other length, is noticed. */
START_TEST(mistyped_keys_are_refused)
{
    struct err e = ERR_INIT;
    struct id_key k;
    enum id_key_type type;
    uint8_t raw[ID_RAW_BYTES];
    char text[ID_SEED_LEN + 2];
    for (size_t i = 0; i < ID_SEED_LEN; i++) {
        memcpy(text, vectors[0].seed, ID_SEED_LEN + 1);
        text[i] = text[i] == 'Q' ? 'R' : 'Q';
        ck_assert(!id_key_from_seed(str_of(text), &k, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_ptr_null(strstr(e.text, "AAICAMCAKB")); /* a seed never shows in a message */
        text[i] = '1';
        ck_assert(!id_key_from_seed(str_of(text), &k, &e));
    }
    for (size_t n = 0; n < ID_SEED_LEN; n++)
        ck_assert(!id_key_from_seed((struct str){vectors[0].seed, n}, &k, &e));
    ck_assert(!id_key_from_seed(str_of(vectors[0].public_key), &k, &e));
    ck_assert(!id_public_parse(str_of(vectors[0].seed), &type, raw, &e));
    ck_assert(!id_key_from_seed(STR_NONE, &k, &e));
}
END_TEST

START_TEST(generated_keys_work)
{
    struct id_key a, b;
    struct err e = ERR_INIT;
    char text[ID_SEED_LEN + 1];
    uint8_t signature[ID_SIGNATURE_BYTES];
    id_key_generate(ID_SERVER, &a);
    ck_assert(id_key_from_seed(str_of(id_key_seed(&a, text)), &b, &e));
    ck_assert_mem_eq(&a, &b, sizeof a);
    id_sign(&a, str_span(STR("message")), signature);
    ck_assert(id_verify(b.public_key, str_span(STR("message")), signature));
    ck_assert(!id_verify(b.public_key, str_span(STR("massage")), signature));
    signature[5] ^= 1;
    ck_assert(!id_verify(b.public_key, str_span(STR("message")), signature));
    id_key_fini(&a);
    ck_assert_uint_eq(a.seed[0] | a.seed[31], 0);
}
END_TEST

/* RFC 8032, 7.1, test 2 */
START_TEST(ed25519_vector)
{
    static const uint8_t seed[ID_RAW_BYTES] = {0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda,
                                               0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e, 0x0f,
                                               0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24,
                                               0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
    static const uint8_t expect[] = {0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8};
    uint8_t signature[ID_SIGNATURE_BYTES], message[] = {0x72};
    struct id_key k;
    id_key_from_raw(ID_USER, seed, &k);
    id_sign(&k, (struct span){message, 1}, signature);
    ck_assert_mem_eq(signature, expect, sizeof expect);
}
END_TEST

START_TEST(names_and_hash)
{
    enum id_key_type type;
    char hash[ID_HASH_LEN + 1];
    ck_assert(id_key_type_parse(STR("component"), &type) && type == ID_MODULE);
    ck_assert(id_key_type_parse(STR("Host"), &type) && type == ID_SERVER);
    ck_assert(id_key_type_parse(STR("x25519"), &type) && type == ID_CURVE);
    ck_assert(!id_key_type_parse(STR("king"), &type));
    ck_assert_str_eq(id_hash(str_span(STR("abc")), hash),
                     "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nkeys");
    TCase *tc = tcase_create("nkeys");
    tcase_add_loop_test(tc, published_vectors, 0, sizeof vectors / sizeof *vectors);
    tcase_add_test(tc, second_curve_key);
    tcase_add_test(tc, mistyped_keys_are_refused);
    tcase_add_test(tc, generated_keys_work);
    tcase_add_test(tc, ed25519_vector);
    tcase_add_test(tc, names_and_hash);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
