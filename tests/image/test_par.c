/* SPDX-License-Identifier: Apache-2.0 */
/* Provider archives: what is written is read again; what was tampered with, is cut, lies about its size or lacks
 * something is refused by name. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "hostd/image/par.h"
#include "lattice/id/id.h"

#define BYTES_MAX (1u << 20)
#define NOW 1700000000u

static struct buf file;
static struct par par;
static struct err e;
static char hash[ID_HASH_LEN + 1];

static void set_up(void)
{
    file = (struct buf)BUF_INIT;
    par = (struct par){.token = STR_NONE};
    e = (struct err)ERR_INIT;
}

static void tear_down(void)
{
    par_fini(&par);
    buf_fini(&file);
}

static struct span bytes(const char *text)
{
    return str_span(str_of(text));
}

/* Claims with this JSON in `target_hashes`. */
static struct buf token_with(const char *hashes)
{
    struct id_key account, service;
    char issuer[ID_PUBLIC_LEN + 1], subject[ID_PUBLIC_LEN + 1];
    struct buf json = BUF_INIT, token = BUF_INIT;
    id_key_generate(ID_ACCOUNT, &account);
    id_key_generate(ID_SERVICE, &service);
    buf_printf(&json,
               "{\"jti\":\"x\",\"iat\":1,\"iss\":\"%s\",\"sub\":\"%s\",\"wascap_revision\":3,"
               "\"wascap\":{\"name\":\"p\",\"vendor\":\"v\",\"target_hashes\":{%s}}}",
               id_key_public(&account, issuer), id_key_public(&service, subject), hashes);
    id_token_sign(&account, buf_view(&json), &token);
    buf_fini(&json);
    return token;
}

static void write_archive(const char *hashes, struct par *p, bool compressed)
{
    struct buf token = token_with(hashes);
    p->token = buf_view(&token);
    ck_assert_msg(par_write(p, compressed, &file, &e), "%s", e.text);
    buf_fini(&token);
}

static struct par two_targets(void)
{
    return (struct par){
        .binaries = {{STR("x86_64-linux"), bytes("intel")}, {STR("aarch64-linux"), bytes("arm")}},
        .nbinaries = 2};
}

static bool read_back(struct str target)
{
    return par_read(buf_span(&file), BYTES_MAX, target, &par, &e);
}

START_TEST(what_is_written_is_read_again)
{
    struct par p = two_targets();
    p.world = bytes("wit");
    write_archive("", &p, _i == 1);
    ck_assert(par_looks_like(buf_span(&file)));
    ck_assert_msg(read_back(STR_NONE), "%s", e.text);
    ck_assert_uint_eq(par.nbinaries, 2);
    ck_assert(str_eqz(span_str(par_find(&par, STR("x86_64-linux"))->bytes), "intel"));
    ck_assert(str_eqz(span_str(par_find(&par, STR("aarch64-linux"))->bytes), "arm"));
    ck_assert(str_eqz(span_str(par.world), "wit"));
    ck_assert(par.token.n > 0);
}
END_TEST

START_TEST(only_the_binary_asked_for_is_unpacked)
{
    struct par p = two_targets();
    write_archive("", &p, true);
    ck_assert_msg(read_back(STR("aarch64-linux")), "%s", e.text);
    ck_assert_uint_eq(par_find(&par, STR("x86_64-linux"))->bytes.n, 0);
    ck_assert_uint_eq(par_find(&par, STR("aarch64-linux"))->bytes.n, 3);
}
END_TEST

START_TEST(hashes_decide)
{
    struct buf hashes = BUF_INIT;
    struct par p = two_targets();
    buf_printf(&hashes, "\"x86_64-linux\":\"%s\",\"aarch64-linux\":\"%s\"%c",
               id_hash(bytes("intel"), hash), "00", '\0');
    write_archive((const char *)hashes.p, &p, true);
    buf_fini(&hashes);
    ck_assert_msg(read_back(STR_NONE), "%s", e.text);
    ck_assert_msg(par_check(&par, STR("x86_64-linux"), NOW, &e), "%s", e.text);
    ck_assert(!par_check(&par, STR("aarch64-linux"), NOW, &e));
    ck_assert_int_eq(e.code, ERR_DENIED);
    ck_assert(!par_check(&par, STR("riscv64-linux"), NOW, &e));
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_binary_without_a_hash_is_refused)
{
    struct par p = two_targets();
    write_archive("", &p, true);
    ck_assert(read_back(STR_NONE));
    ck_assert(!par_check(&par, STR("x86_64-linux"), NOW, &e));
    ck_assert_int_eq(e.code, ERR_DENIED);
}
END_TEST

START_TEST(two_binaries_for_one_target_are_refused)
{
    struct par p = two_targets();
    p.binaries[1].target = p.binaries[0].target;
    write_archive("", &p, true);
    ck_assert(!read_back(STR_NONE));
    ck_assert_int_eq(e.code, ERR_INVALID);
}
END_TEST

START_TEST(an_archive_that_grows_beyond_the_limit_is_refused)
{
    static uint8_t zeros[4 * BYTES_MAX];
    struct par p = {.binaries = {{STR("x86_64-linux"), {zeros, sizeof zeros}}}, .nbinaries = 1};
    write_archive("", &p, true);
    ck_assert_uint_lt(file.n, 65536);
    ck_assert(!read_back(STR_NONE));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    par_fini(&par);
    ck_assert_msg(read_back(STR("aarch64-linux")), "what is skipped does not count: %s", e.text);
}
END_TEST

/* Cut anywhere, an archive is an error or lacks its end only; it is never read beyond. */
START_TEST(a_cut_archive_is_an_error)
{
    struct par p = two_targets();
    write_archive("", &p, true);
    size_t whole = file.n;
    for (size_t n = 0; n < whole; n += 7) {
        uint8_t *copy = malloc(n + 1); /* for the sanitizer */
        memcpy(copy, file.p, n);
        bool ok = par_read((struct span){copy, n}, BYTES_MAX, STR_NONE, &par, &e);
        ck_assert_msg(!ok || n + 16 > whole, "cut to %zu of %zu", n, whole);
        par_fini(&par);
        free(copy);
    }
    par = (struct par){.token = STR_NONE};
}
END_TEST

START_TEST(garbage_is_no_archive)
{
    ck_assert(!par_read(bytes("\x1f\x8b nothing of use"), BYTES_MAX, STR_NONE, &par, &e));
    ck_assert(!par_looks_like(bytes("\x7f"
                                    "ELF")));
    ck_assert(!par_looks_like((struct span){NULL, 0}));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("par");
    TCase *t = tcase_create("archives");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, what_is_written_is_read_again, 0, 2);
    tcase_add_test(t, only_the_binary_asked_for_is_unpacked);
    tcase_add_test(t, hashes_decide);
    tcase_add_test(t, a_binary_without_a_hash_is_refused);
    tcase_add_test(t, two_binaries_for_one_target_are_refused);
    tcase_add_test(t, an_archive_that_grows_beyond_the_limit_is_refused);
    tcase_add_test(t, a_cut_archive_is_an_error);
    tcase_add_test(t, garbage_is_no_archive);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
