/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through a real nats-server, started here on a free port with a max_payload of 256 bytes. Left out, saying so,
 * where there is no nats-server. */
#include <check.h>
#include "lattice/base/num.h"
#include "tests/bus/env.h"
#include "wrpc/wrpc.h"

#define PREFIX STR("default.srv")
#define INSTANCE STR("test:pkg/iface@0.1.0")

static struct bus *bus_a, *bus_b, *third;
static struct wrpc *client, *server;
static struct err e;

static void start_server(void)
{
    char conf[96], port[16];
    env = (struct env){.real = true, .loop = loop_new(), .port = env_free_port()};
    snprintf(env.url, sizeof env.url, "nats://127.0.0.1:%d", env.port);
    snprintf(env.dir, sizeof env.dir, P_tmpdir "/test-wrpc-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(env.dir));
    snprintf(conf, sizeof conf, "%s/nats.conf", env.dir);
    snprintf(port, sizeof port, "%d", env.port);
    FILE *f = fopen(conf, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "host: 127.0.0.1\nport: %s\nmax_payload: 256\n", port);
    fclose(f);
    env.server = fork();
    if (env.server == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("nats-server", "nats-server", "-c", conf, (char *)NULL);
        _exit(127);
    }
}

static void setup(void)
{
    start_server();
    bus_a = env_open();
    bus_b = env_open();
    third = env_open();
    e = (struct err)ERR_INIT;
    ck_assert(wrpc_open(bus_a, NULL, &client, &e));
    ck_assert(wrpc_open(bus_b, NULL, &server, &e));
}

static void teardown(void)
{
    wrpc_close(client);
    wrpc_close(server);
    bus_close(bus_a);
    bus_close(bus_b);
    bus_close(third);
    env_stop();
}

/* ---- a call and a service ---- */

struct caller {
    struct wrpc_call *call;
    struct buf got;
    bool ended;
    enum err_code code;
};

static void on_bytes(void *user, const struct wit_path *p, struct span piece)
{
    struct caller *c = user;
    ck_assert_uint_eq(p->n, 0);
    buf_put(&c->got, piece.p, piece.n);
}

static void on_end(void *user, const struct err *why)
{
    struct caller *c = user;
    c->code = why ? why->code : ERR_NONE;
    c->ended = true;
    wrpc_call_free(MOVE(c->call));
}

static const struct bus_header headers[] = {{STR_INIT("source-id"), STR_INIT("comp")},
                                            {STR_INIT("link-name"), STR_INIT("default")}};

static void call(struct wrpc *w, struct caller *c, struct span params, size_t nheaders)
{
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), headers, nheaders};
    ck_assert_msg(wrpc_invoke(w, &t, params, NULL, 5000, on_bytes, on_end, c, &c->call, &e), "%s",
                  e.text);
    WAIT_FLAG(c->ended);
}

struct service {
    struct wrpc_serve *serve;
    struct wrpc_inv *inv;
    struct buf got;
    struct span answer;
};

static void on_param(void *user, const struct wit_path *p, struct span piece)
{
    struct service *s = user;
    ck_assert_uint_eq(p->n, 0);
    buf_put(&s->got, piece.p, piece.n);
    if (piece.n)
        return;
    ck_assert(wrpc_inv_result(s->inv, s->answer, &e));
    wrpc_inv_free(s->inv);
}

static void on_inv(void *user, struct wrpc_inv *inv)
{
    struct service *s = user;
    s->inv = inv;
    buf_clear(&s->got);
    wrpc_inv_read(inv, on_param, s);
}

static void serve_with(struct wrpc *w, struct bus *b, struct service *s)
{
    ck_assert(
        wrpc_serve_open(w, PREFIX, PREFIX, INSTANCE, STR("f"), NULL, on_inv, s, &s->serve, &e));
    env_flush(b);
}

/* ---- sizes of what passes ---- */

struct sizes {
    struct bus_sub *sub;
    size_t first, params[8], results[8];
    int nparams, nresults;
};

