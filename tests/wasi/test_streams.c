/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, pollables and the rules of streams, over request and response bodies as sources and sinks that can be made
 * to wait. */
#include "tests/wasi/fake.h"

#define CLOCK "wasi:clocks/monotonic-clock@0.2.0"
#define MS 1000000u

static const struct http_request request = {.method = STR_INIT("POST"),
                                            .path_with_query = STR_INIT("/")};

/* A guest with the stream of its request's body. */
static struct fake *with_input(void **body, void **stream)
{
    struct fake *f = fake_new(&(struct wasi_opts){.buffered_bytes_max = 200000});
    struct wit_value args[2];
    struct err e = ERR_INIT;
    ck_assert(wasi_http_args(f->ctx, &request, args, &e));
    *body = fake_make(f, HTTP, "[method]incoming-request.consume", ARGS(args[0]));
    *stream = fake_make(f, HTTP, "[method]incoming-body.stream", ARGS(OBJ(*body)));
    fake_drop(f, HTTP, "incoming-request", args[0].obj);
    return f;
}

static void input_free(struct fake *f, void *body, void *stream)
{
    fake_drop(f, STREAMS, "input-stream", stream);
    fake_drop(f, HTTP, "incoming-body", body);
    fake_free(f);
}

/* A guest with the stream of a response whose head has left. */
static struct fake *with_output(void **body, void **stream)
{
    struct fake *f = fake_new(NULL);
    struct wit_value args[2];
    struct err e = ERR_INIT;
    ck_assert(wasi_http_args(f->ctx, &request, args, &e));
    void *headers = fake_make(f, HTTP, "[constructor]fields", NO_ARGS);
    void *response = fake_make(f, HTTP, "[constructor]outgoing-response", ARGS(OBJ(headers)));
    *body = fake_make(f, HTTP, "[method]outgoing-response.body", ARGS(OBJ(response)));
    *stream = fake_make(f, HTTP, "[method]outgoing-body.write", ARGS(OBJ(*body)));
    fake_call(f, HTTP, "[static]response-outparam.set", ARGS(args[1], OKAY(&OBJ(response))));
    fake_drop(f, HTTP, "incoming-request", args[0].obj);
    return f;
}

static void output_free(struct fake *f, void *body, void *stream)
{
    fake_drop(f, STREAMS, "output-stream", stream);
    fake_drop(f, HTTP, "outgoing-body", body);
    ck_assert_str_eq(f->end, "aborted");
    fake_free(f);
}

/* ---- clocks and polls ---- */

START_TEST(time_is_read)
{
    struct fake *f = fake_new(NULL);
    fake_call(f, CLOCK, "now", NO_ARGS);
    uint64_t first = f->result.u64;
    f->now_ns += 5;
    fake_call(f, CLOCK, "now", NO_ARGS);
    ck_assert_uint_eq(f->result.u64 - first, 5);
    EXPECT("1", f, CLOCK, "resolution", NO_ARGS);
    EXPECT("{seconds: 1700000001, nanoseconds: 5}", f, "wasi:clocks/wall-clock@0.2.0", "now",
           NO_ARGS);
    fake_free(f);
}
END_TEST

START_TEST(a_timer_parks_the_guest)
{
    struct fake *f = fake_new(NULL);
    void *timer = fake_make(f, CLOCK, "subscribe-duration", ARGS(wit_u64(10 * MS)));
    EXPECT("false", f, POLL, "[method]pollable.ready", ARGS(OBJ(timer)));
    ck_assert(wasi_ready(f->ctx) && wasi_wake_at(f->ctx) == UINT64_MAX);
    ck_assert_int_eq(fake_try(f, POLL, "[method]pollable.block", ARGS(OBJ(timer))),
                     COMP_HOST_PENDING);
    ck_assert(!wasi_ready(f->ctx));
    ck_assert_uint_eq(wasi_wake_at(f->ctx), f->now_ns + 10 * MS);
    f->now_ns += 10 * MS;
    ck_assert(wasi_ready(f->ctx));
    ck_assert_int_eq(fake_try(f, POLL, "[method]pollable.block", ARGS(OBJ(timer))), COMP_HOST_DONE);
    ck_assert(wasi_wake_at(f->ctx) == UINT64_MAX);
    EXPECT("true", f, POLL, "[method]pollable.ready", ARGS(OBJ(timer))); /* and stays so */
    fake_drop(f, POLL, "pollable", timer);
    fake_free(f);
}
END_TEST

