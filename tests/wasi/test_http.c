/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:http: fields, the request a guest serves, the response it gives, and how bodies end. */
#include "tests/wasi/fake.h"

#define FIELDS "[method]fields."

/* ---- fields ---- */

static void *fields_new(struct fake *f)
{
    return fake_make(f, HTTP, "[constructor]fields", NO_ARGS);
}

static const char *append(struct fake *f, void *fields, const char *name, const char *value)
{
    return fake_call(f, HTTP, FIELDS "append", ARGS(OBJ(fields), TEXT(name), TEXT(value)));
}

START_TEST(fields_keep_order_and_values)
{
    struct fake *f = fake_new(NULL);
    void *x = fields_new(f);
    ck_assert_str_eq(append(f, x, "Accept", "a"), "ok");
    ck_assert_str_eq(append(f, x, "b", ""), "ok");
    ck_assert_str_eq(append(f, x, "ACCEPT", "c"), "ok");
    EXPECT("[[97], [99]]", f, HTTP, FIELDS "get", ARGS(OBJ(x), TEXT("accept")));
    EXPECT("[]", f, HTTP, FIELDS "get", ARGS(OBJ(x), TEXT("no such")));
    EXPECT("true", f, HTTP, FIELDS "has", ARGS(OBJ(x), TEXT("B")));
    EXPECT("[(\"accept\", [97]), (\"b\", []), (\"accept\", [99])]", f, HTTP, FIELDS "entries",
           ARGS(OBJ(x)));
    const struct wit_value values[] = {TEXT("1"), TEXT("2")};
    const struct wit_value list = {.v = values, .n = 2};
    EXPECT("ok", f, HTTP, FIELDS "set", ARGS(OBJ(x), TEXT("accept"), list));
    EXPECT("[(\"b\", []), (\"accept\", [49]), (\"accept\", [50])]", f, HTTP, FIELDS "entries",
           ARGS(OBJ(x)));
    void *copy = fake_make(f, HTTP, FIELDS "clone", ARGS(OBJ(x)));
    EXPECT("ok", f, HTTP, FIELDS "delete", ARGS(OBJ(x), TEXT("Accept")));
    EXPECT("[(\"b\", [])]", f, HTTP, FIELDS "entries", ARGS(OBJ(x)));
    EXPECT("[[49], [50]]", f, HTTP, FIELDS "get", ARGS(OBJ(copy), TEXT("accept")));
    fake_drop(f, HTTP, "fields", x);
    fake_drop(f, HTTP, "fields", copy);
    fake_free(f);
}
END_TEST

START_TEST(bad_fields_are_refused)
{
    struct fake *f = fake_new(NULL);
    void *x = fields_new(f);
    ck_assert_str_eq(append(f, x, "", "a"), "err(invalid-syntax)");
    ck_assert_str_eq(append(f, x, "a b", "a"), "err(invalid-syntax)");
    ck_assert_str_eq(append(f, x, "a", "line\r\nbreak"), "err(invalid-syntax)");
    ck_assert_str_eq(append(f, x, "a", "tab\tand \xc3\xbc"), "ok");
    ck_assert_str_eq(append(f, x, "Connection", "close"), "err(forbidden)");
    ck_assert_str_eq(append(f, x, "Transfer-Encoding", "chunked"), "err(forbidden)");
    EXPECT("err(forbidden)", f, HTTP, FIELDS "delete", ARGS(OBJ(x), TEXT("host")));
    const struct wit_value pair[] = {TEXT("Upgrade"), TEXT("x")};
    const struct wit_value entry = {.v = pair, .n = 2};
    EXPECT("err(forbidden)", f, HTTP, "[static]fields.from-list", ARGS({.v = &entry, .n = 1}));
    fake_drop(f, HTTP, "fields", x);
    fake_free(f);
}
END_TEST

