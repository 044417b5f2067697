/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher side of the keyvalue-nats provider: what happens in a bucket is told to a component, over a simulated
 * lattice on which the test plays the component. */
#include "tests/keyvalue_nats/rig.h"

#define WATCH_LINK(name, config)                                                               \
    "{\"source_id\":\"kv\",\"target\":\"guest\",\"name\":\"" name                              \
    "\",\"wit_namespace\":\"wasi\",\"wit_package\":\"keyvalue\",\"interfaces\":[\"watcher\"]," \
    "\"target_config\":{},\"source_config\":{" config                                          \
    "},\"source_secrets\":null,\"target_secrets\":null}"
#define WATCH(bucket, watch) MAKE(bucket) ",\"watch\":\"" watch "\""

#define HELD_MAX 64

struct heard;

/* The component. */
struct guest {
    struct wrpc_serve *serves[2];
    struct buf text; /* "set 0/KEY=VALUE;" "delete 0/KEY;" */
    bool hold;       /* keeps its callers waiting */
    struct heard *held[HELD_MAX];
    int nheld, nheard;
    char link[32]; /* name in the last call */
};

static void put_param(struct buf *out, struct span *params, const char *end)
{
    size_t n = params->p[0]; /* short ones only */
    ck_assert(params->n > n && n < 128);
    buf_put(out, params->p + 1, n);
    buf_str(out, str_of(end));
    *params = (struct span){params->p + 1 + n, params->n - 1 - n};
}

struct heard {
    struct guest *guest;
    struct wrpc_inv *inv;
    bool set, read;
};

static void answer(struct heard *h)
{
    struct err e = ERR_INIT;
    ck_assert(wrpc_inv_result(h->inv, (struct span){NULL, 0}, &e));
    wrpc_inv_free(h->inv);
    free(h);
}

static void on_params(void *user, const struct wit_path *path, struct span piece)
{
    struct heard *h = user;
    struct guest *g = h->guest;
    if (path->n || h->read)
        return;
    h->read = true;
    struct str name = wrpc_inv_header(h->inv, STR("link-name"));
    snprintf(g->link, sizeof g->link, "%.*s", STR_ARG(name));
    buf_str(&g->text, h->set ? STR("set ") : STR("delete "));
    put_param(&g->text, &piece, "/");
    put_param(&g->text, &piece, h->set ? "=" : ";");
    if (h->set)
        put_param(&g->text, &piece, ";");
    ck_assert_uint_eq(piece.n, 0);
    g->nheard++;
    if (g->hold)
        g->held[g->nheld++] = h;
    else
        answer(h);
}

static void hear(struct guest *g, struct wrpc_inv *inv, bool set)
{
    struct heard *h = xnew(struct heard);
    *h = (struct heard){.guest = g, .inv = inv, .set = set};
    wrpc_inv_read(inv, on_params, h);
}

static void on_set(void *user, struct wrpc_inv *inv)
{
    hear(user, inv, true);
}

static void on_delete(void *user, struct wrpc_inv *inv)
{
    hear(user, inv, false);
}

static void guest_open(struct rig *r, struct guest *g)
{
    static const struct wit_pendings none;
    const struct str prefix = STR("default.guest");
    const struct str instance = STR("wrpc:keyvalue/watcher@0.2.0-draft");
    struct err e = ERR_INIT;
    ck_assert(wrpc_serve_open(r->wrpc, prefix, prefix, instance, STR("on-set"), &none, on_set, g,
                              &g->serves[0], &e) &&
              wrpc_serve_open(r->wrpc, prefix, prefix, instance, STR("on-delete"), &none, on_delete,
                              g, &g->serves[1], &e));
}

static void guest_release(struct guest *g)
{
    int n = g->nheld;
    g->nheld = 0;
    for (int i = 0; i < n; i++)
        answer(g->held[i]);
}

static void guest_close(struct guest *g)
{
    g->hold = false;
    guest_release(g);
    for (size_t i = 0; i < ARRAY_LEN(g->serves); i++)
        if (g->serves[i])
            wrpc_serve_close(g->serves[i]);
    buf_fini(&g->text);
}

static const char *heard(struct guest *g)
{
    buf_byte(&g->text, 0);
    g->text.n--;
    return (const char *)g->text.p;
}

static void rig_delete(struct rig *r, const char *key)
{
    struct err e = ERR_INIT;
    ck_assert(kv_delete(r->kv, str_of(key), rig_on_put, NULL, &e));
    loop_sim_advance(r->loop, 10);
}

static void begin(struct rig *r, const char *links)
{
    rig_open(r, links);
    loop_sim_advance(r->loop, 100);
    rig_bucket(r, "b");
}

/* ---- what is told ---- */

