/* SPDX-License-Identifier: Apache-2.0 */
/* The keyvalue-nats provider: every function over a simulated lattice, contention, links and how they fail. */
#include "tests/keyvalue_nats/rig.h"

/* ---- store ---- */

START_TEST(get_set_delete)
{
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    IS(ASK("get", D "\1k"), "<00><00>");
    IS(ASK("exists", D "\1k"), "<00><00>");
    IS(ASK("set", D "\1k\2\1v"), "<00>");
    IS(ASK("get", D "\1k"), "<00><01><02><01>v");
    IS(ASK("exists", D "\1k"), "<00><01>");
    IS(ASK("set", D "\1k\0"), "<00>");
    IS(ASK("get", D "\1k"), "<00><01><00>");
    IS(ASK("delete", D "\1k"), "<00>");
    IS(ASK("delete", D "\1k"), "<00>");
    IS(ASK("get", D "\1k"), "<00><00>");
    IS(ASK("exists", D "\1k"), "<00><00>");
    rig_close(&r);
}
END_TEST

/* Keys that NATS refuses, and that they do not fall together. */
START_TEST(any_key)
{
    static const char keys[] =
        "\0\1.\2..\3a.b\4a..b\2.a\2a.\1*\1>\3a b\2=_\5=_2E.\6user@x\2\xc3\xa4";
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    size_t n = 0;
    for (size_t i = 0; i + 1 < sizeof keys; i += 1 + (size_t)keys[i], n++) {
        char params[64];
        size_t key_n = 1 + (size_t)keys[i];
        memcpy(params, D, 8);
        memcpy(params + 8, keys + i, key_n);
        params[8 + key_n] = 1;
        params[9 + key_n] = (char)('a' + n);
        struct span all = {(const uint8_t *)params, 10 + key_n};
        IS(ask(&r, "web", "default", "set", all), "<00>");
    }
    IS(ASK("get", D "\0"), "<00><01><01>a");
    IS(ASK("get", D "\1."), "<00><01><01>b");
    IS(ASK("get", D "\2=_"), "<00><01><01>k");
    IS(ASK("get", D "\2\xc3\xa4"), "<00><01><01>n");
    IS(ASK("list-keys", D "\0"),
       "<00><0e><00><01>.<02>..<03>a.b<04>a..b<02>.a<02>a.<01>*<01>><03>a b<02>=_<05>=_2E."
       "<06>user@x<02><c3><a4><00>");
    rig_close(&r);
}
END_TEST

START_TEST(long_key)
{
    struct rig r;
    char params[8 + 2 + 300];
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    memcpy(params, D "\xac\2", 10);
    memset(params + 10, ' ', 300);
    const char *reply =
        ask(&r, "web", "default", "get", (struct span){(const uint8_t *)params, sizeof params});
    ck_assert_msg(strstr(reply, "is too long: 512 bytes when escaped"), "%s", reply);
    rig_close(&r);
}
END_TEST

/* Plain keys are upstream's: what others stored is found, and they find what we store. */
START_TEST(plain_keys_stay)
{
    static const char *const keys[] = {"a", "a.b/c-d_e", "id=42", "a==", "x=_y", "=_2"};
    struct arena a;
    struct err e = ERR_INIT;
    struct str out;
    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        ck_assert(key_encode(str_of(keys[i]), &a, &out, &e));
        ck_assert_msg(str_eqz(out, keys[i]), "%s", keys[i]);
        ck_assert(key_decode(out, &a, &out, &e) && str_eqz(out, keys[i]));
    }
    ck_assert(key_encode(STR("=_2E"), &a, &out, &e) && str_eqz(out, "=_3D_2E"));
    ck_assert(key_decode(out, &a, &out, &e) && str_eqz(out, "=_2E"));
    arena_fini(&a);
}
END_TEST

/* What other clients of the bucket stored, some of it under names that no component can spell. */
START_TEST(foreign_keys)
{
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    rig_bucket(&r, "b");
    rig_put(&r, "a/b", "1");
    rig_put(&r, "=_FF", "2");
    rig_put(&r, "=_40", "3");
    IS(ASK("list-keys", D "\0"), "<00><02><03>a/b<01>@<00>");
    IS(ASK("get", D "\3a/b"), "<00><01><01>1");
    IS(ASK("get", D "\1@"), "<00><01><01>3");
    rig_close(&r);
}
END_TEST