START_TEST(fields_from_list)
{
    struct fake *f = fake_new(NULL);
    const struct wit_value pair[] = {TEXT("X-A"), TEXT("x")};
    const struct wit_value entries[] = {{.v = pair, .n = 2}, {.v = pair, .n = 2}};
    void *x = fake_make(f, HTTP, "[static]fields.from-list", ARGS({.v = entries, .n = 2}));
    EXPECT("[[120], [120]]", f, HTTP, FIELDS "get", ARGS(OBJ(x), TEXT("x-a")));
    fake_drop(f, HTTP, "fields", x);
    fake_free(f);
}
END_TEST

START_TEST(fields_are_bounded)
{
    struct fake *f = fake_new(NULL);
    void *x = fields_new(f);
    enum comp_host_status status = COMP_HOST_DONE;
    int n = 0;
    while (status == COMP_HOST_DONE && n++ < 10000)
        status = fake_try(f, HTTP, FIELDS "append", ARGS(OBJ(x), TEXT("a"), TEXT("")));
    ck_assert_int_eq(status, COMP_HOST_TRAP);
    ck_assert_ptr_nonnull(strstr(f->trap, "fields larger than 131072 bytes"));
    fake_drop(f, HTTP, "fields", x);
    fake_free(f);
}
END_TEST

START_TEST(all_fields_together_are_bounded)
{
    struct fake *f = fake_new(NULL);
    void *copies[64];
    size_t n = 0;
    char value[60000];
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = 0;
    copies[n++] = fields_new(f);
    ck_assert_str_eq(append(f, copies[0], "a", value), "ok");
    ck_assert_str_eq(append(f, copies[0], "a", value), "ok");
    while (fake_try(f, HTTP, FIELDS "clone", ARGS(OBJ(copies[0]))) == COMP_HOST_DONE)
        copies[n++] = fake_obj(f);
    ck_assert_uint_eq(n, 34); /* of 120,064 bytes each */
    fake_drop(f, HTTP, "fields", copies[--n]);
    ck_assert_int_eq(fake_try(f, HTTP, FIELDS "clone", ARGS(OBJ(copies[0]))), COMP_HOST_DONE);
    copies[n++] = fake_obj(f);
    while (n > 0)
        fake_drop(f, HTTP, "fields", copies[--n]);
    fake_free(f);
}
END_TEST

/* ---- requests ---- */

struct call {
    struct fake *f;
    void *request;
    struct wit_value outparam;
};

static struct call call_new(const char *method)
{
    static const struct http_field fields[] = {
        {STR_INIT("Accept"), STR_INIT("*/*")},
        {STR_INIT("Connection"), STR_INIT("close")},
        {STR_INIT("Host"), STR_INIT("example.org")},
    };
    const struct http_request request = {
        .method = str_of(method),
        .scheme = STR("https"),
        .authority = STR("example.org:80"),
        .path_with_query = STR("/a?b=%20"),
        .fields = fields,
        .nfields = ARRAY_LEN(fields),
    };
    struct wit_value args[2];
    struct err e = ERR_INIT;
    struct call c = {.f = fake_new(NULL)};
    ck_assert(wasi_http_args(c.f->ctx, &request, args, &e));
    c.request = args[0].obj;
    c.outparam = args[1];
    return c;
}

static void call_free(struct call *c)
{
    fake_drop(c->f, HTTP, "incoming-request", c->request);
    fake_free(c->f);
}

START_TEST(a_request_says_what_it_is)
{
    struct call c = call_new("GET");
    const struct wit_value self = OBJ(c.request);
    EXPECT("get", c.f, HTTP, "[method]incoming-request.method", ARGS(self));
    EXPECT("some(\"/a?b=%20\")", c.f, HTTP, "[method]incoming-request.path-with-query", ARGS(self));
    EXPECT("some(HTTPS)", c.f, HTTP, "[method]incoming-request.scheme", ARGS(self));
    EXPECT("some(\"example.org:80\")", c.f, HTTP, "[method]incoming-request.authority", ARGS(self));
    void *headers = fake_make(c.f, HTTP, "[method]incoming-request.headers", ARGS(self));
    EXPECT("[(\"accept\", [42, 47, 42])]", c.f, HTTP, FIELDS "entries", ARGS(OBJ(headers)));
    ck_assert_str_eq(append(c.f, headers, "a", "b"), "err(immutable)");
    void *again = fake_make(c.f, HTTP, "[method]incoming-request.headers", ARGS(self));
    ck_assert_ptr_ne(again, headers); /* the runtime tells objects by their address */
    fake_drop(c.f, HTTP, "fields", again);
    void *copy = fake_make(c.f, HTTP, FIELDS "clone", ARGS(OBJ(headers)));
    ck_assert_str_eq(append(c.f, copy, "a", "b"), "ok");
    fake_drop(c.f, HTTP, "fields", copy);
    fake_drop(c.f, HTTP, "fields", headers);
    call_free(&c);
    c = call_new("PURGE");
    EXPECT("other(\"PURGE\")", c.f, HTTP, "[method]incoming-request.method", ARGS(OBJ(c.request)));
    call_free(&c);
}
END_TEST

