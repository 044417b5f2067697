/* SPDX-License-Identifier: Apache-2.0 */
/* The registry, and the interfaces that are functions of the context only: cli, random, config, logging, and the
 * filesystem and network that are not there. */
#include "tests/wasi/fake.h"

START_TEST(interfaces_of_compatible_versions_are_found)
{
    const char *const found[] = {
        "wasi:io/error@0.2.0",           "wasi:io/streams@0.2.99",
        "wasi:clocks/wall-clock@0.2.6",  "wasi:http/types@0.2.2",
        "wasi:filesystem/types@0.2.12",  "wasi:sockets/tcp@0.2.3",
        "wasi:cli/terminal-stdin@0.2.0", "wasi:config/store@0.2.0-draft",
        "wasi:logging/logging",          "wasi:logging/logging@0.1.0-draft",
    };
    const char *const missing[] = {
        "wasi:io/streams@0.3.0",
        "wasi:io/streams",
        "wasi:keyvalue/store@0.2.0-draft",
        "wasi:config/store",
        "wasi:http/incoming-handler@0.2.2",
        "",
    };
    for (size_t i = 0; i < ARRAY_LEN(found); i++)
        ck_assert_msg(wasi_find(str_of(found[i])), "%s", found[i]);
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        ck_assert_msg(!wasi_find(str_of(missing[i])), "%s", missing[i]);
}
END_TEST

START_TEST(resources_are_one_class_whatever_the_version)
{
    const struct comp_class *a = wasi_find_class(STR("wasi:io/streams@0.2.2"), STR("input-stream"));
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_eq(a, wasi_find_class(STR("wasi:http/types@0.2.12"), STR("input-stream")));
    ck_assert_ptr_null(wasi_find_class(STR("wasi:keyvalue/store@0.2.0-draft"), STR("bucket")));
    ck_assert_ptr_null(wasi_find_class(STR("wasi:io/streams@0.2.2"), STR("bucket")));
}
END_TEST

START_TEST(every_resource_has_a_class)
{
    const char *const names[] = {
        "wasi:io/streams@0.2.0",
        "wasi:io/poll@0.2.0",
        "wasi:io/error@0.2.0",
        "wasi:http/types@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:sockets/network@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:sockets/udp@0.2.0",
        "wasi:sockets/ip-name-lookup@0.2.0",
        "wasi:cli/terminal-input@0.2.0",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct wit_iface *t = wasi_find(str_of(names[i]))->types;
        ck_assert_uint_gt(t->nresources, 0);
        for (uint32_t k = 0; k < t->nresources; k++)
            ck_assert_msg(wasi_find_class(t->name, t->resources[k]->name), "%.*s",
                          STR_ARG(t->resources[k]->name));
    }
}
END_TEST

START_TEST(environment)
{
    const struct http_field env[] = {{STR_INIT("HOME"), STR_INIT("/")}};
    const char *const args[] = {"tool", "-v", NULL};
    struct fake *f = fake_new(&(struct wasi_opts){.env = env, .nenv = 1, .args = args});
    EXPECT("[(\"HOME\", \"/\")]", f, "wasi:cli/environment@0.2.0", "get-environment", NO_ARGS);
    EXPECT("[\"tool\", \"-v\"]", f, "wasi:cli/environment@0.2.0", "get-arguments", NO_ARGS);
    EXPECT("none", f, "wasi:cli/environment@0.2.0", "initial-cwd", NO_ARGS);
    fake_free(f);
    f = fake_new(NULL);
    EXPECT("[]", f, "wasi:cli/environment@0.2.0", "get-environment", NO_ARGS);
    EXPECT("[\"main.wasm\"]", f, "wasi:cli/environment@0.2.0", "get-arguments", NO_ARGS);
    EXPECT("none", f, "wasi:cli/terminal-stdout@0.2.0", "get-terminal-stdout", NO_ARGS);
    fake_free(f);
}
END_TEST

START_TEST(exit_ends_the_call)
{
    struct fake *f = fake_new(NULL);
    ck_assert_int_eq(fake_try(f, "wasi:cli/exit@0.2.0", "exit", ARGS({.n = 1})), COMP_HOST_EXIT);
    ck_assert_uint_eq(f->exit_code, 1);
    fake_try(f, "wasi:cli/exit@0.2.12", "exit-with-code", ARGS(wit_u64(7)));
    ck_assert_uint_eq(f->exit_code, 7);
    fake_free(f);
}
END_TEST

static void write_text(struct fake *f, void *stream, const char *text)
{
    EXPECT("ok", f, STREAMS, "[method]output-stream.blocking-write-and-flush",
           ARGS(OBJ(stream), TEXT(text)));
}

START_TEST(output_is_cut_into_lines)
{
    struct fake *f = fake_new(NULL);
    void *out = fake_make(f, "wasi:cli/stdout@0.2.0", "get-stdout", NO_ARGS);
    void *again = fake_make(f, "wasi:cli/stdout@0.2.0", "get-stdout", NO_ARGS);
    void *err = fake_make(f, "wasi:cli/stderr@0.2.0", "get-stderr", NO_ARGS);
    write_text(f, out, "one\ntw");
    write_text(f, err, "oops\n");
    write_text(f, again, "o\n\nrest");
    fake_drop(f, STREAMS, "output-stream", out);
    fake_drop(f, STREAMS, "output-stream", again);
    fake_drop(f, STREAMS, "output-stream", err);
    ck_assert(str_eqz(buf_view(&f->printed), "1:one|2:oops|1:two|1:|"));
    struct buf printed = f->printed;
    f->printed = (struct buf)BUF_INIT;
    struct wasi_ctx *ctx = f->ctx;
    f->ctx = wasi_ctx_new(&(struct wasi_opts){.world = &fake_world, .user = f});
    wasi_ctx_free(ctx); /* prints what has no newline */
    ck_assert(str_eqz(buf_view(&f->printed), "1:rest|"));
    buf_fini(&printed);
    fake_free(f);
}
END_TEST

