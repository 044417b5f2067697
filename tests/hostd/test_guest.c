/* SPDX-License-Identifier: Apache-2.0 */
/* hostd/guest: real components on real workers, the loop played by the test. No bus: the notes that would become wRPC
 * messages are recorded. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/bridge.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/loop.h"

/* bridge.c asks for links; no guest here has one. */
struct env {
    struct loop *loop;
    struct workers *workers;
    struct comp_linked *linked;
    struct bridge *bridge;
    uint32_t open; /* guests that have not ended */
};

struct run {
    struct env *env;
    struct guest *guest;
    struct buf head, body, printed;
    bool finished, aborted, ended;
    uint32_t pieces;
    size_t consumed;
    struct guest_end end;
    char why[1024];
    uint64_t began_ms, head_ms, ended_ms;
    struct comp_inst *kept;
    void (*on_piece)(struct run *r);
};

static void on_head(void *user, struct span root)
{
    struct run *r = user;
    r->head_ms = clock_mono_ms();
    buf_put(&r->head, root.p, root.n);
}

static void on_body(void *user, uint32_t exchange, struct span data, enum guest_body end,
                    struct span trailers)
{
    struct run *r = user;
    (void)trailers;
    r->pieces++;
    buf_put(&r->body, data.p, data.n);
    if (data.n)
        guest_body_credit(r->guest, exchange, data.n);
    r->finished |= end == GUEST_BODY_FINISHED;
    r->aborted |= end == GUEST_BODY_ABORTED;
    if (r->on_piece)
        r->on_piece(r);
}

static void on_result(void *user, struct span root)
{
    (void)user;
    (void)root;
}

static void on_response(void *user, struct span root, struct span body, struct span trailers)
{
    on_head(user, root);
    on_body(user, WASI_SERVED, body, GUEST_BODY_FINISHED, trailers);
}

static void on_consumed(void *user, uint32_t exchange, size_t n)
{
    (void)exchange;
    ((struct run *)user)->consumed += n;
}

static void on_import(void *user, struct guest_import *call)
{
    struct err e = ERR_INIT;
    (void)user;
    err_set(&e, ERR_NOT_FOUND, "no link");
    guest_import_answer(call, (struct span){0}, &e);
}

static void on_print(void *user, int fd, struct str line)
{
    struct run *r = user;
    buf_printf(&r->printed, "%d:%.*s\n", fd, STR_ARG(line));
}

static void on_log(void *user, uint32_t level, struct str context, struct str message)
{
    (void)user;
    (void)level;
    (void)context;
    (void)message;
}

static void on_ended(void *user, const struct guest_end *end)
{
    struct run *r = user;
    r->ended = true;
    r->end = *end;
    r->ended_ms = clock_mono_ms();
    snprintf(r->why, sizeof r->why, "%.*s", STR_ARG(end->why));
    r->kept = guest_take_instance(r->guest);
    guest_free(r->guest);
    r->guest = NULL;
    if (--r->env->open == 0)
        loop_stop(r->env->loop);
}

static const struct guest_ops ops = {
    .head = on_head,
    .response = on_response,
    .body = on_body,
    .consumed = on_consumed,
    .result = on_result,
    .import = on_import,
    .print = on_print,
    .log = on_log,
    .ended = on_ended,
};

static struct buf read_file(const char *path)
{
    struct buf b = BUF_INIT;
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    uint8_t block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        buf_put(&b, block, n);
    fclose(f);
    return b;
}

static void thread_start(uint32_t worker)
{
    (void)worker;
    wasm_thread_init();
}

static struct env open_env(const char *path)
{
    struct env v = {
        .loop = loop_new(), .workers = workers_new(2, thread_start), .bridge = bridge_new()};
    struct err e = ERR_INIT;
    wasm_init();
    wasi_init();
    struct buf bytes = read_file(path);
    struct comp *c = comp_load(buf_span(&bytes), NULL, &e);
    ck_assert_msg(c != NULL, "%s", e.text);
    struct comp_linker linker = bridge_linker(v.bridge);
    v.linked = comp_link(c, &linker, &e);
    ck_assert_msg(v.linked != NULL, "%s", e.text);
    comp_unref(c);
    buf_fini(&bytes);
    return v;
}

