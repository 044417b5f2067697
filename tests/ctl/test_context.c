/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: where they lie, which one counts, what wins over it; the commands that keep them. */
#include <check.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/table.h"

static struct ctl c;
static struct err e;
static char home[64];

static void set_up(void)
{
    e = (struct err)ERR_INIT;
    c = (struct ctl){.json = true}; /* no notices */
    arena_init(&c.arena, 1 << 20);
    snprintf(home, sizeof home, P_tmpdir "/test-context-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home));
    setenv("HOME", home, 1);
    for (const struct option *o = lattice_options; o->name; o++)
        if (o->env)
            unsetenv(o->env);
    static const char *const others[] = {"XDG_CONFIG_HOME", "HOSTCTL_CONTEXT_DIR",
                                         "WASH_CONTEXT_DIR", "WASH_CONTEXTS"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unsetenv(others[i]);
}

static void tear_down(void)
{
    char command[128];
    arena_fini(&c.arena);
    buf_fini(&c.text);
    json_decref(c.result);
    json_decref(c.context);
    snprintf(command, sizeof command, "rm -r %s", home);
    ck_assert_int_eq(system(command), 0);
}

static enum args_end parse(const char *line)
{
    static char text[1024];
    char *argv[64];
    int argc = 0;
    snprintf(text, sizeof text, "hostctl -o json %s", line);
    for (char *p = text; *p;) {
        argv[argc++] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = '\0';
    }
    json_decref(c.context);
    json_decref(c.result);
    c.context = c.result = NULL;
    c.context_name = NULL;
    c.nvalues = c.nwords = 0;
    c.command = NULL;
    return args_read(&c, argc, argv, &e);
}

/* Parses and runs. */
static bool run(const char *line)
{
    ck_assert_msg(parse(line) == ARGS_RUN, "%s: %s", line, e.text);
    return c.command->run(&c, &e);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

#define OURS ".config/hostctl/contexts/"
#define FAR                                                                                    \
    "{\"ctl_host\": \"far\", \"ctl_port\": 77, \"lattice_prefix\": \"x\", \"ctl_jwt\": null, " \
    "\"ctl_seed\": \"\"}"

START_TEST(what_wins_over_a_context)
{
    write_file(OURS "far.json", FAR);
    write_file(OURS "default", "far\n");
    ck_assert_int_eq(parse("get hosts"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "far");
    ck_assert_uint_eq(option_number(&c, "ctl-port"), 77);
    ck_assert_str_eq(option_text(&c, "lattice"), "x");
    ck_assert_ptr_null(option_text(&c, "ctl-jwt"));
    ck_assert_ptr_null(option_text(&c, "ctl-seed"));
    ck_assert_uint_eq(option_number(&c, "timeout-ms"), 2000);
    ck_assert(!option_chosen(&c, "timeout-ms"));
    setenv("WASMCLOUD_CTL_HOST", "environment", 1);
    ck_assert_int_eq(parse("get hosts -p 5"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "environment");
    ck_assert_uint_eq(option_number(&c, "ctl-port"), 5);
}
END_TEST

START_TEST(one_is_named)
{
    write_file(OURS "far.json", FAR);
    write_file(OURS "near.json", "{\"ctl_host\": \"near\", \"rpc_host\": \"calls\", "
                                 "\"rpc_timeout\": 7, \"ctl_timeout\": 9}");
    write_file(OURS "default", "far");
    ck_assert_int_eq(parse("get hosts --context near"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "near");
    ck_assert_uint_eq(option_number(&c, "timeout-ms"), 9);
    ck_assert(option_chosen(&c, "timeout-ms"));
    ck_assert_str_eq(option_text(&c, "lattice"), "default");
    ck_assert_int_eq(parse("call a b --context near"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "rpc-host"), "calls");
    ck_assert_uint_eq(option_number(&c, "rpc-timeout-ms"), 7);
    ck_assert_int_eq(parse("get hosts --context none"), ARGS_NO_CONTEXT);
    ck_assert_ptr_nonnull(strstr(e.text, "none"));
    ck_assert_int_eq(parse("get hosts --context ../far"), ARGS_NO_CONTEXT);
    ck_assert_int_eq(parse("down"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "127.0.0.1");
    ck_assert_int_eq(parse("down --context near"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "near");
}
END_TEST

START_TEST(washs_are_read_until_there_are_ours)
{
    write_file(".wash/contexts/host_config.json", "{\"ctl_host\": \"old\"}");
    write_file(".wash/contexts/default", "host_config");
    ck_assert_int_eq(parse("get hosts"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "old");
    write_file(".config/wash/contexts/host_config.json", "{\"ctl_host\": \"new\"}");
    write_file(".config/wash/contexts/default", "host_config");
    ck_assert_int_eq(parse("get hosts"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "new");
    write_file(OURS "mine.json", "{\"ctl_host\": \"ours\"}");
    write_file(OURS "default", "mine");
    ck_assert_int_eq(parse("get hosts"), ARGS_RUN);
    ck_assert_str_eq(option_text(&c, "ctl-host"), "ours");
}
END_TEST

static const struct {
    const char *json, *says;
} bad[] = {
    {"{\"ctl_port\": \"many\"}", "ctl-port"},
    {"{\"ctl_port\": -1}", "ctl-port"},
    {"[]", "line 1: not a JSON object"},
    {"{", "not a JSON object"},
    {"{\"a\":1,\"a\":2}", "not a JSON object"},
};

START_TEST(what_cannot_be_used_is_named)
{
    write_file(OURS "bad.json", bad[_i].json);
    ck_assert_int_eq(parse("get hosts --context bad"), ARGS_NO_CONTEXT);
    ck_assert_msg(strstr(e.text, bad[_i].says) && strstr(e.text, "bad"), "%s", e.text);
}
END_TEST

START_TEST(made_chosen_and_removed)
{
    ck_assert_msg(run("ctx list"), "%s", e.text);
    ck_assert_str_eq(json_string_value(json_object_get(c.result, "default")), "host_config");
    ck_assert_uint_eq(json_array_size(json_object_get(c.result, "contexts")), 1);
    ck_assert_msg(run("ctx new second"), "%s", e.text);
    ck_assert(!run("ctx new second"));
    ck_assert(!run("ctx new a/b"));
    ck_assert(!run("ctx new default"));
    ck_assert_msg(run("context default second"), "%s", e.text);
    ck_assert(!run("ctx default third"));
    ck_assert(run("contexts list"));
    ck_assert_str_eq(json_string_value(json_object_get(c.result, "default")), "second");
    ck_assert_uint_eq(json_array_size(json_object_get(c.result, "contexts")), 2);
    ck_assert(run("ctx edit second -e true"));
    ck_assert(!run("ctx edit second -e false"));
    ck_assert(run("ctx del second"));
    ck_assert(run("ctx list"));
    ck_assert(json_is_null(json_object_get(c.result, "default")));
    ck_assert_int_eq(parse("get hosts"), ARGS_RUN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("contexts");
    TCase *t = tcase_create("contexts");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_wins_over_a_context);
    tcase_add_test(t, one_is_named);
    tcase_add_test(t, washs_are_read_until_there_are_ours);
    tcase_add_loop_test(t, what_cannot_be_used_is_named, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, made_chosen_and_removed);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
