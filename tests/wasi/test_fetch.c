/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that a guest makes: what the embedder is told of them, what the guest hears, and who may forget whom. */
#include "tests/wasi/fake.h"

#define HANDLER "wasi:http/outgoing-handler@0.2.2"
#define FETCHED(text)                                    \
    do {                                                 \
        ck_assert_str_eq(text_of(f, &f->fetched), text); \
        buf_clear(&f->fetched);                          \
    } while (0)

static void *fields_new(struct fake *f)
{
    return fake_make(f, HTTP, "[constructor]fields", NO_ARGS);
}

static const char *text_of(struct fake *f, const struct buf *b)
{
    return arena_printf(&f->arena, "%.*s", STR_ARG(buf_view(b)));
}

static void *request_new(struct fake *f, uint32_t method)
{
    void *r = fake_make(f, HTTP, "[constructor]outgoing-request", ARGS(OBJ(fields_new(f))));
    const struct wit_value self = OBJ(r), path = TEXT("/x"), name = TEXT("h:1");
    EXPECT("ok", f, HTTP, "[method]outgoing-request.set-method", ARGS(self, {.n = method}));
    EXPECT("ok", f, HTTP, "[method]outgoing-request.set-path-with-query", ARGS(self, SOME(&path)));
    EXPECT("ok", f, HTTP, "[method]outgoing-request.set-authority", ARGS(self, SOME(&name)));
    return r;
}

enum { GET = 0, POST = 2 };

static void *write_body(struct fake *f, void *body, const char *text)
{
    void *s = fake_make(f, HTTP, "[method]outgoing-body.write", ARGS(OBJ(body)));
    fake_call(f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(s)));
    EXPECT("ok", f, STREAMS, "[method]output-stream.write", ARGS(OBJ(s), TEXT(text)));
    return s;
}

static void *handle(struct fake *f, void *request)
{
    fake_call(f, HANDLER, "handle", ARGS(OBJ(request), NONE));
    return fake_obj(f);
}

START_TEST(a_request_says_what_was_set)
{
    struct fake *f = fake_new(NULL);
    void *r = request_new(f, POST);
    const struct wit_value self = OBJ(r), bad = TEXT("a b");
    EXPECT("post", f, HTTP, "[method]outgoing-request.method", ARGS(self));
    EXPECT("err", f, HTTP, "[method]outgoing-request.set-method", ARGS(self, {.v = &bad, .n = 9}));
    EXPECT("none", f, HTTP, "[method]outgoing-request.scheme", ARGS(self));
    EXPECT("ok", f, HTTP, "[method]outgoing-request.set-scheme",
           ARGS(self, SOME(&(struct wit_value){.n = 1})));
    EXPECT("some(HTTPS)", f, HTTP, "[method]outgoing-request.scheme", ARGS(self));
    EXPECT("err", f, HTTP, "[method]outgoing-request.set-path-with-query", ARGS(self, SOME(&bad)));
    EXPECT("some(\"/x\")", f, HTTP, "[method]outgoing-request.path-with-query", ARGS(self));
    EXPECT("some(\"h:1\")", f, HTTP, "[method]outgoing-request.authority", ARGS(self));
    void *body = fake_make(f, HTTP, "[method]outgoing-request.body", ARGS(self));
    void *options = fake_make(f, HTTP, "[constructor]request-options", NO_ARGS);
    const struct wit_value ns = wit_u64(5);
    EXPECT("ok", f, HTTP, "[method]request-options.set-connect-timeout",
           ARGS(OBJ(options), SOME(&ns)));
    EXPECT("some(5)", f, HTTP, "[method]request-options.connect-timeout", ARGS(OBJ(options)));
    EXPECT("none", f, HTTP, "[method]request-options.first-byte-timeout", ARGS(OBJ(options)));
    fake_call(f, HANDLER, "handle", ARGS(self, SOME(&OBJ(options))));
    FETCHED("1 POST https://h:1/x body connect 5|");
    fake_drop(f, HTTP, "future-incoming-response", fake_obj(f));
    FETCHED("1 dropped|");
    fake_drop(f, HTTP, "outgoing-body", body);
    FETCHED(""); /* nobody waits for its end any more */
    fake_free(f);
}
END_TEST

