/* SPDX-License-Identifier: Apache-2.0 */
/* What a NATS server sends, in any portions, and what it must not; where servers are. No server is needed. */
#include <check.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/bus/nats_int.h"

struct story {
    char text[2048];
    size_t n;
};

static void tell(struct story *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct story *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    s->n += (size_t)vsnprintf(s->text + s->n, sizeof s->text - s->n, fmt, ap);
    va_end(ap);
    ck_assert_uint_lt(s->n, sizeof s->text);
}

static void tell_frame(struct story *s, const struct nats_frame *f)
{
    static const char *const names[] = {"INFO", "MSG", "PING", "PONG", "OK", "ERR"};
    const struct bus_msg *m = &f->msg;
    tell(s, "%s", names[f->op]);
    if (f->op == NATS_MSG) {
        tell(s, "(%u %.*s %.*s", (unsigned)f->sid, STR_ARG(m->subject), STR_ARG(m->reply));
        for (size_t i = 0; i < m->nheaders; i++)
            tell(s, " %.*s=%.*s", STR_ARG(m->headers[i].name), STR_ARG(m->headers[i].value));
        tell(s, " %u '%.*s')", m->status, (int)m->data.n, (const char *)m->data.p);
    } else if (f->text.n) {
        tell(s, "(%.*s)", STR_ARG(f->text));
    }
    tell(s, ";");
}

/* Feeds the text in portions of `step` bytes, each in memory of its own so that nothing outlives its portion. */
static struct story parse(struct str text, size_t step)
{
    struct nats_parser p = {.need = 0};
    struct story s = {.n = 0};
    struct err e = ERR_INIT;
    enum nats_parse result = NATS_MORE;
    for (size_t at = 0; at < text.n && result != NATS_BROKEN; at += step) {
        struct str part = str_sub(text, at, at + step);
        AUTO_FREE char *own = str_dup(part);
        struct span in = {(const uint8_t *)own, part.n};
        struct nats_frame f;
        while ((result = nats_parse(&p, &in, &f, &e)) == NATS_FRAME)
            tell_frame(&s, &f);
        ck_assert(result == NATS_BROKEN || in.n == 0);
    }
    if (result == NATS_BROKEN)
        tell(&s, "BROKEN(%s)", err_name(e.code));
    nats_parser_fini(&p);
    return s;
}

#define TEXT(s) ((struct str){s, sizeof s - 1})

START_TEST(operations_come_in_any_portions)
{
    static const char text[] =
        "INFO {\"a\": 1} \r\nPING\r\n+OK\r\nMSG a.b 7 3\r\nabc\r\nMSG a 8 re.ply 0\r\n\r\n"
        "-ERR 'Permissions Violation for Publish to \"x\"'\r\nPONG\r\n"
        "HMSG s 9 r 12 15\r\nNATS/1.0\r\n\r\nxyz\r\nHMSG s 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
        "hmsg s 1 38 39\r\nNATS/1.0\r\nA: one \r\nb:two\r\nA: three\r\n\r\nz\r\n"
        "msg  a \t 7   2\nok\r\nMSG a 1 6\r\nPING\r\n\r\n";
    static const char expected[] =
        "INFO({\"a\": 1});PING;OK;MSG(7 a.b  0 'abc');MSG(8 a re.ply 0 '');"
        "ERR(Permissions Violation for Publish to \"x\");PONG;"
        "MSG(9 s r 0 'xyz');MSG(9 s  503 '');MSG(1 s  A=one b=two A=three 0 'z');"
        "MSG(7 a  0 'ok');MSG(1 a  0 'PING\r\n');";
    for (size_t step = 1; step <= sizeof text; step++)
        ck_assert_str_eq(parse(TEXT(text), step).text, expected);
}
END_TEST

