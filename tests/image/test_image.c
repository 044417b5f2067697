/* SPDX-License-Identifier: Apache-2.0 */
/* References in all their forms; files that are and are not what they should be. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hostd/image/image.h"
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"

static struct arena arena;
static struct err e;
static struct loop *loop;
static char folder[64];

static void set_up(void)
{
    arena_init(&arena, 1 << 16);
    e = (struct err)ERR_INIT;
    loop = loop_new();
    snprintf(folder, sizeof folder, P_tmpdir "/test-image-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void tear_down(void)
{
    loop_free(loop);
    arena_fini(&arena);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static const struct {
    const char *text;
    enum image_kind kind;
    const char *normal, *authority;
} good[] = {
    {"file:///a/b.wasm", IMAGE_FILE, "/a/b.wasm", ""},
    {"file://localhost/a", IMAGE_FILE, "/a", ""},
    {"file:///a%20b%2fc", IMAGE_FILE, "/a b/c", ""},
    {"ghcr.io/acme/echo:1.0.0", IMAGE_OCI, "ghcr.io/acme/echo:1.0.0", "ghcr.io"},
    {"oci://ghcr.io/acme/echo", IMAGE_OCI, "ghcr.io/acme/echo", "ghcr.io"},
    {"https://ghcr.io/acme/echo:1", IMAGE_OCI, "ghcr.io/acme/echo:1", "ghcr.io"},
    {"http://localhost:5000/x", IMAGE_OCI, "localhost:5000/x", "localhost:5000"},
    {"localhost:5000/x:1", IMAGE_OCI, "localhost:5000/x:1", "localhost:5000"},
    {"a/b@sha256:00ff", IMAGE_OCI, "a/b@sha256:00ff", "a"},
    {"echo", IMAGE_OCI, "echo", ""},
    {"wasmcloud+builtin://http-server", IMAGE_BUILTIN, "http-server", ""},
};

START_TEST(references)
{
    struct image_ref r;
    ck_assert_msg(image_ref_parse(str_of(good[_i].text), &arena, &r, &e), "%s", e.text);
    ck_assert_int_eq(r.kind, good[_i].kind);
    ck_assert(str_eqz(r.normal, good[_i].normal));
    ck_assert(str_eqz(r.authority, good[_i].authority));
}
END_TEST

static const char *const bad[] = {
    "",
    "file://",
    "file:///",
    "file://./x",
    "file://dir/x",
    "file:///a%2",
    "file:///a%zz",
    "file:///a%00b",
    "/abs/path",
    "a b",
    "oci://",
    "wasmcloud+builtin://",
    "wasmcloud+builtin://../x",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

START_TEST(bad_references)
{
    struct image_ref r;
    ck_assert(!image_ref_parse(str_of(bad[_i]), &arena, &r, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
}
END_TEST

START_TEST(aliases_of_our_providers)
{
    static const struct {
        const char *ref, *name;
    } rows[] = {
        {"ghcr.io/wasmcloud/http-server:0.23.2", "http-server"},
        {"oci://ghcr.io/wasmcloud/http-server", "http-server"},
        {"ghcr.io/wasmcloud/keyvalue-nats@sha256:aa", "keyvalue-nats"},
        {"ghcr.io/wasmcloud/keyvalue-nats:0.3.1@sha256:aa", "keyvalue-nats"},
        {"localhost:5000/acme/ollama-provider:2", "ollama"},
        {"http-server", "http-server"},
        {"wasmcloud+builtin://ollama", "ollama"},
        {"ghcr.io/wasmcloud/http-client:1", ""},
        {"evil.io/wasmcloud/http-server:1", ""},
        {"file:///x/ollama-provider", ""},
        {"localhost:5000", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(str_eqz(image_alias(str_of(rows[i].ref)), rows[i].name), "%s", rows[i].ref);
}
END_TEST

/* ---- files ---- */

struct loaded {
    struct err e;
    char text[256];
    size_t n;
};

static void on_loaded(void *user, struct span bytes, struct image_hold *hold, const struct err *why)
{
    struct loaded *l = user;
    if (why) {
        l->e = *why;
    } else {
        l->n = bytes.n;
        snprintf(l->text, sizeof l->text, "%.*s", (int)bytes.n, (const char *)bytes.p);
    }
    free((void *)bytes.p);
    image_hold_free(hold);
    loop_stop(loop);
}