START_TEST(long_lines_come_in_pieces)
{
    struct fake *f = fake_new(NULL);
    void *out = fake_make(f, "wasi:cli/stdout@0.2.0", "get-stdout", NO_ARGS);
    char text[4097];
    memset(text, 'x', 4096);
    text[4096] = 0;
    write_text(f, out, text);
    ck_assert_uint_eq(f->printed.n, 4096 + 3);
    write_text(f, out, "\n");
    fake_drop(f, STREAMS, "output-stream", out);
    fake_free(f);
}
END_TEST

START_TEST(stdin_is_what_was_given)
{
    struct fake *f = fake_new(&(struct wasi_opts){.stdin_bytes = str_span(STR("hello"))});
    void *in = fake_make(f, "wasi:cli/stdin@0.2.0", "get-stdin", NO_ARGS);
    fake_call(f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(2)));
    ck_assert(str_eqz(wit_get_str(f->result.v), "he"));
    EXPECT("ok(1)", f, STREAMS, "[method]input-stream.skip", ARGS(OBJ(in), wit_u64(1)));
    fake_call(f, STREAMS, "[method]input-stream.blocking-read", ARGS(OBJ(in), wit_u64(UINT64_MAX)));
    ck_assert(str_eqz(wit_get_str(f->result.v), "lo"));
    EXPECT("err(closed)", f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(1)));
    fake_drop(f, STREAMS, "input-stream", in);
    fake_free(f);
}
END_TEST

START_TEST(random_numbers)
{
    struct fake *f = fake_new(NULL);
    fake_call(f, "wasi:random/random@0.2.0", "get-random-bytes", ARGS(wit_u64(100000)));
    ck_assert_uint_eq(f->result.n, 100000);
    fake_call(f, "wasi:random/random@0.2.0", "get-random-u64", NO_ARGS);
    uint64_t first = f->result.u64;
    fake_call(f, "wasi:random/insecure@0.2.0", "get-insecure-random-u64", NO_ARGS);
    ck_assert_uint_ne(first, f->result.u64);
    const char *seed = fake_call(f, "wasi:random/insecure-seed@0.2.0", "insecure-seed", NO_ARGS);
    EXPECT(seed, f, "wasi:random/insecure-seed@0.2.0", "insecure-seed", NO_ARGS);
    ck_assert_int_eq(
        fake_try(f, "wasi:random/random@0.2.0", "get-random-bytes", ARGS(wit_u64(1ull << 40))),
        COMP_HOST_TRAP);
    ck_assert_ptr_nonnull(strstr(f->trap, "more than a call may hold"));
    fake_free(f);
}
END_TEST

START_TEST(config_and_logging)
{
    struct fake *f = fake_new(NULL);
    const char *const names[] = {"wasi:config/store@0.2.0-draft",
                                 "wasi:config/runtime@0.2.0-draft"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        EXPECT("ok(some(\"blue\"))", f, names[i], "get", ARGS(TEXT("color")));
        EXPECT("ok(none)", f, names[i], "get", ARGS(TEXT("size")));
        EXPECT("ok([(\"color\", \"blue\")])", f, names[i], "get-all", NO_ARGS);
    }
    fake_call(f, "wasi:logging/logging", "log", ARGS({.n = 3}, TEXT("ctx"), TEXT("msg")));
    ck_assert(str_eqz(buf_view(&f->printed), "log3:ctx:msg|"));
    fake_free(f);
}
END_TEST

START_TEST(no_files_and_no_network)
{
    struct fake *f = fake_new(NULL);
    EXPECT("[]", f, "wasi:filesystem/preopens@0.2.6", "get-directories", NO_ARGS);
    void *network =
        fake_make(f, "wasi:sockets/instance-network@0.2.0", "instance-network", NO_ARGS);
    EXPECT("err(access-denied)", f, "wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket",
           ARGS({.n = 0}));
    EXPECT("err(access-denied)", f, "wasi:sockets/udp-create-socket@0.2.0", "create-udp-socket",
           ARGS({.n = 1}));
    EXPECT("err(access-denied)", f, "wasi:sockets/ip-name-lookup@0.2.0", "resolve-addresses",
           ARGS(OBJ(network), TEXT("example.org")));
    fake_drop(f, "wasi:sockets/network@0.2.0", "network", network);
    fake_free(f);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("cli");
    tcase_add_test(c, interfaces_of_compatible_versions_are_found);
    tcase_add_test(c, resources_are_one_class_whatever_the_version);
    tcase_add_test(c, every_resource_has_a_class);
    tcase_add_test(c, environment);
    tcase_add_test(c, exit_ends_the_call);
    tcase_add_test(c, output_is_cut_into_lines);
    tcase_add_test(c, long_lines_come_in_pieces);
    tcase_add_test(c, stdin_is_what_was_given);
    tcase_add_test(c, random_numbers);
    tcase_add_test(c, config_and_logging);
    tcase_add_test(c, no_files_and_no_network);
    return fake_run("wasi/cli", c);
}
