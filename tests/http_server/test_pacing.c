/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider: who waits for whom when a body is large. */
#include "tests/http_server/rig.h"

#define LARGE_BYTES (8u << 20)
#define HELD_BYTES_MAX (WRPC_WINDOW_BYTES + (512u << 10)) /* the window and what HTTP reads ahead */

static const struct wit_path body_path = {2, {0, 0}};
static uint8_t block[32768];
static const struct span piece = {block, sizeof block};

static void open_held(struct rig *r)
{
    memset(block, 'z', sizeof block);
    rig_open(r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r->hold = true;
    connect_client(r);
}

/* Puts blocks of a body until all are out or the server stopped reading; returns how many bytes that were. */
static size_t upload(struct rig *r, size_t left)
{
    size_t sent = 0;
    for (; sent < left && http_sim_reads(r->client); sent += sizeof block) {
        http_sim_put(r->client, (struct str){(const char *)block, sizeof block});
        loop_sim_advance(r->loop, 5);
    }
    return sent;
}

#define PUT_LARGE "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n"

START_TEST(an_upload_waits_for_the_component)
{
    struct rig r;
    open_held(&r);
    put(&r, PUT_LARGE);
    size_t sent = upload(&r, LARGE_BYTES);
    ck_assert_uint_ge(sent, WRPC_WINDOW_BYTES);
    ck_assert_uint_le(sent, HELD_BYTES_MAX);
    loop_sim_advance(r.loop, 60000); /* nobody is to blame */
    ck_assert(!http_sim_ended(r.client));
    ck_assert_uint_eq(upload(&r, LARGE_BYTES), 0);
    size_t eaten = 0;
    while (sent < LARGE_BYTES) {
        wrpc_inv_consumed(r.inv, &body_path, r.request_body.n - eaten);
        eaten = r.request_body.n;
        loop_sim_advance(r.loop, 10);
        size_t n = upload(&r, LARGE_BYTES - sent);
        ck_assert_uint_gt(n, 0);
        sent += n;
        ck_assert_uint_le(sent - eaten, HELD_BYTES_MAX);
    }
    loop_sim_advance(r.loop, 10);
    ck_assert_uint_eq(r.request_body.n, LARGE_BYTES);
    ck_assert(r.body_ended);
    respond(&r);
    loop_sim_advance(r.loop, 10);
    ck_assert(starts(got(&r), "HTTP/1.1 200 OK"));
    rig_close(&r);
}
END_TEST

START_TEST(a_component_may_answer_an_upload_that_waits)
{
    struct rig r;
    open_held(&r);
    put(&r, PUT_LARGE);
    upload(&r, LARGE_BYTES);
    respond(&r);
    loop_sim_advance(r.loop, 100);
    ck_assert(starts(got(&r), "HTTP/1.1 200 OK"));
    rig_close(&r);
}
END_TEST

/* Writes what there is room for, up to left; returns how much that was. */
static size_t download(struct rig *r, struct wrpc_out *w, size_t left)
{
    struct err e = ERR_INIT;
    size_t sent = 0;
    for (; sent < left && wrpc_out_room(w) > 0; sent += sizeof block) {
        ck_assert(wrpc_out_chunk(w, piece, &e));
        loop_sim_advance(r->loop, 5);
    }
    return sent;
}

static struct wrpc_out *start_response(struct rig *r)
{
    struct err e = ERR_INIT;
    struct wrpc_out *w;
    put(r, GET);
    ck_assert_ptr_nonnull(r->inv);
    send_part(r, PART_HEAD);
    ck_assert(wrpc_inv_result_out(r->inv, &body_path, &w, &e));
    return w;
}

START_TEST(a_download_waits_for_the_client)
{
    struct rig r;
    open_held(&r);
    http_sim_take(r.client, 0);
    struct wrpc_out *w = start_response(&r);
    size_t sent = download(&r, w, LARGE_BYTES);
    ck_assert_uint_ge(sent, WRPC_WINDOW_BYTES);
    ck_assert_uint_le(sent, WRPC_WINDOW_BYTES + REPLY_HIGH_BYTES + sizeof block);
    loop_sim_advance(r.loop, 20000);
    ck_assert_uint_eq(download(&r, w, LARGE_BYTES), 0);
    size_t taken = 0;
    while (sent < LARGE_BYTES) {
        http_sim_take(r.client, 100000);
        loop_sim_advance(r.loop, 10);
        taken += 100000;
        sent += download(&r, w, LARGE_BYTES - sent);
        ck_assert_uint_le(sent - MIN(sent, taken), 2 * WRPC_WINDOW_BYTES);
    }
    wrpc_out_finish_stream(w);
    send_part(&r, PART_TRAILERS);
    http_sim_take(r.client, SIZE_MAX);
    loop_sim_advance(r.loop, 100);
    ck_assert_uint_gt(http_sim_got(r.client).n, LARGE_BYTES);
    ck_assert(ends(got(&r), "\r\n0\r\n\r\n"));
    ck_assert(!http_sim_ended(r.client));
    rig_close(&r);
}
END_TEST

/* A client that takes a little now and then is slow, and its component is not to blame for the silence. */
START_TEST(a_slow_client_is_no_stalled_response)
{
    struct rig r;
    open_held(&r);
    http_sim_take(r.client, 0);
    struct wrpc_out *w = start_response(&r);
    download(&r, w, LARGE_BYTES);
    for (uint32_t ms = 0; ms < STALL_TIMEOUT_MS + 60000; ms += 20000) {
        http_sim_take(r.client, 1000);
        loop_sim_advance(r.loop, 20000);
    }
    ck_assert(!http_sim_ended(r.client));
    rig_close(&r);
}
END_TEST

/* ---- a peer that knows nothing of credit ---- */

struct foreign {
    struct rig *rig;
    struct buf reply; /* where results go */
    size_t bytes;     /* of the request body's channel */
    bool body_ended;
    struct bus_sub *calls, *params;
};

static void on_foreign_call(void *user, const struct bus_msg *m)
{
    struct foreign *f = user;
    struct err e = ERR_INIT;
    buf_clear(&f->reply);
    buf_str(&f->reply, m->reply);
    ck_assert(bus_publish(f->rig->component_bus, m->reply, STR("foreign.1"), NULL, 0,
                          (struct span){0}, &e));
}

static void on_foreign_body(void *user, const struct bus_msg *m)
{
    struct foreign *f = user;
    f->bytes += m->data.n;
    f->body_ended |= m->data.n == 0;
}

static void foreign_open(struct foreign *f, struct rig *r)
{
    struct err e = ERR_INIT;
    struct buf subject = BUF_INIT;
    *f = (struct foreign){.rig = r};
    open_held(r);
    wrpc_serve_close(MOVE(r->serve));
    ck_assert(wrpc_subject(STR("default.hello"), STR("wrpc:http/incoming-handler@0.1.0"),
                           STR("handle"), &subject, &e));
    ck_assert(bus_subscribe(r->component_bus, buf_view(&subject), STR_NONE, on_foreign_call, f,
                            &f->calls, &e));
    ck_assert(bus_subscribe(r->component_bus, STR("foreign.1.params.0.0"), STR_NONE,
                            on_foreign_body, f, &f->params, &e));
    buf_fini(&subject);
    loop_sim_advance(r->loop, 10);
}

static void foreign_close(struct foreign *f)
{
    bus_unsubscribe(&f->calls);
    bus_unsubscribe(&f->params);
    buf_fini(&f->reply);
    rig_close(f->rig);
}

static void foreign_send(struct foreign *f, const char *channel, struct span data)
{
    struct err e = ERR_INIT;
    struct buf subject = BUF_INIT;
    buf_printf(&subject, "%.*s.results%s", STR_ARG(buf_view(&f->reply)), channel);
    ck_assert(bus_publish(f->rig->component_bus, buf_view(&subject), STR_NONE, NULL, 0, data, &e));
    buf_fini(&subject);
    loop_sim_advance(f->rig->loop, 5);
}

START_TEST(an_upload_to_a_foreign_peer_takes_round_trips)
{
    struct rig r;
    struct foreign f;
    size_t sent = 0;
    foreign_open(&f, &r);
    put(&r, PUT_LARGE);
    while (sent < LARGE_BYTES && http_sim_reads(r.client)) {
        http_sim_put(r.client, (struct str){(const char *)block, sizeof block});
        sent += sizeof block;
    }
    ck_assert_uint_lt(sent, WRPC_WINDOW_BYTES); /* the loop has not turned: no round trip is over */
    while (sent < LARGE_BYTES) {
        loop_sim_advance(r.loop, 10);
        sent += upload(&r, LARGE_BYTES - sent);
    }
    loop_sim_advance(r.loop, 100);
    ck_assert(f.body_ended);
    ck_assert_uint_ge(f.bytes, LARGE_BYTES);
    foreign_close(&f);
}
END_TEST

START_TEST(a_download_from_a_foreign_peer_is_broken_off)
{
    struct rig r;
    struct foreign f;
    struct err e = ERR_INIT;
    struct buf head = BUF_INIT, chunk = BUF_INIT;
    size_t sent = 0;
    foreign_open(&f, &r);
    http_sim_take(r.client, 100);
    put(&r, GET);
    ck_assert(http_response_encode(&r.response, &head, &e));
    foreign_send(&f, "", buf_span(&head));
    buf_leb_u64(&chunk, sizeof block);
    buf_put(&chunk, block, sizeof block);
    for (; sent < REPLY_QUEUE_BYTES_MAX * 2 && !http_sim_ended(r.client); sent += sizeof block)
        foreign_send(&f, ".0.0", buf_span(&chunk));
    ck_assert(http_sim_broken(r.client));
    ck_assert_uint_ge(sent, REPLY_QUEUE_BYTES_MAX);
    ck_assert_uint_le(sent, REPLY_QUEUE_BYTES_MAX + 2 * sizeof block);
    buf_fini(&head);
    buf_fini(&chunk);
    foreign_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http-server pacing");
    log_open(LOG_ERROR, false, "test");
    TCase *t = tcase_create("sim");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_upload_waits_for_the_component);
    tcase_add_test(t, a_component_may_answer_an_upload_that_waits);
    tcase_add_test(t, a_download_waits_for_the_client);
    tcase_add_test(t, a_slow_client_is_no_stalled_response);
    tcase_add_test(t, an_upload_to_a_foreign_peer_takes_round_trips);
    tcase_add_test(t, a_download_from_a_foreign_peer_is_broken_off);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
