/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, and tokens inside components: lattice protocol 5.3 and the vector of its section 10. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lattice/id/id.h"

#define ACCOUNT_SEED "SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI"
#define ACCOUNT "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV"
#define SUBJECT "MAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5PMMJ"
#define DEMO(hash)                                                              \
    "{\"jti\":\"0000000000000000000000\",\"iat\":1700000000,\"iss\":\"" ACCOUNT \
    "\",\"sub\":\"" SUBJECT "\",\"wascap\":{\"name\":\"demo\",\"hash\":\"" hash \
    "\",\"tags\":[],\"rev\":0,\"ver\":\"0.1.0\",\"prov\":false},\"wascap_revision\":3}"

static struct arena arena;
static struct err e;

static void set_up(void)
{
    arena_init(&arena, 1 << 20);
    e = (struct err)ERR_INIT;
}

static void tear_down(void)
{
    arena_fini(&arena);
}

/* The token of a claims text, NUL terminated in the arena. */
static struct str sign(const char *claims)
{
    struct id_key k;
    struct buf token = BUF_INIT;
    ck_assert(id_key_from_seed(STR(ACCOUNT_SEED), &k, &e));
    id_token_sign(&k, str_of(claims), &token);
    struct str out = arena_str(&arena, buf_view(&token));
    buf_fini(&token);
    return out;
}

static struct id_claims decode(struct str token)
{
    struct id_claims c;
    ck_assert_msg(id_claims_decode(token, &arena, &c, &e), "%s", e.text);
    return c;
}

START_TEST(published_token)
{
    struct str token = sign(DEMO("AB"));
    ck_assert(str_starts(token, STR("eyJ0eXAiOiJqd3QiLCJhbGciOiJFZDI1NTE5In0.")));
    ck_assert(str_ends(token, STR(".e1AfabQAb3aImhPrbeSPoTzuTvkDuW0xh-b69pQexArkDiTtenz-"
                                  "044NUZbR5bO-ilbnOix_lTFrY52t8r2nDA")));
    struct id_claims c = decode(token);
    ck_assert(str_eqz(c.issuer, ACCOUNT) && str_eqz(c.subject, SUBJECT) && str_eqz(c.name, "demo"));
    ck_assert(str_eqz(c.version, "0.1.0") && str_eqz(c.hash, "AB") &&
              str_eqz(c.id, "0000000000000000000000"));
    ck_assert(c.has_metadata && c.has_revision && c.revision == 0 && !c.is_provider &&
              c.ntags == 0);
    ck_assert_uint_eq(c.issued_s, 1700000000);
    ck_assert_uint_eq(c.expires_s, ID_NEVER);
    ck_assert_uint_eq(c.wascap_revision, 3);
    ck_assert_msg(id_claims_check(&c, 1700000001, &e), "%s", e.text);
}
END_TEST

START_TEST(provider_token)
{
    struct id_claims c = decode(
        sign("{\"iss\":\"" ACCOUNT "\",\"sub\":\"V\",\"wascap\":{\"name\":null,\"vendor\":\"acme\","
             "\"rev\":-3,\"target_hashes\":{\"x86_64-linux\":\"AA\",\"world.wasm\":\"BB\"},"
             "\"config_schema\":{\"type\":\"object\"}}}"));
    ck_assert(str_eqz(c.vendor, "acme") && c.name.n == 0 && c.revision == -3);
    ck_assert_uint_eq(c.ntargets, 2);
    ck_assert(str_eqz(c.targets[0].name, "x86_64-linux") && str_eqz(c.targets[0].hash, "AA"));
    ck_assert(str_eqz(c.config_schema, "{\"type\":\"object\"}"));
    ck_assert_uint_eq(c.wascap_revision, 0);
}
END_TEST

static const struct {
    const char *claims;
    uint64_t now_s;
    const char *says;
} refused[] = {
    {"{\"iss\":\"\",\"sub\":\"M\"}", 0, "issuer"},
    {"{\"iss\":\"" ACCOUNT "\"}", 0, "subject"},
    {"{\"iss\":\"nobody\",\"sub\":\"M\"}", 0, "issuer"},
    {"{\"iss\":\"" SUBJECT "\",\"sub\":\"M\"}", 0, "not signed by its issuer"},
    {"{\"iss\":\"" ACCOUNT "\",\"sub\":\"M\",\"exp\":99}", 100, "expired 1 s ago"},
    {"{\"iss\":\"" ACCOUNT "\",\"sub\":\"M\",\"nbf\":101}", 100, "in 1 s only"},
};

