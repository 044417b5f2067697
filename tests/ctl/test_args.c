/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines, right and wrong; the table of commands itself; what is printed. */
#include <check.h>
#include <stdlib.h>
#include "ctl/table.h"

static struct ctl c;
static struct err e;

static void set_up(void)
{
    c = (struct ctl){0};
    e = (struct err)ERR_INIT;
    arena_init(&c.arena, 1 << 20);
    for (const struct option *o = lattice_options; o->name; o++)
        if (o->env)
            unsetenv(o->env);
    setenv("HOSTCTL_CONTEXT_DIR", "/nowhere", 1);
}

static void tear_down(void)
{
    arena_fini(&c.arena);
    buf_fini(&c.text);
    json_decref(c.result);
}

/* Words separated by blanks. */
static enum args_end parse(const char *line)
{
    static char text[1024];
    char *argv[64];
    int argc = 0;
    snprintf(text, sizeof text, "hostctl %s", line);
    for (char *p = text; *p;) {
        argv[argc++] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = '\0';
    }
    c.nvalues = c.nwords = 0;
    c.command = NULL;
    return args_read(&c, argc, argv, &e);
}

static const struct {
    const char *line;
    command_fn *run;
    const char *option, *value; /* NULL: none to look at */
} right[] = {
    {"get hosts", cmd_get_hosts, "ctl-host", "127.0.0.1"},
    {"get hosts --ctl-host=h -p 1", cmd_get_hosts, "ctl-port", "1"},
    {"get hosts -p1", cmd_get_hosts, "ctl-port", "1"},
    {"get hosts -p 1 -p 2", cmd_get_hosts, "ctl-port", "2"},
    {"-o json get hosts", cmd_get_hosts, "output", "json"},
    {"get inventories", cmd_get_inventory, NULL, NULL},
    {"get inventory NABC --watch", cmd_get_inventory, "watch", ""},
    {"get inventory -w 2s NABC", cmd_get_inventory, "watch", "2s"},
    {"get inventory -w NABC", cmd_get_inventory, "watch", ""},
    {"links get", cmd_get_links, NULL, NULL},
    {"link query", cmd_get_links, NULL, NULL},
    {"link delete a wasi http -l x", cmd_link_del, "link-name", "x"},
    {"app del hello v1", cmd_app_delete, NULL, NULL},
    {"app put -", cmd_app_put, NULL, NULL},
    {"app put", cmd_app_put, NULL, NULL},
    {"up -d -l a=b --label c=d", cmd_up, "label", "c=d"},
    {"up --detach --allow-file-load false", cmd_up, "allow-file-load", "false"},
    {"down --flush-jetstream=wadm", cmd_down, "purge-jetstream", "wadm"},
    {"start component a b --count 7", cmd_start_component, "max-instances", "7"},
    {"config put name a=b -- -c=d", cmd_config_put, NULL, NULL},
    {"keys gen host", cmd_keys_gen, NULL, NULL},
    {"key gen host", cmd_keys_gen, NULL, NULL},
    {"secret get x", cmd_config_get, NULL, NULL},
    {"claim sign x", cmd_claims_sign, NULL, NULL},
    {"contexts list", cmd_ctx_list, NULL, NULL},
    {"label h a=b,c=d e=f", cmd_label, NULL, NULL},
    {"call a b:c/d.e --context-dir /nowhere", cmd_call, "context-dir", "/nowhere"},
    {"up --rpc-credsfile f --ctl-tls-first false", cmd_up, "rpc-credsfile", "f"},
};

START_TEST(right_lines)
{
    ck_assert_msg(parse(right[_i].line) == ARGS_RUN, "%s: %s", right[_i].line, e.text);
    ck_assert(c.command->run == right[_i].run);
    if (right[_i].option)
        ck_assert_str_eq(option_text(&c, right[_i].option), right[_i].value);
}
END_TEST