START_TEST(headers_outlive_the_request)
{
    struct call c = call_new("GET");
    void *headers = fake_make(c.f, HTTP, "[method]incoming-request.headers", ARGS(OBJ(c.request)));
    fake_drop(c.f, HTTP, "incoming-request", c.request);
    EXPECT("true", c.f, HTTP, FIELDS "has", ARGS(OBJ(headers), TEXT("accept")));
    fake_drop(c.f, HTTP, "fields", headers);
    fake_free(c.f);
}
END_TEST

START_TEST(an_unread_body_is_discarded)
{
    struct call c = call_new("POST");
    ck_assert(fake_push(c.f, WASI_SERVED, str_span(STR("abc"))));
    fake_drop(c.f, HTTP, "incoming-request", c.request);
    ck_assert_uint_eq(c.f->consumed, 3);
    ck_assert(fake_push(c.f, WASI_SERVED, str_span(STR("de"))));
    ck_assert_uint_eq(c.f->consumed, 5);
    fake_free(c.f);
}
END_TEST

START_TEST(bodies_and_streams_are_handed_out_once)
{
    struct call c = call_new("POST");
    void *body = fake_make(c.f, HTTP, "[method]incoming-request.consume", ARGS(OBJ(c.request)));
    EXPECT("err", c.f, HTTP, "[method]incoming-request.consume", ARGS(OBJ(c.request)));
    void *in = fake_make(c.f, HTTP, "[method]incoming-body.stream", ARGS(OBJ(body)));
    ck_assert_uint_eq(c.f->children, 1);
    EXPECT("err", c.f, HTTP, "[method]incoming-body.stream", ARGS(OBJ(body)));
    fake_drop(c.f, STREAMS, "input-stream", in);
    fake_drop(c.f, HTTP, "incoming-body", body);
    call_free(&c);
}
END_TEST

START_TEST(trailers_come_once_after_the_end)
{
    struct call c = call_new("POST");
    const struct http_field trailer = {STR_INIT("Checksum"), STR_INIT("1")};
    static const char get[] = "[method]future-trailers.get";
    void *body = fake_make(c.f, HTTP, "[method]incoming-request.consume", ARGS(OBJ(c.request)));
    ck_assert(fake_push(c.f, WASI_SERVED, str_span(STR("abc"))));
    void *future = fake_make(c.f, HTTP, "[static]incoming-body.finish", ARGS(OBJ(body)));
    ck_assert_uint_eq(c.f->consumed, 3);
    EXPECT("none", c.f, HTTP, get, ARGS(OBJ(future)));
    void *p = fake_make(c.f, HTTP, "[method]future-trailers.subscribe", ARGS(OBJ(future)));
    EXPECT("false", c.f, POLL, "[method]pollable.ready", ARGS(OBJ(p)));
    wasi_body_end(c.f->ctx, WASI_SERVED, &trailer, 1);
    EXPECT("true", c.f, POLL, "[method]pollable.ready", ARGS(OBJ(p)));
    fake_call(c.f, HTTP, get, ARGS(OBJ(future)));
    void *trailers = c.f->result.v->v->v->v->obj; /* some(ok(ok(some(it)))) */
    EXPECT("[[49]]", c.f, HTTP, FIELDS "get", ARGS(OBJ(trailers), TEXT("checksum")));
    EXPECT("some(err)", c.f, HTTP, get, ARGS(OBJ(future)));
    fake_drop(c.f, POLL, "pollable", p);
    fake_drop(c.f, HTTP, "fields", trailers);
    fake_drop(c.f, HTTP, "future-trailers", future);
    call_free(&c);
}
END_TEST

