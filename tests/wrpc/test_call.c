/* SPDX-License-Identifier: Apache-2.0 */
/* Invoke and serve over the simulated bus, against each other, with a third member listening in. */
#include "tests/wrpc/calls.h"

/* ---- names ---- */

START_TEST(test_subjects)
{
    static const struct {
        const char *prefix, *instance, *func, *want;
    } rows[] = {
        {"default.http_hello", "wrpc:http/incoming-handler@0.1.0", "handle",
         "default.http_hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle"},
        {"", "a:b/c", "bucket.list-keys", "wrpc.0.0.1.a:b/c.bucket.list-keys"},
        {"l.t", "", "run", "l.t.wrpc.0.0.1.run"},
        {"l t", "a:b/c", "f", NULL},
        {"l.*", "a:b/c", "f", NULL},
        {"l..t", "a:b/c", "f", NULL},
        {"l.t.", "a:b/c", "f", NULL},
        {"l.>", "a:b/c", "f", NULL},
        {"l.t", "a:b/c", "", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT;
        bool ok = wrpc_subject(str_of(rows[i].prefix), str_of(rows[i].instance),
                               str_of(rows[i].func), &out, &e);
        ck_assert_msg(ok == (rows[i].want != NULL), "%zu: %s", i, e.text);
        ck_assert(str_eqz(buf_view(&out), rows[i].want ? rows[i].want : ""));
        buf_fini(&out);
    }
}
END_TEST

START_TEST(test_function_names)
{
    static const char *const rows[][2] = {{"get-many", "get-many"},
                                          {"[constructor]bucket", "bucket"},
                                          {"[method]bucket.list-keys", "bucket.list-keys"},
                                          {"[static]fields.from-list", "fields.from-list"},
                                          {"", ""},
                                          {"[broken", "[broken"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert(str_eqz(wrpc_func_name(str_of(rows[i][0])), rows[i][1]));
}
END_TEST

/* ---- both sides, message by message ---- */

START_TEST(test_unary)
{
    struct service s = {.answer = "RESULT"};
    struct caller c = {.free_in_end = true};
    struct ear ear = {.n = 0};
    serve_with(server, &s);
    struct bus *third = env_open();
    listen_to(&ear, third, ">");
    ck_assert(invoke(&c, bytes("PARAMS"), 1000));
    settle();
    ck_assert_int_eq(ear.n, 5);
    assert_heard(&ear, 0, SUBJECT, "", "PARAMS");
    ck_assert_uint_eq(ear.at[0].nheaders, 2);
    const char *rc = ear.at[0].reply, *rs = ear.at[1].reply;
    assert_heard(&ear, 1, rc, "", "");
    ck_assert_uint_eq(ear.at[1].nheaders, 0);
    assert_heard(&ear, 2, rs, ".params", "");
    assert_heard(&ear, 3, rc, ".results", "RESULT");
    assert_heard(&ear, 4, rc, ".results", "");
    for (int i = 2; i < 5; i++)
        ck_assert_str_eq(ear.at[i].reply, "");
    ck_assert(str_starts(str_of(rc), STR("_INBOX.")) && strlen(rc) == 7 + 22 + 1 + 22);
    ck_assert_int_eq(c.ends, 1);
    ck_assert_int_eq(c.code, ERR_NONE);
    assert_got(&c.in, 0, "RESULT");
    assert_got(&s.in, 0, "PARAMS");
    bus_close(third);
    inlet_fini(&c.in);
    service_fini(&s);
}
END_TEST

START_TEST(test_nothing_both_ways)
{
    struct service s = {.answer = ""};
    struct caller c = {.call = NULL};
    struct ear ear = {.n = 0};
    serve_with(server, &s);
    struct bus *third = env_open();
    listen_to(&ear, third, ">");
    ck_assert(invoke(&c, bytes(""), 1000));
    settle();
    ck_assert_int_eq(ear.n, 4); /* call, handshake, params end, results end */
    assert_heard(&ear, 2, ear.at[1].reply, ".params", "");
    assert_heard(&ear, 3, ear.at[0].reply, ".results", "");
    ck_assert(c.ends == 1 && c.code == ERR_NONE && s.in.pieces[0] == 0 && c.in.pieces[0] == 0);
    bus_close(third);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

/* Messages are cut at M; the first one leaves room for the reply subject and the headers. */
START_TEST(test_large)
{
    struct caller c = {.call = NULL};
    struct ear ear = {.n = 0};
    size_t max = bus_max_payload(bus_a), total = 2 * max + 1000;
    char *big = xalloc(total + 1);
    memset(big, 'x', total);
    struct service s = {.answer = big};
    serve_with(server, &s);
    struct bus *third = env_open();
    listen_to(&ear, third, ">");
    ck_assert(invoke(&c, bytes(big), 1000));
    settle();
    size_t first = max - 52 - 49; /* |Rc|; 12 + 17 + 20 of headers */
    ck_assert_uint_eq(ear.at[0].n, first);
    size_t want_params[] = {max, total - first - max, 0}, want_results[] = {max, max, 1000, 0};
    int params = 0, results = 0;
    for (int i = 1; i < ear.n; i++) {
        if (str_ends(str_of(ear.at[i].subject), STR(".params")))
            ck_assert_uint_eq(ear.at[i].n, want_params[params++]);
        if (str_ends(str_of(ear.at[i].subject), STR(".results")))
            ck_assert_uint_eq(ear.at[i].n, want_results[results++]);
    }
    ck_assert_int_eq(params, 3);
    ck_assert_int_eq(results, 4);
    ck_assert_uint_eq(s.in.data[0].n, total);
    ck_assert_uint_eq(c.in.data[0].n, total);
    bus_close(third);
    free(big);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_same_connection)
{
    struct service s = {.answer = "RESULT"};
    struct caller c = {.free_in_end = true};
    serve_with(client, &s);
    ck_assert(invoke(&c, bytes("PARAMS"), 1000));
    settle();
    ck_assert(c.ends == 1 && c.code == ERR_NONE);
    assert_got(&c.in, 0, "RESULT");
    inlet_fini(&c.in);
    service_fini(&s);
}
END_TEST

START_TEST(test_streams_both_ways)
{
    struct service s = {.answer = "HEAD", .keep_open = true};
    struct caller c = {.call = NULL};
    struct wrpc_out *up, *up_other, *down;
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes("ROOT"), 1000));
    /* before the handshake: queued, and even closed */
    ck_assert(wrpc_call_param(c.call, &body_path, &up, &e));
    ck_assert(wrpc_call_param(c.call, &other_path, &up_other, &e));
    ck_assert(wrpc_out_chunk(up, bytes("hello "), &e));
    ck_assert(wrpc_out_chunk(up, bytes(""), &e));
    ck_assert(wrpc_out_write(up_other, bytes("T"), &e));
    wrpc_out_close(up_other);
    settle();
    ck_assert(wrpc_out_chunk(up, bytes("world"), &e));
    wrpc_out_finish_stream(up);
    ck_assert(wrpc_inv_result_out(s.inv, &body_path, &down, &e));
    ck_assert(wrpc_out_chunk(down, bytes("OK"), &e));
    settle();
    assert_got(&s.in, 0, "ROOT");
    assert_got(&s.in, 2, "T");
    ck_assert_uint_eq(s.in.data[1].n, 14);
    ck_assert(memcmp(s.in.data[1].p, "\6hello \5world\0", 14) == 0);
    ck_assert(s.in.ends[1] == 1 && s.in.ends[2] == 1);
    /* results went before the stream, which goes on after the root ended */
    assert_got(&c.in, 0, "HEAD");
    ck_assert_int_eq(c.ends, 1);
    assert_got(&c.in, 1, "\2OK");
    ck_assert_int_eq(c.in.ends[1], 0);
    wrpc_inv_free(MOVE(s.inv)); /* frees the writer: its channel ends */
    settle();
    ck_assert_int_eq(c.in.ends[1], 1);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_chunk_larger_than_a_message)
{
    struct service s = {.answer = "", .keep_open = true};
    struct caller c = {.call = NULL};
    struct wrpc_out *up;
    size_t n = bus_max_payload(bus_a) + 10;
    struct span big = {xalloc(n), n};
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes(""), 1000));
    settle();
    ck_assert(wrpc_call_param(c.call, &body_path, &up, &e));
    ck_assert(wrpc_out_chunk(up, big, &e));
    settle();
    ck_assert_int_eq(s.in.pieces[1], 2);
    ck_assert_uint_eq(s.in.data[1].n, n + 3);
    free((void *)(uintptr_t)big.p);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_headers_last)
{
    struct service s = {.keep = true};
    struct caller c = {.call = NULL};
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    ck_assert(str_eqz(wrpc_inv_header(s.inv, STR("source-id")), "comp"));
    ck_assert(str_eqz(wrpc_inv_header(s.inv, STR("link-name")), "default"));
    ck_assert_uint_eq(wrpc_inv_header(s.inv, STR("Source-Id")).n, 0);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_one_server_of_a_group)
{
    struct service s[2] = {{.answer = "A"}, {.answer = "B"}};
    serve_with(server, &s[0]);
    serve_with(client, &s[1]);
    for (int i = 0; i < 20; i++) {
        struct caller c = {.free_in_end = true};
        ck_assert(invoke(&c, bytes("P"), 1000));
        for (int k = 0; k < 2; k++)
            memset(s[k].in.ends, 0, sizeof s[k].in.ends);
        settle();
        ck_assert_int_eq(c.ends, 1);
        inlet_fini(&c.in);
    }
    ck_assert_int_eq(s[0].calls + s[1].calls, 20);
    ck_assert(s[0].calls > 0 && s[1].calls > 0);
    service_fini(&s[0]);
    service_fini(&s[1]);
}
END_TEST

