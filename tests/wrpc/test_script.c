/* SPDX-License-Identifier: Apache-2.0 */
/* Each side of a call alone against a scripted peer: what a peer may do wrong, late, early or too often. */
#include "tests/wrpc/calls.h"

/* ---- scripted servers ---- */

START_TEST(test_handshake_without_inbox)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 1000);
    say(bus_b, s.rc, "", "", "");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_PROTOCOL);
    script_fini(&s);
}
END_TEST

START_TEST(test_results_before_handshake)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 1000);
    say(bus_b, s.rc, ".results", "", "RES");
    settle();
    assert_got(&s.c.in, 0, "RES");
    say(bus_b, s.rc, ".results", "", "");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_NONE);
    struct ear params = {.n = 0};
    listen_to(&params, bus_b, "my.inbox.params");
    say(bus_b, s.rc, "", "my.inbox", "");
    settle();
    ck_assert_int_eq(params.n, 1); /* the server gets its end all the same */
    script_fini(&s);
}
END_TEST

START_TEST(test_results_in_small_pieces)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 1000);
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "R");
    say(bus_b, s.rc, ".results", "", "E");
    say(bus_b, s.rc, ".results", "", "S");
    settle();
    assert_got(&s.c.in, 0, "RES"); /* there without the end, for who knows the type */
    ck_assert_int_eq(s.c.ends, 0);
    say(bus_b, s.rc, ".results", "", "");
    say(bus_b, s.rc, ".results", "", "too late");
    say(bus_b, s.rc, ".results", "", "");
    settle();
    assert_got(&s.c.in, 0, "RES");
    ck_assert_int_eq(s.c.ends, 1);
    script_fini(&s);
}
END_TEST

/* A root of very many pieces reaches its reader in few: he may decode it again with each of them. */
START_TEST(test_results_in_very_many_pieces)
{
    enum { N = 20000 };
    struct script s = {.rc = NULL};
    script_start(&s, "P", 1000);
    for (int i = 0; i < N; i++)
        say(bus_b, s.rc, ".results", "", "x");
    settle();
    ck_assert_int_lt(s.c.in.pieces[0], 120);
    ck_assert_uint_ge(s.c.in.data[0].n, N * 8 / 9);
    say(bus_b, s.rc, ".results", "", "");
    settle();
    ck_assert_uint_eq(s.c.in.data[0].n, N);
    ck_assert(s.c.ends == 1 && s.c.code == ERR_NONE);
    script_fini(&s);
}
END_TEST

START_TEST(test_strays)
{
    static const char *const strays[] = {".results.0", ".results.0.2",  ".results.0.0.0",
                                         ".result",    ".resultsx",     ".params",
                                         ".results.x", ".results.0.-1", ".x.y.z"};
    struct script s = {.rc = NULL};
    char forged[200];
    script_start(&s, "P", 1000);
    for (size_t i = 0; i < ARRAY_LEN(strays); i++)
        say(bus_b, s.rc, strays[i], "", "stray");
    for (size_t i = 0; i < strlen(s.rc); i++) { /* an inbox that is off by one character */
        snprintf(forged, sizeof forged, "%s", s.rc);
        forged[i] = forged[i] == '.' ? '_' : forged[i] == 'a' ? 'b' : 'a';
        say(bus_b, forged, ".results", "", "forged");
    }
    snprintf(forged, sizeof forged, "%.30s", s.rc);
    say(bus_b, forged, "ffffffffffffffffffffff.results", "", "forged");
    settle();
    ck_assert_int_eq(s.c.ends, 0);
    for (int i = 0; i < CHANNELS; i++)
        ck_assert_uint_eq(s.c.in.data[i].n, 0);
    script_fini(&s);
}
END_TEST

START_TEST(test_second_handshake_is_ignored)
{
    struct script s = {.rc = NULL};
    struct ear one = {.n = 0}, two = {.n = 0};
    script_start(&s, "P", 1000);
    listen_to(&one, bus_b, "inbox.one.>");
    listen_to(&two, bus_b, "inbox.two.>");
    say(bus_b, s.rc, "", "inbox.one", "");
    say(bus_b, s.rc, "", "inbox.two", "");
    settle();
    ck_assert(one.n == 1 && two.n == 0 && s.c.ends == 0);
    script_fini(&s);
}
END_TEST