START_TEST(trailers_of_a_failed_body_are_its_error)
{
    struct call c = call_new("POST");
    void *body = fake_make(c.f, HTTP, "[method]incoming-request.consume", ARGS(OBJ(c.request)));
    void *future = fake_make(c.f, HTTP, "[static]incoming-body.finish", ARGS(OBJ(body)));
    wasi_body_fail(c.f->ctx, WASI_SERVED, HTTP_TLS_ALERT_RECEIVED);
    EXPECT("some(ok(err(TLS-alert-received({alert-id: none, alert-message: none}))))", c.f, HTTP,
           "[method]future-trailers.get", ARGS(OBJ(future)));
    fake_drop(c.f, HTTP, "future-trailers", future);
    call_free(&c);
}
END_TEST

START_TEST(a_body_cannot_end_under_its_stream)
{
    struct call c = call_new("POST");
    void *body = fake_make(c.f, HTTP, "[method]incoming-request.consume", ARGS(OBJ(c.request)));
    void *in = fake_make(c.f, HTTP, "[method]incoming-body.stream", ARGS(OBJ(body)));
    ck_assert_int_eq(fake_try(c.f, HTTP, "[static]incoming-body.finish", ARGS(OBJ(body))),
                     COMP_HOST_TRAP);
    fake_drop(c.f, STREAMS, "input-stream", in);
    call_free(&c);
}
END_TEST

/* ---- responses ---- */

/* A response with one header (or none), its body and the body's stream. */
struct answer {
    void *response, *body, *out;
};

static struct answer answer_new(struct fake *f, const char *name, const char *value)
{
    struct answer a;
    void *headers = fields_new(f);
    if (name)
        ck_assert_str_eq(append(f, headers, name, value), "ok");
    a.response = fake_make(f, HTTP, "[constructor]outgoing-response", ARGS(OBJ(headers)));
    a.body = fake_make(f, HTTP, "[method]outgoing-response.body", ARGS(OBJ(a.response)));
    a.out = fake_make(f, HTTP, "[method]outgoing-body.write", ARGS(OBJ(a.body)));
    return a;
}

static void set(struct call *c, void *response)
{
    fake_call(c->f, HTTP, "[static]response-outparam.set", ARGS(c->outparam, OKAY(&OBJ(response))));
}

static const char *write_text(struct fake *f, void *out, const char *text)
{
    fake_call(f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(out)));
    return fake_call(f, STREAMS, "[method]output-stream.write", ARGS(OBJ(out), TEXT(text)));
}

static const char *finish(struct fake *f, struct answer *a)
{
    fake_drop(f, STREAMS, "output-stream", a->out);
    return fake_call(f, HTTP, "[static]outgoing-body.finish", ARGS(OBJ(a->body), NONE));
}

START_TEST(an_answer_leaves_in_order)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, "x-kind", "test");
    EXPECT("ok", c.f, HTTP, "[method]outgoing-response.set-status-code",
           ARGS(OBJ(a.response), wit_u64(201)));
    EXPECT("err", c.f, HTTP, "[method]outgoing-response.set-status-code",
           ARGS(OBJ(a.response), wit_u64(99)));
    EXPECT("201", c.f, HTTP, "[method]outgoing-response.status-code", ARGS(OBJ(a.response)));
    wasi_body_credit(c.f->ctx, WASI_SERVED, 1000);
    ck_assert(!wasi_responded(c.f->ctx));
    set(&c, a.response);
    ck_assert(wasi_responded(c.f->ctx));
    ck_assert(str_eqz(buf_view(&c.f->head), "201 x-kind=test"));
    ck_assert_str_eq(write_text(c.f, a.out, "hello"), "ok");
    ck_assert(str_eqz(buf_view(&c.f->body), "hello"));
    ck_assert_str_eq(c.f->end, "");
    ck_assert_str_eq(finish(c.f, &a), "ok");
    ck_assert_str_eq(c.f->end, "finished");
    call_free(&c);
}
END_TEST