START_TEST(pages)
{
    struct rig r;
    enum { KEYS = 10001 };
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    rig_bucket(&r, "b");
    for (int i = 0; i < KEYS; i++) {
        struct err e = ERR_INIT;
        char key[16];
        int n = snprintf(key, sizeof key, "k%d", i);
        ck_assert(kv_put(r.kv, (struct str){key, (size_t)n}, BYTES("v"), rig_on_put, NULL, &e));
        if (i % 1000 == 0)
            loop_sim_advance(r.loop, 20);
    }
    loop_sim_advance(r.loop, 100);
    const char *page = ASK("list-keys", D "\0");
    ck_assert_msg(strncmp(page, "<00><90>N<02>k0<02>k1", 21) == 0, "%.40s", page);
    ck_assert_msg(strstr(page, "k9999<01><90>N"), "%s", page + strlen(page) - 40);
    IS(ASK("list-keys", D "\1\x90N"), "<00><01><06>k10000<00>");
    IS(ASK("list-keys", D "\1\x91N"), "<00><00><00>");
    rig_close(&r);
}
END_TEST

/* ---- atomics ---- */

START_TEST(increment)
{
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    IS(ASK("increment", D "\1n\1"), "<00><01>");
    IS(ASK("increment", D "\1n\xac\2"), "<00><ad><02>");
    IS(ASK("get", D "\1n"), "<00><01><03>301");
    IS(ASK("delete", D "\1n"), "<00>");
    IS(ASK("increment", D "\1n\5"), "<00><05>");
    IS(ASK("set", D "\1n\2no"), "<00>");
    IS(ASK("increment", D "\1n\5"), "<01><02>1the value 'no' is not a decimal number of 64 bits");
    IS(ASK("set", D "\1n\24"
                    "18446744073709551615"),
       "<00>");
    IS(ASK("increment", D "\1n\0"), "<00><ff><ff><ff><ff><ff><ff><ff><ff><ff><01>");
    IS(ASK("increment", D "\1n\1"), "<01><02>-18446744073709551615 + 1 does not fit 64 bits");
    rig_close(&r);
}
END_TEST

/* What increments remember never weighs more than what is in the bucket. */
START_TEST(increment_beside_other_writers)
{
    struct rig r;
    struct err e = ERR_INIT;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    IS(ASK("increment", D "\1n\1"), "<00><01>");
    rig_bucket(&r, "b");
    for (int i = 0; i < 3; i++) {
        ck_assert(kv_put(r.kv, STR("n"), BYTES("40"), rig_on_put, NULL, &e));
        loop_sim_advance(r.loop, 10);
        IS(ASK("increment", D "\1n\2"), "<00>*");
        IS(ASK("increment", D "\1n\1"), "<00>+");
    }
    IS(ASK("set", D "\1n\1"
                    "7"),
       "<00>");
    IS(ASK("increment", D "\1n\1"), "<00><08>");
    loop_sim_advance(r.loop, 5000); /* long enough to be forgotten */
    IS(ASK("increment", D "\1n\1"), "<00><09>");
    rig_close(&r);
}
END_TEST

START_TEST(contention)
{
    enum { N = 50 };
    struct rig r;
    struct ask asks[N];
    bool seen[N + 1] = {false};
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    bus_sim_faults(r.net, 0, 3);
    for (int i = 0; i < N; i++)
        ask_open(&r, &asks[i], "web", "default", "increment", BYTES(D "\1n\1"));
    loop_sim_advance(r.loop, 15000);
    for (int i = 0; i < N; i++) {
        ck_assert_msg(asks[i].ended && asks[i].root.n == 2 && asks[i].root.p[0] == 0, "%d: %s", i,
                      ask_text(&asks[i]));
        ck_assert(asks[i].root.p[1] <= N && !seen[asks[i].root.p[1]]);
        seen[asks[i].root.p[1]] = true;
        ask_text(&asks[i]);
    }
    IS(ASK("get", D "\1n"), "<00><01><02>50");
    rig_close(&r);
}
END_TEST

/* ---- batch ---- */

