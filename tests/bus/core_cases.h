/* SPDX-License-Identifier: Apache-2.0 */
/* What both builds of the bus must do alike: run by test_sim.c and test_nats.c. */
#ifndef HOSTD_TESTS_BUS_CORE_CASES_H
#define HOSTD_TESTS_BUS_CORE_CASES_H

#include "env.h"

#define TEXT(literal) ((struct span){(const uint8_t *)(literal), sizeof(literal) - 1})

static void publish(struct bus *b, const char *subject, const char *reply, const char *text)
{
    struct err e = ERR_INIT;
    bool ok = bus_publish(b, str_of(subject), str_of(reply), NULL, 0, str_span(str_of(text)), &e);
    ck_assert_msg(ok, "%s", e.text);
}

static struct bus_sub *subscribe(struct bus *b, const char *subject, const char *queue,
                                 bus_msg_fn *fn, void *user)
{
    struct err e = ERR_INIT;
    struct bus_sub *s = NULL;
    ck_assert_msg(bus_subscribe(b, str_of(subject), str_of(queue), fn, user, &s, &e), "%s", e.text);
    return s;
}

/* A log of what arrived: "subject>reply=data;" */
struct heard {
    char text[4096];
    int count[2]; /* so far, wanted */
};

static void on_heard(void *user, const struct bus_msg *m)
{
    struct heard *h = user;
    size_t n = strlen(h->text);
    snprintf(h->text + n, sizeof h->text - n, "%.*s>%.*s=%.*s;", STR_ARG(m->subject),
             STR_ARG(m->reply), (int)m->data.n, (const char *)m->data.p);
    h->count[0]++;
}

static void wait_heard(struct heard *h, int n)
{
    h->count[1] = n;
    env_wait(env_count_reached, h->count, "messages");
}

START_TEST(publish_subscribe)
{
    struct bus *a = env_open(), *b = env_open();
    struct heard all = {0}, some = {0}, none = {0};
    struct bus_sub *s1 = subscribe(b, "t.>", NULL, on_heard, &all);
    struct bus_sub *s2 = subscribe(b, "t.*.x", NULL, on_heard, &some);
    struct bus_sub *s3 = subscribe(b, "u", NULL, on_heard, &none);
    env_flush(b);
    publish(a, "t.1.x", NULL, "one");
    publish(a, "t.2", "answer.here", "two");
    publish(a, "t.3.x", NULL, "");
    wait_heard(&all, 3);
    ck_assert_str_eq(all.text, "t.1.x>=one;t.2>answer.here=two;t.3.x>=;");
    wait_heard(&some, 2);
    ck_assert_str_eq(some.text, "t.1.x>=one;t.3.x>=;");
    ck_assert_int_eq(none.count[0], 0);
    bus_unsubscribe(&s1);
    ck_assert_ptr_null(s1);
    env_flush(b);
    publish(a, "t.4.x", NULL, "four");
    wait_heard(&some, 3);
    ck_assert_int_eq(all.count[0], 3);
    bus_unsubscribe(&s2);
    bus_unsubscribe(&s3);
    bus_unsubscribe(&s3);
    bus_close(a);
    bus_close(b);
}
END_TEST

