/* SPDX-License-Identifier: Apache-2.0 */
/* Key-value buckets on both builds of the bus. */
#ifndef HOSTD_TESTS_BUS_KV_CASES_H
#define HOSTD_TESTS_BUS_KV_CASES_H

#include "core_cases.h"

struct opened {
    struct kv *kv;
    bool done;
    enum err_code code;
    char text[ERR_TEXT_MAX];
};

static void on_opened(void *user, struct kv *kv, const struct err *e)
{
    struct opened *o = user;
    o->kv = kv;
    o->done = true;
    o->code = e ? e->code : ERR_NONE;
    if (e)
        memcpy(o->text, e->text, sizeof o->text);
}

static struct opened open_kv_with(struct bus *b, struct kv_opts opts)
{
    struct err e = ERR_INIT;
    struct opened o = {0};
    ck_assert_msg(kv_open(b, &opts, on_opened, &o, &e), "%s", e.text);
    WAIT_FLAG(o.done);
    return o;
}

static struct kv *open_kv(struct bus *b, const char *bucket)
{
    struct opened o = open_kv_with(b, (struct kv_opts){.bucket = str_of(bucket), .create = true});
    ck_assert_msg(o.kv, "%s", o.text);
    return o.kv;
}

struct result {
    bool done;
    enum err_code code;
    uint64_t revision;
    char key[128], value[128];
};

static void on_result(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct result *r = user;
    ck_assert(!r->done);
    r->done = true;
    ck_assert(!entry != !e);
    r->code = e ? e->code : ERR_NONE;
    if (!entry)
        return;
    r->revision = entry->revision;
    snprintf(r->key, sizeof r->key, "%.*s", STR_ARG(entry->key));
    snprintf(r->value, sizeof r->value, "%.*s", (int)entry->value.n, (const char *)entry->value.p);
}

static struct result get(struct kv *kv, const char *key)
{
    struct err e = ERR_INIT;
    struct result r = {0};
    ck_assert_msg(kv_get(kv, str_of(key), on_result, &r, &e), "%s", e.text);
    WAIT_FLAG(r.done);
    return r;
}

static struct result put(struct kv *kv, const char *key, const char *value)
{
    struct err e = ERR_INIT;
    struct result r = {0};
    ck_assert_msg(kv_put(kv, str_of(key), str_span(str_of(value)), on_result, &r, &e), "%s",
                  e.text);
    WAIT_FLAG(r.done);
    return r;
}

static struct result update(struct kv *kv, const char *key, const char *value, uint64_t revision)
{
    struct err e = ERR_INIT;
    struct result r = {0};
    ck_assert(kv_update(kv, str_of(key), str_span(str_of(value)), revision, on_result, &r, &e));
    WAIT_FLAG(r.done);
    return r;
}

static struct result drop(struct kv *kv, const char *key, bool purge)
{
    struct err e = ERR_INIT;
    struct result r = {0};
    ck_assert((purge ? kv_purge : kv_delete)(kv, str_of(key), on_result, &r, &e));
    WAIT_FLAG(r.done);
    return r;
}

START_TEST(bucket_life)
{
    struct bus *a = env_open();
    struct opened none = open_kv_with(a, (struct kv_opts){.bucket = STR("absent")});
    ck_assert_ptr_null(none.kv);
    ck_assert_int_eq(none.code, ERR_NOT_FOUND);
    struct kv *kv = open_kv(a, "life"), *same = open_kv(a, "life");
    ck_assert(str_eqz(kv_bucket(kv), "life"));
    ck_assert_int_eq(get(kv, "a").code, ERR_NOT_FOUND);
    struct result r = put(kv, "a.b/c_d=e-f", "one");
    ck_assert_int_eq(r.code, ERR_NONE);
    ck_assert_str_eq(r.key, "a.b/c_d=e-f");
    ck_assert_uint_eq(r.revision, 1);
    r = get(same, "a.b/c_d=e-f");
    ck_assert_str_eq(r.value, "one");
    ck_assert_str_eq(r.key, "a.b/c_d=e-f");
    ck_assert_uint_eq(r.revision, 1);
    ck_assert_str_eq(put(kv, "empty", "").value, "");
    ck_assert_int_eq(get(kv, "empty").code, ERR_NONE);
    ck_assert_int_eq(drop(kv, "a.b/c_d=e-f", false).code, ERR_NONE);
    ck_assert_int_eq(get(same, "a.b/c_d=e-f").code, ERR_NOT_FOUND);
    kv_close(same);
    kv_close(kv);
    kv_close(NULL);
    bus_close(a);
}
END_TEST