START_TEST(batch)
{
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    IS(ASK("set-many", D "\2\1a\1x\3b c\0"), "<00>");
    IS(ASK("get-many", D "\3\1a\1z\3b c"), "<00><03><01><01>a<01>x<00><01><03>b c<00>");
    IS(ASK("delete-many", D "\2\1a\1z"), "<00>");
    IS(ASK("get-many", D "\1\1a"), "<00><01><00>");
    IS(ASK("get-many", D "\0"), "<00><00>");
    IS(ASK("set-many", D "\0"), "<00>");
    IS(ASK("set-many", "\1x\1\1a\1x"), "<01><00>");
    rig_close(&r);
}
END_TEST

START_TEST(batch_too_large)
{
    struct rig r;
    AUTO_FREE char *value = xalloc(900001);
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    rig_bucket(&r, "b");
    memset(value, 'x', 900000);
    for (int i = 0; i < 5; i++)
        rig_put(&r, (const char *[]){"a", "b", "c", "d", "e"}[i], value);
    IS(ASK("get-many", D "\5\1a\1b\1c\1d\1e"),
       "<01><02>X1 of 5 keys failed, the first: the values are more than 4194304 bytes, "
       "get fewer at once");
    rig_close(&r);
}
END_TEST

/* ---- links ---- */

START_TEST(bucket_is_a_link_name)
{
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", MAKE("b1")) "," LINK_OF(
                     "web", "other", MAKE("b2")) "," LINK_OF("api", "default", MAKE("b3")));
    IS(ASK("set", D "\1k\1a"), "<00>");
    IS(ASK("set", "\5other\1k\1b"), "<00>");
    IS(ASK("get", D "\1k"), "<00><01><01>a");
    IS(ASK("get", "\0\1k"), "<00><01><01>a");
    IS(ASK("get", "\2b1\1k"), "<00><01><01>a");
    IS(ASK("get", "\2b2\1k"), "<01><00>"); /* of another link */
    IS(ask(&r, "web", "other", "get", BYTES("\2b2\1k")), "<00><01><01>b");
    IS(ASK("get", "\4nope\1k"), "<01><00>");
    IS(ask(&r, "api", "default", "get", BYTES(D "\1k")), "<00><00>");
    IS(ask(&r, "who", "default", "get", BYTES(D "\1k")),
       "<01><02>,component 'who' has no link to this provider");
    rig_close(&r);
}
END_TEST

START_TEST(bucket_comes_later)
{
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", "\"bucket\":\"late\""));
    IS(ASK("get", D "\1k"), "<01><00>");
    const char *health = rig_host(&r, PROTO_RPC_HEALTH, "");
    ck_assert_msg(strstr(health, "\"healthy\":false") && strstr(health, "late"), "%s", health);
    rig_bucket(&r, "late");
    rig_put(&r, "k", "v");
    loop_sim_advance(r.loop, 16000);
    IS(ASK("get", D "\1k"), "<00><01><01>v");
    health = rig_host(&r, PROTO_RPC_HEALTH, "");
    ck_assert_msg(strstr(health, "\"healthy\":true"), "%s", health);
    rig_close(&r);
}
END_TEST

/* Somebody removes a bucket that we may make: the call that meets it fails, later ones find it made again. */
START_TEST(bucket_removed)
{
    static const char *const meets[] = {"set", "list-keys"};
    static const struct span params[] = {{(const uint8_t *)D "\1k\1v", 12},
                                         {(const uint8_t *)D "\0", 9}};
    for (size_t i = 0; i < ARRAY_LEN(meets); i++) {
        struct rig r;
        struct err e = ERR_INIT;
        struct bus_request *req;
        rig_open(&r, LINK_OF("web", "default", MAKE("b")));
        IS(ASK("set", D "\1k\1"
                        "1"),
           "<00>");
        ck_assert(bus_request(r.bus, STR("$JS.API.STREAM.DELETE.KV_b"), NULL, 0, BYTES(""), 2000,
                              rig_on_reply, &r, &req, &e));
        loop_sim_advance(r.loop, 100);
        const char *reply = ask(&r, "web", "default", meets[i], params[i]);
        ck_assert_msg(strncmp(reply, "<01>", 4) == 0, "%s: %s", meets[i], reply);
        loop_sim_advance(r.loop, 100);
        IS(ASK("get", D "\1k"), "<00><00>");
        IS(ASK("increment", D "\1k\1"), "<00><01>");
        rig_close(&r);
    }
}
END_TEST

