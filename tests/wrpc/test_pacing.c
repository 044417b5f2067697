/* SPDX-License-Identifier: Apache-2.0 */
/* wrpc: pacing of streams between two processes of ours, and none towards others. */
#include <check.h>
#include "lattice/base/alloc.h"
#include "tests/bus/env.h"
#include "wrpc/wrpc.h"

static struct bus *bus_a, *bus_b;
static struct wrpc *client, *server;
static struct err e;

static const struct wit_path body_path = {.n = 2, .i = {0, 0}};
static struct wrpc_inv *inv;
static struct buf got;       /* by the server, on the body's channel */
static uint32_t rooms, ends; /* on the body's channel, at either reader */
static uint32_t overs;       /* calls that ended */
static enum err_code why_code;

static void setup(void)
{
    env_start_sim();
    bus_a = env_open();
    bus_b = env_open();
    e = (struct err)ERR_INIT;
    ck_assert(wrpc_open(bus_a, NULL, &client, &e) && wrpc_open(bus_b, NULL, &server, &e));
}

static void teardown(void)
{
    wrpc_close(client);
    wrpc_close(server);
    bus_close(bus_a);
    bus_close(bus_b);
    buf_fini(&got);
    env_stop();
}

static struct wit_pendings paths(void)
{
    struct wit_pendings p = {.n = 1};
    p.at[0].path = body_path;
    return p;
}

static void on_inv(void *user, struct wrpc_inv *i)
{
    (void)user;
    inv = i;
}

static void on_bytes(void *user, const struct wit_path *p, struct span piece)
{
    (void)user;
    if (p->n)
        buf_put(&got, piece.p, piece.n);
    ends += p->n && !piece.n;
}

static void on_end(void *user, const struct err *why)
{
    (void)user;
    overs++;
    why_code = why ? why->code : ERR_NONE;
}

static void on_room(void *user)
{
    (void)user;
    rooms++;
}

static struct wrpc_serve *serve(void)
{
    struct wrpc_serve *s;
    struct wit_pendings p = paths();
    ck_assert(wrpc_serve_open(server, STR("l.t"), STR("l.t"), STR("a:b/c"), STR("f"), &p, on_inv,
                              NULL, &s, &e));
    return s;
}

static struct wrpc_call *invoke(bool paced)
{
    struct wrpc_call *c;
    struct wit_pendings p = paths();
    struct wrpc_target t = {
        .prefix = STR("l.t"), .instance = STR("a:b/c"), .func = STR("f"), .paced = paced};
    ck_assert(wrpc_invoke(client, &t, str_span(STR("P")), &p, 0, on_bytes, on_end, NULL, &c, &e));
    return c;
}

static void write_bytes(struct wrpc_out *o, size_t n)
{
    static const uint8_t block[64 * 1024];
    for (; n; n -= sizeof block)
        ck_assert(wrpc_out_chunk(o, (struct span){block, sizeof block}, &e));
}