START_TEST(bad_input_is_refused)
{
    struct bus *a = env_open();
    struct err e = ERR_INIT;
    struct bus_sub *s = NULL;
    static const char *const bad[] = {"", ".", "a..b", ".a", "a.", "a b", "a\tb", "a\r\nPUB b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert(!bus_publish(a, str_of(bad[i]), STR_NONE, NULL, 0, TEXT("x"), &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert(!bus_subscribe(a, str_of(bad[i]), STR_NONE, on_heard, NULL, &s, &e));
    }
    ck_assert(!bus_publish(a, STR("a.*"), STR_NONE, NULL, 0, TEXT("x"), &e));
    ck_assert(!bus_subscribe(a, STR("a.>.b"), STR_NONE, on_heard, NULL, &s, &e));
    struct bus_header evil = {STR("a"), STR("b\r\nc: d")};
    ck_assert(!bus_publish(a, STR("a"), STR_NONE, &evil, 1, TEXT("x"), &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    bus_close(a);
}
END_TEST

START_TEST(queue_groups_share)
{
    enum { MEMBERS = 3, MESSAGES = 300 };
    struct bus *a = env_open(), *member[MEMBERS];
    struct heard heard[MEMBERS] = {0}, other = {0};
    for (int i = 0; i < MEMBERS; i++) {
        member[i] = env_open();
        subscribe(member[i], "work", "crew", on_heard, &heard[i]);
        env_flush(member[i]);
    }
    subscribe(member[0], "work", "others", on_heard, &other);
    env_flush(member[0]);
    for (int i = 0; i < MESSAGES; i++)
        publish(a, "work", NULL, "x");
    wait_heard(&other, MESSAGES);
    env_flush(a);
    int total = 0;
    for (int i = 0; i < MEMBERS; i++) {
        env_flush(member[i]);
        ck_assert_int_gt(heard[i].count[0], 0);
        total += heard[i].count[0];
    }
    ck_assert_int_eq(total, MESSAGES);
    for (int i = 0; i < MEMBERS; i++)
        bus_close(member[i]);
    bus_close(a);
}
END_TEST

/* ---- requests ---- */

struct answer {
    bool done;
    enum err_code code;
    int count;
    char text[4096];
};

static void on_answer(void *user, const struct bus_msg *m, const struct err *e)
{
    struct answer *a = user;
    ck_assert(!a->done);
    if (m) {
        a->count++;
        snprintf(a->text, sizeof a->text, "%.*s", (int)m->data.n, (const char *)m->data.p);
    }
    a->code = e->code;
    a->done = true;
}

static void on_answers(void *user, const struct bus_msg *m, const struct err *e)
{
    struct answer *a = user;
    ck_assert(!a->done);
    a->code = e->code;
    a->done = !m;
    a->count += m != NULL;
}

static void echo(void *user, const struct bus_msg *m)
{
    struct err e = ERR_INIT;
    ck_assert_msg(bus_publish(user, m->reply, STR_NONE, NULL, 0, m->data, &e), "%s", e.text);
}

static void request(struct bus *b, const char *subject, uint64_t timeout_ms, struct answer *a,
                    struct bus_request **r)
{
    struct err e = ERR_INIT;
    ck_assert_msg(
        bus_request(b, str_of(subject), NULL, 0, TEXT("ping"), timeout_ms, on_answer, a, r, &e),
        "%s", e.text);
}

START_TEST(request_and_reply)
{
    struct bus *a = env_open(), *b = env_open();
    struct bus_sub *s = subscribe(b, "echo", NULL, echo, b);
    env_flush(b);
    struct answer answers[50] = {0};
    for (int i = 0; i < 50; i++)
        request(a, "echo", 5000, &answers[i], NULL);
    for (int i = 0; i < 50; i++) {
        WAIT_FLAG(answers[i].done);
        ck_assert_int_eq(answers[i].code, ERR_NONE);
        ck_assert_str_eq(answers[i].text, "ping");
    }
    bus_unsubscribe(&s);
    env_flush(b);
    struct answer nobody = {0};
    request(a, "echo", 5000, &nobody, NULL);
    WAIT_FLAG(nobody.done);
    ck_assert_int_eq(nobody.code, ERR_NO_RESPONDERS);
    bus_close(a);
    bus_close(b);
}
END_TEST

static void keep_reply(void *user, const struct bus_msg *m)
{
    snprintf(user, 128, "%.*s", STR_ARG(m->reply));
}

START_TEST(request_timeout_cancel_close)
{
    struct bus *a = env_open(), *b = env_open();
    char late[128] = "";
    subscribe(b, "mute", NULL, keep_reply, late);
    env_flush(b);
    struct answer slow = {0}, cancelled = {0}, closed = {0};
    request(a, "mute", 50, &slow, NULL);
    WAIT_FLAG(slow.done);
    ck_assert_int_eq(slow.code, ERR_TIMEOUT);
    publish(b, late, NULL, "late");      /* nobody is there any more */
    publish(b, "_INBOX.x.y", NULL, "?"); /* nonsense */
    struct bus_request *r = NULL;
    request(a, "mute", 10, &cancelled, &r);
    bus_cancel(&r);
    ck_assert_ptr_null(r);
    request(a, "mute", 5000, &closed, NULL);
    env_flush(a);
    bus_close(a);
    ck_assert(closed.done && !cancelled.done);
    ck_assert_int_eq(closed.code, ERR_CLOSED);
    bus_close(b);
}
END_TEST

static void end_of_answers(void *user, const struct bus_msg *m)
{
    struct err e = ERR_INIT;
    ck_assert(bus_publish(user, m->reply, STR_NONE, NULL, 0, (struct span){NULL, 0}, &e));
}

START_TEST(request_many_answers)
{
    struct bus *a = env_open(), *b[3];
    struct err e = ERR_INIT;
    for (int i = 0; i < 3; i++) {
        b[i] = env_open();
        subscribe(b[i], "all", NULL, echo, b[i]);
        env_flush(b[i]);
    }
    struct answer many = {0}, ended = {0}, nobody = {0};
    ck_assert(bus_request_many(a, STR("all"), TEXT("x"), 300, on_answers, &many, NULL, &e));
    WAIT_FLAG(many.done);
    ck_assert_int_eq(many.count, 3);
    ck_assert_int_eq(many.code, ERR_NONE);
    subscribe(b[0], "ends", NULL, end_of_answers, b[0]);
    env_flush(b[0]);
    ck_assert(bus_request_many(a, STR("ends"), TEXT("x"), 60000, on_answers, &ended, NULL, &e));
    WAIT_FLAG(ended.done);
    ck_assert_int_eq(ended.count, 0);
    ck_assert(bus_request_many(a, STR("nobody"), TEXT("x"), 60000, on_answers, &nobody, NULL, &e));
    WAIT_FLAG(nobody.done);
    ck_assert_int_eq(nobody.code, ERR_NONE);
    for (int i = 0; i < 3; i++)
        bus_close(b[i]);
    bus_close(a);
}
END_TEST

/* ---- headers, sizes ---- */

static void check_headers(void *user, const struct bus_msg *m)
{
    bool *done = user;
    size_t found = 0;
    for (size_t i = 0; i < m->nheaders; i++) {
        if (str_eqz(m->headers[i].name, "traceparent"))
            found += str_eqz(m->headers[i].value, "00-ab");
        if (str_eqz(m->headers[i].name, "Twice"))
            found += str_eqz(m->headers[i].value, "1") + str_eqz(m->headers[i].value, "2");
    }
    ck_assert_uint_eq(m->nheaders, 3);
    ck_assert_uint_eq(found, 3);
    ck_assert_uint_eq(m->data.n, 4);
    ck_assert_uint_eq(m->status, 0);
    *done = true;
}

START_TEST(headers_travel)
{
    struct bus *a = env_open();
    struct err e = ERR_INIT;
    bool done = false;
    subscribe(a, "h", NULL, check_headers, &done);
    const struct bus_header h[] = {
        {STR("traceparent"), STR("00-ab")}, {STR("Twice"), STR("1")}, {STR("Twice"), STR("2")}};
    ck_assert(bus_publish(a, STR("h"), STR_NONE, h, 3, TEXT("body"), &e));
    WAIT_FLAG(done);
    bus_close(a);
}
END_TEST

static void check_big(void *user, const struct bus_msg *m)
{
    size_t *got = user;
    for (size_t i = 0; i < m->data.n; i += 4093)
        ck_assert_uint_eq(m->data.p[i], (uint8_t)(i * 31));
    *got += m->data.n;
}

static bool big_arrived(void *user)
{
    return *(size_t *)user > 0;
}

START_TEST(big_payload)
{
    struct bus *a = env_open(), *b = env_open();
    struct err e = ERR_INIT;
    size_t n = bus_max_payload(a), got = 0;
    AUTO_FREE uint8_t *p = xalloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 31);
    subscribe(b, "big", NULL, check_big, &got);
    env_flush(b);
    ck_assert(!bus_publish(a, STR("big"), STR_NONE, NULL, 0, (struct span){p, n + 1}, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert(bus_publish(a, STR("big"), STR_NONE, NULL, 0, (struct span){p, n}, &e));
    env_wait(big_arrived, &got, "the big message");
    ck_assert_uint_eq(got, n);
    bus_close(a);
    bus_close(b);
}
END_TEST

/* ---- ending things inside callbacks ---- */

struct quitter {
    struct bus *bus;
    struct bus_sub *self, *other;
    int calls, after;
};

static void on_quit(void *user, const struct bus_msg *m)
{
    struct quitter *q = user;
    (void)m;
    q->calls++;
    q->after += !q->self;
    bus_unsubscribe(&q->self);
    bus_unsubscribe(&q->other);
}

static void on_never(void *user, const struct bus_msg *m)
{
    struct quitter *q = user;
    (void)m;
    q->after += !q->other;
}

START_TEST(unsubscribe_while_messages_arrive)
{
    struct bus *a = env_open(), *b = env_open();
    for (int round = 0; round < 50; round++) {
        struct quitter q = {.bus = b};
        q.self = subscribe(b, "burst", NULL, on_quit, &q);
        q.other = subscribe(b, "burst", NULL, on_never, &q);
        env_flush(b);
        for (int i = 0; i < 200; i++)
            publish(a, "burst", NULL, "x");
        env_flush(a);
        env_flush(b);
        ck_assert_int_eq(q.calls, 1);
        ck_assert_int_eq(q.after, 0);
    }
    bus_close(a);
    bus_close(b);
}
END_TEST

static void on_drained(void *user)
{
    *(bool *)user = true;
}

/* What was published before the drain arrives, what is published after it does not; both cross the wire in order. */
START_TEST(draining_loses_nothing)
{
    struct bus *b = env_open();
    struct heard h = {0};
    bool done = false;
    struct bus_sub *sub = subscribe(b, "drain", NULL, on_heard, &h);
    env_flush(b);
    for (int i = 0; i < 200; i++)
        publish(b, "drain", NULL, "");
    bus_drain(sub, on_drained, &done);
    publish(b, "drain", NULL, "");
    ck_assert(!done);
    WAIT_FLAG(done);
    ck_assert_int_eq(h.count[0], 200);
    bus_unsubscribe(&sub);
    env_flush(b);
    ck_assert_int_eq(h.count[0], 200);
    bus_close(b);
}
END_TEST

START_TEST(a_drain_can_be_given_up)
{
    struct bus *b = env_open();
    struct heard h = {0};
    bool done = false;
    struct bus_sub *sub = subscribe(b, "drain", NULL, on_heard, &h), *kept;
    kept = subscribe(b, "drain", NULL, on_heard, &h);
    env_flush(b);
    bus_drain(sub, on_drained, &done);
    bus_unsubscribe(&sub);
    env_flush(b);
    bus_drain(kept, on_drained, &done);
    bus_close(b); /* done may be called, kept is the bus's to free */
}
END_TEST

struct closer {
    struct bus *bus;
    bool done;
};

static void on_close_it(void *user, const struct bus_msg *m)
{
    struct closer *c = user;
    (void)m;
    ck_assert(!c->done);
    c->done = true;
    bus_close(c->bus);
}

START_TEST(close_inside_a_callback)
{
    struct bus *a = env_open();
    struct closer c = {env_open(), false};
    subscribe(c.bus, "end", NULL, on_close_it, &c);
    env_flush(c.bus);
    for (int i = 0; i < 100; i++)
        publish(a, "end", NULL, "x");
    WAIT_FLAG(c.done);
    env_flush(a);
    bus_close(a);
}
END_TEST

static inline void core_cases(TCase *tc)
{
    tcase_add_test(tc, publish_subscribe);
    tcase_add_test(tc, bad_input_is_refused);
    tcase_add_test(tc, queue_groups_share);
    tcase_add_test(tc, request_and_reply);
    tcase_add_test(tc, request_timeout_cancel_close);
    tcase_add_test(tc, request_many_answers);
    tcase_add_test(tc, headers_travel);
    tcase_add_test(tc, big_payload);
    tcase_add_test(tc, unsubscribe_while_messages_arrive);
    tcase_add_test(tc, draining_loses_nothing);
    tcase_add_test(tc, a_drain_can_be_given_up);
    tcase_add_test(tc, close_inside_a_callback);
}

#endif