START_TEST(a_request_body_streams_while_the_answer_is_awaited)
{
    struct fake *f = fake_new(NULL);
    void *r = request_new(f, POST);
    void *body = fake_make(f, HTTP, "[method]outgoing-request.body", ARGS(OBJ(r)));
    void *s = write_body(f, body, "early");
    void *future = handle(f, r);
    FETCHED("1 POST https://h:1/x body|");
    wasi_body_credit(f->ctx, 1, 7);
    FETCHED("1 data early|");
    EXPECT("ok(65536)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(s)));
    EXPECT("ok", f, STREAMS, "[method]output-stream.write", ARGS(OBJ(s), TEXT("later")));
    FETCHED("1 data la|");
    wasi_body_credit(f->ctx, 1, 100);
    fake_drop(f, STREAMS, "output-stream", s);
    EXPECT("ok", f, HTTP, "[static]outgoing-body.finish", ARGS(OBJ(body), NONE));
    FETCHED("1 data ter|1 finished|");
    EXPECT("none", f, HTTP, "[method]future-incoming-response.get", ARGS(OBJ(future)));
    fake_drop(f, HTTP, "future-incoming-response", future);
    FETCHED("1 dropped|");
    fake_free(f);
}
END_TEST

START_TEST(a_body_that_is_complete_says_how_long)
{
    struct fake *f = fake_new(NULL);
    void *r = request_new(f, POST);
    void *body = fake_make(f, HTTP, "[method]outgoing-request.body", ARGS(OBJ(r)));
    fake_drop(f, STREAMS, "output-stream", write_body(f, body, "four"));
    EXPECT("ok", f, HTTP, "[static]outgoing-body.finish", ARGS(OBJ(body), NONE));
    void *future = handle(f, r);
    wasi_body_credit(f->ctx, 1, 100);
    FETCHED("1 POST https://h:1/x body of 4|1 data four|1 finished|");
    fake_drop(f, HTTP, "future-incoming-response", future);
    fake_free(f);
}
END_TEST

/* As HTTP libraries of guests do it: they open a body whatever the method. */
START_TEST(a_get_without_length_has_no_body)
{
    struct fake *f = fake_new(NULL);
    void *r = request_new(f, GET);
    void *body = fake_make(f, HTTP, "[method]outgoing-request.body", ARGS(OBJ(r)));
    void *future = handle(f, r);
    fake_drop(f, STREAMS, "output-stream", write_body(f, body, "nothing"));
    EXPECT("ok", f, HTTP, "[static]outgoing-body.finish", ARGS(OBJ(body), NONE));
    FETCHED("1 GET https://h:1/x|");
    fake_drop(f, HTTP, "future-incoming-response", future);
    fake_free(f);
}
END_TEST

static void *respond(struct fake *f, void *future)
{
    const struct http_field fields[] = {{STR("A"), STR("1")}, {STR("connection"), STR("close")}};
    wasi_fetch_response(f->ctx, 1,
                        &(struct http_response){201, fields, 2, .trailers_ready = false});
    fake_call(f, HTTP, "[method]future-incoming-response.get", ARGS(OBJ(future)));
    return f->result.v->v->v->obj; /* some(ok(ok(response))) */
}

START_TEST(a_response_is_had_once_and_its_body_streams)
{
    struct fake *f = fake_new(NULL);
    void *future = handle(f, request_new(f, GET));
    void *p = fake_make(f, HTTP, "[method]future-incoming-response.subscribe", ARGS(OBJ(future)));
    ck_assert_int_eq(fake_try(f, POLL, "[method]pollable.block", ARGS(OBJ(p))), COMP_HOST_PENDING);
    ck_assert(!wasi_ready(f->ctx));
    void *r = respond(f, future);
    ck_assert(wasi_ready(f->ctx));
    EXPECT("some(err)", f, HTTP, "[method]future-incoming-response.get", ARGS(OBJ(future)));
    fake_drop(f, POLL, "pollable", p);
    fake_drop(f, HTTP, "future-incoming-response", future);
    EXPECT("201", f, HTTP, "[method]incoming-response.status", ARGS(OBJ(r)));
    void *headers = fake_make(f, HTTP, "[method]incoming-response.headers", ARGS(OBJ(r)));
    EXPECT("[(\"a\", [49])]", f, HTTP, "[method]fields.entries", ARGS(OBJ(headers)));
    fake_drop(f, HTTP, "fields", headers);
    void *body = fake_make(f, HTTP, "[method]incoming-response.consume", ARGS(OBJ(r)));
    EXPECT("err", f, HTTP, "[method]incoming-response.consume", ARGS(OBJ(r)));
    fake_drop(f, HTTP, "incoming-response", r);
    void *s = fake_make(f, HTTP, "[method]incoming-body.stream", ARGS(OBJ(body)));
    buf_clear(&f->fetched);
    ck_assert(fake_push(f, 1, str_span(STR("ab"))));
    EXPECT("ok([97, 98])", f, STREAMS, "[method]input-stream.read", ARGS(OBJ(s), wit_u64(9)));
    FETCHED("1 consumed 2|");
    const struct http_field trailer = {STR("t"), STR("v")};
    wasi_body_end(f->ctx, 1, &trailer, 1);
    EXPECT("err(closed)", f, STREAMS, "[method]input-stream.read", ARGS(OBJ(s), wit_u64(9)));
    fake_drop(f, STREAMS, "input-stream", s);
    void *t = fake_make(f, HTTP, "[static]incoming-body.finish", ARGS(OBJ(body)));
    fake_call(f, HTTP, "[method]future-trailers.get", ARGS(OBJ(t)));
    ck_assert_uint_eq(f->result.v->v->v->n, 1); /* some(ok(ok(some(fields)))) */
    fake_drop(f, HTTP, "fields", f->result.v->v->v->v->obj);
    FETCHED("");
    fake_drop(f, HTTP, "future-trailers", t);
    FETCHED("1 dropped|");
    fake_free(f);
}
END_TEST

START_TEST(an_unread_response_is_dropped)
{
    struct fake *f = fake_new(NULL);
    void *future = handle(f, request_new(f, GET));
    void *r = respond(f, future);
    fake_drop(f, HTTP, "future-incoming-response", future);
    buf_clear(&f->fetched);
    fake_drop(f, HTTP, "incoming-response", r);
    FETCHED("1 dropped|");
    ck_assert(fake_push(f, 1, str_span(STR("late")))); /* of no interest */
    wasi_body_end(f->ctx, 1, NULL, 0);
    wasi_body_credit(f->ctx, 1, 5);
    fake_free(f);
}
END_TEST

START_TEST(a_failed_request_says_how_and_takes_no_more_bytes)
{
    struct fake *f = fake_new(NULL);
    void *r = request_new(f, POST);
    void *body = fake_make(f, HTTP, "[method]outgoing-request.body", ARGS(OBJ(r)));
    void *s = write_body(f, body, "x");
    void *future = handle(f, r);
    const struct http_error error = {.code = HTTP_CONNECTION_REFUSED};
    wasi_fetch_error(f->ctx, 1, &error);
    EXPECT("some(ok(err(connection-refused)))", f, HTTP, "[method]future-incoming-response.get",
           ARGS(OBJ(future)));
    EXPECT("err(closed)", f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(s)));
    fake_drop(f, STREAMS, "output-stream", s);
    EXPECT("ok", f, HTTP, "[static]outgoing-body.finish", ARGS(OBJ(body), NONE));
    fake_drop(f, HTTP, "future-incoming-response", future);
    fake_free(f);
}
END_TEST