static void on_heard(void *user, const struct bus_msg *m)
{
    struct sizes *s = user;
    if (str_ends(m->subject, STR(".params")) && s->nparams < 8)
        s->params[s->nparams++] = m->data.n;
    else if (str_ends(m->subject, STR(".results")) && s->nresults < 8)
        s->results[s->nresults++] = m->data.n;
    else if (str_starts(m->subject, PREFIX))
        s->first = m->data.n;
}

static bool both_ended(void *user)
{
    struct sizes *s = user;
    return s->nparams && !s->params[s->nparams - 1] && s->nresults && !s->results[s->nresults - 1];
}

static void assert_sizes(const size_t *got, int n, const size_t *want, size_t nwant)
{
    ck_assert_uint_eq((size_t)n, nwant);
    for (size_t i = 0; i < nwant; i++)
        ck_assert_uint_eq(got[i], want[i]);
}

START_TEST(test_unary)
{
    struct service s = {.answer = str_span(STR("RESULT"))};
    struct caller c = {.call = NULL};
    serve_with(server, bus_b, &s);
    call(client, &c, str_span(STR("PARAMS")), 2);
    ck_assert_int_eq(c.code, ERR_NONE);
    ck_assert(str_eqz(buf_view(&c.got), "RESULT") && str_eqz(buf_view(&s.got), "PARAMS"));
    wrpc_serve_close(s.serve);
    buf_fini(&c.got);
    buf_fini(&s.got);
}
END_TEST

/* M = 256, |Rc| = 52, B = 703: without headers, and with 12 + 17 + 20 bytes of them. */
static const size_t params_plain[] = {256, 243, 0}, params_headers[] = {256, 256, 36, 0},
                    results_wanted[] = {256, 256, 90, 0};

START_TEST(test_large)
{
    static uint8_t big[703];
    struct service s = {.answer = {big, 602}};
    struct caller c = {.call = NULL};
    struct sizes heard = {.first = 0};
    serve_with(server, bus_b, &s);
    ck_assert(bus_subscribe(third, STR(">"), STR_NONE, on_heard, &heard, &heard.sub, &e));
    env_flush(third);
    call(client, &c, (struct span){big, sizeof big}, _i ? 2 : 0);
    env_wait(both_ended, &heard, "the ends of parameters and results");
    ck_assert_uint_eq(heard.first, _i ? 155 : 204);
    if (_i)
        assert_sizes(heard.params, heard.nparams, params_headers, ARRAY_LEN(params_headers));
    else
        assert_sizes(heard.params, heard.nparams, params_plain, ARRAY_LEN(params_plain));
    assert_sizes(heard.results, heard.nresults, results_wanted, ARRAY_LEN(results_wanted));
    ck_assert(s.got.n == 703 && c.got.n == 602);
    wrpc_serve_close(s.serve);
    buf_fini(&c.got);
    buf_fini(&s.got);
}
END_TEST

START_TEST(test_no_responders)
{
    struct caller c = {.call = NULL};
    call(client, &c, str_span(STR("P")), 2);
    ck_assert_int_eq(c.code, ERR_NO_RESPONDERS);
}
END_TEST

START_TEST(test_same_connection)
{
    struct service s = {.answer = str_span(STR("RESULT"))};
    struct caller c = {.call = NULL};
    serve_with(client, bus_a, &s);
    call(client, &c, str_span(STR("P")), 2);
    ck_assert_int_eq(c.code, ERR_NONE);
    ck_assert(str_eqz(buf_view(&c.got), "RESULT"));
    wrpc_serve_close(s.serve);
    buf_fini(&c.got);
    buf_fini(&s.got);
}
END_TEST

int main(void)
{
    if (!env_have_server()) {
        printf("SKIPPED: no nats-server on PATH\n");
        return 0;
    }
    Suite *s = suite_create("nats");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_unary);
    tcase_add_loop_test(c, test_large, 0, 2);
    tcase_add_test(c, test_no_responders);
    tcase_add_test(c, test_same_connection);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