static void on_provider(void *user, const struct image_provider *p, const struct err *why)
{
    struct loaded *l = user;
    if (why)
        l->e = *why;
    else
        snprintf(l->text, sizeof l->text, "%.*s", STR_ARG(p->path));
    image_hold_free(p ? p->hold : NULL);
    loop_stop(loop);
}

static char *file_with(const char *name, const char *content, mode_t mode)
{
    char *path = arena_printf(&arena, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    fputs(content, f);
    fclose(f);
    chmod(path, mode);
    return path;
}

static struct images *open_images(struct image_opts opts)
{
    opts.loop = loop;
    opts.cache = str_of(arena_printf(&arena, "%s/cache", folder));
    struct images *im = images_open(&opts, &e);
    ck_assert_msg(im != NULL, "%s", e.text);
    return im;
}

static struct loaded load_ref(const char *ref, const struct image_opts *opts)
{
    struct loaded l = {0};
    struct images *im = open_images(*opts);
    if (!image_load(im, str_of(ref), on_loaded, &l, &e))
        l.e = e;
    else
        loop_run(loop);
    images_close(im);
    return l;
}

static struct loaded load(const char *path, const struct image_opts *opts)
{
    return load_ref(arena_printf(&arena, "file://%s", path), opts);
}

static struct loaded find(const char *ref, const struct image_opts *opts)
{
    struct loaded l = {0};
    struct images *im = open_images(*opts);
    if (!image_provider_find(im, str_of(ref), on_provider, &l, &e))
        l.e = e;
    else
        loop_run(loop);
    images_close(im);
    return l;
}

START_TEST(component_files)
{
    struct image_opts opts = {.allow_file = true, .bytes_max = 10}, closed = {.bytes_max = 10};
    struct loaded l = load(file_with("a.wasm", "0123456789", 0600), &opts);
    ck_assert_int_eq(l.e.code, ERR_NONE);
    ck_assert_str_eq(l.text, "0123456789");
    l = load(file_with("empty", "", 0600), &opts);
    ck_assert(l.e.code == ERR_NONE && l.n == 0);
    ck_assert_int_eq(load(file_with("big", "0123456789a", 0600), &opts).e.code, ERR_LIMIT);
    ck_assert_int_eq(load(arena_printf(&arena, "%s/none", folder), &opts).e.code, ERR_NOT_FOUND);
    ck_assert_int_eq(load(folder, &opts).e.code, ERR_INVALID);
    char *pipe_path = arena_printf(&arena, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(pipe_path, 0600), 0);
    ck_assert_int_eq(load(pipe_path, &opts).e.code, ERR_INVALID);
    ck_assert_int_eq(load_ref("file:///x", &closed).e.code, ERR_DENIED);
    ck_assert_int_eq(load_ref("wasmcloud+builtin://http-server", &opts).e.code, ERR_INVALID);
}
END_TEST

START_TEST(providers)
{
    struct image_opts opts = {.allow_file = true, .bytes_max = 1 << 20};
    struct image_opts strict = {.bytes_max = 1 << 20, .no_aliases = true};
    char *script = file_with("provider", "#!/bin/sh\n", 0700);
    struct loaded l = find(arena_printf(&arena, "file://%s", script), &opts);
    ck_assert_str_eq(l.text, script);
    char *plain = file_with("plain", "#!/bin/sh\n", 0600);
    if (geteuid() != 0) /* everything is executable to nobody, even root */
        ck_assert_int_ne(find(arena_printf(&arena, "file://%s", plain), &opts).e.code, ERR_NONE);
    char *archive = file_with("x.par.gz", "\x1f\x8b\x08....", 0700);
    l = find(arena_printf(&arena, "file://%s", archive), &opts);
    ck_assert_int_eq(l.e.code, ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(l.e.text, "archive"));
    ck_assert_int_eq(find(arena_printf(&arena, "file://%s/none", folder), &opts).e.code,
                     ERR_NOT_FOUND);
    ck_assert_int_eq(find(arena_printf(&arena, "file://%s", script), &strict).e.code, ERR_DENIED);
    ck_assert_int_eq(find("wasmcloud+builtin://nothing", &strict).e.code, ERR_NOT_FOUND);
    /* ours lie beside the program; beside this test there are none */
    l = find("ghcr.io/acme/ollama-provider:1", &opts);
    ck_assert_int_eq(l.e.code, ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(l.e.text, "/ollama"));
}
END_TEST

START_TEST(notes_are_found_by_the_bytes_and_the_version)
{
    enum { BIG = 3 << 20 };
    char *place = arena_printf(&arena, "%s/a/b", folder); /* made on the way */
    struct buf image = BUF_INIT;
    struct span said;
    memset(buf_grow(&image, BIG), 'x', BIG);
    struct image_note note = image_note_of(buf_span(&image), 1);
    ck_assert(!image_note_get(place, &note, &said));
    ck_assert_msg(image_note_put(place, &note, (struct span){(const uint8_t *)"ab", 2}, &e), "%s",
                  e.text);
    ck_assert_msg(image_note_put(place, &note, (struct span){(const uint8_t *)"xyz", 3}, &e), "%s",
                  e.text);
    ck_assert(image_note_get(place, &note, &said));
    ck_assert(said.n == 3 && memcmp(said.p, "xyz", 3) == 0);
    free((void *)said.p);
    struct image_note again = image_note_of(buf_span(&image), 1);
    ck_assert_str_eq(again.name, note.name);
    struct image_note newer = image_note_of(buf_span(&image), 2);
    ck_assert_str_ne(newer.name, note.name);
    for (size_t at = 0; at < BIG; at += BIG / 3 - 1) { /* in every piece */
        image.p[at] ^= 1;
        struct image_note other = image_note_of(buf_span(&image), 1);
        ck_assert_str_ne(other.name, note.name);
        image.p[at] ^= 1;
    }
    image.n--;
    struct image_note shorter = image_note_of(buf_span(&image), 1);
    ck_assert_str_ne(shorter.name, note.name);
    buf_fini(&image);
}
END_TEST

START_TEST(notes_that_cannot_be_kept)
{
    struct span said;
    struct image_note note = image_note_of((struct span){(const uint8_t *)"image", 5}, 1);
    struct span text = {(const uint8_t *)"x", 1};
    char *file = file_with("file", "", 0600);
    ck_assert(!image_note_put(file, &note, text, &e));
    ck_assert(image_note_put(folder, &note, text, &e) && image_note_get(folder, &note, &said));
    free((void *)said.p);
    unlink(arena_printf(&arena, "%s/notes/%s", folder, note.name));
    ck_assert(!image_note_put(folder, &note, (struct span){text.p, IMAGE_NOTE_BYTES_MAX + 1}, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert_int_eq(mkfifo(arena_printf(&arena, "%s/notes/%s", folder, note.name), 0600), 0);
    ck_assert(!image_note_get(folder, &note, &said)); /* and does not wait for a writer */
}
END_TEST

START_TEST(the_oldest_note_makes_room)
{
    struct span said;
    struct image_note first = {{0}}, note = {{0}};
    for (uint32_t i = 0; i <= IMAGE_NOTES_MAX; i++) {
        note = image_note_of((struct span){(const uint8_t *)&i, sizeof i}, 1);
        if (i == 0)
            first = note;
        ck_assert(image_note_put(folder, &note, (struct span){(const uint8_t *)"x", 1}, &e));
        struct timespec then[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        ck_assert_int_eq(
            utimensat(AT_FDCWD, arena_printf(&arena, "%s/notes/%s", folder, note.name), then, 0),
            0);
    }
    ck_assert(!image_note_get(folder, &first, &said));
    ck_assert(image_note_get(folder, &note, &said));
    free((void *)said.p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("images");
    TCase *tc = tcase_create("images");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, references, 0, sizeof good / sizeof *good);
    tcase_add_loop_test(tc, bad_references, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tc, aliases_of_our_providers);
    tcase_add_test(tc, component_files);
    tcase_add_test(tc, providers);
    tcase_add_test(tc, notes_are_found_by_the_bytes_and_the_version);
    tcase_add_test(tc, notes_that_cannot_be_kept);
    tcase_add_test(tc, the_oldest_note_makes_room);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
