/* SPDX-License-Identifier: Apache-2.0 */
/* Callers whose process died: a server of ours notices, others are left alone. */
#include "tests/wrpc/calls.h"

static uint32_t gones;
static struct wrpc_inv *inv;

static void on_gone(void *user)
{
    (void)user;
    gones++;
}

static void on_invocation(void *user, struct wrpc_inv *i)
{
    (void)user;
    gones = 0;
    inv = i;
    wrpc_inv_on_gone(i, on_gone, NULL);
}

static struct wrpc_serve *serve(void)
{
    struct wrpc_serve *s;
    struct wit_pendings paths = two_paths();
    ck_assert(wrpc_serve_open(server, PREFIX, PREFIX, INSTANCE, STR("f"), &paths, on_invocation,
                              NULL, &s, &e));
    return s;
}

static void call_by(struct wrpc *w, struct caller *c, bool paced, bool bare)
{
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), headers, 2, .paced = paced, .bare = bare};
    struct wit_pendings paths = two_paths();
    ck_assert(wrpc_invoke(w, &t, bytes("p"), &paths, 0, on_bytes, on_end, c, &c->call, &e));
    loop_sim_advance(env.loop, 1000);
}

/* Row: paced; all parameters in the first message, which holds the handshake back; is the loss noticed? */
static const struct {
    bool paced, bare;
    uint32_t gones;
} rows[] = {{true, false, 1}, {true, true, 1}, {false, false, 0}};

START_TEST(a_caller_whose_process_died_is_gone)
{
    struct caller c = {0};
    struct wrpc_serve *s = serve();
    struct bus *bus = env_open();
    struct wrpc *mortal;
    ck_assert(wrpc_open(bus, NULL, &mortal, &e));
    call_by(mortal, &c, rows[_i].paced, rows[_i].bare);
    wrpc_close(mortal); /* unsubscribes, as the death of a process does, and says nothing */
    caller_fini(&c);
    bus_close(bus);
    loop_sim_advance(env.loop, 15000);
    ck_assert_uint_eq(gones, rows[_i].gones);
    loop_sim_advance(env.loop, 60000);
    ck_assert_uint_eq(gones, rows[_i].gones);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(a_caller_that_waits_is_not_gone)
{
    struct caller c = {0};
    struct wrpc_serve *s = serve();
    call_by(client, &c, true, false);
    struct ear ear = {0};
    loop_sim_advance(env.loop, 10);
    listen_to(&ear, bus_b, "_INBOX.>");
    loop_sim_advance(env.loop, 60000);
    ck_assert_uint_eq(gones, 0);
    ck_assert_int_eq(c.ends, 0);
    for (int i = 0; i < ear.n; i++) /* it asks, so nobody asks it */
        ck_assert_str_ne(ear.at[i].data, "1");
    ck_assert(wrpc_inv_result(inv, bytes("R"), &e));
    settle();
    assert_got(&c.in, 0, "R");
    bus_unsubscribe(&ear.sub);
    wrpc_inv_free(inv);
    caller_fini(&c);
    wrpc_serve_close(s);
}
END_TEST

/* Without a word (wrpc_call_free): its process is asked, and does not know the call any more. */
START_TEST(a_caller_that_forgot_its_call_says_so_when_asked)
{
    struct caller c = {0};
    struct wrpc_serve *s = serve();
    call_by(client, &c, true, false);
    caller_fini(&c);
    loop_sim_advance(env.loop, 12000);
    ck_assert_uint_eq(gones, 1);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(callers_of_another_make_are_not_asked)
{
    struct caller c = {0};
    struct ear ear = {0};
    struct wrpc_serve *s = serve();
    call_by(client, &c, false, false);
    listen_to(&ear, bus_b, "_INBOX.>");
    loop_sim_advance(env.loop, 60000);
    ck_assert_int_eq(ear.n, 0);
    ck_assert_uint_eq(gones, 0);
    bus_unsubscribe(&ear.sub);
    wrpc_inv_free(inv);
    caller_fini(&c);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(a_watched_invocation_outlives_its_server)
{
    struct caller c = {0};
    struct wrpc_serve *s = serve();
    call_by(client, &c, true, false);
    wrpc_close(server);
    server = NULL;
    loop_sim_advance(env.loop, 60000);
    ck_assert_uint_eq(gones, 0);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
    caller_fini(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("departed");
    TCase *t = tcase_create("departed");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_caller_whose_process_died_is_gone, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, a_caller_that_waits_is_not_gone);
    tcase_add_test(t, a_caller_that_forgot_its_call_says_so_when_asked);
    tcase_add_test(t, callers_of_another_make_are_not_asked);
    tcase_add_test(t, a_watched_invocation_outlives_its_server);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
