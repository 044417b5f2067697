/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for signing: in which folder they lie, which one is taken; and the tokens that are signed with them. */
#include <check.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/table.h"
#include "lattice/base/num.h"

static struct ctl c;
static struct err e;
static char home[64];

static void set_up(void)
{
    static const char *const others[] = {"XDG_DATA_HOME", "HOSTCTL_DATA_DIR", "WASH_KEYS_DIR",
                                         "WASH_KEYS",     "WASH_ISSUER_KEY",  "WASH_SUBJECT_KEY"};
    e = (struct err)ERR_INIT;
    c = (struct ctl){.json = true}; /* no notices */
    arena_init(&c.arena, 1 << 20);
    snprintf(home, sizeof home, P_tmpdir "/test-keyring-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home));
    setenv("HOME", home, 1);
    setenv("USER", "ann", 1);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        unsetenv(others[i]);
}

static void tear_down(void)
{
    char command[128];
    arena_fini(&c.arena);
    buf_fini(&c.text);
    json_decref(c.result);
    snprintf(command, sizeof command, "rm -r %s", home);
    ck_assert_int_eq(system(command), 0);
}

/* Words separated by blanks; a % stands for the home folder. */
static bool run(const char *line)
{
    char *argv[64] = {(char *)"hostctl"};
    int argc = 1;
    struct str rest = str_of(line), one;
    while (str_cut(&rest, ' ', &one)) {
        size_t at = str_find(one, '%');
        argv[argc++] = arena_printf(&c.arena, "%.*s%s%.*s", STR_ARG(str_sub(one, 0, at)),
                                    at < one.n ? home : "", STR_ARG(str_sub(one, at + 1, one.n)));
    }
    json_decref(c.result);
    c.result = NULL;
    c.nvalues = c.nwords = 0;
    c.command = NULL;
    e = (struct err)ERR_INIT;
    return args_read(&c, argc, argv, &e) == ARGS_RUN && c.command->run(&c, &e);
}

static bool is_file(const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", home, name);
    return stat(path, &st) == 0 && (st.st_mode & 0777) == 0600;
}

/* Ours, but what wash has is used while there is nothing of ours. */
START_TEST(test_folder)
{
    static const struct {
        const char *make, *variable, *value, *key;
    } rows[] = {
        {".wash/keys", NULL, NULL, ".wash/keys/a_module.nk"},
        {".local/share/wash/keys", NULL, NULL, ".local/share/wash/keys/b_module.nk"},
        {".local/share/hostctl/keys", NULL, NULL, ".local/share/hostctl/keys/c_module.nk"},
        {"x", "XDG_DATA_HOME", "x", "x/hostctl/keys/d_module.nk"},
        {"y", "HOSTCTL_DATA_DIR", "y", "y/keys/e_module.nk"},
        {"z", "WASH_KEYS_DIR", "z", "z/f_module.nk"},
        {"k", "WASH_KEYS", "k", "k/g_module.nk"},
    };
    char text[512];
    unsetenv("XDG_DATA_HOME");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof text, "mkdir -p %s/%s", home, rows[i].make);
        ck_assert_int_eq(system(text), 0);
        snprintf(text, sizeof text, "%s/%s", home, rows[i].value ? rows[i].value : "");
        if (rows[i].variable)
            setenv(rows[i].variable, text, 1);
        if (rows[i].variable && strcmp(rows[i].variable, "XDG_DATA_HOME") == 0) {
            snprintf(text, sizeof text, "rm -r %s/.wash",
                     home); /* it would come before a new one */
            ck_assert_int_eq(system(text), 0);
        }
        snprintf(text, sizeof text, "claims token component --name %c", (char)('a' + i));
        ck_assert_msg(run(text), "%s", e.text);
        ck_assert_msg(is_file(rows[i].key), "%s", rows[i].key);
    }
    ck_assert(run("claims token component --name h --directory %/own"));
    ck_assert(is_file("own/h_module.nk") && is_file("own/ann_account.nk"));
}
END_TEST

static struct id_claims token(const char *line)
{
    struct id_claims k;
    ck_assert_msg(run(line), "%s: %s", line, e.text);
    const char *text = json_string_value(json_object_get(c.result, "token"));
    ck_assert_msg(id_claims_decode(str_of(text), &c.arena, &k, &e), "%s", e.text);
    ck_assert_msg(id_claims_check(&k, 2000000000, &e), "%s", e.text);
    return k;
}

START_TEST(test_tokens)
{
    struct id_claims k = token("claims token component -n x --rev 7 --version 1.2 -t a -t b");
    ck_assert(str_eqz(k.name, "x") && str_eqz(k.version, "1.2") && k.revision == 7);
    ck_assert(k.ntags == 2 && str_eqz(k.tags[1], "b"));
    ck_assert(k.issuer.p[0] == 'A' && k.subject.p[0] == 'M' && k.expires_s == ID_NEVER);
    k = token("claims token provider -n x --vendor v --expires 36500");
    ck_assert(k.issuer.p[0] == 'A' && k.subject.p[0] == 'V' && str_eqz(k.vendor, "v"));
    ck_assert(k.expires_s != ID_NEVER);
    struct str account = k.issuer;
    k = token("claims token account -n x");
    ck_assert(k.issuer.p[0] == 'O' && str_eq(k.subject, account));
    struct str root = k.issuer;
    k = token("claims token operator -n x -a %/.local/share/hostctl/keys/ann_account.nk");
    ck_assert(str_eq(k.issuer, root) && str_eq(k.subject, root));
    k = token("claims token component -n x -i %/.local/share/hostctl/keys/ann_account.nk");
    ck_assert(str_eq(k.issuer, account));
}
END_TEST

static const struct {
    const char *line, *says;
} wrong[] = {
    {"claims token nothing --name x", "'nothing' is none of"},
    {"claims token component", "--name"},
    {"claims token component --name a/b", "--name"},
    {"claims token provider --name x", "--vendor"},
    {"claims token operator --name x -a y", "--additional-key"},
    {"claims token operator --name x --expires 36501", "at most 36500 days"},
    {"claims token component --name x --disable-keygen", "ann_account.nk"},
    {"claims token component --name x --issuer nothing", "--issuer"},
    {"claims token component --name x --issuer "
     "SMAFC2SJ77ADRSTNOADHGXOJDG3LPAYRAGI3SCXBSSAYNUEA67WR5PTYVI",
     "--issuer: a key of another type"},
};

START_TEST(test_wrong)
{
    ck_assert(!run(wrong[_i].line));
    ck_assert_msg(strstr(e.text, wrong[_i].says) != NULL, "%s", e.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keyring");
    TCase *t = tcase_create("keyring");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, test_folder);
    tcase_add_test(t, test_tokens);
    tcase_add_loop_test(t, test_wrong, 0, ARRAY_LEN(wrong));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
