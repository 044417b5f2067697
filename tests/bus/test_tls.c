/* SPDX-License-Identifier: Apache-2.0 */
/* The bus over TLS, to a real nats-server with certificates made for the test: everything works as without, and a
 * server that cannot show who it is gets nothing. Skipped, with a word, without nats-server or openssl. */
#include "kv_cases.h"

/* A certificate authority "ca" in env.dir, and the server certificates that it signed: "good" for where the server is,
 * "other" for somewhere else. */
static void make_certificates(void)
{
    static const char script[] =
        "cd %s && exec 2>/dev/null && ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
        "-nodes'\n"
        "openssl req -x509 $ec -keyout ca.key -out ca.pem -days 2 -subj /CN=authority\n"
        "sign() {\n"
        "  openssl req $ec -keyout $1.key -out $1.csr -subj /CN=$1 &&\n"
        "  echo subjectAltName=$2 >ext && openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key "
        "\\\n"
        "    -CAcreateserial -days 2 -extfile ext -out $1.pem\n"
        "}\n"
        "sign good IP:127.0.0.1 && sign other DNS:elsewhere.example\n";
    AUTO_FREE char *command = xasprintf(script, env.dir);
    ck_assert_int_eq(system(command), 0);
    snprintf(env.ca_file, sizeof env.ca_file, "%s/ca.pem", env.dir);
}

static void start_with(const char *cert)
{
    env_prepare_real();
    make_certificates();
    env.cert = cert;
    env_server_start();
}

static void start_good(void)
{
    start_with("good");
}

/* ---- who is trusted ---- */

struct outcome {
    enum bus_state state;
    char why[ERR_TEXT_MAX];
};

static void on_outcome(void *user, enum bus_state state, const struct err *why)
{
    struct outcome *o = user;
    o->state = state;
    snprintf(o->why, sizeof o->why, "%s", why->text);
}

static bool is_decided(void *user)
{
    return ((struct outcome *)user)->state != BUS_CONNECTING;
}

/* What becomes of a connection with these options, once the server is there. */
static struct outcome outcome_of(struct bus_opts opts)
{
    struct outcome o;
    struct err e = ERR_INIT;
    struct bus *b = NULL;
    opts.on_state = on_outcome;
    opts.user = &o;
    opts.url = opts.url ? opts.url : env.url;
    do {
        o = (struct outcome){BUS_CONNECTING, ""};
        ck_assert_msg(bus_nats_open(env.loop, &opts, &b, &e), "%s", e.text);
        env_wait(is_decided, &o, "an outcome");
        bus_close(b);
    } while (strstr(o.why, "no NATS server answers"));
    return o;
}

static void expect_up(struct bus_opts opts)
{
    struct outcome o = outcome_of(opts);
    ck_assert_msg(o.state == BUS_UP, "%s", o.why);
}

static void expect_down(struct bus_opts opts, const char *why)
{
    struct outcome o = outcome_of(opts);
    ck_assert_msg(o.state == BUS_DOWN && strstr(o.why, why), "%s", o.why);
}

