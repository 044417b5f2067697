/* SPDX-License-Identifier: Apache-2.0 */
/* Links and named configuration against simulated buckets: what is looked up, merged, watched, refused. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostd/grant.h"
#include "lattice/base/loop.h"
#include "tests/hostd/backend.h"

static struct loop *loop;
static struct bus_sim *net;
static struct bus *bus, *other;
static struct grants *g;
static struct err e;
static struct kv *data, *config; /* as another host sees them */
static int ready, added;
static char last_added[64];

static void on_ready(void *user, const struct err *why)
{
    (void)user;
    ck_assert_msg(!why, "%s", why ? why->text : "");
    ready++;
}

static void on_added(void *user, const struct proto_link *link)
{
    (void)user;
    added++;
    snprintf(last_added, sizeof last_added, "%.*s", STR_ARG(link->target));
}

static struct bus *member(void)
{
    struct bus *b;
    struct bus_opts o = {.name = "test"};
    ck_assert(bus_sim_open(net, &o, &b, &e));
    loop_sim_advance(loop, 10);
    return b;
}

static void on_kv(void *user, struct kv *kv, const struct err *why)
{
    ck_assert_msg(kv != NULL, "%s", why ? why->text : "");
    *(struct kv **)user = kv;
}

static struct kv *open_bucket(const char *name)
{
    struct kv *kv = NULL;
    struct kv_opts o = {.bucket = str_of(name), .create = true};
    ck_assert(kv_open(other, &o, on_kv, &kv, &e));
    for (int i = 0; i < 100 && !kv; i++)
        loop_sim_advance(loop, 10);
    ck_assert_ptr_nonnull(kv);
    return kv;
}

static void on_put(void *user, const struct kv_entry *entry, const struct err *why)
{
    ck_assert_msg(entry != NULL, "%s", why ? why->text : "");
    *(bool *)user = true;
}

static void put(struct kv *kv, const char *key, const char *value)
{
    bool done = false;
    bool sent = value ? kv_put(kv, str_of(key), str_span(str_of(value)), on_put, &done, &e)
                      : kv_delete(kv, str_of(key), on_put, &done, &e);
    ck_assert(sent);
    for (int i = 0; i < 100 && !done; i++)
        loop_sim_advance(loop, 10);
    ck_assert(done);
    loop_sim_advance(loop, 50);
}

static void open_grants(void)
{
    struct grant_opts o = {
        .ctl = bus, .lattice = STR("default"), .ready = on_ready, .link_added = on_added};
    ready = added = 0;
    ck_assert_msg(grants_open(&o, &g, &e), "%s", e.text);
    for (int i = 0; i < 100 && !ready; i++)
        loop_sim_advance(loop, 10);
    ck_assert_int_eq(ready, 1);
}

static void setup(void)
{
    e = (struct err)ERR_INIT;
    loop = loop_sim_new();
    net = bus_sim_new(loop, 7);
    bus = member();
    other = member();
    data = open_bucket("LATTICEDATA_default");
    config = open_bucket("CONFIGDATA_default");
    g = NULL;
}

static void teardown(void)
{
    grants_close(g);
    kv_close(data);
    kv_close(config);
    bus_close(bus);
    bus_close(other);
    loop_sim_advance(loop, 2000);
    bus_sim_free(net);
    loop_free(loop);
}

#define LINK(target, name, iface)                                                            \
    "{\"source_id\":\"a\",\"target\":\"" target "\",\"name\":\"" name                        \
    "\",\"wit_namespace\":\"wasi\",\"wit_package\":\"keyvalue\",\"interfaces\":[" iface "]," \
    "\"source_config\":[],\"target_config\":[]}"
#define SPEC(links) "{\"url\":\"r\",\"links\":[" links "]}"

static const char *target(const char *iface, const char *name)
{
    static char text[64];
    struct str t;
    if (!grant_target(g, STR("a"), str_of(iface), str_of(name), &t))
        return "(none)";
    snprintf(text, sizeof text, "%.*s", STR_ARG(t));
    return text;
}

