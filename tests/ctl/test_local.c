/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of this machine: started, recorded, found again, ended; and who answers at a port. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/table.h"

static struct ctl c;
static struct err e;
static char folder[64];
static const struct proto_map no_env;

static void set_up(void)
{
    c = (struct ctl){.json = true}; /* no notices */
    e = (struct err)ERR_INIT;
    arena_init(&c.arena, 1 << 20);
    snprintf(folder, sizeof folder, P_tmpdir "/test-ctl-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("HOSTCTL_DATA_DIR", folder, 1);
}

static void tear_down(void)
{
    char command[128];
    arena_fini(&c.arena);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static struct local_process start(const char *script, const char *log)
{
    struct local_process p = {
        .name = STR("hostd"), .host_id = STR("NX"), .address = STR("h:1"), .lattice = STR("x")};
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
    ck_assert_msg(local_spawn(&c, argv, &no_env, log, &p, &e), "%s", e.text);
    return p;
}

START_TEST(recorded_and_found)
{
    struct local_list list;
    struct local_process p = start("exec sleep 60", "/dev/null");
    ck_assert_msg(local_record(&c, &p, &e), "%s", e.text);
    ck_assert(local_alive(&p));
    ck_assert(local_processes(&c, &list, &e));
    ck_assert_uint_eq(list.n, 1);
    ck_assert_int_eq(list.v[0].pid, p.pid);
    ck_assert(str_eqz(list.v[0].name, "hostd") && str_eqz(list.v[0].host_id, "NX") &&
              str_eqz(list.v[0].lattice, "x"));
    ck_assert(local_stop(&list.v[0], SIGTERM, 5000));
    ck_assert(!local_alive(&p));
    ck_assert(local_processes(&c, &list, &e));
    ck_assert_uint_eq(list.n, 0);
}
END_TEST

START_TEST(another_process_with_that_pid)
{
    struct local_list list;
    struct local_process p = start("exec sleep 60", "/dev/null"), wrong = p;
    wrong.start_ticks--;
    ck_assert(!local_alive(&wrong));
    ck_assert(local_record(&c, &wrong, &e));
    ck_assert(local_processes(&c, &list, &e)); /* a dead record is taken away */
    ck_assert_uint_eq(list.n, 0);
    ck_assert_int_ne(access(wrong.file.p, F_OK), 0);
    ck_assert(local_stop(&wrong, SIGTERM, 1000)); /* and the stranger is left alone */
    ck_assert(local_alive(&p));
    local_record(&c, &p, &e);
    ck_assert(local_stop(&p, SIGKILL, 5000));
}
END_TEST

START_TEST(one_that_ignores_sigterm)
{
    char *log = arena_printf(&c.arena, "%s/log", folder);
    struct local_process p = start("trap '' TERM; echo ready; while :; do sleep 0.1; done", log);
    local_record(&c, &p, &e);
    while (!strstr(local_log_tail(&c, log), "ready"))
        usleep(1000);
    ck_assert(local_stop(&p, SIGTERM, 100));
    ck_assert(!local_alive(&p));
}
END_TEST

START_TEST(environment_and_log)
{
    const struct proto_pair pair = {STR("HOME"), STR("elsewhere")};
    const struct proto_map env = {&pair, 1};
    char *log = arena_printf(&c.arena, "%s/log", folder);
    char *argv[] = {(char *)"/bin/sh", (char *)"-c",
                    (char *)"echo one; echo two; echo three; echo $HOME >&2", NULL};
    struct local_process p = {.name = STR("x"), .address = STR("h:1")};
    ck_assert(local_spawn(&c, argv, &env, log, &p, &e));
    ck_assert(local_record(&c, &p, &e));
    ck_assert(local_stop(&p, 0, 5000));
    ck_assert_str_eq(local_log_tail(&c, log), "two\nthree\nelsewhere\n");
    char *missing[] = {(char *)"/nowhere/program", NULL};
    ck_assert(!local_spawn(&c, missing, &no_env, log, &p, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "/nowhere/program"));
}
END_TEST

START_TEST(broken_records_are_skipped)
{
    struct local_list list;
    static const char *const bad[] = {"", "[", "[]", "{}", "{\"pid\":-1}", "{\"pid\":\"x\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FILE *f = fopen(arena_printf(&c.arena, "%s/%zu.pid.json", folder, i), "w");
        fputs(bad[i], f);
        fclose(f);
    }
    ck_assert(local_processes(&c, &list, &e));
    ck_assert_uint_eq(list.n, 0);
}
END_TEST

/* A server that says something to whoever connects. */
struct speaker {
    int listener;
    const char *words;
};

static void *speak(void *user)
{
    const struct speaker *s = user;
    int peer = accept(s->listener, NULL, NULL);
    ssize_t n = write(peer, s->words, strlen(s->words));
    close(n < 0 ? -1 : peer);
    return NULL;
}

static enum probe probe_of(const char *words)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    struct speaker s = {socket(AF_INET, SOCK_STREAM, 0), words};
    pthread_t thread;
    ck_assert_int_eq(bind(s.listener, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(s.listener, (struct sockaddr *)&a, &n), 0);
    if (!words) { /* bound, but nobody listens */
        enum probe nobody = local_probe("127.0.0.1", ntohs(a.sin_port), 2000);
        close(s.listener);
        return nobody;
    }
    ck_assert_int_eq(listen(s.listener, 1), 0);
    pthread_create(&thread, NULL, speak, &s);
    enum probe p = local_probe("127.0.0.1", ntohs(a.sin_port), 2000);
    pthread_join(thread, NULL);
    close(s.listener);
    return p;
}

START_TEST(who_answers)
{
    ck_assert_int_eq(probe_of("INFO {\"server_id\":\"x\"}\r\n"), PROBE_NATS);
    ck_assert_int_eq(probe_of("SSH-2.0-x\r\n"), PROBE_STRANGER);
    ck_assert_int_eq(probe_of(""), PROBE_STRANGER);
    ck_assert_int_eq(probe_of(NULL), PROBE_NOBODY);
    ck_assert_int_eq(local_probe("no such host", 1, 100), PROBE_NOBODY);
}
END_TEST

START_TEST(programs_are_found)
{
    const char *path;
    char *own = arena_printf(&c.arena, "%s/some-program", folder);
    FILE *f = fopen(own, "w");
    fclose(f);
    setenv("PATH", arena_printf(&c.arena, "/nowhere::%s", folder), 1);
    ck_assert(!local_find_program(&c, "some-program", &path, &e));
    chmod(own, 0700);
    ck_assert(local_find_program(&c, "some-program", &path, &e));
    ck_assert_str_eq(path, own);
    setenv("PATH", "/usr/bin:/bin", 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("local processes");
    TCase *tc = tcase_create("local processes");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, recorded_and_found);
    tcase_add_test(tc, another_process_with_that_pid);
    tcase_add_test(tc, one_that_ignores_sigterm);
    tcase_add_test(tc, environment_and_log);
    tcase_add_test(tc, broken_records_are_skipped);
    tcase_add_test(tc, who_answers);
    tcase_add_test(tc, programs_are_found);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