START_TEST(sets_and_deletes_of_named_keys)
{
    struct rig r;
    struct guest g = {0};
    begin(&r, WATCH_LINK("red", WATCH("b", "SET@k, del@k ,SET@only.set,DEL@user@x,")));
    guest_open(&r, &g);
    rig_put(&r, "k", "1");
    rig_put(&r, "other", "x");
    rig_put(&r, "k", "");
    rig_delete(&r, "k");
    rig_put(&r, "only.set", "2");
    rig_delete(&r, "only.set");
    rig_put(&r, "user=_40x", "3");
    rig_delete(&r, "user=_40x");
    loop_sim_advance(r.loop, 200);
    ck_assert_str_eq(heard(&g), "set 0/k=1;set 0/k=;delete 0/k;set 0/only.set=2;delete 0/user@x;");
    ck_assert_str_eq(g.link, "red");
    guest_close(&g);
    rig_close(&r);
}
END_TEST

START_TEST(wildcards)
{
    struct rig r;
    struct guest g = {0};
    begin(&r, WATCH_LINK("default", WATCH("b", "SET@orders.*,DEL@orders.>,SET@a*b")));
    guest_open(&r, &g);
    rig_put(&r, "orders.1", "x");
    rig_put(&r, "orders.1.2", "y");
    rig_put(&r, "orders", "z");
    rig_delete(&r, "orders.1.2");
    rig_put(&r, "a=_2Ab", "star"); /* not a token by itself: the character */
    loop_sim_advance(r.loop, 200);
    ck_assert_str_eq(heard(&g), "set 0/orders.1=x;delete 0/orders.1.2;set 0/a*b=star;");
    guest_close(&g);
    rig_close(&r);
}
END_TEST

START_TEST(what_was_there_before_is_not_told)
{
    struct rig r;
    struct guest g = {0};
    begin(&r, "");
    guest_open(&r, &g);
    rig_put(&r, "k", "old");
    rig_host(&r, PROTO_RPC_LINK_PUT, WATCH_LINK("default", WATCH("b", "SET@>")));
    rig_put(&r, "k", "new");
    rig_host(&r, PROTO_RPC_LINK_DEL, WATCH_LINK("default", WATCH("b", "SET@>")));
    rig_put(&r, "k", "late");
    loop_sim_advance(r.loop, 200);
    ck_assert_str_eq(heard(&g), "set 0/k=new;");
    guest_close(&g);
    rig_close(&r);
}
END_TEST

/* ---- one at a time, and not too many ---- */

START_TEST(changes_of_a_key_keep_their_order)
{
    struct rig r;
    struct guest g = {.hold = true};
    begin(&r, WATCH_LINK("default", WATCH("b", "SET@>,DEL@>")));
    guest_open(&r, &g);
    rig_put(&r, "k", "1");
    rig_put(&r, "k", "2");
    rig_put(&r, "l", "3");
    rig_delete(&r, "k");
    loop_sim_advance(r.loop, 200);
    ck_assert_str_eq(heard(&g), "set 0/k=1;set 0/l=3;");
    guest_release(&g);
    loop_sim_advance(r.loop, 200);
    ck_assert_str_eq(heard(&g), "set 0/k=1;set 0/l=3;set 0/k=2;");
    guest_release(&g);
    loop_sim_advance(r.loop, 200);
    ck_assert_str_eq(heard(&g), "set 0/k=1;set 0/l=3;set 0/k=2;delete 0/k;");
    guest_close(&g);
    rig_close(&r);
}
END_TEST