START_TEST(a_writer_has_a_window_and_credit_reopens_it)
{
    struct wrpc_serve *s = serve();
    struct wrpc_call *c = invoke(true);
    struct wrpc_out *up;
    ck_assert(wrpc_call_param(c, &body_path, &up, &e));
    wrpc_out_on_room(up, on_room, NULL);
    ck_assert_uint_eq(wrpc_out_room(up), WRPC_WINDOW_BYTES); /* also before the handshake */
    loop_sim_advance(env.loop, 10);
    ck_assert_ptr_nonnull(inv);
    write_bytes(up, WRPC_WINDOW_BYTES);
    ck_assert_uint_eq(wrpc_out_room(up), 0);
    wrpc_inv_read(inv, on_bytes, NULL);
    wrpc_inv_consumed(inv, &body_path, 1000); /* too little to tell */
    loop_sim_advance(env.loop, 10);
    ck_assert_uint_eq(rooms, 0);
    wrpc_inv_consumed(inv, &body_path, WRPC_WINDOW_BYTES / 2);
    loop_sim_advance(env.loop, 10);
    ck_assert_uint_eq(rooms, 1);
    ck_assert_uint_eq(wrpc_out_room(up), WRPC_WINDOW_BYTES / 2 + 1000);
    wrpc_inv_free(inv);
    wrpc_call_free(c);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(results_are_paced_as_well)
{
    struct wrpc_serve *s = serve();
    struct wrpc_call *c = invoke(true);
    struct wrpc_out *down;
    loop_sim_advance(env.loop, 10);
    ck_assert(wrpc_inv_result(inv, str_span(STR("R")), &e));
    ck_assert(wrpc_inv_result_out(inv, &body_path, &down, &e));
    wrpc_out_on_room(down, on_room, NULL);
    write_bytes(down, WRPC_WINDOW_BYTES);
    ck_assert_uint_eq(wrpc_out_room(down), 0);
    loop_sim_advance(env.loop, 10);
    wrpc_call_consumed(c, &body_path, WRPC_WINDOW_BYTES);
    loop_sim_advance(env.loop, 10);
    ck_assert_uint_eq(rooms, 1);
    ck_assert_uint_eq(wrpc_out_room(down), WRPC_WINDOW_BYTES);
    wrpc_inv_free(inv);
    wrpc_call_free(c);
    wrpc_serve_close(s);
}
END_TEST

static uint32_t gones;

static void on_gone(void *user)
{
    (void)user;
    gones++;
}

static void on_inv_watched(void *user, struct wrpc_inv *i)
{
    on_inv(user, i);
    wrpc_inv_on_gone(i, on_gone, NULL);
}

/* Row: paced; abandoned, or just freed; before the handshake came. */
static const struct {
    bool paced, abandoned, early;
    uint32_t gones;
} givings_up[] = {
    {true, true, false, 1},
    {true, true, true, 1},
    {true, false, false, 0},
    {false, true, false, 0},
};

START_TEST(a_server_of_ours_hears_that_a_call_was_abandoned)
{
    struct wrpc_serve *s;
    struct wit_pendings p = paths();
    ck_assert(wrpc_serve_open(server, STR("l.t"), STR("l.t"), STR("a:b/c"), STR("f"), &p,
                              on_inv_watched, NULL, &s, &e));
    struct wrpc_call *c = invoke(givings_up[_i].paced);
    if (!givings_up[_i].early)
        loop_sim_advance(env.loop, 1000);
    if (givings_up[_i].abandoned)
        wrpc_call_abandon(c);
    else
        wrpc_call_free(c);
    loop_sim_advance(env.loop, 1000);
    ck_assert_uint_eq(gones, givings_up[_i].gones);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

static void count_message(void *user, const struct bus_msg *m)
{
    *(uint32_t *)user += str_find(m->subject, '.') < m->subject.n &&
                         memmem(m->subject.p, m->subject.n, ".credit.", 8);
}

START_TEST(a_peer_that_does_not_ask_never_notices)
{
    uint32_t credits = 0;
    struct bus_sub *spy;
    ck_assert(bus_subscribe(bus_a, STR(">"), STR_NONE, count_message, &credits, &spy, &e));
    struct wrpc_serve *s = serve();
    struct wrpc_call *c = invoke(false);
    struct wrpc_out *down;
    loop_sim_advance(env.loop, 10);
    ck_assert(wrpc_inv_result(inv, str_span(STR("R")), &e));
    ck_assert(wrpc_inv_result_out(inv, &body_path, &down, &e));
    write_bytes(down, WRPC_WINDOW_BYTES);
    ck_assert_uint_eq(wrpc_out_room(down), UINT64_MAX);
    loop_sim_advance(env.loop, 10);
    wrpc_call_consumed(c, &body_path, WRPC_WINDOW_BYTES);
    wrpc_out_finish_stream(down);
    loop_sim_advance(env.loop, 10);
    ck_assert_uint_eq(credits, 0);
    ck_assert_uint_eq(ends, 1); /* it may wait for that */
    bus_unsubscribe(&spy);
    wrpc_inv_free(inv);
    wrpc_call_free(c);
    wrpc_serve_close(s);
}
END_TEST

static struct wrpc_out *silent_up;

/* A server that knows nothing of credit: it shakes hands without the header. */
static void on_foreign(void *user, const struct bus_msg *m)
{
    (void)user;
    ck_assert(bus_publish(bus_b, m->reply, STR("foreign.rs"), NULL, 0, (struct span){0}, &e));
}

START_TEST(a_server_that_does_not_answer_the_offer_is_not_paced)
{
    struct bus_sub *sub;
    ck_assert(
        bus_subscribe(bus_b, STR("l.t.wrpc.0.0.1.a:b/c.f"), STR_NONE, on_foreign, NULL, &sub, &e));
    loop_sim_advance(env.loop, 10);
    struct wrpc_call *c = invoke(true);
    ck_assert(wrpc_call_param(c, &body_path, &silent_up, &e));
    wrpc_out_on_room(silent_up, on_room, NULL);
    write_bytes(silent_up, WRPC_WINDOW_BYTES);
    ck_assert_uint_eq(wrpc_out_room(silent_up), 0);
    loop_sim_advance(env.loop, 10);
    ck_assert_uint_eq(rooms, 1);
    ck_assert_uint_eq(wrpc_out_room(silent_up), UINT64_MAX);
    wrpc_call_free(c);
    bus_unsubscribe(&sub);
}
END_TEST

START_TEST(the_last_chunk_carries_the_end_of_the_stream)
{
    for (uint32_t empty = 0; empty < 2; empty++) {
        struct wrpc_serve *s = serve();
        struct wrpc_call *c = invoke(true);
        struct wrpc_out *up;
        ck_assert(wrpc_call_param(c, &body_path, &up, &e));
        loop_sim_advance(env.loop, 10);
        wrpc_inv_read(inv, on_bytes, NULL);
        ck_assert(wrpc_out_last_chunk(up, empty ? (struct span){0} : str_span(STR("end")), &e));
        loop_sim_advance(env.loop, 10);
        ck_assert_uint_eq(got.n, empty ? 1 : 5);
        ck_assert_uint_eq(ends, 0); /* between our own the content is end enough */
        ck_assert_int_eq(memcmp(got.p, empty ? "" : "\3end", got.n), 0);
        buf_clear(&got);
        wrpc_inv_free(inv);
        wrpc_call_free(c);
        wrpc_serve_close(s);
    }
}
END_TEST

/* ---- fewer messages ---- */

static uint32_t messages;
static char last_subject[200];

static void count_all(void *user, const struct bus_msg *m)
{
    (void)user;
    (void)m;
    messages++;
}

static struct wrpc_call *invoke_bare(void)
{
    struct wrpc_call *c;
    struct wrpc_out *body;
    struct wit_pendings p = paths();
    struct wrpc_target t = {.prefix = STR("l.t"),
                            .instance = STR("a:b/c"),
                            .func = STR("f"),
                            .paced = true,
                            .bare = true};
    ck_assert(wrpc_invoke(client, &t, str_span(STR("P")), &p, 0, on_bytes, on_end, NULL, &c, &e));
    ck_assert(wrpc_call_param(c, &body_path, &body, &e));
    wrpc_out_finish_stream(body);
    return c;
}

static uint32_t root_ends, root_bytes;

static void on_param(void *user, const struct wit_path *p, struct span piece)
{
    root_bytes += p->n ? 0 : (uint32_t)piece.n;
    root_ends += p->n == 0 && piece.n == 0;
    on_bytes(user, p, piece);
}

START_TEST(a_bare_call_takes_three_messages)
{
    for (uint32_t late = 0; late < 2; late++) { /* read at once, or later */
        struct bus_sub *spy;
        struct wrpc_serve *s = serve();
        messages = overs = root_ends = root_bytes = 0;
        ck_assert(bus_subscribe(bus_a, STR(">"), STR_NONE, count_all, NULL, &spy, &e));
        struct wrpc_call *c = invoke_bare();
        loop_sim_advance(env.loop, late ? 100 : 10);
        ck_assert(wrpc_inv_ours(inv));
        wrpc_inv_read(inv, on_param, NULL);
        ck_assert_uint_eq(root_bytes, 1);
        ck_assert_uint_eq(root_ends, 1);
        ck_assert_uint_eq(got.n, 1);
        ck_assert_uint_eq(got.p[0], 0);
        ck_assert(wrpc_inv_result(inv, str_span(STR("R")), &e));
        loop_sim_advance(env.loop, 10);
        ck_assert_uint_eq(overs, 1);
        ck_assert_int_eq(why_code, ERR_NONE);
        ck_assert_uint_eq(messages, 3); /* invocation, handshake, results */
        buf_clear(&got);
        bus_unsubscribe(&spy);
        wrpc_inv_free(inv);
        wrpc_call_free(c);
        wrpc_serve_close(s);
    }
}
END_TEST

#define SOON_MS 5 /* delivered; the handshake is held back still */

START_TEST(a_quick_answer_spares_the_handshake)
{
    struct bus_sub *spy;
    struct wrpc_serve *s = serve();
    messages = 0;
    ck_assert(bus_subscribe(bus_a, STR(">"), STR_NONE, count_all, NULL, &spy, &e));
    struct wrpc_call *c = invoke_bare();
    loop_sim_advance(env.loop, SOON_MS);
    wrpc_inv_read(inv, on_param, NULL);
    ck_assert(wrpc_inv_result(inv, str_span(STR("R")), &e));
    wrpc_inv_free(inv);
    loop_sim_advance(env.loop, 1000);
    ck_assert_uint_eq(overs, 1);
    ck_assert_int_eq(why_code, ERR_NONE);
    ck_assert_uint_eq(messages, 2); /* invocation, results */
    bus_unsubscribe(&spy);
    wrpc_call_free(c);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(a_quick_stream_is_paced_all_the_same)
{
    struct wrpc_serve *s = serve();
    struct wrpc_call *c = invoke_bare();
    struct wrpc_out *down;
    loop_sim_advance(env.loop, SOON_MS);
    ck_assert(wrpc_inv_result(inv, str_span(STR("R")), &e));
    ck_assert(wrpc_inv_result_out(inv, &body_path, &down, &e));
    wrpc_out_on_room(down, on_room, NULL);
    write_bytes(down, WRPC_WINDOW_BYTES);
    loop_sim_advance(env.loop, SOON_MS);
    wrpc_call_consumed(c, &body_path, WRPC_WINDOW_BYTES);
    loop_sim_advance(env.loop, SOON_MS);
    ck_assert_uint_eq(wrpc_out_room(down), WRPC_WINDOW_BYTES);
    wrpc_inv_free(inv);
    wrpc_call_free(c);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(a_call_given_up_before_the_handshake_is_heard_of)
{
    struct wrpc_serve *s;
    struct wit_pendings p = paths();
    ck_assert(wrpc_serve_open(server, STR("l.t"), STR("l.t"), STR("a:b/c"), STR("f"), &p,
                              on_inv_watched, NULL, &s, &e));
    struct wrpc_call *c = invoke_bare();
    loop_sim_advance(env.loop, SOON_MS);
    gones = 0;
    wrpc_call_abandon(c);
    loop_sim_advance(env.loop, 100);
    ck_assert_uint_eq(gones, 1);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(a_peer_that_died_before_the_handshake)
{
    struct wrpc_serve *s = serve();
    struct wrpc_call *c = invoke_bare();
    loop_sim_advance(env.loop, SOON_MS);
    ck_assert_ptr_nonnull(inv);
    bus_sim_cut(env.net, bus_b, true);
    loop_sim_advance(env.loop, 29000);
    ck_assert_uint_eq(overs, 0);
    loop_sim_advance(env.loop, 1000);
    ck_assert_uint_eq(overs, 1);
    ck_assert_int_eq(why_code, ERR_PEER);
    wrpc_call_free(c);
    bus_sim_cut(env.net, bus_b, false);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

static void note_subject(void *user, const struct bus_msg *m)
{
    (void)user;
    snprintf(last_subject, sizeof last_subject, "%.*s", STR_ARG(m->subject));
    messages++;
}

START_TEST(a_bare_call_tells_others_everything)
{
    struct bus_sub *sub, *params;
    ck_assert(
        bus_subscribe(bus_b, STR("l.t.wrpc.0.0.1.a:b/c.f"), STR_NONE, on_foreign, NULL, &sub, &e));
    ck_assert(bus_subscribe(bus_b, STR("foreign.rs.>"), STR_NONE, note_subject, NULL, &params, &e));
    loop_sim_advance(env.loop, 10);
    messages = 0;
    struct wrpc_call *c = invoke_bare();
    loop_sim_advance(env.loop, 10);
    ck_assert_uint_eq(messages, 3); /* the end of the root; the body's zero, its end */
    ck_assert_str_eq(last_subject, "foreign.rs.params.0.0");
    wrpc_call_free(c);
    bus_unsubscribe(&params);
    bus_unsubscribe(&sub);
}
END_TEST

static struct wrpc_call *victim;

static void on_bytes_free(void *user, const struct wit_path *p, struct span piece)
{
    on_bytes(user, p, piece);
    wrpc_call_free(MOVE(victim));
}

START_TEST(results_that_end_in_their_message_may_free_the_call)
{
    struct wrpc_serve *s = serve();
    struct wrpc_target t = {
        .prefix = STR("l.t"), .instance = STR("a:b/c"), .func = STR("f"), .paced = true};
    ck_assert(wrpc_invoke(client, &t, str_span(STR("P")), NULL, 0, on_bytes_free, on_end, NULL,
                          &victim, &e));
    loop_sim_advance(env.loop, 10);
    ck_assert(wrpc_inv_result(inv, str_span(STR("R")), &e));
    loop_sim_advance(env.loop, 10);
    ck_assert_ptr_null(victim);
    ck_assert_uint_eq(overs, 0);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(a_call_ends_soon_after_its_peer_died)
{
    struct wrpc_serve *s = serve();
    struct wrpc_call *c = invoke(true);
    loop_sim_advance(env.loop, 60000);
    ck_assert_uint_eq(overs, 0); /* silent, and there */
    bus_sim_cut(env.net, bus_b, true);
    loop_sim_advance(env.loop, 10000);
    ck_assert_uint_eq(overs, 1);
    ck_assert_int_eq(why_code, ERR_PEER);
    wrpc_call_free(c);
    bus_sim_cut(env.net, bus_b, false);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

START_TEST(a_stream_is_cut_soon_after_its_peer_died)
{
    struct wrpc_serve *s = serve();
    struct wrpc_call *c = invoke(true);
    loop_sim_advance(env.loop, 10);
    ck_assert(wrpc_inv_result(inv, str_span(STR("R")), &e));
    loop_sim_advance(env.loop, 20000);
    ck_assert_uint_eq(overs, 1);
    ck_assert_uint_eq(ends, 0);
    bus_sim_cut(env.net, bus_b, true);
    loop_sim_advance(env.loop, 10000);
    ck_assert_uint_eq(ends, 1);
    wrpc_call_free(c);
    bus_sim_cut(env.net, bus_b, false);
    wrpc_inv_free(inv);
    wrpc_serve_close(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pacing");
    TCase *t = tcase_create("pacing");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_writer_has_a_window_and_credit_reopens_it);
    tcase_add_test(t, results_are_paced_as_well);
    tcase_add_test(t, a_peer_that_does_not_ask_never_notices);
    tcase_add_test(t, a_server_that_does_not_answer_the_offer_is_not_paced);
    tcase_add_test(t, a_call_ends_soon_after_its_peer_died);
    tcase_add_test(t, a_stream_is_cut_soon_after_its_peer_died);
    tcase_add_test(t, a_bare_call_takes_three_messages);
    tcase_add_test(t, a_quick_answer_spares_the_handshake);
    tcase_add_test(t, a_quick_stream_is_paced_all_the_same);
    tcase_add_test(t, a_call_given_up_before_the_handshake_is_heard_of);
    tcase_add_test(t, a_peer_that_died_before_the_handshake);
    tcase_add_test(t, a_bare_call_tells_others_everything);
    tcase_add_test(t, results_that_end_in_their_message_may_free_the_call);
    tcase_add_test(t, the_last_chunk_carries_the_end_of_the_stream);
    tcase_add_loop_test(t, a_server_of_ours_hears_that_a_call_was_abandoned, 0,
                        sizeof givings_up / sizeof givings_up[0]);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