START_TEST(a_body_may_be_complete_before_the_head)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, NULL, NULL);
    /* nothing to wait for yet: the head is what is missing */
    EXPECT("ok", c.f, STREAMS, "[method]output-stream.blocking-write-and-flush",
           ARGS(OBJ(a.out), TEXT("hello")));
    ck_assert_str_eq(finish(c.f, &a), "ok");
    ck_assert_uint_eq(c.f->body.n, 0);
    static const char func[] = "[static]response-outparam.set";
    const struct wit_value ok = OKAY(&OBJ(a.response));
    ck_assert_int_eq(fake_try(c.f, HTTP, func, ARGS(c.outparam, ok)), COMP_HOST_PENDING);
    ck_assert(str_eqz(buf_view(&c.f->head), "200"));
    wasi_body_credit(c.f->ctx, WASI_SERVED, 4);
    ck_assert(!wasi_ready(c.f->ctx));
    wasi_body_credit(c.f->ctx, WASI_SERVED, 1);
    ck_assert(wasi_ready(c.f->ctx));
    ck_assert_str_eq(c.f->end, "finished");
    ck_assert(str_eqz(buf_view(&c.f->body), "hello"));
    ck_assert_int_eq(fake_try(c.f, HTTP, func, ARGS(c.outparam, ok)), COMP_HOST_DONE);
    call_free(&c);
}
END_TEST

START_TEST(a_full_body_without_head_waits)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, NULL, NULL);
    static const char write[] = "[method]output-stream.blocking-write-and-flush";
    EXPECT("ok(65536)", c.f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(a.out)));
    EXPECT("ok", c.f, STREAMS, "[method]output-stream.write-zeroes",
           ARGS(OBJ(a.out), wit_u64(65534)));
    EXPECT("ok", c.f, STREAMS, write, ARGS(OBJ(a.out), TEXT("ab")));
    ck_assert_int_eq(fake_try(c.f, STREAMS, write, ARGS(OBJ(a.out), TEXT("cd"))),
                     COMP_HOST_PENDING);
    ck_assert(!wasi_ready(c.f->ctx)); /* for ever: only the guest itself could send the head */
    fake_drop(c.f, STREAMS, "output-stream", a.out);
    fake_drop(c.f, HTTP, "outgoing-body", a.body);
    fake_drop(c.f, HTTP, "outgoing-response", a.response);
    call_free(&c);
}
END_TEST

START_TEST(finish_answers_when_the_last_byte_left)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, NULL, NULL);
    set(&c, a.response);
    ck_assert_str_eq(write_text(c.f, a.out, "hello"), "ok");
    fake_drop(c.f, STREAMS, "output-stream", a.out);
    void *trailers = fields_new(c.f);
    ck_assert_str_eq(append(c.f, trailers, "sum", "5"), "ok");
    const struct wit_value some = SOME(&OBJ(trailers));
    static const char func[] = "[static]outgoing-body.finish";
    ck_assert_int_eq(fake_try(c.f, HTTP, func, ARGS(OBJ(a.body), some)), COMP_HOST_PENDING);
    ck_assert(!wasi_ready(c.f->ctx));
    wasi_body_credit(c.f->ctx, WASI_SERVED, 5);
    ck_assert(wasi_ready(c.f->ctx));
    ck_assert_str_eq(c.f->end, "finished sum=5");
    EXPECT("ok", c.f, HTTP, func, ARGS(OBJ(a.body), some));
    call_free(&c);
}
END_TEST

START_TEST(a_response_cannot_finish_under_its_stream)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, NULL, NULL);
    set(&c, a.response);
    void *trailers = fields_new(c.f);
    ck_assert_int_eq(fake_try(c.f, HTTP, "[static]outgoing-body.finish",
                              ARGS(OBJ(a.body), SOME(&OBJ(trailers)))),
                     COMP_HOST_TRAP);
    ck_assert_str_eq(c.f->end, "aborted");
    EXPECT("err(closed)", c.f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(a.out)));
    fake_drop(c.f, STREAMS, "output-stream", a.out);
    call_free(&c);
}
END_TEST