static const struct {
    const char *line, *says;
} wrong[] = {
    {"", "missing"},
    {"nonsense", "nonsense"},
    {"get", "missing"},
    {"get nothing", "get nothing"},
    {"get hosts extra", "extra"},
    {"app deploy", "SOURCE"},
    {"link put a b wasi", "PACKAGE"},
    {"config put name", "KEY=VALUE"},
    {"get hosts --nope", "--nope"},
    {"--nope get hosts", "before the command"},
    {"get hosts -p", "wants a value"},
    {"get hosts -p x", "number"},
    {"get hosts -o yaml", "neither"},
    {"up --detached=yes", "takes no value"},
    {"up --allow-file-load maybe", "true or false"},
    {"get inventory --watch=soon", "duration"},
};

START_TEST(wrong_lines)
{
    FILE *saved = stderr;
    stderr = fopen("/dev/null", "w"); /* help goes there */
    enum args_end end = parse(wrong[_i].line);
    fclose(stderr);
    stderr = saved;
    ck_assert_int_eq(end, ARGS_WRONG);
    ck_assert_msg(strstr(e.text, wrong[_i].says) != NULL, "%s", e.text);
}
END_TEST

static const char *const shown[] = {"help", "help app", "help get hosts", "get hosts --help",
                                    "app -h"};

START_TEST(help_lines)
{
    FILE *saved = stdout;
    stdout = fopen("/dev/null", "w");
    enum args_end end = parse(shown[_i]);
    fclose(stdout);
    stdout = saved;
    ck_assert_msg(end == ARGS_SHOWN, "%s: %s", shown[_i], e.text);
}
END_TEST

START_TEST(environment_and_lists)
{
    setenv("WASMCLOUD_CTL_PORT", "99", 1);
    ck_assert_int_eq(parse("get hosts"), ARGS_RUN);
    ck_assert_uint_eq(option_number(&c, "ctl-port"), 99);
    ck_assert(!option_given(&c, "ctl-port"));
    ck_assert_int_eq(parse("get hosts -p 1"), ARGS_RUN);
    ck_assert_uint_eq(option_number(&c, "ctl-port"), 1);
    setenv("WASMCLOUD_CTL_PORT", "x", 1);
    ck_assert_int_eq(parse("get hosts"), ARGS_WRONG);
    ck_assert_ptr_nonnull(strstr(e.text, "WASMCLOUD_CTL_PORT"));
    unsetenv("WASMCLOUD_CTL_PORT");

    struct proto_map labels;
    struct proto_strs names;
    ck_assert_int_eq(parse("up -l a=b -l c=d=e"), ARGS_RUN);
    ck_assert(option_pairs(&c, "label", &labels, &e));
    ck_assert(labels.n == 2 && str_eqz(labels.v[1].value, "d=e"));
    ck_assert_int_eq(parse("up -l a=b -l a=c"), ARGS_RUN);
    ck_assert(!option_pairs(&c, "label", &labels, &e));
    ck_assert_int_eq(parse("up -l =c"), ARGS_RUN);
    ck_assert(!option_pairs(&c, "label", &labels, &e));
    ck_assert_int_eq(parse("link put a b c d --interface x,y --interfaces z"), ARGS_RUN);
    ck_assert(option_strs(&c, "interface", &names, &e));
    ck_assert(names.n == 3 && str_eqz(names.v[0], "x") && str_eqz(names.v[2], "z"));
}
END_TEST

START_TEST(durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0}, {"500", 500}, {"54ms", 54}, {"2s", 2000}, {"5m", 300000}};
    static const char *const bad[] = {"", "s", "-1", "1h", "1.5s", "18446744073709551615m"};
    uint64_t ms;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert(read_duration_ms(good[i].text, &ms) && ms == good[i].ms);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!read_duration_ms(bad[i], &ms), "%s", bad[i]);
}
END_TEST