START_TEST(lookup)
{
    put(data, "COMPONENT_a",
        SPEC(LINK("kv1", "default", "\"store\",\"atomics\"") "," LINK(
            "kv2", "cache", "\"store\"") "," LINK("kv3", "default", "\"store\"")));
    open_grants();
    ck_assert_int_eq(added, 3);
    ck_assert_str_eq(target("wasi:keyvalue/store", "default"), "kv3"); /* the later one wins */
    ck_assert_str_eq(target("wasi:keyvalue/atomics", "default"), "kv1");
    ck_assert_str_eq(target("wasi:keyvalue/store", "cache"), "kv2");
    ck_assert_str_eq(target("wasi:keyvalue/store", "nope"), "(none)");
    ck_assert_str_eq(target("wasi:keyvalue/batch", "default"), "(none)");
    ck_assert_str_eq(target("wasi:http/store", "default"), "(none)");
    ck_assert_str_eq(target("", "default"), "(none)");
    ck_assert_str_eq(target("wasi:keyvalue", "default"), "(none)");
}
END_TEST

START_TEST(changes_from_elsewhere)
{
    open_grants();
    put(data, "COMPONENT_a", SPEC(LINK("kv1", "default", "\"store\"")));
    ck_assert_str_eq(target("wasi:keyvalue/store", "default"), "kv1");
    ck_assert_int_eq(added, 1);
    put(data, "COMPONENT_a", SPEC(LINK("kv1", "default", "\"store\"")));
    ck_assert_int_eq(added, 2); /* put again: its configuration may say something else now */
    put(data, "COMPONENT_a",
        SPEC(LINK("kv1", "default", "\"store\"") "," LINK("kv2", "other", "\"store\"")));
    ck_assert_int_eq(added, 3); /* the other one only */
    put(data, "COMPONENT_a", "{\"url\":1}");
    ck_assert_str_eq(target("wasi:keyvalue/store", "default"),
                     "kv1"); /* what cannot be read is ignored */
    put(data, "COMPONENT_a", NULL);
    ck_assert_str_eq(target("wasi:keyvalue/store", "default"), "(none)");
    put(data, "LINKDEF_x", "whatever");
    put(data, "CLAIMS_M1",
        "{\"subject\":\"M1\",\"issuer\":\"A\",\"call_alias\":\"\",\"tags\":[\"x\",\"y\"]}");
    put(data, "CLAIMS_M2", "{\"subject\":\"M1\",\"issuer\":\"A\"}"); /* not its key: ignored */
    struct arena a;
    struct str tags;
    arena_init(&a, 1u << 20);
    struct proto_maps claims = grant_claims(g, &a);
    ck_assert_uint_eq(claims.n, 1);
    ck_assert(proto_map_get(&claims.v[0], STR("tags"), &tags) && str_eqz(tags, "x,y"));
    arena_fini(&a);
}
END_TEST

/* ---- configuration ---- */

static int loads, changes;
static struct err load_error;

static void on_loaded(void *user, const struct err *why)
{
    (void)user;
    loads++;
    load_error = why ? *why : (struct err)ERR_INIT;
}

static void on_changed(void *user)
{
    (void)user;
    changes++;
}

static struct grant_config *open_config(const struct str *names, uint32_t n)
{
    struct grant_config *c;
    struct proto_strs list = {names, n};
    loads = changes = 0;
    ck_assert_msg(grant_config_open(g, &list, NULL, on_loaded, NULL, &c, &e), "%s", e.text);
    ck_assert_int_eq(loads, 0);
    for (int i = 0; i < 100 && !loads; i++)
        loop_sim_advance(loop, 10);
    ck_assert_int_eq(loads, 1);
    return c;
}

static const char *value(const struct config_map *m, const char *key)
{
    static char text[64];
    struct str v;
    if (!config_get(m, str_of(key), &v))
        return "(none)";
    snprintf(text, sizeof text, "%.*s", STR_ARG(v));
    return text;
}