START_TEST(test_deadline_without_handshake)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 500);
    loop_sim_advance(env.loop, 480);
    ck_assert_int_eq(s.c.ends, 0);
    loop_sim_advance(env.loop, 30);
    ck_assert(s.c.ends == 1 && s.c.code == ERR_TIMEOUT);
    say(bus_b, s.rc, ".results", "", "late");
    settle();
    ck_assert_uint_eq(s.c.in.data[0].n, 0);
    script_fini(&s);
}
END_TEST

START_TEST(test_deadline_without_results)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 500);
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "RE");
    loop_sim_advance(env.loop, 500);
    ck_assert(s.c.ends == 1 && s.c.code == ERR_TIMEOUT);
    script_fini(&s);
}
END_TEST

/* The deadline covers the root; a stream may take as long as its reader lets it. */
START_TEST(test_stream_after_deadline)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 500);
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "R");
    say(bus_b, s.rc, ".results", "", "");
    loop_sim_advance(env.loop, 5000);
    say(bus_b, s.rc, ".results.0.0", "", "\1x");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_NONE);
    assert_got(&s.c.in, 1, "\1x");
    script_fini(&s);
}
END_TEST

START_TEST(test_freed_early)
{
    struct script s = {.rc = NULL};
    struct ear params = {.n = 0};
    struct wrpc_out *up;
    script_start(&s, "P", 500);
    ck_assert(wrpc_call_param(s.c.call, &body_path, &up, &e));
    ck_assert(wrpc_out_chunk(up, bytes("x"), &e));
    listen_to(&params, bus_b, "my.inbox.>");
    wrpc_call_free(MOVE(s.c.call));
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "R");
    say(bus_b, s.rc, ".results", "", "");
    loop_sim_advance(env.loop, 1000);
    ck_assert(s.c.ends == 0 && s.c.in.data[0].n == 0 && params.n == 0);
    script_fini(&s);
}
END_TEST

static void on_bytes_free(void *user, const struct wit_path *p, struct span piece)
{
    struct caller *c = user;
    on_bytes(&c->in, p, piece);
    wrpc_call_free(MOVE(c->call));
}

START_TEST(test_freed_in_bytes)
{
    struct ear ear = {.n = 0};
    struct caller c = {.call = NULL};
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), NULL, 0};
    listen_to(&ear, bus_b, SUBJECT);
    ck_assert(
        wrpc_invoke(client, &t, bytes("P"), NULL, 1000, on_bytes_free, on_end, &c, &c.call, &e));
    settle();
    say(bus_b, ear.at[0].reply, ".results", "", "R");
    say(bus_b, ear.at[0].reply, ".results", "", "S");
    settle();
    ck_assert_int_eq(c.in.pieces[0], 1);
    caller_fini(&c);
}
END_TEST

START_TEST(test_results_limit)
{
    struct wrpc_limits limits = {.root_bytes_max = 4};
    struct script s = {.rc = NULL};
    wrpc_close(client);
    ck_assert(wrpc_open(bus_a, &limits, &client, &e));
    script_start(&s, "PARM", 1000);
    say(bus_b, s.rc, ".results", "", "abc");
    say(bus_b, s.rc, ".results", "", "de");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_LIMIT);
    struct caller c = {.call = NULL};
    ck_assert(!invoke(&c, bytes("PARAM"), 1000));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    script_fini(&s);
}
END_TEST

