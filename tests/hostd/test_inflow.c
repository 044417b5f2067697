/* SPDX-License-Identifier: Apache-2.0 */
/* hostd/inflow and hostd/feed: bodies whose sender does not pace, for a guest that is not there yet, or that no worker
 * has time for: they wait on disk, and arrive whole and in order. */
#include <check.h>
#include <semaphore.h>
#include <stdio.h>
#include "hostd/bridge.h"
#include "hostd/feed.h"
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/spool.h"
#include "tests/hostd/pattern.h"

#define PIECE (64u << 10)
#define PIECES 512 /* 32 MiB */
#define WHOLE ((uint64_t)PIECE * PIECES)

static const char WORKBENCH[] = "tests/guests/workbench/workbench.wasm";

static struct loop *loop;
static struct workers *workers;
static struct spool_disk disk;
static struct stashes *stashes;
static struct bridge *bridge;
static struct comp_linked *linked;
static struct guest *guest;
static struct feed feed;

/* What the guest echoed. */
static uint64_t echoed;
static bool finished, aborted;
static char head[16];

/* ---- the guest's world ---- */

static void on_head(void *user, struct span root)
{
    (void)user;
    snprintf(head, sizeof head, "%u", root.n ? root.p[0] : 99u);
}

static void on_body(void *user, uint32_t exchange, struct span data, enum guest_body end,
                    struct span trailers)
{
    (void)user;
    (void)trailers;
    ck_assert(are_bytes(data, echoed));
    echoed += data.n;
    if (data.n)
        guest_body_credit(guest, exchange, data.n);
    finished |= end == GUEST_BODY_FINISHED;
    aborted |= end == GUEST_BODY_ABORTED;
}

static void on_response(void *user, struct span root, struct span body, struct span trailers)
{
    on_head(user, root);
    on_body(user, WASI_SERVED, body, GUEST_BODY_FINISHED, trailers);
}

static void on_consumed(void *user, uint32_t exchange, size_t n)
{
    (void)user;
    (void)exchange;
    feed_consumed(&feed, n);
}

static void on_ended(void *user, const struct guest_end *end)
{
    (void)user;
    (void)end;
    guest_free(MOVE(guest));
    loop_stop(loop);
}

static const struct guest_ops ops = {.head = on_head,
                                     .response = on_response,
                                     .body = on_body,
                                     .consumed = on_consumed,
                                     .ended = on_ended};

static void start_guest(const char *path)
{
    struct err e = ERR_INIT;
    struct guest_opts opts = {.loop = loop, .workers = workers, .ops = &ops};
    guest = guest_new(&opts, comp_inst_new(linked, NULL, &e));
    struct http_request request = {.method = STR("POST"),
                                   .scheme = STR("http"),
                                   .authority = STR("here"),
                                   .path_with_query = str_of(path)};
    struct wit_value *args = arena_array(guest_arena(guest), struct wit_value, 2);
    ck_assert(wasi_http_args(guest_world(guest), &request, args, &e));
    feed_start(&feed, guest, WASI_SERVED);
    ck_assert_msg(
        guest_start(guest,
                    comp_find(linked, STR("wasi:http/incoming-handler@0.2.0"), STR("handle")), args,
                    &e),
        "%s", e.text);
}

/* ---- the peer ---- */

/* As they travel: chunks of a stream<u8>, its end, and no trailers. */
static void send(uint64_t from, uint64_t pieces)
{
    static uint8_t block[PIECE + 3];
    for (uint64_t k = from; k < from + pieces; k++) {
        block[0] = 0x80;
        block[1] = 0x80;
        block[2] = PIECE >> 14;
        for (size_t i = 0; i < PIECE; i++)
            block[3 + i] = byte_at(k * PIECE + i);
        feed_bytes(&feed, &feed_body_path, (struct span){block, sizeof block});
    }
}

static void send_end(void)
{
    static const uint8_t zero[1] = {0};
    feed_bytes(&feed, &feed_body_path, (struct span){zero, 1});
    feed_bytes(&feed, &feed_trailers_path, (struct span){zero, 1});
}

/* ---- around a test ---- */

static void thread_start(uint32_t worker)
{
    (void)worker;
    wasm_thread_init();
}

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