START_TEST(merge_and_change)
{
    const struct str names[] = {STR("one"), STR("two")};
    put(config, "one", "{\"a\":\"1\",\"b\":\"1\"}");
    put(config, "two", "{\"b\":\"2\",\"c\":\"2\"}");
    open_grants();
    struct grant_config *c = open_config(names, 2);
    ck_assert_msg(load_error.code == ERR_NONE, "%s", load_error.text);
    grant_config_listen(c, on_changed, NULL);
    struct config_map *kept = config_ref(grant_config_now(c));
    ck_assert_str_eq(value(kept, "a"), "1");
    ck_assert_str_eq(value(kept, "b"), "2");
    ck_assert_str_eq(value(kept, "c"), "2");
    ck_assert_uint_eq(config_all(kept)->n, 3);
    put(config, "one", "{\"a\":\"new\"}");
    ck_assert_int_eq(changes, 1);
    ck_assert_str_eq(value(grant_config_now(c), "a"), "new");
    ck_assert_str_eq(value(kept, "a"), "1"); /* a snapshot never changes */
    put(config, "one", "{\"a\":\"new\"}");
    ck_assert_int_eq(changes, 1);
    put(config, "one", "[1]");
    ck_assert_str_eq(value(grant_config_now(c), "a"), "new");
    put(config, "two", NULL);
    ck_assert_str_eq(value(grant_config_now(c), "c"), "(none)");
    put(config, "unused", "{\"a\":\"z\"}");
    ck_assert_int_eq(changes, 2);
    grant_config_close(&c);
    config_unref(kept);
}
END_TEST

START_TEST(no_names_is_fine)
{
    open_grants();
    struct grant_config *c = open_config(NULL, 0);
    ck_assert_int_eq(load_error.code, ERR_NONE);
    ck_assert_uint_eq(config_all(grant_config_now(c))->n, 0);
    grant_config_close(&c);
    ck_assert_ptr_null(c);
    grant_config_close(&c);
}
END_TEST

START_TEST(bad_names_and_values)
{
    const struct str names[] = {STR("gone"), STR("lost")}, odd[] = {STR("odd")};
    put(config, "odd", "{\"a\":1}");
    open_grants();
    struct grant_config *c = open_config(names, 2);
    ck_assert_int_eq(load_error.code, ERR_NOT_FOUND);
    ck_assert(strstr(load_error.text, "\"gone\", \"lost\""));
    grant_config_close(&c);
    c = open_config(odd, 1);
    ck_assert(strstr(load_error.text, "config \"odd\" is not a flat map of strings"));
    grant_config_close(&c);
    struct proto_strs bad = {(const struct str[]){STR("a b")}, 1};
    ck_assert(!grant_config_open(g, &bad, NULL, on_loaded, NULL, &c, &e));
    bad.v = (const struct str[]){STR("SECRET_x")};
    ck_assert(!grant_config_open(g, &bad, NULL, on_loaded, NULL, &c, &e));
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED);
}
END_TEST

START_TEST(closed_while_loading)
{
    const struct str names[] = {STR("one")};
    struct proto_strs list = {names, 1};
    struct grant_config *c;
    put(config, "one", "{}");
    open_grants();
    loads = 0;
    ck_assert(grant_config_open(g, &list, NULL, on_loaded, NULL, &c, &e));
    grant_config_close(&c);
    ck_assert(grant_config_open(g, &list, NULL, on_loaded, NULL, &c, &e));
    grants_close(g); /* with operations open */
    g = NULL;
    loop_sim_advance(loop, 1000);
    ck_assert_int_eq(loads, 0);
}
END_TEST

static void on_resolved(void *user, const struct proto_link_def *def, const struct err *why)
{
    struct str v;
    ++*(int *)user;
    ck_assert_msg(def != NULL, "%s", why ? why->text : "");
    ck_assert(proto_map_get(&def->source_config, STR("a"), &v) && str_eqz(v, "1"));
    ck_assert_uint_eq(def->target_config.n, 0);
}