START_TEST(test_queued_params_limit)
{
    struct wrpc_limits limits = {.channel_bytes_max = 8};
    struct script s = {.rc = NULL};
    struct wrpc_out *up;
    wrpc_close(client);
    ck_assert(wrpc_open(bus_a, &limits, &client, &e));
    script_start(&s, "P", 1000);
    ck_assert(wrpc_call_param(s.c.call, &body_path, &up, &e));
    ck_assert(wrpc_out_write(up, bytes("12345678"), &e));
    ck_assert(!wrpc_out_write(up, bytes("9"), &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    script_fini(&s);
}
END_TEST

START_TEST(test_close_fails_calls)
{
    struct script s = {.c.free_in_end = true};
    struct wrpc_out *up;
    script_start(&s, "P", 1000);
    struct caller kept = {.call = NULL};
    ck_assert(invoke(&kept, bytes("P"), 1000));
    ck_assert(wrpc_call_param(kept.call, &body_path, &up, &e));
    wrpc_close(MOVE(client));
    ck_assert(s.c.ends == 1 && s.c.code == ERR_CLOSED);
    ck_assert(kept.ends == 1 && kept.code == ERR_CLOSED);
    ck_assert(!wrpc_out_write(up, bytes("x"), &e));
    ck_assert_int_eq(e.code, ERR_CLOSED);
    wrpc_out_close(up);
    caller_fini(&kept);
    script_fini(&s);
}
END_TEST

/* ---- scripted clients ---- */

/* An invocation by hand: rc hears what the server says; rs is where it listens. */
struct visitor {
    struct ear ear;
    const char *rs;
};

static void visit(struct visitor *v, const char *first)
{
    listen_to(&v->ear, bus_a, "my.rc");
    listen_to(&v->ear, bus_a, "my.rc.>");
    say(bus_a, SUBJECT, "", "my.rc", first);
    settle();
    ck_assert_int_ge(v->ear.n, 1);
    assert_heard(&v->ear, 0, "my.rc", "", "");
    v->rs = v->ear.at[0].reply;
}

START_TEST(test_params_wait_for_their_reader)
{
    struct service s = {.keep = true, .answer = "R", .keep_open = true};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    say(bus_a, v.rs, ".params.0.0", "", "body");
    say(bus_a, v.rs, ".params", "", "two");
    say(bus_a, v.rs, ".params.0", "", "");
    say(bus_a, v.rs, ".params", "", "");
    say(bus_a, v.rs, ".params.0.0", "", "");
    settle();
    ck_assert_int_eq(s.in.pieces[0], 0);
    wrpc_inv_read(s.inv, on_param, &s);
    assert_got(&s.in, 0, "onetwo");
    assert_got(&s.in, 1, "body");
    ck_assert(s.in.ends[0] == 1 && s.in.ends[1] == 1);
    say(bus_a, v.rs, ".params.0.1", "", "direct");
    settle();
    assert_got(&s.in, 2, "direct");
    service_fini(&s);
}
END_TEST

START_TEST(test_params_in_very_many_pieces)
{
    struct service s = {.keep = true, .answer = "R"};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "x");
    for (int i = 0; i < 1999; i++)
        say(bus_a, v.rs, ".params", "", "x");
    say(bus_a, v.rs, ".params", "", "");
    settle();
    wrpc_inv_read(s.inv, on_param, &s);
    ck_assert_uint_eq(s.in.data[0].n, 2000);
    ck_assert_int_lt(s.in.pieces[0], 100);
    ck_assert(s.inv == NULL && s.in.ends[0] == 1);
    service_fini(&s);
}
END_TEST

START_TEST(test_inv_freed_while_read)
{
    struct service s = {.keep = true,
                        .answer = "R"}; /* freed at the root's end, with more queued */
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    say(bus_a, v.rs, ".params", "", "");
    say(bus_a, v.rs, ".params.0.0", "", "body");
    settle();
    wrpc_inv_read(s.inv, on_param, &s);
    settle();
    ck_assert(s.inv == NULL && s.in.pieces[1] == 0);
    assert_heard(&v.ear, 1, "my.rc", ".results", "R");
    assert_heard(&v.ear, 2, "my.rc", ".results", "");
    service_fini(&s);
}
END_TEST

static void on_inv_refuse(void *user, struct wrpc_inv *inv)
{
    ++*(int *)user;
    wrpc_inv_free(inv);
}

START_TEST(test_refused_in_callback)
{
    int calls = 0;
    struct wrpc_serve *serve;
    struct visitor v = {.rs = NULL};
    ck_assert(wrpc_serve_open(server, PREFIX, PREFIX, INSTANCE, STR("f"), NULL, on_inv_refuse,
                              &calls, &serve, &e));
    settle();
    visit(&v, "one");
    say(bus_a, v.rs, ".params", "", "two");
    settle();
    ck_assert(calls == 1 && v.ear.n == 2);
    assert_heard(&v.ear, 1, "my.rc", ".results", "");
    say(bus_a, SUBJECT, "", "", "no reply subject");
    settle();
    ck_assert_int_eq(calls, 1);
    wrpc_serve_close(serve);
}
END_TEST

/* What nobody reads is bounded; the overflown channel looks cut short, the others live on. */
START_TEST(test_overflow)
{
    struct wrpc_limits limits = {.channel_bytes_max = 200, .root_bytes_max = 100};
    struct service s = {.keep = true, .keep_open = true};
    struct visitor v = {.rs = NULL};
    wrpc_close(server);
    ck_assert(wrpc_open(bus_b, &limits, &server, &e));
    serve_with(server, &s);
    visit(&v, "one");
    for (int i = 0; i < 1000; i++)
        say(bus_a, v.rs, ".params.0.0", "", "0123456789");
    for (int i = 0; i < 1000; i++)
        say(bus_a, v.rs, ".params", "", "0123456789");
    settle();
    wrpc_inv_read(s.inv, on_param, &s);
    ck_assert_uint_lt(s.in.data[0].n, 100);
    ck_assert_uint_lt(s.in.data[1].n, 200);
    ck_assert(s.in.ends[0] == 1 && s.in.ends[1] == 1);
    say(bus_a, v.rs, ".params.0.1", "", "fine");
    settle();
    assert_got(&s.in, 2, "fine");
    service_fini(&s);
}
END_TEST

START_TEST(test_serve_closed_while_invoked)
{
    struct service s = {.keep = true, .answer = "R"};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    say(bus_a, v.rs, ".params", "", "two");
    settle();
    wrpc_serve_close(MOVE(s.serve));
    say(bus_a, v.rs, ".params.0.0", "", "still heard");
    say(bus_a, v.rs, ".params", "", "");
    settle();
    wrpc_inv_read(s.inv, on_param, &s);
    settle();
    assert_heard(&v.ear, 1, "my.rc", ".results", "R");
    assert_got(&s.in, 1, "still heard");
    service_fini(&s);
}
END_TEST

START_TEST(test_wrpc_closed_while_invoked)
{
    struct service s = {.keep = true};
    struct visitor v = {.rs = NULL};
    struct wrpc_out *out;
    serve_with(server, &s);
    visit(&v, "one");
    say(bus_a, v.rs, ".params", "", "two");
    settle();
    ck_assert(wrpc_inv_result_out(s.inv, &body_path, &out, &e));
    wrpc_close(MOVE(server));
    ck_assert(!wrpc_inv_result(s.inv, bytes("R"), &e));
    ck_assert_int_eq(e.code, ERR_CLOSED);
    service_fini(&s);
}
END_TEST

/* A caller that is not ours may have missed the handshake: nothing is answered before he shows that he has it. */
START_TEST(test_handshake_repeated_until_heard)
{
    struct service s = {.answer = "R"};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    loop_sim_advance(env.loop, 50);
    ck_assert(s.calls == 0 && v.ear.n == 2);
    assert_heard(&v.ear, 1, "my.rc", "", "");
    ck_assert_str_eq(v.ear.at[1].reply, v.rs);
    say(bus_a, v.rs, ".params.0.0", "", "");
    settle();
    ck_assert_int_eq(s.calls, 1);
    say(bus_a, v.rs, ".params", "", "");
    loop_sim_advance(env.loop, 1000);
    assert_got(&s.in, 0, "one");
    ck_assert(s.calls == 1 && v.ear.n == 4);
    assert_heard(&v.ear, 2, "my.rc", ".results", "R");
    service_fini(&s);
}
END_TEST

START_TEST(test_silent_caller_is_served)
{
    struct service s = {.keep = true};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    loop_sim_advance(env.loop, 1000);
    ck_assert_int_eq(s.calls, 1);
    service_fini(&s);
}
END_TEST

START_TEST(test_serve_closed_before_heard)
{
    struct service s = {.answer = "R"};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    wrpc_serve_close(MOVE(s.serve));
    loop_sim_advance(env.loop, 1000);
    ck_assert(s.calls == 0 && v.ear.n == 2);
    assert_heard(&v.ear, 1, "my.rc", ".results", "");
    service_fini(&s);
}
END_TEST

static void on_drained(void *user)
{
    ++*(int *)user;
}

/* The server had sent it already: it begins, and only then is the drain over. */
START_TEST(test_drain_waits_for_what_was_sent)
{
    struct service s = {.answer = "R"};
    struct visitor v = {.rs = NULL};
    int drained = 0;
    serve_with(server, &s);
    visit(&v, "one"); /* and says nothing more: unheard for a while */
    wrpc_serve_drain(s.serve, on_drained, &drained);
    settle();
    ck_assert(s.calls == 0 && drained == 0);
    loop_sim_advance(env.loop, 1000);
    ck_assert(s.calls == 1 && drained == 1);
    say(bus_a, SUBJECT, "", "my.rc", "two"); /* too late */
    settle();
    ck_assert_int_eq(s.calls, 1);
    service_fini(&s);
}
END_TEST

/* One invocation that nobody reads does not hold up another. */
START_TEST(test_slow_reader_alone)
{
    struct service slow = {.keep = true};
    struct visitor v = {.rs = NULL};
    serve_with(server, &slow);
    visit(&v, "one");
    for (int i = 0; i < 100; i++)
        say(bus_a, v.rs, ".params.0.0", "", "unread");
    wrpc_serve_close(MOVE(slow.serve));
    struct service quick = {.answer = "R"};
    struct caller c = {.free_in_end = true};
    serve_with(server, &quick);
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    ck_assert_int_eq(c.ends, 1);
    inlet_fini(&c.in);
    service_fini(&quick);
    service_fini(&slow);
}
END_TEST

static void add_scripts(TCase *c)
{
    tcase_add_test(c, test_handshake_without_inbox);
    tcase_add_test(c, test_results_before_handshake);
    tcase_add_test(c, test_results_in_small_pieces);
    tcase_add_test(c, test_results_in_very_many_pieces);
    tcase_add_test(c, test_strays);
    tcase_add_test(c, test_second_handshake_is_ignored);
    tcase_add_test(c, test_deadline_without_handshake);
    tcase_add_test(c, test_deadline_without_results);
    tcase_add_test(c, test_stream_after_deadline);
    tcase_add_test(c, test_freed_early);
    tcase_add_test(c, test_freed_in_bytes);
    tcase_add_test(c, test_results_limit);
    tcase_add_test(c, test_queued_params_limit);
    tcase_add_test(c, test_params_wait_for_their_reader);
    tcase_add_test(c, test_params_in_very_many_pieces);
    tcase_add_test(c, test_inv_freed_while_read);
    tcase_add_test(c, test_refused_in_callback);
    tcase_add_test(c, test_overflow);
    tcase_add_test(c, test_serve_closed_while_invoked);
    tcase_add_test(c, test_wrpc_closed_while_invoked);
    tcase_add_test(c, test_handshake_repeated_until_heard);
    tcase_add_test(c, test_silent_caller_is_served);
    tcase_add_test(c, test_serve_closed_before_heard);
    tcase_add_test(c, test_drain_waits_for_what_was_sent);
    tcase_add_test(c, test_close_fails_calls);
    tcase_add_test(c, test_slow_reader_alone);
}

int main(void)
{
    Suite *s = suite_create("script");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, setup, teardown);
    add_scripts(c);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