START_TEST(timers_of_the_past_and_of_no_time)
{
    struct fake *f = fake_new(NULL);
    fake_call(f, CLOCK, "now", NO_ARGS);
    uint64_t now = f->result.u64;
    void *past = fake_make(f, CLOCK, "subscribe-instant", ARGS(wit_u64(now - 1)));
    void *zero = fake_make(f, CLOCK, "subscribe-duration", ARGS(wit_u64(0)));
    void *never = fake_make(f, CLOCK, "subscribe-duration", ARGS(wit_u64(UINT64_MAX)));
    void *soon = fake_make(f, CLOCK, "subscribe-instant", ARGS(wit_u64(now + 3)));
    EXPECT("true", f, POLL, "[method]pollable.ready", ARGS(OBJ(past)));
    EXPECT("true", f, POLL, "[method]pollable.ready", ARGS(OBJ(zero)));
    EXPECT("false", f, POLL, "[method]pollable.ready", ARGS(OBJ(never)));
    EXPECT("false", f, POLL, "[method]pollable.ready", ARGS(OBJ(soon)));
    f->now_ns += 3;
    EXPECT("true", f, POLL, "[method]pollable.ready", ARGS(OBJ(soon)));
    void *all[] = {past, zero, never, soon};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        fake_drop(f, POLL, "pollable", all[i]);
    fake_free(f);
}
END_TEST

START_TEST(poll_returns_all_that_are_ready)
{
    struct fake *f = fake_new(NULL);
    void *a = fake_make(f, CLOCK, "subscribe-duration", ARGS(wit_u64(20)));
    void *b = fake_make(f, CLOCK, "subscribe-duration", ARGS(wit_u64(10)));
    const struct wit_value items[] = {OBJ(a), OBJ(b), OBJ(b)};
    const struct wit_value list = {.v = items, .n = 3}, empty = {.n = 0};
    ck_assert_int_eq(fake_try(f, POLL, "poll", ARGS(list)), COMP_HOST_PENDING);
    ck_assert_uint_eq(wasi_wake_at(f->ctx), f->now_ns + 10);
    f->now_ns += 10;
    ck_assert(wasi_ready(f->ctx));
    EXPECT("[1, 2]", f, POLL, "poll", ARGS(list));
    f->now_ns += 10;
    EXPECT("[0, 1, 2]", f, POLL, "poll", ARGS(list));
    ck_assert_int_eq(fake_try(f, POLL, "poll", ARGS(empty)), COMP_HOST_TRAP);
    fake_drop(f, POLL, "pollable", a);
    fake_drop(f, POLL, "pollable", b);
    fake_free(f);
}
END_TEST

/* ---- input ---- */

START_TEST(reading_takes_what_is_there)
{
    void *body, *in;
    struct fake *f = with_input(&body, &in);
    EXPECT("ok([])", f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(9)));
    ck_assert_int_eq(
        fake_try(f, STREAMS, "[method]input-stream.blocking-read", ARGS(OBJ(in), wit_u64(9))),
        COMP_HOST_PENDING);
    ck_assert(!wasi_ready(f->ctx) && wasi_wake_at(f->ctx) == UINT64_MAX);
    ck_assert(fake_push(f, WASI_SERVED, str_span(STR("\x01\x02\x03"))));
    ck_assert(wasi_ready(f->ctx));
    EXPECT("ok([1, 2])", f, STREAMS, "[method]input-stream.blocking-read",
           ARGS(OBJ(in), wit_u64(2)));
    ck_assert_uint_eq(f->consumed, 2);
    EXPECT("ok([])", f, STREAMS, "[method]input-stream.blocking-read", ARGS(OBJ(in), wit_u64(0)));
    EXPECT("ok(1)", f, STREAMS, "[method]input-stream.blocking-skip", ARGS(OBJ(in), wit_u64(5)));
    ck_assert_uint_eq(f->consumed, 3);
    wasi_body_end(f->ctx, WASI_SERVED, NULL, 0);
    EXPECT("err(closed)", f, STREAMS, "[method]input-stream.blocking-read",
           ARGS(OBJ(in), wit_u64(5)));
    EXPECT("err(closed)", f, STREAMS, "[method]input-stream.skip", ARGS(OBJ(in), wit_u64(5)));
    input_free(f, body, in);
}
END_TEST