START_TEST(a_guest_ended_in_finish_aborts)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, NULL, NULL);
    set(&c, a.response);
    ck_assert_str_eq(write_text(c.f, a.out, "hello"), "ok");
    fake_drop(c.f, STREAMS, "output-stream", a.out);
    ck_assert_int_eq(fake_try(c.f, HTTP, "[static]outgoing-body.finish", ARGS(OBJ(a.body), NONE)),
                     COMP_HOST_PENDING);
    wasi_ctx_free(c.f->ctx);
    ck_assert_str_eq(c.f->end, "aborted");
    c.f->ctx = NULL;
    fake_free(c.f);
}
END_TEST

START_TEST(a_dropped_body_aborts)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, NULL, NULL);
    set(&c, a.response);
    fake_drop(c.f, STREAMS, "output-stream", a.out);
    ck_assert_str_eq(c.f->end, "");
    fake_drop(c.f, HTTP, "outgoing-body", a.body);
    ck_assert_str_eq(c.f->end, "aborted");
    call_free(&c);
}
END_TEST

START_TEST(a_response_without_body_ends_at_once)
{
    struct call c = call_new("GET");
    void *headers = fields_new(c.f);
    set(&c, fake_make(c.f, HTTP, "[constructor]outgoing-response", ARGS(OBJ(headers))));
    ck_assert_str_eq(c.f->end, "finished");
    call_free(&c);
}
END_TEST

START_TEST(headers_of_a_response_are_fixed)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, "a", "b");
    void *headers =
        fake_make(c.f, HTTP, "[method]outgoing-response.headers", ARGS(OBJ(a.response)));
    ck_assert_str_eq(append(c.f, headers, "c", "d"), "err(immutable)");
    EXPECT("err", c.f, HTTP, "[method]outgoing-response.body", ARGS(OBJ(a.response)));
    EXPECT("err", c.f, HTTP, "[method]outgoing-body.write", ARGS(OBJ(a.body)));
    fake_drop(c.f, HTTP, "fields", headers);
    fake_drop(c.f, STREAMS, "output-stream", a.out);
    fake_drop(c.f, HTTP, "outgoing-body", a.body);
    fake_drop(c.f, HTTP, "outgoing-response", a.response);
    ck_assert(!wasi_responded(c.f->ctx));
    call_free(&c);
}
END_TEST

START_TEST(content_length_is_kept)
{
    struct call c = call_new("GET");
    struct answer a = answer_new(c.f, "content-length", "3");
    wasi_body_credit(c.f->ctx, WASI_SERVED, 1000);
    set(&c, a.response);
    ck_assert_str_eq(write_text(c.f, a.out, "ab"), "ok");
    ck_assert_str_eq(finish(c.f, &a), "err(HTTP-response-body-size(some(2)))");
    ck_assert_str_eq(c.f->end, "aborted");
    call_free(&c);

    c = call_new("GET");
    a = answer_new(c.f, "content-length", "3");
    wasi_body_credit(c.f->ctx, WASI_SERVED, 1000);
    set(&c, a.response);
    ck_assert_str_eq(write_text(c.f, a.out, "ab"), "ok");
    write_text(c.f, a.out, "cd"); /* err(last-operation-failed(it)) */
    void *error = c.f->result.v->v->obj;
    EXPECT("some(HTTP-response-body-size(some(2)))", c.f, HTTP, "http-error-code",
           ARGS(OBJ(error)));
    EXPECT("err(closed)", c.f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(a.out)));
    fake_drop(c.f, "wasi:io/error@0.2.0", "error", error);
    ck_assert_str_eq(finish(c.f, &a), "err(HTTP-response-body-size(some(2)))");
    ck_assert_str_eq(c.f->end, "aborted");
    call_free(&c);
}
END_TEST