/* ---- failure of a server ---- */

START_TEST(test_server_failure)
{
    struct service s = {.answer = NULL};
    struct caller c = {.call = NULL};
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    /* an early end: what it means is up to who knows the type of the results */
    ck_assert(c.ends == 1 && c.code == ERR_NONE && c.in.data[0].n == 0);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_no_responders)
{
    struct caller c = {.free_in_end = true};
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    ck_assert(c.ends == 1 && c.code == ERR_NO_RESPONDERS);
    caller_fini(&c);
}
END_TEST

START_TEST(test_calls_max)
{
    struct wrpc *small;
    struct wrpc_limits limits = {.calls_max = 1};
    struct service s = {.keep = true};
    struct caller c[2] = {{.call = NULL}, {.call = NULL}};
    struct wrpc_call *one, *more;
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), NULL, 0};
    ck_assert(wrpc_open(bus_b, &limits, &small, &e));
    serve_with(small, &s);
    ck_assert(invoke(&c[0], bytes("P"), 1000));
    ck_assert(invoke(&c[1], bytes("P"), 1000));
    settle();
    ck_assert_int_eq(s.calls, 1);
    ck_assert(c[0].ends == 0 && c[1].ends == 1 && c[1].code == ERR_NONE && c[1].in.data[0].n == 0);
    ck_assert(!wrpc_invoke(small, &t, bytes(""), NULL, 0, on_bytes, on_end, &c[0], &more, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    wrpc_inv_free(MOVE(s.inv));
    ck_assert(wrpc_invoke(small, &t, bytes(""), NULL, 0, on_bytes, on_end, &c[1], &one, &e));
    wrpc_call_free(one);
    caller_fini(&c[0]);
    caller_fini(&c[1]);
    service_fini(&s);
    wrpc_close(small);
}
END_TEST

static void on_inv_answer(void *user, struct wrpc_inv *inv)
{
    ++*(int *)user;
    ck_assert(wrpc_inv_result(inv, bytes("R"), &e));
    wrpc_inv_free(inv);
}

START_TEST(test_many_calls)
{
    enum { N = 500, ROUNDS = 3 };
    static struct caller c[N];
    int calls = 0;
    struct wrpc_serve *serve;
    ck_assert(wrpc_serve_open(server, PREFIX, PREFIX, INSTANCE, STR("f"), NULL, on_inv_answer,
                              &calls, &serve, &e));
    settle();
    for (int i = 0; i < ROUNDS * N; i++) {
        struct caller *one = &c[i % N];
        caller_fini(one); /* some are still open */
        *one = (struct caller){.free_in_end = i % 2};
        ck_assert(invoke(one, bytes("P"), 1000));
        if (i % 7 == 0)
            settle();
    }
    settle();
    for (int i = 0; i < N; i++) {
        ck_assert(c[i].ends == 1 && c[i].code == ERR_NONE);
        caller_fini(&c[i]);
    }
    ck_assert_int_eq(calls, ROUNDS * N);
    wrpc_serve_close(serve);
}
END_TEST

static void add_calls(TCase *c)
{
    tcase_add_test(c, test_unary);
    tcase_add_test(c, test_nothing_both_ways);
    tcase_add_test(c, test_large);
    tcase_add_test(c, test_same_connection);
    tcase_add_test(c, test_streams_both_ways);
    tcase_add_test(c, test_chunk_larger_than_a_message);
    tcase_add_test(c, test_headers_last);
    tcase_add_test(c, test_one_server_of_a_group);
    tcase_add_test(c, test_server_failure);
    tcase_add_test(c, test_no_responders);
    tcase_add_test(c, test_calls_max);
    tcase_add_test(c, test_many_calls);
}

int main(void)
{
    Suite *s = suite_create("call");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, test_subjects);
    tcase_add_test(c, test_function_names);
    add_calls(c);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