START_TEST(a_broken_response_body_is_its_error)
{
    struct fake *f = fake_new(NULL);
    void *future = handle(f, request_new(f, GET));
    void *r = respond(f, future);
    fake_drop(f, HTTP, "future-incoming-response", future);
    void *body = fake_make(f, HTTP, "[method]incoming-response.consume", ARGS(OBJ(r)));
    void *s = fake_make(f, HTTP, "[method]incoming-body.stream", ARGS(OBJ(body)));
    wasi_body_fail(f->ctx, 1, HTTP_RESPONSE_INCOMPLETE);
    fake_call(f, STREAMS, "[method]input-stream.read", ARGS(OBJ(s), wit_u64(9)));
    void *error = f->result.v->v->obj; /* err(last-operation-failed(error)) */
    EXPECT("some(HTTP-response-incomplete)", f, HTTP, "http-error-code", ARGS(OBJ(error)));
    fake_drop(f, "wasi:io/error@0.2.0", "error", error);
    fake_drop(f, STREAMS, "input-stream", s);
    fake_drop(f, HTTP, "incoming-body", body);
    fake_drop(f, HTTP, "incoming-response", r);
    fake_free(f);
}
END_TEST

START_TEST(requests_are_refused_at_once_where_no_answer_can_come)
{
    struct fake *f = fake_new(NULL);
    const struct wit_value other = TEXT("ws");
    void *r = request_new(f, GET);
    EXPECT("ok", f, HTTP, "[method]outgoing-request.set-scheme",
           ARGS(OBJ(r), SOME(&((struct wit_value){.v = &other, .n = 2}))));
    EXPECT("err(HTTP-protocol-error)", f, HANDLER, "handle", ARGS(OBJ(r), NONE));
    r = request_new(f, GET);
    EXPECT("ok", f, HTTP, "[method]outgoing-request.set-authority", ARGS(OBJ(r), NONE));
    EXPECT("err(HTTP-request-URI-invalid)", f, HANDLER, "handle", ARGS(OBJ(r), NONE));
    void *futures[WASI_FETCHES_MAX];
    for (size_t i = 0; i < WASI_FETCHES_MAX; i++)
        futures[i] = handle(f, request_new(f, GET));
    EXPECT("err(connection-limit-reached)", f, HANDLER, "handle",
           ARGS(OBJ(request_new(f, GET)), NONE));
    for (size_t i = 0; i < WASI_FETCHES_MAX; i++)
        fake_drop(f, HTTP, "future-incoming-response", futures[i]);
    fake_free(f);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("fetch");
    tcase_add_test(c, a_request_says_what_was_set);
    tcase_add_test(c, a_request_body_streams_while_the_answer_is_awaited);
    tcase_add_test(c, a_body_that_is_complete_says_how_long);
    tcase_add_test(c, a_get_without_length_has_no_body);
    tcase_add_test(c, a_response_is_had_once_and_its_body_streams);
    tcase_add_test(c, an_unread_response_is_dropped);
    tcase_add_test(c, a_failed_request_says_how_and_takes_no_more_bytes);
    tcase_add_test(c, a_broken_response_body_is_its_error);
    tcase_add_test(c, requests_are_refused_at_once_where_no_answer_can_come);
    return fake_run("wasi/fetch", c);
}
