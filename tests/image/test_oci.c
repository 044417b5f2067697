/* SPDX-License-Identifier: Apache-2.0 */
/* Names in registries and what manifests may say; the cache believes nothing that its hash does not confirm. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hostd/image/cache.h"
#include "hostd/image/files.h"
#include "hostd/image/oci.h"
#include "lattice/base/num.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

static struct arena arena;
static struct err e;
static char folder[64];

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");
    arena_init(&arena, 1 << 20);
    e = (struct err)ERR_INIT;
    snprintf(folder, sizeof folder, "%s/test-oci-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
    arena_fini(&arena);
}

static const struct {
    const char *text, *authority, *repository, *tag, *digest;
} names[] = {
    {"ghcr.io/acme/echo:1.0.0", "ghcr.io", "acme/echo", "1.0.0", ""},
    {"GHCR.io/Acme/Echo:V1", "ghcr.io", "acme/echo", "v1", ""},
    {"localhost:5000/x", "localhost:5000", "x", "latest", ""},
    {"localhost/x:2", "localhost", "x", "2", ""},
    {"ghcr.io/a/b@sha256:" HEX, "ghcr.io", "a/b", "latest", "sha256:" HEX},
    {"ghcr.io/a/b:1@sha256:" HEX, "ghcr.io", "a/b", "1", "sha256:" HEX},
    {"acme/echo:1", "docker.io", "acme/echo", "1", ""},
    {"echo", "docker.io", "library/echo", "latest", ""},
};

START_TEST(names_come_apart)
{
    struct oci_name n;
    ck_assert_msg(oci_name_parse(str_of(names[_i].text), &arena, &n, &e), "%s", e.text);
    ck_assert(str_eqz(n.authority, names[_i].authority));
    ck_assert(str_eqz(n.repository, names[_i].repository));
    ck_assert(str_eqz(n.tag, names[_i].tag));
    ck_assert(str_eq(n.digest, str_of(names[_i].digest)));
}
END_TEST

static const char *const bad_names[] = {
    "ghcr.io/", "ghcr.io/a:", "ghcr.io/a@sha256:12", "ghcr.io//a", ("ghcr.io/a@md5:" HEX), ":1",
};

START_TEST(other_names_are_refused)
{
    struct oci_name n;
    ck_assert(!oci_name_parse(str_of(bad_names[_i]), &arena, &n, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
}
END_TEST

#define LAYER(type, digest, size) \
    "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define ONE(layer) "{\"mediaType\":\"" MANIFEST_TYPE "\",\"layers\":[" layer "]}"

static const struct {
    const char *json;
    enum oci_what what;
    enum err_code code;
} manifests[] = {
    {ONE(LAYER("application/wasm", "sha256:" HEX, "10")), OCI_COMPONENT, ERR_NONE},
    {ONE(LAYER("application/vnd.module.wasm.content.layer.v1+wasm", "sha256:" HEX, "10")),
     OCI_COMPONENT, ERR_NONE},
    {ONE(LAYER("application/vnd.wasmcloud.provider.archive.layer.v1+par", "sha256:" HEX, "10")),
     OCI_PROVIDER, ERR_NONE},
    {ONE(LAYER("application/vnd.oci.image.layer.v1.tar", "sha256:" HEX, "10")), OCI_PROVIDER,
     ERR_NONE},
    {ONE(LAYER("application/wasm", "sha256:" HEX, "10")), OCI_PROVIDER, ERR_UNSUPPORTED},
    {ONE(LAYER("application/vnd.oci.image.layer.v1.tar+gzip", "sha256:" HEX, "10")), OCI_ANY,
     ERR_UNSUPPORTED},
    {ONE(LAYER("application/wasm", "sha256:" HEX, "101")), OCI_COMPONENT, ERR_LIMIT},
    {ONE(LAYER("application/wasm", "sha256:" HEX, "-1")), OCI_COMPONENT, ERR_PROTOCOL},
    {ONE(LAYER("application/wasm", "sha256:../../x", "1")), OCI_COMPONENT, ERR_PROTOCOL},
    {ONE(LAYER("application/wasm", "sha256:" HEX, "1") "," LAYER("application/wasm", "sha256:" HEX,
                                                                 "1")),
     OCI_COMPONENT, ERR_UNSUPPORTED},
    {"{\"layers\":[" LAYER("application/wasm", "sha256:" HEX,
                           "60") "," LAYER("application/wasm", "sha256:" HEX, "40") "]}",
     OCI_COMPONENT, ERR_NONE},
    {"{\"layers\":[" LAYER("application/wasm", "sha256:" HEX,
                           "60") "," LAYER("application/wasm", "sha256:" HEX, "41") "]}",
     OCI_COMPONENT, ERR_LIMIT},
    {"{\"layers\":[]}", OCI_ANY, ERR_INVALID},
    {"{\"layers\":{}}", OCI_ANY, ERR_INVALID},
    {"[]", OCI_ANY, ERR_INVALID},
    {"<html>", OCI_ANY, ERR_PROTOCOL},
};

START_TEST(manifests_are_judged)
{
    struct oci_manifest m;
    bool ok = oci_manifest_read(str_span(str_of(manifests[_i].json)), manifests[_i].what, 100,
                                &arena, &m, &e);
    ck_assert_int_eq(ok, manifests[_i].code == ERR_NONE);
    ck_assert_msg(ok || e.code == manifests[_i].code, "%s", e.text);
}
END_TEST

START_TEST(the_cache_gives_back_only_what_it_was_given)
{
    char *cache = arena_printf(&arena, "%s/a/cache", folder), digest[DIGEST_LEN + 1];
    struct span content = str_span(STR("content")), out;
    ck_assert_msg(cache_open(cache, &e), "%s", e.text);
    digest_of(content, digest);
    ck_assert(!cache_get(cache, str_of(digest), 100, &out));
    ck_assert_msg(cache_put(cache, str_of(digest), content, &e), "%s", e.text);
    ck_assert(!cache_get(cache, str_of(digest), 6, &out));
    ck_assert(cache_get(cache, str_of(digest), 7, &out));
    ck_assert(str_eq(span_str(out), span_str(content)));
    free((void *)out.p);
    char *path = arena_printf(&arena, "%s/blobs/%s", cache, digest + 7);
    ck_assert(file_write(path, str_span(STR("c0ntent")), 0600, &e));
    ck_assert(!cache_get(cache, str_of(digest), 100, &out));
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_program_is_executable_and_mended)
{
    char *cache = arena_printf(&arena, "%s/cache", folder);
    struct span content = str_span(STR("#!/bin/sh\nexit 7\n"));
    ck_assert_msg(cache_open(cache, &e), "%s", e.text);
    char *path = cache_program(cache, content, &e);
    ck_assert_ptr_nonnull(path);
    ck_assert(file_write(path, str_span(STR("#!/bin/sh\nexit 0\n")), 0700, &e));
    char *again = cache_program(cache, content, &e);
    ck_assert_str_eq(again, path);
    ck_assert_int_eq(WEXITSTATUS(system(path)), 7);
    free(path);
    free(again);
}
END_TEST

START_TEST(tags_are_remembered)
{
    char *cache = arena_printf(&arena, "%s/cache", folder), digest[DIGEST_LEN + 1];
    ck_assert_msg(cache_open(cache, &e), "%s", e.text);
    ck_assert(!cache_tag_get(cache, STR("a/b:1"), digest));
    ck_assert(cache_tag_put(cache, STR("a/b:1"), STR("sha256:" HEX), &e));
    ck_assert(cache_tag_get(cache, STR("a/b:1"), digest));
    ck_assert_str_eq(digest, "sha256:" HEX);
    ck_assert(!cache_tag_get(cache, STR("a/b:2"), digest));
}
END_TEST

START_TEST(a_cache_that_others_may_write_is_refused)
{
    char *cache = arena_printf(&arena, "%s/cache", folder);
    ck_assert_int_eq(mkdir(cache, 0700), 0);
    ck_assert_int_eq(chmod(cache, 0777), 0);
    ck_assert(!cache_open(cache, &e));
    ck_assert_int_eq(e.code, ERR_DENIED);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("oci");
    TCase *t = tcase_create("registries");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, names_come_apart, 0, ARRAY_LEN(names));
    tcase_add_loop_test(t, other_names_are_refused, 0, ARRAY_LEN(bad_names));
    tcase_add_loop_test(t, manifests_are_judged, 0, ARRAY_LEN(manifests));
    tcase_add_test(t, the_cache_gives_back_only_what_it_was_given);
    tcase_add_test(t, a_program_is_executable_and_mended);
    tcase_add_test(t, tags_are_remembered);
    tcase_add_test(t, a_cache_that_others_may_write_is_refused);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