static void close_env(struct env *v)
{
    workers_free(v->workers);
    loop_drain(v->loop);
    comp_linked_unref(v->linked);
    bridge_free(v->bridge);
    loop_free(v->loop);
}

static void begin(struct env *v, struct run *r, const char *path, struct comp_inst *inst)
{
    struct err e = ERR_INIT;
    struct guest_opts opts = {.loop = v->loop, .workers = v->workers, .ops = &ops, .user = r};
    r->env = v;
    if (!inst)
        inst = comp_inst_new(v->linked, NULL, &e);
    ck_assert_msg(inst != NULL, "%s", e.text);
    r->guest = guest_new(&opts, inst);
    r->began_ms = clock_mono_ms();
    struct http_request request = {.method = STR("GET"),
                                   .scheme = STR("http"),
                                   .authority = STR("here"),
                                   .path_with_query = str_of(path)};
    struct wit_value *args = arena_array(guest_arena(r->guest), struct wit_value, 2);
    ck_assert(wasi_http_args(guest_world(r->guest), &request, args, &e));
    const struct comp_func *f =
        comp_find(v->linked, STR("wasi:http/incoming-handler@0.2.0"), STR("handle"));
    ck_assert_ptr_nonnull(f);
    ck_assert_msg(guest_start(r->guest, f, args, &e), "%s", e.text);
    v->open++;
}

static void run_fini(struct run *r)
{
    comp_inst_free(r->kept);
    buf_fini(&r->head);
    buf_fini(&r->body);
    buf_fini(&r->printed);
}

static const char HELLO[] = "deploy/examples/hello/hello.wasm";
static const char WORKBENCH[] = "tests/guests/workbench/workbench.wasm";

START_TEST(a_request_is_answered_and_the_instance_serves_the_next)
{
    struct env v = open_env(HELLO);
    struct comp_inst *inst = NULL;
    for (int i = 0; i < 20; i++) {
        struct run r = {0};
        begin(&v, &r, "/x", inst);
        guest_body_end(r.guest, WASI_SERVED, NULL, 0);
        loop_run(v.loop);
        ck_assert_msg(r.end.outcome == COMP_DONE, "%s", r.why);
        ck_assert(r.end.responded && r.finished && !r.aborted);
        ck_assert_uint_eq(r.head.p[0], 0);
        ck_assert_msg(str_eqz(buf_view(&r.body), "hello from hostd: /x\n"), "%.*s",
                      STR_ARG(buf_view(&r.body)));
        ck_assert_ptr_nonnull(r.kept);
        inst = MOVE(r.kept);
        run_fini(&r);
    }
    comp_inst_free(inst);
    close_env(&v);
}
END_TEST

START_TEST(a_trap_ends_its_call_and_says_where)
{
    struct env v = open_env(WORKBENCH);
    struct run r = {0};
    begin(&v, &r, "/trap", NULL);
    loop_run(v.loop);
    ck_assert_int_eq(r.end.outcome, COMP_TRAPPED);
    ck_assert(!r.end.responded);
    ck_assert_msg(strstr(r.why, "unreachable") != NULL, "%s", r.why);
    run_fini(&r);
    close_env(&v);
}
END_TEST

START_TEST(a_trap_in_the_body_aborts_it)
{
    struct env v = open_env(WORKBENCH);
    struct run r = {0};
    begin(&v, &r, "/trap-body", NULL);
    loop_run(v.loop);
    ck_assert_int_eq(r.end.outcome, COMP_TRAPPED);
    ck_assert(r.end.responded && !r.finished);
    ck_assert(str_eqz(buf_view(&r.body), "half"));
    run_fini(&r);
    close_env(&v);
}
END_TEST

struct race {
    struct env v;
    struct run loops[3], quick;
};

/* However slow this machine is: the loops end once the quick one has. */
static void end_loops(void *user)
{
    struct race *r = user;
    if (r->quick.ended_ms == 0) {
        loop_after(r->v.loop, 10, end_loops, r);
        return;
    }
    for (int i = 0; i < 3; i++)
        guest_cancel(r->loops[i].guest, WASM_TRAP_DEADLINE);
}