START_TEST(resolve)
{
    struct str name = STR("one"), iface = STR("store");
    struct proto_link link = {.source_id = STR("a"),
                              .target = STR("b"),
                              .name = STR("default"),
                              .wit_namespace = STR("wasi"),
                              .wit_package = STR("keyvalue"),
                              .interfaces = {&iface, 1},
                              .source_config = {&name, 1}};
    struct grant_resolve *r;
    int calls = 0;
    put(config, "one", "{\"a\":\"1\"}");
    open_grants();
    ck_assert(grant_link_resolve(g, &link, NULL, on_resolved, &calls, &r, &e));
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(calls, 1);
    ck_assert(grant_link_resolve(g, &link, NULL, on_resolved, &calls, &r, &e));
    grant_resolve_cancel(&r);
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(calls, 1);
}
END_TEST

/* ---- secrets ---- */

#define REF(name, key)                                             \
    "{\"type\":\"secret.wasmcloud.dev/v1alpha1\",\"name\":\"" name \
    "\",\"backend\":\"" BACKEND_NAME "\",\"key\":\"" key "\",\"policy\":\"{}\"}"

static struct secrets *secrets;
static const struct secrets_who who = {STR_INIT("en.ti.ty"), STR_INIT("shop")};

static void open_with_secrets(void)
{
    struct secrets_opts s = {.ctl = bus, .topic = STR(BACKEND_TOPIC), .host_jwt = STR("h")};
    struct grant_opts o = {.ctl = bus,
                           .lattice = STR("default"),
                           .secrets = secrets = secrets_open(&s),
                           .ready = on_ready,
                           .link_added = on_added};
    backend_open(other);
    put(config, "plain", "{\"a\":\"1\"}");
    put(config, "SECRET_one", REF("one", "k1"));
    put(config, "SECRET_two", REF("two", "k2"));
    put(config, "SECRET_odd", "{\"a\":\"b\"}");
    ck_assert_msg(grants_open(&o, &g, &e), "%s", e.text);
    loop_sim_advance(loop, 200);
}

static void close_secrets(void)
{
    grants_close(g);
    g = NULL;
    secrets_close(secrets);
}

static struct grant_config *open_secret_config(const struct str *names, uint32_t n)
{
    struct grant_config *c;
    struct proto_strs list = {names, n};
    loads = changes = 0;
    ck_assert_msg(grant_config_open(g, &list, &who, on_loaded, NULL, &c, &e), "%s", e.text);
    loop_sim_advance(loop, 500);
    ck_assert_int_eq(loads, 1);
    return c;
}

static const char *secret(const struct config_map *m, const char *name)
{
    const struct secret_set *set = config_secrets(m);
    const struct proto_secret *s = set ? secret_set_get(set, str_of(name)) : NULL;
    return s ? s->string.p : "(none)";
}

START_TEST(secrets_stand_beside_configuration)
{
    const struct str names[] = {STR("SECRET_one"), STR("plain"), STR("SECRET_two")};
    open_with_secrets();
    struct grant_config *c = open_secret_config(names, 3);
    ck_assert_msg(load_error.code == ERR_NONE, "%s", load_error.text);
    ck_assert_str_eq(value(grant_config_now(c), "a"), "1");
    ck_assert_uint_eq(config_all(grant_config_now(c))->n, 1); /* none of a reference's members */
    ck_assert_str_eq(secret(grant_config_now(c), "one"), BACKEND_VALUE " of k1");
    ck_assert_str_eq(secret(grant_config_now(c), "two"), BACKEND_VALUE " of k2");
    /* another configuration does not lose them, another reference does not change them */
    struct config_map *kept = config_ref(grant_config_now(c));
    put(config, "plain", "{\"a\":\"2\"}");
    put(config, "SECRET_one", REF("one", "k3"));
    ck_assert_str_eq(value(grant_config_now(c), "a"), "2");
    ck_assert_str_eq(secret(grant_config_now(c), "one"), BACKEND_VALUE " of k1");
    ck_assert_int_eq(backend.gets, 2);
    grant_config_close(&c);
    close_secrets();
    ck_assert_str_eq(secret(kept, "one"), BACKEND_VALUE " of k1"); /* for a guest that runs on */
    config_unref(kept);
}
END_TEST