START_TEST(links_come_and_go)
{
    struct rig r;
    rig_open(&r, "");
    rig_host(&r, PROTO_RPC_LINK_PUT, LINK_OF("web", "default", MAKE("b")));
    IS(ASK("set", D "\1k\1v"), "<00>");
    struct ask a;
    ask_open(&r, &a, "web", "default", "increment", BYTES(D "\1n\1"));
    rig_host(&r, PROTO_RPC_LINK_DEL, LINK_OF("web", "default", MAKE("b")));
    ask_text(&a); /* answered, one way or the other */
    ck_assert(strstr(ASK("get", D "\1k"), "has no link to this provider"));
    rig_close(&r);
}
END_TEST

START_TEST(bad_settings)
{
    static const struct {
        const char *link, *want;
    } rows[] = {
        {LINK_OF("web", "default", ""), "names no bucket"},
        {LINK_OF("web", "default", MAKE("a b")), "is not a bucket name"},
        {LINK_OF("web", "default", MAKE("b") ",\"history\":\"65\""),
         "setting history: not a number up to 64"},
        {LINK_OF("web", "default", MAKE("b") ",\"replicas\":\"-1\""), "setting replicas"},
        {LINK_OF("web", "default", MAKE("b") ",\"storage\":\"tape\""),
         "setting storage: none of: file, memory"},
        {LINK_OF("web", "default", MAKE("b") ",\"tls_ca\":\"x\""), "need a cluster_uri"},
        {LINK_OF("web", "default",
                 MAKE("b") ",\"tls_ca\":\"x\",\"cluster_uri\":\"nats://127.0.0.1:1\""),
         "setting cluster_uri: no certificate in the text"},
        {LINK_OF("web", "default", "\"bucket\":\"b\",\"enable_bucket_auto_create\":\"yes\""),
         "neither true nor false"},
        {LINK_OF("web", "default", MAKE("b") ",\"client_jwt\":\"x\""), "go together"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        rig_open(&r, rows[i].link);
        const char *reply = ASK("get", D "\1k");
        ck_assert_msg(strstr(reply, rows[i].want), "%zu: %s", i, reply);
        reply = rig_host(&r, PROTO_RPC_HEALTH, "");
        ck_assert_msg(strstr(reply, rows[i].want), "%zu: %s", i, reply);
        rig_close(&r);
    }
}
END_TEST

START_TEST(malformed)
{
    struct rig r;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    IS(ASK("get", "\1\xff\1k"), "");
    IS(ASK("list-keys", D "\7"), "");
    IS(ASK("get-many", D "\xff\xff\xff\xff\x0f"), "");
    IS(ASK("get", D "\1k"), "<00><00>");
    rig_close(&r);
}
END_TEST

START_TEST(stop_waits_for_calls)
{
    struct rig r;
    struct ask a;
    rig_open(&r, LINK_OF("web", "default", MAKE("b")));
    loop_sim_advance(r.loop, 10);
    bus_sim_faults(r.net, 0, 20);
    ask_open(&r, &a, "web", "default", "set-many", BYTES(D "\2\1a\1x\1b\1y"));
    loop_sim_advance(r.loop, 45);
    sdk_stop(r.sdk, 5000);
    loop_sim_advance(r.loop, 1000);
    ck_assert(r.stopped);
    IS(ask_text(&a), "<00>");
    rig_close(&r);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("provider");
    tcase_add_test(t, get_set_delete);
    tcase_add_test(t, any_key);
    tcase_add_test(t, long_key);
    tcase_add_test(t, plain_keys_stay);
    tcase_add_test(t, foreign_keys);
    tcase_add_test(t, pages);
    tcase_add_test(t, increment);
    tcase_add_test(t, increment_beside_other_writers);
    tcase_add_test(t, contention);
    tcase_add_test(t, batch);
    tcase_add_test(t, batch_too_large);
    tcase_add_test(t, bucket_is_a_link_name);
    tcase_add_test(t, bucket_comes_later);
    tcase_add_test(t, bucket_removed);
    tcase_add_test(t, links_come_and_go);
    tcase_add_test(t, bad_settings);
    tcase_add_test(t, malformed);
    tcase_add_test(t, stop_waits_for_calls);
    return rig_run("keyvalue-nats", t);
}
