/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: precedence, kinds, bounds, refusals. */
#include <check.h>
#include <stdlib.h>

#include "hostd/config.h"

static struct settings s;
static struct err e;
static enum settings_end end;

static bool read_with(const char *const *args, const char *const *env)
{
    char *argv[16] = {(char *)"hostd"}, *none[] = {NULL};
    int argc = 1;
    for (; args && *args; args++)
        argv[argc++] = (char *)*args;
    e = (struct err)ERR_INIT;
    settings_fini(&s); /* of the reading before */
    return settings_read(&s, argc, argv, env ? (char **)(uintptr_t)env : none, &end, &e);
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *label(const char *key)
{
    struct str v;
    return proto_map_get(&s.labels, str_of(key), &v) ? v.p : "(none)";
}

START_TEST(defaults)
{
    ck_assert_msg(read_with(NULL, NULL), "%s", e.text);
    ck_assert_int_eq(end, SETTINGS_RUN);
    ck_assert_str_eq(s.lattice, "default");
    ck_assert_str_eq(s.ctl_host, "127.0.0.1");
    ck_assert_uint_eq(s.ctl_port, 4222);
    ck_assert_uint_eq(s.rpc_port, 4222);
    ck_assert_uint_eq(s.heartbeat_s, 30);
    ck_assert_uint_eq(s.provider_shutdown_ms, 300);
    ck_assert(s.component_auction && s.provider_auction);
    ck_assert(!s.allow_file_load && !s.no_scheduler);
    ck_assert_str_eq(label("hostcore.os"), "linux");
    ck_assert_str_eq(label("hostcore.osfamily"), "unix");
    ck_assert_ptr_null(settings_warning(&s, 0));
}
END_TEST

START_TEST(flags_beat_environment)
{
    ck_assert(
        read_with(ARGS("-x", "mine", "--nats-port=5000", "--ctl-port", "5001"),
                  ARGS("WASMCLOUD_LATTICE=other", "WASMCLOUD_NATS_PORT=1", "WASMCLOUD_CTL_HOST=h",
                       "WASMCLOUD_SOMETHING_NEW=x", "WASMCLOUD_RPC_TIMEOUT_MS=77")));
    ck_assert_str_eq(s.lattice, "mine");
    ck_assert_str_eq(s.ctl_host, "h");
    ck_assert_str_eq(s.rpc_host, "127.0.0.1");
    ck_assert_uint_eq(s.ctl_port, 5001);
    ck_assert_uint_eq(s.rpc_port, 5000);
    ck_assert_uint_eq(s.rpc_timeout_ms, 77);
}
END_TEST

START_TEST(an_empty_text_is_the_preset)
{
    ck_assert_msg(read_with(ARGS("--lattice=", "--nats-host", "", "--log-level=", "--js-domain="),
                            ARGS("WASMCLOUD_LATTICE=other", "WASMCLOUD_JS_DOMAIN=hub")),
                  "%s", e.text);
    ck_assert_str_eq(s.lattice, "default");
    ck_assert_str_eq(s.rpc_host, "127.0.0.1");
    ck_assert_str_eq(s.log_level, "info");
    ck_assert_ptr_null(s.js_domain);
}
END_TEST

START_TEST(switches_and_truths)
{
    ck_assert(read_with(ARGS("--allow-file-load", "--enable-provider-auction", "false"),
                        ARGS("WASMCLOUD_CTL_TLS=true", "WASMCLOUD_RPC_TLS=0",
                             "HOSTD_NO_SCHEDULER=1", "WASMCLOUD_COMPONENT_AUCTION_ENABLED=False")));
    ck_assert(s.allow_file_load && s.ctl_tls && !s.rpc_tls && s.no_scheduler);
    ck_assert(!s.component_auction && !s.provider_auction);
    ck_assert(!read_with(NULL, ARGS("WASMCLOUD_CTL_TLS=maybe")));
    ck_assert(strstr(e.text, "WASMCLOUD_CTL_TLS"));
}
END_TEST

START_TEST(labels)
{
    ck_assert(read_with(ARGS("--label", "zone=a", "-l", "hostcore.arch=toaster", "--label=empty="),
                        ARGS("WASMCLOUD_LABEL_zone=b", "WASMCLOUD_LABEL_Rack=r=1")));
    ck_assert_str_eq(label("zone"), "a");
    ck_assert_str_eq(label("hostcore.arch"), "toaster");
    ck_assert_str_eq(label("Rack"), "r=1");
    ck_assert_str_eq(label("empty"), "");
    ck_assert(!read_with(ARGS("--label", "a=b=c"), NULL));
    ck_assert(!read_with(ARGS("--label", "nothing"), NULL));
    ck_assert(strstr(e.text, "KEY=VALUE"));
}
END_TEST

START_TEST(aliases)
{
    ck_assert(read_with(ARGS("--wasmcloud-js-domain", "d", "--provider-shutdown-delay=5"), NULL));
    ck_assert_str_eq(s.js_domain, "d");
    ck_assert_uint_eq(s.provider_shutdown_ms, 5);
}
END_TEST

START_TEST(credentials)
{
    ck_assert(!read_with(ARGS("--nats-jwt", "x"), NULL));
    ck_assert(read_with(ARGS("--nats-jwt", "x", "--nats-seed", "y", "--rpc-creds", "f"), NULL));
    ck_assert_str_eq(s.ctl_jwt, "x");
    ck_assert_str_eq(s.ctl_seed, "y");
    ck_assert_ptr_null(s.rpc_jwt);
    ck_assert_str_eq(s.rpc_creds, "f");
}
END_TEST

START_TEST(refused)
{
    static const char *const rows[][2] = {
        {"--nope", "unknown option \"--nope\""},
        {"--nats-port=70000", "--nats-port: must be a number from 1 to 65535"},
        {"--nats-port=12x", "--nats-port"},
        {"--lattice=a.b", "--lattice"},
        {"--log-level=loud", "--log-level"},
        {"--policy-topic=p.*", "--policy-topic"},
        {"--policy-changes-topic=p", "goes with --policy-topic"},
        {"--policy-timeout-ms=0", "--policy-timeout-ms: must be a number from 1"},
        {"--secrets-topic=a..b", "--secrets-topic"},
        {"--secrets-topic=a.>", "--secrets-topic"},
        {"--lattice", "--lattice needs a value"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert(!read_with(ARGS(rows[i][0]), NULL));
        ck_assert_msg(strstr(e.text, rows[i][1]), "%s: %s", rows[i][0], e.text);
    }
}
END_TEST

START_TEST(help_version_and_warnings)
{
    ck_assert(read_with(ARGS("--help"), NULL));
    ck_assert_int_eq(end, SETTINGS_HELP);
    ck_assert(read_with(ARGS("--version"), NULL));
    ck_assert_int_eq(end, SETTINGS_VERSION);
    ck_assert(read_with(ARGS("--enable-observability"), ARGS("WASMCLOUD_HTTP_ADMIN=r")));
    ck_assert_ptr_nonnull(settings_warning(&s, 0));
    ck_assert_ptr_nonnull(settings_warning(&s, 1));
    ck_assert_ptr_null(settings_warning(&s, 2));
}
END_TEST

/* Every setting says something, on lines that a terminal shows whole. */
START_TEST(help_layout)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    settings_help(out);
    fclose(out);
    struct str rest = {text, n}, line;
    while (str_cut(&rest, '\n', &line)) {
        ck_assert_msg(line.n <= 100, "%zu columns: %.*s", line.n, STR_ARG(line));
        ck_assert_msg(line.n == 0 || line.p[line.n - 1] != ' ', "ends blank: %.*s", STR_ARG(line));
    }
    ck_assert_ptr_nonnull(strstr(text, "NATS server\n"));
    ck_assert_ptr_nonnull(strstr(text, " WASMCLOUD_NATS_HOST [default: 127.0.0.1]\n"));
    free(text);
}
END_TEST

static void setup(void)
{
    s = (struct settings){.lattice = NULL};
}

static void teardown(void)
{
    settings_fini(&s);
}

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("config");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, help_layout);
    tcase_add_test(tc, defaults);
    tcase_add_test(tc, flags_beat_environment);
    tcase_add_test(tc, an_empty_text_is_the_preset);
    tcase_add_test(tc, switches_and_truths);
    tcase_add_test(tc, labels);
    tcase_add_test(tc, aliases);
    tcase_add_test(tc, credentials);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, help_version_and_warnings);
    suite_add_tcase(suite, tc);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