START_TEST(secrets_that_cannot_be_had)
{
    static const struct {
        struct str names[2];
        const char *text;
    } rows[] = {
        {{STR_INIT("SECRET_one"), STR_INIT("SECRET_gone")}, "\"SECRET_gone\": no such secret"},
        {{STR_INIT("SECRET_odd"), STR_INIT("plain")}, "\"SECRET_odd\": not a reference"},
        {{STR_INIT("SECRET_one"), STR_INIT("lost")}, "no such configuration: \"lost\""},
    };
    open_with_secrets();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct grant_config *c = open_secret_config(rows[i].names, 2);
        ck_assert_msg(strstr(load_error.text, rows[i].text), "%s", load_error.text);
        grant_config_close(&c);
    }
    backend.answer = "{\"error\":\"Unauthorized\"}";
    struct grant_config *c = open_secret_config(rows[0].names, 1);
    ck_assert_msg(strstr(load_error.text, "Unauthorized"), "%s", load_error.text);
    grant_config_close(&c);
    /* before anything is asked */
    struct proto_strs one = {rows[0].names, 1};
    ck_assert(!grant_config_open(g, &one, NULL, on_loaded, NULL, &c, &e));
    ck_assert_msg(strstr(e.text, "does not travel in the open"), "%s", e.text);
    ck_assert(!grant_config_open(g, &one, &(struct secrets_who){0}, on_loaded, NULL, &c, &e));
    ck_assert_int_eq(e.code, ERR_DENIED);
    close_secrets();
}
END_TEST

START_TEST(closed_while_secrets_are_asked_for)
{
    const struct str names[] = {STR("SECRET_one"), STR("SECRET_two"), STR("plain")};
    struct proto_strs list = {names, 3};
    struct grant_config *c;
    open_with_secrets();
    loads = 0;
    for (uint64_t ms = 0; loads == 0; ms++) {
        ck_assert(grant_config_open(g, &list, &who, on_loaded, NULL, &c, &e));
        loop_sim_advance(loop, ms);
        int before = loads;
        grant_config_close(&c);
        loop_sim_advance(loop, 100);
        ck_assert_int_eq(loads, before);
    }
    loads = 0;
    ck_assert(grant_config_open(g, &list, &who, on_loaded, NULL, &c, &e));
    close_secrets();
    loop_sim_advance(loop, 1000);
    ck_assert_int_eq(loads, 0);
}
END_TEST

static struct id_key reader_key, host_key;

static void on_sealed(void *user, const struct proto_link_def *def, const struct err *failure)
{
    struct buf plain = BUF_INIT;
    ++*(int *)user;
    ck_assert_msg(def != NULL, "%s", failure ? failure->text : "");
    ck_assert_ptr_null(def->source_secrets.p); /* no box where there are none */
    ck_assert_uint_eq(def->source_config.n, 1);
    ck_assert_uint_eq(def->target_config.n, 0);
    ck_assert(id_open(&reader_key, host_key.public_key, def->target_secrets, &plain, &e));
    ck_assert(str_eqz(buf_view(&plain),
                      "{\"one\":{\"kind\":\"String\",\"value\":\"" BACKEND_VALUE " of k1\"}}"));
    buf_fini(&plain);
}