START_TEST(one_read_is_capped)
{
    void *body, *in;
    struct fake *f = with_input(&body, &in);
    uint8_t *big = xalloc(100000);
    ck_assert(fake_push(f, WASI_SERVED, (struct span){big, 100000}));
    fake_call(f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(UINT64_MAX)));
    ck_assert_uint_eq(f->result.v->n, 65536);
    ck_assert(fake_push(f, WASI_SERVED, (struct span){big, 100000}));
    ck_assert(!fake_push(f, WASI_SERVED, (struct span){big, 100000})); /* over buffered_bytes_max */
    free(big);
    input_free(f, body, in);
}
END_TEST

START_TEST(small_reads_keep_the_order)
{
    void *body, *in;
    struct fake *f = with_input(&body, &in);
    uint8_t next_in = 0, next_out = 0;
    for (int round = 0; round < 50; round++) {
        uint8_t chunk[100];
        for (size_t i = 0; i < sizeof chunk; i++)
            chunk[i] = next_in++;
        ck_assert(fake_push(f, WASI_SERVED, (struct span){chunk, sizeof chunk}));
        for (int i = 0; i < 9; i++) {
            fake_call(f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(11)));
            for (uint32_t k = 0; k < f->result.v->n; k++)
                ck_assert_uint_eq(f->result.v->p[k], next_out++);
        }
    }
    input_free(f, body, in);
    ck_assert_uint_ne(next_out, 0);
}
END_TEST

START_TEST(more_than_the_bound_is_refused)
{
    void *body, *in;
    struct fake *f = with_input(&body, &in);
    static const uint8_t block[150000];
    ck_assert(fake_push(f, WASI_SERVED, (struct span){block, sizeof block}));
    ck_assert(!fake_push(f, WASI_SERVED, (struct span){block, sizeof block}));
    fake_call(f, STREAMS, "[method]input-stream.skip", ARGS(OBJ(in), wit_u64(sizeof block)));
    ck_assert_uint_eq(f->consumed, sizeof block);
    ck_assert(fake_push(f, WASI_SERVED, (struct span){block, sizeof block}));
    input_free(f, body, in);
}
END_TEST

START_TEST(a_failure_is_told_once)
{
    void *body, *in;
    struct fake *f = with_input(&body, &in);
    ck_assert(fake_push(f, WASI_SERVED, str_span(STR("\x01"))));
    wasi_body_fail(f->ctx, WASI_SERVED, HTTP_CONNECTION_TERMINATED);
    EXPECT("ok([1])", f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(5)));
    fake_call(f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(5)));
    ck_assert(f->result.n == 1 && f->result.v->n == 0);
    void *error = f->result.v->v->obj;
    EXPECT("some(connection-terminated)", f, HTTP, "http-error-code", ARGS(OBJ(error)));
    EXPECT("\"connection-terminated\"", f, "wasi:io/error@0.2.0", "[method]error.to-debug-string",
           ARGS(OBJ(error)));
    EXPECT("none", f, "wasi:filesystem/types@0.2.0", "filesystem-error-code", ARGS(OBJ(error)));
    EXPECT("err(closed)", f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(5)));
    fake_drop(f, "wasi:io/error@0.2.0", "error", error);
    input_free(f, body, in);
}
END_TEST