START_TEST(what_is_no_operation_ends_it)
{
    static const char *const bad[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        "MSG a\r\n",
        "MSG a 1\r\n",
        "MSG a one 3\r\nabc\r\n",
        "MSG a 1 -3\r\nabc\r\n",
        "MSG a 1 b c 3\r\nabc\r\n",
        "MSG a 1 3\r\nabcd\r\n",
        "MSG a 1 67108865\r\n",
        "MSG a 1 99999999999999999999999\r\n",
        "HMSG a 1 5 4\r\nabcd\r\n",
        "HMSG a 1 18446744073709551615 1\r\nabcd\r\n",
        "\x16\x03\x01\x02\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        for (size_t step = 1; step < 40; step += 13)
            ck_assert_str_eq(parse(str_of(bad[i]), step).text, "BROKEN(ERR_PROTOCOL)");
}
END_TEST

/* Any member can publish headers that are none; it must not cost the others their connection. */
START_TEST(headers_that_are_none_are_left_out)
{
    static const char text[] =
        "HMSG a 1 4 5\r\nabcde\r\nHMSG a 1 22 23\r\nNATS/1.0\r\nno colon\r\n\r\n1\r\n"
        "HMSG a 1 8 9\r\nNATS/1.0x\r\nPING\r\n";
    ck_assert_str_eq(parse(TEXT(text), 7).text,
                     "MSG(1 a  0 'e');MSG(1 a  0 '1');MSG(1 a  0 'x');PING;");
}
END_TEST

START_TEST(more_headers_than_we_take_are_left_out)
{
    struct buf b = BUF_INIT, text = BUF_INIT;
    struct nats_parser p = {.need = 0};
    struct nats_frame f;
    struct err e = ERR_INIT;
    buf_str(&b, STR("NATS/1.0\r\n"));
    for (int i = 0; i < 3 * BUS_HEADERS_MAX; i++)
        buf_printf(&b, "k%d: v\r\n", i);
    buf_str(&b, STR("\r\n"));
    buf_printf(&text, "HMSG a 1 %zu %zu\r\n", b.n, b.n);
    buf_put(&text, b.p, b.n);
    buf_str(&text, STR("\r\n"));
    struct span in = buf_span(&text);
    ck_assert_int_eq(nats_parse(&p, &in, &f, &e), NATS_FRAME);
    ck_assert_uint_eq(f.msg.nheaders, BUS_HEADERS_MAX);
    nats_parser_fini(&p);
    buf_fini(&b);
    buf_fini(&text);
}
END_TEST

START_TEST(a_line_without_an_end_is_bounded)
{
    AUTO_FREE char *text = xalloc(NATS_LINE_MAX + 100);
    memset(text, 'I', NATS_LINE_MAX + 100);
    struct str s = {text, NATS_LINE_MAX + 100};
    ck_assert_str_eq(parse(s, 1000).text, "BROKEN(ERR_LIMIT)");
    ck_assert_str_eq(parse(s, s.n).text, "BROKEN(ERR_LIMIT)");
    s.n = NATS_LINE_MAX - 1;
    ck_assert_str_eq(parse(s, 1000).text, "");
}
END_TEST

/* ---- where servers are ---- */

static struct story servers_of(const char *urls)
{
    struct nats_servers s = {.n = 0};
    struct story story = {.n = 0};
    struct err e = ERR_INIT;
    if (!nats_servers_parse(&s, str_of(urls), &e)) {
        tell(&story, "%s", e.text);
    } else {
        const struct nats_server *one = &s.at[0];
        tell(&story, "%s %u %s:%s%s", one->host, one->port, one->user ? one->user : "-",
             one->password ? one->password : "-", s.secure ? " secure" : "");
    }
    nats_servers_fini(&s);
    return story;
}

START_TEST(urls_of_servers)
{
    static const struct {
        const char *url, *is;
    } rows[] = {
        {"nats://127.0.0.1:4333", "127.0.0.1 4333 -:-"},
        {"example.org", "example.org 4222 -:-"},
        {" tls://example.org/ ", "example.org 4222 -:- secure"},
        {"nats://user:p%40ss%3a@host:1", "host 1 user:p@ss:"},
        {"nats://t0ken@host", "host 4222 t0ken:-"},
        {"nats://a@b:c@host", "host 4222 a@b:c"},
        {"NATS://[::1]:4222", "::1 4222 -:-"},
        {"nats://100%@host", "host 4222 100%:-"},
        {"", "no NATS server URL given"},
        {"ws://host", "NATS server: scheme 'ws' is not one of nats, tls, tcp"},
        {"nats://", "NATS server: '' is not HOST or HOST:PORT"},
        {"nats://u:secret@", "NATS server: '' is not HOST or HOST:PORT"},
        {"nats://host:0", "NATS server: 'host:0' is not HOST or HOST:PORT"},
        {"nats://host:65536", "NATS server: 'host:65536' is not HOST or HOST:PORT"},
        {"nats://host:4222x", "NATS server: 'host:4222x' is not HOST or HOST:PORT"},
        {"nats://[::1", "NATS server: '[::1' is not HOST or HOST:PORT"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_str_eq(servers_of(rows[i].url).text, rows[i].is);
}
END_TEST

START_TEST(servers_that_were_found_come_and_go)
{
    struct nats_servers s = {.n = 0};
    struct err e = ERR_INIT;
    size_t current = 0;
    ck_assert(nats_servers_parse(&s, STR("nats://a:1"), &e));
    nats_servers_found(&s, &current,
                       (struct str[]){STR("a:1"), STR("b:2"), STR("nonsense:"), STR("c:3")}, 4);
    ck_assert_uint_eq(s.n, 3);
    current = 2; /* c */
    nats_servers_found(&s, &current, (struct str[]){STR("d:4"), STR("[::1]:5")}, 2);
    ck_assert_uint_eq(s.n, 4);
    ck_assert_uint_eq(current, 1);
    ck_assert_str_eq(s.at[current].host, "c");
    ck_assert_str_eq(s.at[3].host, "::1");
    nats_servers_found(&s, &current, NULL, 0);
    ck_assert_uint_eq(s.n, 2);
    nats_servers_fini(&s);
}
END_TEST

START_TEST(servers_are_bounded)
{
    struct nats_servers s = {.n = 0};
    struct err e = ERR_INIT;
    struct str many[3 * NATS_SERVERS_MAX];
    char text[3 * NATS_SERVERS_MAX][16];
    size_t current = 0;
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        snprintf(text[i], sizeof text[i], "h%zu:1", i);
        many[i] = str_of(text[i]);
    }
    ck_assert(nats_servers_parse(&s, STR("nats://a:1"), &e));
    nats_servers_found(&s, &current, many, ARRAY_LEN(many));
    ck_assert_uint_eq(s.n, NATS_SERVERS_MAX);
    nats_servers_fini(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("what NATS servers send");
    TCase *t = tcase_create("parse");
    tcase_add_test(t, operations_come_in_any_portions);
    tcase_add_test(t, what_is_no_operation_ends_it);
    tcase_add_test(t, headers_that_are_none_are_left_out);
    tcase_add_test(t, more_headers_than_we_take_are_left_out);
    tcase_add_test(t, a_line_without_an_end_is_bounded);
    tcase_add_test(t, urls_of_servers);
    tcase_add_test(t, servers_that_were_found_come_and_go);
    tcase_add_test(t, servers_are_bounded);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
