/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server over real sockets on the loopback: accepting, large replies through a full socket, closing. */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"
#include "lattice/http/http_server.h"

#define BIG_BYTES (8u * 1024 * 1024)

struct rig {
    struct loop *loop;
    struct http_server *server;
    size_t big_left;
    uint32_t drained;
    const char *request; /* what the client sends */
    struct buf got;      /* what it received, until the end of the stream */
};

static void send_big(struct rig *r, struct http_exchange *x)
{
    static const uint8_t block[16 * 1024];
    while (r->big_left > 0) {
        r->big_left -= sizeof block;
        if (http_reply_body(x, (struct span){block, sizeof block}) >= 256 * 1024 && r->big_left > 0)
            return;
    }
    http_reply_end(x, NULL, 0);
}

static void on_request(void *user, struct http_exchange *x)
{
    struct rig *r = user;
    struct err e = ERR_INIT;
    const struct http_head *head = http_exchange_head(x);
    ck_assert(str_eq(head->peer, STR("127.0.0.1")));
    if (str_eq(head->path, STR("/big"))) {
        r->big_left = BIG_BYTES;
        ck_assert(http_reply_head(x, 200, NULL, 0, &e));
        send_big(r, x);
    } else {
        ck_assert(http_reply_full(x, 200, NULL, 0, str_span(head->path), &e));
    }
}

static void on_body(void *user, struct http_exchange *x, struct span data)
{
    (void)user;
    http_body_consumed(x, data.n);
}

static void on_body_end(void *user, struct http_exchange *x, const struct http_header *t, size_t n)
{
    (void)user;
    (void)x;
    (void)t;
    (void)n;
}

static void on_drained(void *user, struct http_exchange *x)
{
    struct rig *r = user;
    r->drained++;
    send_big(r, x);
}

static void on_gone(void *user, struct http_exchange *x, enum http_gone why)
{
    (void)user;
    (void)x;
    ck_abort_msg("gone: %s", http_gone_text(why));
}

static const struct http_handler handler = {
    .request = on_request,
    .body = on_body,
    .body_end = on_body_end,
    .drained = on_drained,
    .gone = on_gone,
};

static void *client(void *user)
{
    struct rig *r = user;
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct str address = http_server_address(r->server);
    uint64_t port;
    uint8_t piece[65536];
    ck_assert(str_u64(str_sub(address, str_rfind(address, ':') + 1, address.n), &port));
    a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    ck_assert(write(fd, r->request, strlen(r->request)) == (ssize_t)strlen(r->request));
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        buf_put(&r->got, piece, (size_t)n);
    close(fd);
    loop_stop(r->loop);
    return NULL;
}

static void run(struct rig *r, const char *request)
{
    struct err e = ERR_INIT;
    pthread_t thread;
    struct http_server_opts opts = {.address = STR("127.0.0.1:0"), .handler = &handler, .user = r};
    *r = (struct rig){.loop = loop_new(), .request = request};
    ck_assert_msg(http_server_open(r->loop, &opts, &r->server, &e), "%s", e.text);
    pthread_create(&thread, NULL, client, r);
    loop_run(r->loop);
    pthread_join(thread, NULL);
    http_server_close(r->server);
    loop_free(r->loop);
    buf_byte(&r->got, 0);
}

START_TEST(pipelined)
{
    struct rig r;
    run(&r, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: "
            "close\r\n\r\n");
    const char *first = strstr((const char *)r.got.p, "\r\n\r\n/1HTTP/1.1 200 OK");
    ck_assert(first && strstr(first, "\r\n\r\n/2"));
    buf_fini(&r.got);
}
END_TEST

START_TEST(big)
{
    struct rig r;
    run(&r, "GET /big HTTP/1.0\r\n\r\n");
    const char *body = strstr((const char *)r.got.p, "\r\n\r\n");
    ck_assert(body);
    ck_assert_uint_eq(r.got.n - 1 - (size_t)(body + 4 - (const char *)r.got.p), BIG_BYTES);
    ck_assert_uint_gt(r.drained, 0);
    buf_fini(&r.got);
}
END_TEST

START_TEST(addresses)
{
    struct loop *loop = loop_new();
    struct http_server *first, *second;
    struct err e = ERR_INIT;
    struct http_server_opts opts = {.address = STR("[::1]:0"), .handler = &handler};
    static const struct str bad[] = {STR_INIT(""),
                                     STR_INIT("8080"),
                                     STR_INIT("localhost:80"),
                                     STR_INIT("1.2.3.4:70000"),
                                     STR_INIT("[::1:80"),
                                     STR_INIT("1.2.3.4:")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        opts.address = bad[i];
        ck_assert(!http_server_open(loop, &opts, &first, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
    }
    opts.address = STR("127.0.0.1:0");
    ck_assert(http_server_open(loop, &opts, &first, &e));
    opts.address = http_server_address(first);
    ck_assert(!http_server_open(loop, &opts, &second, &e));
    ck_assert_int_eq(e.code, ERR_EXISTS);
    ck_assert_msg(strstr(e.text, "address already in use"), "%s", e.text);
    http_server_close(first);
    loop_free(loop);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http over tcp");
    TCase *t = tcase_create("tcp");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, pipelined);
    tcase_add_test(t, big);
    tcase_add_test(t, addresses);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