START_TEST(compare_and_set)
{
    struct bus *a = env_open();
    struct kv *kv = open_kv(a, "cas");
    struct result r = update(kv, "k", "one", 0);
    ck_assert_int_eq(r.code, ERR_NONE);
    ck_assert_int_eq(update(kv, "k", "two", 0).code, ERR_CONFLICT);
    ck_assert_int_eq(update(kv, "k", "two", r.revision + 5).code, ERR_CONFLICT);
    struct result second = update(kv, "k", "two", r.revision);
    ck_assert_int_eq(second.code, ERR_NONE);
    ck_assert_int_eq(update(kv, "k", "three", r.revision).code, ERR_CONFLICT);
    ck_assert_str_eq(get(kv, "k").value, "two");
    drop(kv, "k", false);
    ck_assert_int_eq(update(kv, "k", "after delete", 0).code, ERR_NONE);
    drop(kv, "k", true);
    ck_assert_int_eq(update(kv, "k", "after purge", 0).code, ERR_NONE);
    ck_assert_str_eq(get(kv, "k").value, "after purge");
    kv_close(kv);
    bus_close(a);
}
END_TEST

START_TEST(bad_keys_and_buckets)
{
    struct bus *a = env_open();
    struct kv *kv = open_kv(a, "keys");
    struct err e = ERR_INIT;
    static const char *const bad[] = {"", ".a", "a.", "a..b", "a b", "a*", ">", "ä", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert(!kv_put(kv, str_of(bad[i]), TEXT("x"), on_result, NULL, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
    }
    struct kv_opts o = {.bucket = STR("a.b")};
    ck_assert(!kv_open(a, &o, on_opened, NULL, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    kv_close(kv);
    bus_close(a);
}
END_TEST

START_TEST(bucket_ttl)
{
    struct bus *a = env_open();
    struct opened o =
        open_kv_with(a, (struct kv_opts){.bucket = STR("short"), .create = true, .ttl_ms = 1000});
    ck_assert_msg(o.kv, "%s", o.text);
    put(o.kv, "lease", "mine");
    ck_assert_int_eq(update(o.kv, "lease", "yours", 0).code, ERR_CONFLICT);
    while (get(o.kv, "lease").code != ERR_NOT_FOUND)
        if (!env.real)
            loop_sim_advance(env.loop, 100);
    ck_assert_int_eq(update(o.kv, "lease", "yours", 0).code, ERR_NONE);
    kv_close(o.kv);
    bus_close(a);
}
END_TEST

/* ---- watches ---- */

/* A log: "key=value@revision;", "-key;" for deletions, "!" for the end marker, "?" for a restart */
struct watched {
    char text[4096];
    const char *want;
    struct kv_watch *watch;
    struct kv *close_kv;
};

static void on_watched(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct watched *w = user;
    size_t n = strlen(w->text);
    char *p = w->text + n;
    if (!entry)
        snprintf(p, sizeof w->text - n, "%s", e ? "?" : "!");
    else if (entry->op != KV_PUT)
        snprintf(p, sizeof w->text - n, "-%.*s;", STR_ARG(entry->key));
    else
        snprintf(p, sizeof w->text - n, "%.*s=%.*s@%d;", STR_ARG(entry->key), (int)entry->value.n,
                 (const char *)entry->value.p, (int)entry->revision);
    if (entry)
        ck_assert_uint_gt(entry->created_ns, 1600000000ull * 1000000000);
    if (entry && w->close_kv) {
        kv_unwatch(&w->watch);
        kv_close(w->close_kv);
        w->close_kv = NULL;
    }
}

static bool watched_enough(void *user)
{
    struct watched *w = user;
    return strlen(w->text) >= strlen(w->want);
}

static void wait_watched(struct watched *w, const char *want)
{
    w->want = want;
    env_wait(watched_enough, w, want);
    ck_assert_str_eq(w->text, want);
}

static void watch(struct kv *kv, const char *keys, bool updates_only, struct watched *w)
{
    struct err e = ERR_INIT;
    ck_assert(kv_watch_open(kv, str_of(keys), updates_only, on_watched, w, &w->watch, &e));
}

START_TEST(watch_all_and_some)
{
    struct bus *a = env_open();
    struct kv *kv = open_kv(a, "watched");
    struct watched empty = {0}, all = {0}, some = {0}, news = {0};
    watch(kv, ">", false, &empty);
    wait_watched(&empty, "!");
    put(kv, "x.1", "a");
    put(kv, "y.1", "b");
    put(kv, "x.1", "c");
    drop(kv, "y.1", false);
    watch(kv, ">", false, &all);
    wait_watched(&all, "x.1=c@3;-y.1;!");
    watch(kv, "x.*", false, &some);
    wait_watched(&some, "x.1=c@3;!");
    watch(kv, ">", true, &news);
    wait_watched(&news, "!");
    put(kv, "x.2", "d");
    put(kv, "z", "e");
    drop(kv, "x.2", true);
    wait_watched(&all, "x.1=c@3;-y.1;!x.2=d@5;z=e@6;-x.2;");
    wait_watched(&some, "x.1=c@3;!x.2=d@5;-x.2;");
    wait_watched(&news, "!x.2=d@5;z=e@6;-x.2;");
    wait_watched(&empty, "!x.1=a@1;y.1=b@2;x.1=c@3;-y.1;x.2=d@5;z=e@6;-x.2;");
    kv_unwatch(&all.watch);
    put(kv, "z", "f");
    wait_watched(&some, "x.1=c@3;!x.2=d@5;-x.2;");
    wait_watched(&news, "!x.2=d@5;z=e@6;-x.2;z=f@8;");
    ck_assert_str_eq(all.text, "x.1=c@3;-y.1;!x.2=d@5;z=e@6;-x.2;");
    kv_close(kv);
    bus_close(a);
}
END_TEST

static void watch_after(struct kv *kv, uint64_t revision, struct watched *w)
{
    struct err e = ERR_INIT;
    ck_assert(kv_watch_after(kv, STR(">"), revision, on_watched, w, &w->watch, &e));
}

/* Where a watch was closed another one goes on: with all that the bucket still has. */
START_TEST(watch_goes_on)
{
    struct bus *a = env_open();
    struct opened o =
        open_kv_with(a, (struct kv_opts){.bucket = STR("on"), .create = true, .history = 3});
    struct watched all = {0}, rest = {0}, none = {0};
    ck_assert_msg(o.kv, "%s", o.text);
    put(o.kv, "a", "1");
    put(o.kv, "a", "2");
    put(o.kv, "b", "3");
    drop(o.kv, "a", false);
    watch_after(o.kv, 0, &all);
    wait_watched(&all, "a=1@1;a=2@2;b=3@3;-a;!");
    watch_after(o.kv, 2, &rest);
    wait_watched(&rest, "b=3@3;-a;!");
    watch_after(o.kv, 4, &none);
    wait_watched(&none, "!");
    put(o.kv, "c", "5");
    wait_watched(&rest, "b=3@3;-a;!c=5@5;");
    wait_watched(&none, "!c=5@5;");
    kv_close(o.kv);
    bus_close(a);
}
END_TEST

START_TEST(close_inside_a_watch)
{
    struct bus *a = env_open();
    struct kv *kv = open_kv(a, "closing");
    put(kv, "a", "1");
    put(kv, "b", "2");
    struct watched w = {.close_kv = kv};
    watch(kv, ">", false, &w);
    wait_watched(&w, "a=1@1;");
    env_flush(a);
    ck_assert_str_eq(w.text, "a=1@1;");
    bus_close(a);
}
END_TEST

static inline void kv_cases(TCase *tc)
{
    tcase_add_test(tc, bucket_life);
    tcase_add_test(tc, compare_and_set);
    tcase_add_test(tc, bad_keys_and_buckets);
    tcase_add_test(tc, bucket_ttl);
    tcase_add_test(tc, watch_all_and_some);
    tcase_add_test(tc, watch_goes_on);
    tcase_add_test(tc, close_inside_a_watch);
}

#endif