START_TEST(secrets_of_a_link_are_for_its_reader)
{
    struct str plain = STR("plain"), one = STR("SECRET_one"), iface = STR("store");
    struct proto_link link = {.source_id = STR("a"),
                              .target = STR("b"),
                              .name = STR("default"),
                              .wit_namespace = STR("wasi"),
                              .wit_package = STR("keyvalue"),
                              .interfaces = {&iface, 1},
                              .source_config = {&plain, 1},
                              .target_config = {&one, 1}};
    struct grant_resolve *r;
    int calls = 0;
    id_key_generate(ID_CURVE, &reader_key);
    id_key_generate(ID_CURVE, &host_key);
    struct grant_reader reader = {.who = who, .host_xkey = &host_key};
    memcpy(reader.provider_xkey, reader_key.public_key, sizeof reader.provider_xkey);
    open_with_secrets();
    ck_assert_msg(grant_link_resolve(g, &link, &reader, on_sealed, &calls, &r, &e), "%s", e.text);
    loop_sim_advance(loop, 200);
    ck_assert_int_eq(calls, 1);
    ck_assert(!grant_link_resolve(g, &link, NULL, on_sealed, &calls, &r, &e)); /* for everyone */
    close_secrets();
}
END_TEST

/* The member is cut off while links and configuration change; afterwards it must know all of it. */
START_TEST(catches_up_after_an_interruption)
{
    const struct str names[] = {STR("one")};
    put(config, "one", "{\"a\":\"1\"}");
    put(data, "COMPONENT_a", SPEC(LINK("kv1", "default", "\"store\"")));
    open_grants();
    struct grant_config *c = open_config(names, 1);
    bus_sim_cut(net, bus, true);
    loop_sim_advance(loop, 500);
    put(config, "one", "{\"a\":\"2\"}");
    put(data, "COMPONENT_a", SPEC(LINK("kv2", "default", "\"store\"")));
    bus_sim_cut(net, bus, false);
    loop_sim_advance(loop, 60000);
    ck_assert_str_eq(value(grant_config_now(c), "a"), "2");
    ck_assert_str_eq(target("wasi:keyvalue/store", "default"), "kv2");
    ck_assert_str_eq(last_added, "kv2");
    grant_config_close(&c);
}
END_TEST

static void on_reply(void *user, const struct bus_msg *msg, const struct err *why)
{
    ck_assert_msg(msg != NULL, "%s", why ? why->text : "");
    *(bool *)user = true;
}

static void remove_bucket(const char *subject)
{
    bool done = false;
    ck_assert(bus_request(other, str_of(subject), NULL, 0, (struct span){0}, 1000, on_reply, &done,
                          NULL, &e));
    loop_sim_advance(loop, 500);
    ck_assert(done);
}

static void on_written(void *user, const struct err *why)
{
    ck_assert_msg(!why, "%s", why ? why->text : "");
    *(bool *)user = true;
}

START_TEST(buckets_are_made_again)
{
    bool config_done = false, spec_done = false;
    open_grants();
    remove_bucket("$JS.API.STREAM.DELETE.KV_LATTICEDATA_default");
    remove_bucket("$JS.API.STREAM.DELETE.KV_CONFIGDATA_default");
    loop_sim_advance(loop, 120000); /* the watches notice by the server's silence */
    ck_assert(grant_config_put(g, STR("c"), str_span(STR("{}")), on_written, &config_done, &e));
    ck_assert(grant_spec_ensure(g, STR("a"), STR("r"), on_written, &spec_done, &e));
    loop_sim_advance(loop, 1000);
    ck_assert(config_done && spec_done);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grant");
    TCase *tc = tcase_create("grant");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, lookup);
    tcase_add_test(tc, changes_from_elsewhere);
    tcase_add_test(tc, merge_and_change);
    tcase_add_test(tc, no_names_is_fine);
    tcase_add_test(tc, bad_names_and_values);
    tcase_add_test(tc, closed_while_loading);
    tcase_add_test(tc, resolve);
    tcase_add_test(tc, secrets_stand_beside_configuration);
    tcase_add_test(tc, secrets_that_cannot_be_had);
    tcase_add_test(tc, closed_while_secrets_are_asked_for);
    tcase_add_test(tc, secrets_of_a_link_are_for_its_reader);
    tcase_add_test(tc, catches_up_after_an_interruption);
    tcase_add_test(tc, buckets_are_made_again);
    suite_add_tcase(suite, tc);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