START_TEST(a_content_length_must_be_a_number)
{
    struct call c = call_new("GET");
    void *headers = fields_new(c.f);
    append(c.f, headers, "Content-Length", "3x");
    void *r = fake_make(c.f, HTTP, "[constructor]outgoing-response", ARGS(OBJ(headers)));
    EXPECT("err", c.f, HTTP, "[method]outgoing-response.body", ARGS(OBJ(r)));
    fake_drop(c.f, HTTP, "outgoing-response", r);
    call_free(&c);
}
END_TEST

START_TEST(head_and_204_carry_no_bytes)
{
    struct call c = call_new("HEAD");
    struct answer a = answer_new(c.f, "content-length", "10");
    set(&c, a.response);
    ck_assert_str_eq(write_text(c.f, a.out, "abc"), "ok");
    ck_assert_str_eq(finish(c.f, &a), "ok");
    ck_assert_uint_eq(c.f->body.n, 0);
    ck_assert_str_eq(c.f->end, "finished");
    call_free(&c);

    c = call_new("GET");
    a = answer_new(c.f, NULL, NULL);
    fake_call(c.f, HTTP, "[method]outgoing-response.set-status-code",
              ARGS(OBJ(a.response), wit_u64(204)));
    ck_assert_str_eq(write_text(c.f, a.out, "abc"), "ok"); /* before the status is final */
    set(&c, a.response);
    ck_assert_str_eq(finish(c.f, &a), "ok");
    ck_assert_uint_eq(c.f->body.n, 0);
    ck_assert_str_eq(c.f->end, "finished");
    call_free(&c);
}
END_TEST

START_TEST(an_error_can_be_the_answer)
{
    struct call c = call_new("GET");
    const struct wit_value text = TEXT("sorry");
    const struct wit_value some = SOME(&text);
    const struct wit_value code = {.v = &some, .n = HTTP_INTERNAL_ERROR};
    fake_call(c.f, HTTP, "[static]response-outparam.set", ARGS(c.outparam, {.v = &code, .n = 1}));
    ck_assert(str_eqz(buf_view(&c.f->head), "error internal-error sorry"));
    ck_assert(wasi_responded(c.f->ctx));
    call_free(&c);
    c = call_new("GET");
    const struct wit_value bare = {.n = HTTP_CONFIGURATION_ERROR};
    fake_call(c.f, HTTP, "[static]response-outparam.set", ARGS(c.outparam, {.v = &bare, .n = 1}));
    ck_assert(str_eqz(buf_view(&c.f->head), "error configuration-error "));
    call_free(&c);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("http");
    tcase_add_test(c, fields_keep_order_and_values);
    tcase_add_test(c, bad_fields_are_refused);
    tcase_add_test(c, fields_from_list);
    tcase_add_test(c, fields_are_bounded);
    tcase_add_test(c, all_fields_together_are_bounded);
    tcase_add_test(c, a_full_body_without_head_waits);
    tcase_add_test(c, a_request_says_what_it_is);
    tcase_add_test(c, headers_outlive_the_request);
    tcase_add_test(c, an_unread_body_is_discarded);
    tcase_add_test(c, bodies_and_streams_are_handed_out_once);
    tcase_add_test(c, trailers_come_once_after_the_end);
    tcase_add_test(c, trailers_of_a_failed_body_are_its_error);
    tcase_add_test(c, a_body_cannot_end_under_its_stream);
    tcase_add_test(c, an_answer_leaves_in_order);
    tcase_add_test(c, a_body_may_be_complete_before_the_head);
    tcase_add_test(c, finish_answers_when_the_last_byte_left);
    tcase_add_test(c, a_response_cannot_finish_under_its_stream);
    tcase_add_test(c, a_guest_ended_in_finish_aborts);
    tcase_add_test(c, a_dropped_body_aborts);
    tcase_add_test(c, a_response_without_body_ends_at_once);
    tcase_add_test(c, headers_of_a_response_are_fixed);
    tcase_add_test(c, content_length_is_kept);
    tcase_add_test(c, a_content_length_must_be_a_number);
    tcase_add_test(c, head_and_204_carry_no_bytes);
    tcase_add_test(c, an_error_can_be_the_answer);
    return fake_run("wasi/http", c);
}