START_TEST(loops_on_every_worker_do_not_stop_others_and_end_when_told)
{
    struct race r = {.v = open_env(WORKBENCH)};
    for (int i = 0; i < 3; i++)
        begin(&r.v, &r.loops[i], "/loop", NULL);
    begin(&r.v, &r.quick, "/", NULL);
    loop_after(r.v.loop, 10, end_loops, &r);
    loop_run(r.v.loop);
    ck_assert_int_eq(r.quick.end.outcome, COMP_DONE);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(r.loops[i].end.trap, WASM_TRAP_DEADLINE);
        run_fini(&r.loops[i]);
    }
    run_fini(&r.quick);
    close_env(&r.v);
}
END_TEST

START_TEST(a_hundred_sleepers_need_two_threads_and_one_nap)
{
    enum { N = 100 };
    struct env v = open_env(WORKBENCH);
    static struct run r[N];
    memset(r, 0, sizeof r);
    uint64_t begin_ms = clock_mono_ms();
    for (int i = 0; i < N; i++)
        begin(&v, &r[i], "/sleep/400", NULL);
    loop_run(v.loop);
    uint64_t took = clock_mono_ms() - begin_ms;
    for (int i = 0; i < N; i++) {
        ck_assert_msg(r[i].end.outcome == COMP_DONE, "%s", r[i].why);
        ck_assert_uint_ge(r[i].ended_ms - r[i].began_ms, 400);
        run_fini(&r[i]);
    }
    ck_assert_uint_lt(took, 100 * 400 / 4); /* far from one after the other */
    close_env(&v);
}
END_TEST

static void send_rest(struct run *r)
{
    if (r->pieces == 1) {
        guest_body_push(r->guest, WASI_SERVED, str_span(STR("second")));
        guest_body_end(r->guest, WASI_SERVED, NULL, 0);
    }
}

START_TEST(an_echo_answers_before_the_request_is_whole)
{
    struct env v = open_env(WORKBENCH);
    struct run r = {.on_piece = send_rest};
    begin(&v, &r, "/echo", NULL);
    guest_body_push(r.guest, WASI_SERVED, str_span(STR("first ")));
    loop_run(v.loop);
    ck_assert_msg(r.end.outcome == COMP_DONE, "%s", r.why);
    ck_assert(r.finished && str_eqz(buf_view(&r.body), "first second"));
    ck_assert_uint_eq(r.consumed, strlen("first second"));
    run_fini(&r);
    close_env(&v);
}
END_TEST

START_TEST(a_big_body_flows_through_the_window)
{
    struct env v = open_env(WORKBENCH);
    struct run r = {0};
    begin(&v, &r, "/big/3000000", NULL);
    loop_run(v.loop);
    ck_assert_msg(r.end.outcome == COMP_DONE, "%s", r.why);
    ck_assert_uint_eq(r.body.n, 3000000);
    ck_assert_uint_gt(r.pieces, 10);
    run_fini(&r);
    close_env(&v);
}
END_TEST

START_TEST(what_a_guest_prints_arrives_as_lines)
{
    struct env v = open_env(WORKBENCH);
    struct run r = {0};
    begin(&v, &r, "/log", NULL);
    loop_run(v.loop);
    ck_assert_msg(str_eqz(buf_view(&r.printed), "2:workbench was here\n"), "%.*s",
                  STR_ARG(buf_view(&r.printed)));
    run_fini(&r);
    close_env(&v);
}
END_TEST

START_TEST(a_guest_that_says_nothing_ends_without_a_response)
{
    struct env v = open_env(WORKBENCH);
    struct run r = {0};
    begin(&v, &r, "/silent", NULL);
    loop_run(v.loop);
    ck_assert_int_eq(r.end.outcome, COMP_DONE);
    ck_assert(!r.end.responded && r.head.n == 0);
    run_fini(&r);
    close_env(&v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("guest");
    TCase *t = tcase_create("guest");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_request_is_answered_and_the_instance_serves_the_next);
    tcase_add_test(t, a_trap_ends_its_call_and_says_where);
    tcase_add_test(t, a_trap_in_the_body_aborts_it);
    tcase_add_test(t, loops_on_every_worker_do_not_stop_others_and_end_when_told);
    tcase_add_test(t, a_hundred_sleepers_need_two_threads_and_one_nap);
    tcase_add_test(t, an_echo_answers_before_the_request_is_whole);
    tcase_add_test(t, a_big_body_flows_through_the_window);
    tcase_add_test(t, what_a_guest_prints_arrives_as_lines);
    tcase_add_test(t, a_guest_that_says_nothing_ends_without_a_response);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