START_TEST(calls_at_a_time_are_bounded)
{
    struct rig r;
    struct guest g = {.hold = true};
    begin(&r, WATCH_LINK("default", WATCH("b", "SET@>")));
    guest_open(&r, &g);
    for (int i = 0; i < 40; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        rig_put(&r, key, "v");
    }
    loop_sim_advance(r.loop, 200);
    ck_assert_int_eq(g.nheld, 16);
    guest_release(&g);
    loop_sim_advance(r.loop, 200);
    ck_assert_int_eq(g.nheld, 16);
    guest_release(&g);
    loop_sim_advance(r.loop, 200);
    ck_assert_int_eq(g.nheard, 40);
    guest_close(&g);
    rig_close(&r);
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(changes_wait_for_a_component_that_is_away)
{
    enum { KEYS = 6000 }; /* more than the provider keeps */
    struct rig r;
    struct guest g = {0};
    begin(&r, WATCH_LINK("default", WATCH("b", "SET@k*,SET@>")));
    for (int i = 0; i < KEYS; i++) {
        struct err e = ERR_INIT;
        char key[16];
        int n = snprintf(key, sizeof key, "k%d", i);
        ck_assert(kv_put(r.kv, (struct str){key, (size_t)n}, BYTES("v"), rig_on_put, NULL, &e));
        if (i % 100 == 0)
            loop_sim_advance(r.loop, 20);
    }
    loop_sim_advance(r.loop, 3000);
    guest_open(&r, &g);
    loop_sim_advance(r.loop, 20000);
    ck_assert_int_eq(g.nheard, KEYS);
    ck_assert_ptr_nonnull(strstr(heard(&g), "set 0/k5999=v;"));
    guest_close(&g);
    rig_close(&r);
}
END_TEST

START_TEST(nothing_is_missed_while_cut_off)
{
    struct rig r;
    struct guest g = {0};
    begin(&r, WATCH_LINK("default", WATCH("b", "SET@>,DEL@>")));
    guest_open(&r, &g);
    rig_put(&r, "a", "1");
    loop_sim_advance(r.loop, 100);
    bus_sim_cut(r.net, r.provider_bus, true);
    rig_put(&r, "a", "2");
    rig_put(&r, "b", "3");
    loop_sim_advance(r.loop, 1000);
    bus_sim_cut(r.net, r.provider_bus, false);
    loop_sim_advance(r.loop, 30000);
    ck_assert_str_eq(heard(&g), "set 0/a=1;set 0/a=2;set 0/b=3;");
    guest_close(&g);
    rig_close(&r);
}
END_TEST

START_TEST(a_bucket_made_again_is_watched_from_its_beginning)
{
    struct rig r;
    struct guest g = {0};
    struct err e = ERR_INIT;
    struct bus_request *req;
    begin(&r, WATCH_LINK("default", WATCH("b", "SET@>")));
    guest_open(&r, &g);
    for (int i = 0; i < 5; i++)
        rig_put(&r, "a", "1");
    loop_sim_advance(r.loop, 100);
    ck_assert(bus_request(r.bus, STR("$JS.API.STREAM.DELETE.KV_b"), NULL, 0, BYTES(""), 2000,
                          rig_on_reply, &r, &req, &e));
    loop_sim_advance(r.loop, 30000); /* silence; the watch starts again, the bucket is made */
    kv_close(r.kv);
    rig_bucket(&r, "b");
    rig_put(&r, "a", "2");
    loop_sim_advance(r.loop, 30000);
    ck_assert_str_eq(heard(&g), "set 0/a=1;set 0/a=1;set 0/a=1;set 0/a=1;set 0/a=1;set 0/a=2;");
    guest_close(&g);
    rig_close(&r);
}
END_TEST

START_TEST(stop_waits_for_what_is_being_told)
{
    struct rig r;
    struct guest g = {.hold = true};
    begin(&r, WATCH_LINK("default", WATCH("b", "SET@>")));
    guest_open(&r, &g);
    rig_put(&r, "a", "1");
    rig_put(&r, "a", "2");
    loop_sim_advance(r.loop, 100);
    sdk_stop(r.sdk, 5000);
    loop_sim_advance(r.loop, 100);
    ck_assert(!r.stopped);
    guest_release(&g);
    loop_sim_advance(r.loop, 100);
    ck_assert(r.stopped);
    ck_assert_str_eq(heard(&g), "set 0/a=1;");
    guest_close(&g);
    rig_close(&r);
}
END_TEST

START_TEST(bad_settings)
{
    static const struct {
        const char *link, *want;
    } rows[] = {
        {WATCH_LINK("default", MAKE("b")), "names nothing to watch"},
        {WATCH_LINK("default", WATCH("b", " , ")), "names nothing to watch"},
        {WATCH_LINK("default", WATCH("b", "SET@a,GET@b")),
         "setting watch: 'GET@b' is neither SET@KEY nor DEL@KEY"},
        {WATCH_LINK("default", WATCH("b", "SET@")), "'SET@' is neither"},
        {WATCH_LINK("default", WATCH("b", "SET")), "'SET' is neither"},
        {WATCH_LINK("default", "\"watch\":\"SET@a\""), "names no bucket"},
        /* before it connects anywhere */
        {WATCH_LINK("default", WATCH("b", "SET") ",\"cluster_uri\":\"nats://[\""),
         "'SET' is neither"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        rig_open(&r, rows[i].link);
        const char *reply = rig_host(&r, PROTO_RPC_HEALTH, "");
        ck_assert_msg(strstr(reply, rows[i].want), "%zu: %s", i, reply);
        rig_close(&r);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("watch");
    tcase_add_test(t, sets_and_deletes_of_named_keys);
    tcase_add_test(t, wildcards);
    tcase_add_test(t, what_was_there_before_is_not_told);
    tcase_add_test(t, changes_of_a_key_keep_their_order);
    tcase_add_test(t, calls_at_a_time_are_bounded);
    tcase_add_test(t, changes_wait_for_a_component_that_is_away);
    tcase_add_test(t, nothing_is_missed_while_cut_off);
    tcase_add_test(t, a_bucket_made_again_is_watched_from_its_beginning);
    tcase_add_test(t, stop_waits_for_what_is_being_told);
    tcase_add_test(t, bad_settings);
    return rig_run("keyvalue-nats watcher", t);
}