static void setup(void)
{
    struct err e = ERR_INIT;
    wasm_init();
    wasi_init();
    loop = loop_new();
    workers = workers_new(1, thread_start);
    disk = (struct spool_disk){.file_bytes_max = UINT64_MAX, .bytes_max = UINT64_MAX};
    stashes = stashes_open(loop, &disk);
    bridge = bridge_new();
    struct buf bytes = read_file(WORKBENCH);
    struct comp *c = comp_load(buf_span(&bytes), NULL, &e);
    struct comp_linker linker = bridge_linker(bridge);
    linked = comp_link(c, &linker, &e);
    ck_assert_msg(linked != NULL, "%s", e.text);
    comp_unref(c);
    buf_fini(&bytes);
    feed_init(&feed, stashes);
    echoed = 0;
    finished = aborted = false;
}

static void teardown(void)
{
    feed_fini(&feed);
    workers_free(workers);
    loop_drain(loop);
    stashes_close(stashes);
    ck_assert_uint_eq(disk.bytes, 0);
    comp_linked_unref(linked);
    bridge_free(bridge);
    loop_free(loop);
}

static void wait_for_disk(uint64_t bytes)
{
    while (disk.bytes < bytes)
        ;
}

START_TEST(a_body_waits_for_its_guest)
{
    send(0, PIECES);
    wait_for_disk(WHOLE - INFLOW_HELD_BYTES_MAX);
    send_end();
    start_guest("/echo");
    loop_run(loop);
    ck_assert_str_eq(head, "0");
    ck_assert_uint_eq(echoed, WHOLE);
    ck_assert(finished && !aborted);
}
END_TEST

START_TEST(a_small_body_needs_no_file)
{
    send(0, 1);
    ck_assert_ptr_null(feed.in.stash);
    send_end();
    start_guest("/echo");
    loop_run(loop);
    ck_assert_uint_eq(echoed, PIECE);
    ck_assert(finished);
}
END_TEST

/* A worker's job that lasts until it is let go. */
struct hog {
    struct worker_job job;
    sem_t go;
};

static void hog_run(struct worker_job *job, uint32_t worker)
{
    (void)worker;
    sem_wait(&((struct hog *)job)->go);
}

/* All that reaches the guest's mail is a window; the rest does not wait in memory. */
START_TEST(while_no_worker_is_free_a_body_waits_on_disk)
{
    struct hog hog = {.job = {.run = hog_run}};
    sem_init(&hog.go, 0, 0);
    workers_submit(workers, &hog.job);
    start_guest("/echo");
    send(0, PIECES);
    wait_for_disk(WHOLE - INFLOW_WINDOW_BYTES - INFLOW_HELD_BYTES_MAX);
    ck_assert_uint_eq(feed.in.under_way, INFLOW_WINDOW_BYTES);
    send_end();
    sem_post(&hog.go);
    loop_run(loop);
    ck_assert_uint_eq(echoed, WHOLE);
    ck_assert(finished && !aborted);
    sem_destroy(&hog.go);
}
END_TEST

static uint64_t sent;

static void send_more(void *user)
{
    (void)user;
    for (int i = 0; i < 8 && sent < PIECES; i++)
        send(sent++, 1);
    if (sent < PIECES)
        loop_post(loop, send_more, NULL);
    else
        send_end();
}

START_TEST(bytes_come_while_others_are_read)
{
    sent = 0;
    start_guest("/echo");
    loop_post(loop, send_more, NULL);
    loop_run(loop);
    ck_assert_uint_eq(echoed, WHOLE);
    ck_assert(finished && !aborted);
}
END_TEST

START_TEST(what_cannot_be_kept_ends_the_body)
{
    disk.file_bytes_max = WHOLE / 4;
    send(0, PIECES);
    send_end();
    start_guest("/echo");
    loop_run(loop);
    ck_assert_int_eq(feed.in.lost.code, ERR_LIMIT);
    ck_assert_uint_lt(echoed, WHOLE / 4);
}
END_TEST

START_TEST(a_body_cut_short_is_broken_after_its_bytes)
{
    send(0, 40);
    feed_bytes(&feed, &feed_body_path, (struct span){NULL, 0});
    start_guest("/echo");
    loop_run(loop);
    ck_assert(feed.broken && feed.in.over);
    ck_assert_uint_eq(echoed, 40 * PIECE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inflow");
    TCase *t = tcase_create("inflow");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_body_waits_for_its_guest);
    tcase_add_test(t, a_small_body_needs_no_file);
    tcase_add_test(t, while_no_worker_is_free_a_body_waits_on_disk);
    tcase_add_test(t, bytes_come_while_others_are_read);
    tcase_add_test(t, what_cannot_be_kept_ends_the_body);
    tcase_add_test(t, a_body_cut_short_is_broken_after_its_bytes);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