START_TEST(bad_claims_are_refused)
{
    struct id_claims c = decode(sign(refused[_i].claims));
    ck_assert(!id_claims_check(&c, refused[_i].now_s, &e));
    ck_assert_int_eq(e.code, ERR_DENIED);
    ck_assert_msg(strstr(e.text, refused[_i].says) != NULL, "%s", e.text);
}
END_TEST

static const char *const malformed[] = {
    "",
    ".",
    "..",
    "...",
    "a.b",
    "a.b.c.d",
    "e30.e30.e30.",
    "e30.!.e30",
    "e30.bnVsbA.x",
    "e30.W10.x",
    "e30.eyJhIjoxLCJhIjoyfQ.x", /* a key twice */
};

START_TEST(malformed_tokens_are_refused)
{
    struct id_claims c;
    ck_assert(!id_claims_decode(str_of(malformed[_i]), &arena, &c, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
}
END_TEST

START_TEST(wrong_types_are_refused)
{
    static const char *const bad[] = {"{\"iss\":1}",
                                      "{\"exp\":-1}",
                                      "{\"exp\":\"x\"}",
                                      "{\"wascap\":[]}",
                                      "{\"wascap_revision\":4294967296}",
                                      "{\"wascap\":{\"tags\":[1]}}",
                                      "{\"wascap\":{\"rev\":2147483648}}",
                                      "{\"wascap\":{\"target_hashes\":{\"a\":1}}}"};
    struct id_claims c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!id_claims_decode(sign(bad[i]), &arena, &c, &e), "%s", bad[i]);
    char *big = calloc(1, ID_TOKEN_MAX + 2);
    memset(big, 'a', ID_TOKEN_MAX + 1);
    ck_assert(!id_claims_decode((struct str){big, ID_TOKEN_MAX + 1}, &arena, &c, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    free(big);
    struct arena small;
    arena_init(&small, 16);
    ck_assert(!id_claims_decode(sign("{\"iss\":\"" ACCOUNT "\"}"), &small, &c, &e));
    arena_fini(&small);
}
END_TEST

/* Every changed character of a token is noticed. */
START_TEST(tampering_is_noticed)
{
    struct str token = sign(DEMO("AB"));
    struct id_claims c;
    for (size_t i = 0; i < token.n; i++) {
        struct str copy = arena_str(&arena, token);
        ((char *)copy.p)[i] = copy.p[i] == 'B' ? 'C' : 'B';
        ck_assert(!id_claims_decode(copy, &arena, &c, &e) || !id_claims_check(&c, 1700000001, &e));
        arena_reset(&arena);
        token = sign(DEMO("AB"));
    }
}
END_TEST

/* ---- components ---- */

#define WASM_HEADER "\0asm\x0d\0\1\0"
#define CORE_HEADER "\0asm\1\0\0\0"
#define BYTES(literal) ((struct span){(const uint8_t *)("" literal), sizeof(literal) - 1})

/* header, a custom section "x", a nested core module (section 1) with a section of its own */
static const struct span plain = {(const uint8_t *)(WASM_HEADER "\x00\x03\x01xy"
                                                                "\x01\x0d" CORE_HEADER
                                                                "\x00\x03\x01zz"),
                                  8 + 5 + 2 + 13};
/* The same with long lengths and tokens to strip at both depths. */
static const struct span fat = {(const uint8_t *)(WASM_HEADER "\x00\x83\x00\x01xy"
                                                              "\x01\x97\x80\x00" CORE_HEADER
                                                              "\x00\x83\x80\x00\x01zz"
                                                              "\x00\x06\x03jwtqq"
                                                              "\x00\x0f\x0dwasmcloud_jwtq"),
                                8 + 6 + 4 + 23 + 17};

START_TEST(stripping_rebuilds)
{
    struct buf out = BUF_INIT;
    ck_assert_msg(id_component_strip(plain, &out, &e), "%s", e.text);
    ck_assert_uint_eq(out.n, plain.n);
    ck_assert_mem_eq(out.p, plain.p, plain.n);
    buf_clear(&out);
    ck_assert_msg(id_component_strip(fat, &out, &e), "%s", e.text);
    ck_assert_uint_eq(out.n, plain.n);
    ck_assert_mem_eq(out.p, plain.p, plain.n);
    buf_fini(&out);
}
END_TEST

START_TEST(first_token_wins)
{
    struct str token;
    ck_assert(id_component_token(plain, &token, &e) && !token.p);
    ck_assert(
        id_component_token(fat, &token, &e)); /* the old name counts inside, and comes first */
    ck_assert(str_eqz(token, "qq"));
}
END_TEST

static void embed(struct span wasm, struct str token, struct buf *out)
{
    ck_assert_msg(id_component_embed(wasm, token, out, &e), "%s", e.text);
}

START_TEST(signed_component)
{
    char hash[ID_HASH_LEN + 1];
    char *claims = arena_printf(
        &arena,
        "{\"iss\":\"" ACCOUNT "\",\"sub\":\"" SUBJECT
        "\",\"wascap\":{\"hash\":\"%s\",\"tags\":[\"a\",\"b\"]},\"wascap_revision\":3}",
        id_hash(plain, hash));
    struct buf wasm = BUF_INIT;
    struct id_claims c;
    bool found = false;
    embed(fat, sign(claims), &wasm);
    ck_assert_msg(id_component_claims(buf_span(&wasm), 1, &arena, &c, &found, &e), "%s", e.text);
    ck_assert(found && str_eqz(c.subject, SUBJECT) && c.ntags == 2 && str_eqz(c.tags[1], "b"));
    wasm.p[11] ^= 1; /* a byte of the first section: "x" */
    ck_assert(!id_component_claims(buf_span(&wasm), 1, &arena, &c, &found, &e));
    ck_assert_int_eq(e.code, ERR_DENIED);
    ck_assert_ptr_nonnull(strstr(e.text, "changed after it was signed"));
    buf_clear(&wasm);
    embed(plain, sign("{\"iss\":\"" ACCOUNT "\",\"sub\":\"M\"}"), &wasm);
    ck_assert(!id_component_claims(buf_span(&wasm), 1, &arena, &c, &found, &e));
    buf_clear(&wasm); /* before revision 3 the hash is ignored */
    embed(plain,
          sign("{\"iss\":\"" ACCOUNT
               "\",\"sub\":\"M\",\"wascap\":{\"hash\":\"?\"},\"wascap_revision\":2}"),
          &wasm);
    ck_assert_msg(id_component_claims(buf_span(&wasm), 1, &arena, &c, &found, &e), "%s", e.text);
    ck_assert(id_component_claims(plain, 1, &arena, &c, &found, &e));
    ck_assert(!found);
    buf_fini(&wasm);
}
END_TEST

START_TEST(broken_binaries_are_refused)
{
    struct str token;
    struct buf out = BUF_INIT;
    for (size_t n = 0; n < fat.n; n++) {
        struct span cut = {fat.p, n};
        bool ok = id_component_strip(cut, &out,
                                     &e); /* whole sections are fine, nothing may be read behind */
        ck_assert(ok == (n == 8 || n == 14 || n == 41));
        buf_clear(&out);
        (void)id_component_token(cut, &token, &e);
    }
    /* components inside components, deeper than we go */
    struct buf deep = BUF_INIT;
    buf_put(&deep, WASM_HEADER, 8);
    for (int i = 0; i < ID_NESTING_MAX + 2; i++) {
        struct buf outer = BUF_INIT;
        buf_put(&outer, WASM_HEADER "\x04", 9);
        buf_leb_u64(&outer, deep.n);
        buf_put(&outer, deep.p, deep.n);
        buf_fini(&deep);
        deep = outer;
    }
    ck_assert(!id_component_strip(buf_span(&deep), &out, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert(!id_component_token(buf_span(&deep), &token, &e));
    ck_assert(!id_component_token(BYTES("\177ELF\0\0\0\0"), &token, &e));
    buf_fini(&deep);
    buf_fini(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("claims");
    TCase *tc = tcase_create("claims");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, published_token);
    tcase_add_test(tc, provider_token);
    tcase_add_loop_test(tc, bad_claims_are_refused, 0, sizeof refused / sizeof *refused);
    tcase_add_loop_test(tc, malformed_tokens_are_refused, 0, sizeof malformed / sizeof *malformed);
    tcase_add_test(tc, wrong_types_are_refused);
    tcase_add_test(tc, tampering_is_noticed);
    tcase_add_test(tc, stripping_rebuilds);
    tcase_add_test(tc, first_token_wins);
    tcase_add_test(tc, signed_component);
    tcase_add_test(tc, broken_binaries_are_refused);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