START_TEST(input_can_be_polled)
{
    void *body, *in;
    struct fake *f = with_input(&body, &in);
    uint32_t children = f->children;
    void *p = fake_make(f, STREAMS, "[method]input-stream.subscribe", ARGS(OBJ(in)));
    ck_assert_uint_eq(f->children, children + 1);
    ck_assert_int_eq(fake_try(f, POLL, "[method]pollable.block", ARGS(OBJ(p))), COMP_HOST_PENDING);
    ck_assert(!wasi_ready(f->ctx));
    wasi_body_end(f->ctx, WASI_SERVED, NULL, 0);
    ck_assert(wasi_ready(f->ctx));
    EXPECT("true", f, POLL, "[method]pollable.ready", ARGS(OBJ(p)));
    fake_drop(f, POLL, "pollable", p);
    input_free(f, body, in);
}
END_TEST

/* ---- output ---- */

START_TEST(writing_needs_a_permit)
{
    void *body, *out;
    struct fake *f = with_output(&body, &out);
    ck_assert_int_eq(fake_try(f, STREAMS, "[method]output-stream.write", ARGS(OBJ(out), TEXT("x"))),
                     COMP_HOST_TRAP);
    ck_assert_str_eq(f->trap, "write of 1 bytes, check-write permitted 0");
    EXPECT("ok(65536)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    EXPECT("ok", f, STREAMS, "[method]output-stream.write", ARGS(OBJ(out), TEXT("ab")));
    ck_assert_uint_eq(f->body.n, 0); /* no credit yet */
    EXPECT("ok(65534)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    wasi_body_credit(f->ctx, WASI_SERVED, 1);
    ck_assert(str_eqz(buf_view(&f->body), "a"));
    wasi_body_credit(f->ctx, WASI_SERVED, 100);
    EXPECT("ok", f, STREAMS, "[method]output-stream.write-zeroes", ARGS(OBJ(out), wit_u64(0)));
    EXPECT("ok", f, STREAMS, "[method]output-stream.write", ARGS(OBJ(out), TEXT("c")));
    ck_assert(str_eqz(buf_view(&f->body), "abc"));
    output_free(f, body, out);
}
END_TEST

START_TEST(a_full_buffer_permits_nothing)
{
    void *body, *out;
    struct fake *f = with_output(&body, &out);
    EXPECT("ok(65536)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    EXPECT("ok", f, STREAMS, "[method]output-stream.write-zeroes", ARGS(OBJ(out), wit_u64(65536)));
    EXPECT("ok(0)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    void *p = fake_make(f, STREAMS, "[method]output-stream.subscribe", ARGS(OBJ(out)));
    ck_assert_int_eq(fake_try(f, POLL, "[method]pollable.block", ARGS(OBJ(p))), COMP_HOST_PENDING);
    ck_assert(!wasi_ready(f->ctx));
    wasi_body_credit(f->ctx, WASI_SERVED, 10);
    ck_assert(wasi_ready(f->ctx));
    EXPECT("ok(10)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    fake_drop(f, POLL, "pollable", p);
    output_free(f, body, out);
}
END_TEST

START_TEST(blocking_write_waits_for_its_bytes)
{
    void *body, *out;
    struct fake *f = with_output(&body, &out);
    static const char write[] = "[method]output-stream.blocking-write-and-flush";
    ck_assert_int_eq(fake_try(f, STREAMS, write, ARGS(OBJ(out), TEXT("abc"))), COMP_HOST_PENDING);
    ck_assert(!wasi_ready(f->ctx));
    wasi_body_credit(f->ctx, WASI_SERVED, 2);
    ck_assert(!wasi_ready(f->ctx));
    wasi_body_credit(f->ctx, WASI_SERVED, 1);
    ck_assert(wasi_ready(f->ctx));
    EXPECT("ok", f, STREAMS, write,
           ARGS(OBJ(out), TEXT("abc"))); /* called again: not written again */
    ck_assert(str_eqz(buf_view(&f->body), "abc"));
    char big[4098];
    memset(big, 'x', sizeof big);
    big[4097] = 0;
    ck_assert_int_eq(fake_try(f, STREAMS, write, ARGS(OBJ(out), TEXT(big))), COMP_HOST_TRAP);
    ck_assert_int_eq(fake_try(f, STREAMS, "[method]output-stream.blocking-write-zeroes-and-flush",
                              ARGS(OBJ(out), wit_u64(4097))),
                     COMP_HOST_TRAP);
    output_free(f, body, out);
}
END_TEST

START_TEST(flush_holds_back_permits)
{
    void *body, *out;
    struct fake *f = with_output(&body, &out);
    fake_call(f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    EXPECT("ok", f, STREAMS, "[method]output-stream.write", ARGS(OBJ(out), TEXT("ab")));
    EXPECT("ok", f, STREAMS, "[method]output-stream.flush", ARGS(OBJ(out)));
    EXPECT("ok(0)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    ck_assert_int_eq(fake_try(f, STREAMS, "[method]output-stream.blocking-flush", ARGS(OBJ(out))),
                     COMP_HOST_PENDING);
    wasi_body_credit(f->ctx, WASI_SERVED, 2);
    ck_assert(wasi_ready(f->ctx));
    EXPECT("ok", f, STREAMS, "[method]output-stream.blocking-flush", ARGS(OBJ(out)));
    EXPECT("ok(65536)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    output_free(f, body, out);
}
END_TEST

START_TEST(splice_moves_what_both_sides_allow)
{
    void *body, *out;
    struct fake *f = with_output(&body, &out);
    struct fake *g = fake_new(&(struct wasi_opts){.stdin_bytes = str_span(STR("hello"))});
    void *in = fake_make(g, "wasi:cli/stdin@0.2.0", "get-stdin", NO_ARGS);
    clock_source(fake_now, f, 0);
    wasi_body_credit(f->ctx, WASI_SERVED, 100);
    EXPECT("ok(2)", f, STREAMS, "[method]output-stream.splice",
           ARGS(OBJ(out), OBJ(in), wit_u64(2)));
    EXPECT("ok(3)", f, STREAMS, "[method]output-stream.blocking-splice",
           ARGS(OBJ(out), OBJ(in), wit_u64(UINT64_MAX)));
    EXPECT("err(closed)", f, STREAMS, "[method]output-stream.splice",
           ARGS(OBJ(out), OBJ(in), wit_u64(2)));
    ck_assert(str_eqz(buf_view(&f->body), "hello"));
    fake_drop(g, STREAMS, "input-stream", in);
    fake_free(g);
    output_free(f, body, out);
}
END_TEST

START_TEST(a_result_that_does_not_fit_traps_and_leaks_nothing)
{
    struct fake *f = fake_new(NULL);
    f->arena.max_bytes = f->arena.used_bytes;
    f->arena.p = f->arena.end;
    ck_assert_int_eq(fake_try(f, HTTP, "[static]fields.from-list", ARGS({.n = 0})), COMP_HOST_TRAP);
    ck_assert_ptr_nonnull(strstr(f->trap, "larger than a call may hold"));
    fake_free(f);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("streams");
    tcase_add_test(c, time_is_read);
    tcase_add_test(c, a_timer_parks_the_guest);
    tcase_add_test(c, timers_of_the_past_and_of_no_time);
    tcase_add_test(c, poll_returns_all_that_are_ready);
    tcase_add_test(c, reading_takes_what_is_there);
    tcase_add_test(c, one_read_is_capped);
    tcase_add_test(c, small_reads_keep_the_order);
    tcase_add_test(c, more_than_the_bound_is_refused);
    tcase_add_test(c, a_failure_is_told_once);
    tcase_add_test(c, input_can_be_polled);
    tcase_add_test(c, writing_needs_a_permit);
    tcase_add_test(c, a_full_buffer_permits_nothing);
    tcase_add_test(c, blocking_write_waits_for_its_bytes);
    tcase_add_test(c, flush_holds_back_permits);
    tcase_add_test(c, splice_moves_what_both_sides_allow);
    tcase_add_test(c, a_result_that_does_not_fit_traps_and_leaks_nothing);
    return fake_run("wasi/streams", c);
}