START_TEST(the_server_must_be_known)
{
    char text[4096] = "", url[80], path[96];
    snprintf(url, sizeof url, "tls://127.0.0.1:%d", env.port);
    FILE *f = fopen(env.ca_file, "r");
    ck_assert(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    expect_up((struct bus_opts){.ca_file = env.ca_file});
    expect_up((struct bus_opts){.ca = text});
    expect_up((struct bus_opts){.url = url, .ca_file = env.ca_file});
    expect_down((struct bus_opts){.url = url}, "unable to get local issuer certificate");
    expect_down((struct bus_opts){0}, "unable to get local issuer certificate");
    snprintf(path, sizeof path, "%s/other.pem", env.dir);
    expect_down((struct bus_opts){.ca_file = path}, "unable to get local issuer certificate");
}
END_TEST

START_TEST(the_certificate_must_be_for_its_address)
{
    env_server_stop();
    env.cert = "other";
    env_server_start();
    expect_down((struct bus_opts){.ca_file = env.ca_file}, "mismatch");
}
END_TEST

/* Who asks for TLS gets it or nothing. */
START_TEST(a_server_without_tls)
{
    char url[80];
    snprintf(url, sizeof url, "tls://127.0.0.1:%d", env.port);
    env_server_stop();
    env.cert = NULL;
    env_server_start();
    expect_up((struct bus_opts){0});
    expect_down((struct bus_opts){.url = url}, "does not speak TLS");
    expect_down((struct bus_opts){.ca_file = env.ca_file}, "does not speak TLS");
}
END_TEST

START_TEST(bad_certificates_are_refused_at_once)
{
    static const struct bus_opts bad[] = {
        {.url = "nats://127.0.0.1:1", .ca_file = "/nonexistent/ca.pem"},
        {.url = "nats://127.0.0.1:1", .ca_file = "/dev/null"},
        {.url = "nats://127.0.0.1:1", .ca = "MIIB"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = ERR_INIT;
        struct bus *b = NULL;
        ck_assert_msg(!bus_nats_open(env.loop, &bad[i], &b, &e), "%zu", i);
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert_msg(strstr(e.text, "certificate"), "%s", e.text);
    }
}
END_TEST

/* ---- as without ---- */

struct counted {
    int up, down, n;
};

static void on_counted_state(void *user, enum bus_state state, const struct err *why)
{
    struct counted *c = user;
    (void)why;
    c->up += state == BUS_UP;
    c->down += state == BUS_DOWN;
}

static void on_counted(void *user, const struct bus_msg *m)
{
    struct counted *c = user;
    c->n += m->data.n == 300;
}

static int want;
static bool all_counted(void *user)
{
    const struct counted *c = user;
    return c[0].n == want && c[1].n == want;
}

/* Reading and writing at once: the connection holds. */
START_TEST(both_directions_at_once)
{
    static char text[301];
    struct counted c[2] = {{0}, {0}};
    struct bus *a = env_open_with(on_counted_state, &c[0]);
    struct bus *b = env_open_with(on_counted_state, &c[1]);
    env_wait(env_up, a, "a connection");
    env_wait(env_up, b, "a connection");
    memset(text, 'x', 300);
    subscribe(a, "to.a", NULL, on_counted, &c[0]);
    subscribe(b, "to.b", NULL, on_counted, &c[1]);
    env_flush(a);
    env_flush(b);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 100; i++) {
            publish(a, "to.b", NULL, text);
            publish(b, "to.a", NULL, text);
        }
        want += 100;
        env_wait(all_counted, c, "every message");
    }
    ck_assert_int_eq(c[0].up + c[1].up, 2);
    ck_assert_int_eq(c[0].down + c[1].down, 0);
    bus_close(a);
    bus_close(b);
}
END_TEST

START_TEST(the_server_restarts)
{
    struct bus *a = env_open();
    struct heard h = {0};
    subscribe(a, "t", NULL, on_heard, &h);
    env_flush(a);
    env_server_stop();
    env_wait(env_down, a, "DOWN");
    publish(a, "t", NULL, "kept");
    env_server_start();
    wait_heard(&h, 1);
    ck_assert_str_eq(h.text, "t>=kept;");
    bus_close(a);
}
END_TEST

int main(void)
{
    if (!env_have_server() || system("command -v openssl >/dev/null 2>&1") != 0) {
        printf("SKIPPED: nats-server or openssl is not installed\n");
        return 0;
    }
    Suite *s = suite_create("bus over TLS");
    TCase *core = tcase_create("core"), *trust = tcase_create("trust");
    tcase_add_checked_fixture(core, start_good, env_stop);
    tcase_set_timeout(core, 60);
    core_cases(core);
    kv_cases(core);
    tcase_add_test(core, both_directions_at_once);
    tcase_add_test(core, the_server_restarts);
    tcase_add_checked_fixture(trust, start_good, env_stop);
    tcase_set_timeout(trust, 60);
    tcase_add_test(trust, the_server_must_be_known);
    tcase_add_test(trust, the_certificate_must_be_for_its_address);
    tcase_add_test(trust, a_server_without_tls);
    tcase_add_test(trust, bad_certificates_are_refused_at_once);
    suite_add_tcase(s, core);
    suite_add_tcase(s, trust);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