/* Rows can be told apart, and none of their options hides another. */
START_TEST(table_is_sound)
{
    for (size_t i = 0; i < ncommands; i++) {
        const struct command *a = &commands[i];
        ck_assert_ptr_nonnull(a->run);
        ck_assert_ptr_nonnull(a->words);
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(
                strcmp(a->noun, commands[j].noun) != 0 ||
                    (a->verb && commands[j].verb && strcmp(a->verb, commands[j].verb) != 0),
                "%s", a->noun);
        for (const struct option *o = a->options; o && o->name; o++)
            for (const struct option *p = a->lattice ? lattice_options : a->options; p->name; p++)
                ck_assert_msg(p == o || (strcmp(o->name, p->name) != 0 &&
                                         (!o->letter || o->letter != p->letter)),
                              "%s %s: --%s", a->noun, a->verb ? a->verb : "", o->name);
    }
}
END_TEST

/* ---- output ---- */

START_TEST(tables_align)
{
    struct table t;
    table_begin(&t, 3);
    table_row(&t, 3, (struct str[]){STR("Name"), STR("B"), STR("C")});
    table_row(&t, 3, (struct str[]){STR("ä"), STR("a\033[1m"), STR("x")});
    table_row(&t, 0, NULL);
    table_row(&t, 1, (struct str[]){STR("only")});
    table_end(&t, &c);
    buf_byte(&c.text, '\0');
    ck_assert_str_eq((char *)c.text.p, "  Name   B          C\n  ä      a\\x1b[1m   x\n\n  only\n");
}
END_TEST

START_TEST(results)
{
    char *text = NULL;
    size_t n;
    FILE *saved = stdout;
    result_say(&c, "Component [%s] stopped", "x");
    stdout = open_memstream(&text, &n);
    int status = output_result(&c);
    fclose(stdout);
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(text, "Component [x] stopped\n");
    free(text);
    c.json = true;
    result_set(&c, "success", json_false()); /* a computed failure stays one */
    stdout = open_memstream(&text, &n);
    status = output_result(&c);
    fclose(stdout);
    stdout = saved;
    ck_assert_int_eq(status, 1);
    json_t *v = json_loads(text, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(v, "result")), "Component [x] stopped");
    ck_assert(json_is_false(json_object_get(v, "success")));
    json_decref(v);
    free(text);
}
END_TEST

START_TEST(errors_with_words_of_others_do_not_speak_to_the_terminal)
{
    char *text = NULL;
    size_t n;
    FILE *saved = stderr;
    err_set(&e, ERR_PEER, "host said '%s'\nsecond line", "\033]0;owned\a");
    stderr = open_memstream(&text, &n);
    int status = output_error(false, &e, false);
    fclose(stderr);
    stderr = saved;
    ck_assert_int_eq(status, 1);
    ck_assert_str_eq(text, "hostctl: host said '\\x1b]0;owned\\x07'\nsecond line\n");
    free(text);
}
END_TEST

START_TEST(keys_are_made)
{
    ck_assert_int_eq(parse("keys gen component"), ARGS_RUN);
    ck_assert(cmd_keys_gen(&c, &e));
    ck_assert_int_eq(json_string_value(json_object_get(c.result, "public_key"))[0], 'M');
    ck_assert_int_eq(parse("keys gen king"), ARGS_RUN);
    ck_assert(!cmd_keys_gen(&c, &e));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("command line");
    TCase *tc = tcase_create("command line");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, right_lines, 0, sizeof right / sizeof *right);
    tcase_add_loop_test(tc, wrong_lines, 0, sizeof wrong / sizeof *wrong);
    tcase_add_loop_test(tc, help_lines, 0, sizeof shown / sizeof *shown);
    tcase_add_test(tc, environment_and_lists);
    tcase_add_test(tc, durations);
    tcase_add_test(tc, table_is_sound);
    tcase_add_test(tc, tables_align);
    tcase_add_test(tc, results);
    tcase_add_test(tc, errors_with_words_of_others_do_not_speak_to_the_terminal);
    tcase_add_test(tc, keys_are_made);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
