/* SPDX-License-Identifier: Apache-2.0 */
/* Schedulers, hosts and a client on one simulated bus: deploys, losses, returns, take-over, what the API answers. */
#include "tests/manifests/world.h"

/* ---- the API as a client sees it ------------------------------------------------------------------- */

static void on_answer(void *user, const struct proto_api_reply *r, const struct err *e)
{
    struct world *w = user;
    w->answered = true;
    ck_assert_msg(r != NULL, "%s", e ? e->text : "");
    w->result = r->result;
    struct str shown = r->message;
    if (r->op == PROTO_API_GET && r->body.any && r->body.get->manifest.p)
        shown = r->body.get->manifest;
    if (r->op == PROTO_API_STATUS && r->body.any) {
        const struct proto_status *s = &r->body.status->status;
        snprintf(w->text, sizeof w->text, "%s: %.*s", proto_status_name(s->status.type),
                 STR_ARG(s->status.message));
        return;
    }
    if (r->op == PROTO_API_LIST && r->body.any) {
        const struct proto_model_list *l = r->body.list;
        size_t n = 0;
        w->text[0] = '\0';
        for (uint32_t i = 0; i < l->n; i++)
            n += (size_t)snprintf(w->text + n, sizeof w->text - n, "%.*s %.*s %.*s %s\n",
                                  STR_ARG(l->v[i].name), STR_ARG(l->v[i].version),
                                  STR_ARG(l->v[i].deployed_version),
                                  proto_status_name(l->v[i].status));
        return;
    }
    keep(w->text, sizeof w->text, shown);
}

static void answered(struct world *w, const char *result)
{
    for (int i = 0; i < 200 && !w->answered; i++)
        run(w, 10);
    ck_assert(w->answered);
    ck_assert_msg(strcmp(proto_result_name(w->result), result) == 0, "%s: %s",
                  proto_result_name(w->result), w->text);
}

static void put(struct world *w, const char *manifest, const char *result)
{
    struct err e = ERR_INIT;
    w->answered = false;
    ck_assert(proto_api_put(w->client, str_span(str_of(manifest)), false, on_answer, w, NULL, &e));
    answered(w, result);
}

static void ask(struct world *w, enum proto_api_op op, const char *app, const char *version,
                const char *result)
{
    struct err e = ERR_INIT;
    w->answered = false;
    ck_assert(proto_api_ask(w->client, op, str_of(app), str_of(version), on_answer, w, NULL, &e));
    answered(w, result);
}

static const char *status(struct world *w, const char *app)
{
    ask(w, PROTO_API_STATUS, app, NULL, "ok");
    return w->text;
}

static const char *list(struct world *w)
{
    struct err e = ERR_INIT;
    w->answered = false;
    ck_assert(proto_api_list(w->client, on_answer, w, NULL, &e));
    answered(w, "success");
    return w->text;
}

static void expect_status(struct world *w, const char *app, const char *fragment)
{
    const char *text = status(w, app);
    ck_assert_msg(strstr(text, fragment) != NULL, "%s\nlacks %s", text, fragment);
}

#define APP(version, instances, image)                                                             \
    "apiVersion: core.oam.dev/v1beta1\nkind: Application\n"                                        \
    "metadata: {name: shop, annotations: {version: " version "}}\nspec:\n  components:\n"          \
    "    - name: api\n      type: component\n      properties: {image: " image                     \
    "}\n      traits:\n"                                                                           \
    "        - type: spreadscaler\n          properties:\n            instances: " instances "\n"  \
    "            spread: [{name: east, weight: 80, requirements: {zone: e}},\n"                    \
    "                     {name: west, weight: 20, requirements: {zone: w}}]\n"                    \
    "    - name: http\n      type: capability\n      properties: {image: server}\n      traits:\n" \
    "        - type: link\n          properties:\n"                                                \
    "            {namespace: wasi, package: http, interfaces: [incoming-handler], target: api,\n"  \
    "             source: {config: [{name: addr, properties: {address: '127.0.0.1:8000'}}]}}\n"

static void deploy(struct world *w, const char *manifest, const char *version)
{
    put(w, manifest, strcmp(version, "v1") == 0 ? "created" : "newversion");
    ask(w, PROTO_API_DEPLOY, "shop", version, "acknowledged");
}

static bool config_there;

static void on_config(void *user, const struct kv_entry *entry, const struct err *e)
{
    (void)user;
    (void)e;
    config_there = entry != NULL;
}

static bool has_config(struct world *w, const char *name)
{
    struct err e = ERR_INIT;
    ck_assert(kv_get(w->config, str_of(name), on_config, NULL, &e));
    run(w, 50);
    return config_there;
}

/* ---- tests ----------------------------------------------------------------------------------------- */

START_TEST(deploy_and_delete)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "w");
    sched_open(&w, 0);
    run(&w, 3000);
    ck_assert(scheduler_active(w.sched[0]));
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 1000);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 8);
    ck_assert_uint_eq(count(&w, 1, "shop-api"), 2);
    ck_assert(runs(&w, 0, "shop-http") != runs(&w, 1, "shop-http"));
    ck_assert(has_config(&w, "shop-addr"));
    expect_status(&w, "shop", "deployed: ");
    ck_assert_str_eq(list(&w), "shop v1 v1 deployed\n");

    uint32_t sent = commands(&w);
    run(&w, 300000); /* nothing happens, so nothing is commanded */
    ck_assert_uint_eq(commands(&w), sent);

    deploy(&w, APP("v2", "100", "img"), "v2");
    run(&w, 1000);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 80);
    ck_assert_uint_eq(count(&w, 1, "shop-api"), 20);
    deploy(&w, APP("v3", "10", "img2"), "v3"); /* the image first, then the count */
    run(&w, 2000);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 8);
    ck_assert_str_eq(find(&w.hosts[0], STR("shop-api"))->image, "img2");
    ck_assert_str_eq(find(&w.hosts[1], STR("shop-api"))->image, "img2");
    ask(&w, PROTO_API_DEPLOY, "shop", "v1", "acknowledged"); /* back */
    run(&w, 2000);
    ck_assert_str_eq(find(&w.hosts[1], STR("shop-api"))->image, "img");

    ask(&w, PROTO_API_DEL, "shop", NULL, "deleted");
    run(&w, 2000);
    ck_assert(!runs(&w, 0, "shop-api") && !runs(&w, 1, "shop-api"));
    ck_assert(!runs(&w, 0, "shop-http") && !runs(&w, 1, "shop-http"));
    ck_assert(!has_config(&w, "shop-addr"));
    expect_status(&w, "shop", "undeployed: ");
    ck_assert_str_eq(list(&w), "");
    world_close(&w);
}
END_TEST

START_TEST(api_answers)
{
    struct world w;
    world_open(&w);
    sched_open(&w, 0);
    sched_open(&w, 1);
    run(&w, 3000);
    put(&w, "apiVersion: [", "error");
    ck_assert(strstr(w.text, "YAML") != NULL);
    put(&w, APP("latest", "1", "i"), "error");
    put(&w, APP("v1", "1", "i"), "created");
    put(&w, APP("v1", "2", "i"), "error");
    ck_assert(strstr(w.text, "already exists") != NULL); /* clients look for it */
    put(&w, APP("v2", "2", "i"), "newversion");
    ask(&w, PROTO_API_GET, "shop", NULL, "success");
    ck_assert(strstr(w.text, "\"instances\":2") != NULL &&
              strstr(w.text, "\"version\":\"v2\"") != NULL);
    ask(&w, PROTO_API_GET, "shop", "v1", "success");
    ck_assert(strstr(w.text, "\"instances\":1") != NULL);
    ask(&w, PROTO_API_GET, "shop", "v9", "notfound");
    ask(&w, PROTO_API_GET, "nobody", NULL, "notfound");
    ask(&w, PROTO_API_VERSIONS, "shop", NULL, "success");
    ask(&w, PROTO_API_VERSIONS, "nobody", NULL, "notfound");
    ask(&w, PROTO_API_HISTORY, "shop", NULL, "error");
    ask(&w, PROTO_API_DEPLOY, "nobody", NULL, "notfound");
    ask(&w, PROTO_API_DEPLOY, "shop", "v9", "error");
    ck_assert_str_eq(list(&w), "shop v2  undeployed\n");
    ask(&w, PROTO_API_DEPLOY, "shop", "latest", "acknowledged");
    ask(&w, PROTO_API_DEL, "shop", "v9", "noop");
    run(&w, 500);
    expect_status(&w, "shop", "failed: spread 'east' (2): no host with zone=e; 0 hosts seen");
    ask(&w, PROTO_API_DEL, "shop", "v2", "deleted"); /* the deployed one */
    run(&w, 500);
    ck_assert_str_eq(list(&w), "shop v1  undeployed\n");
    ask(&w, PROTO_API_UNDEPLOY, "shop", NULL, "acknowledged");
    ask(&w, PROTO_API_UNDEPLOY, "nobody", NULL, "notfound");
    ask(&w, PROTO_API_STATUS, "nobody", NULL, "ok");
    ask(&w, PROTO_API_DEL, "shop", "v1", "deleted");
    ask(&w, PROTO_API_DEL, "shop", NULL, "noop");
    run(&w, 500);
    ck_assert_str_eq(list(&w), "");
    world_close(&w);
}
END_TEST

static char stored[2048];

static void on_stored(void *user, const struct kv_entry *entry, const struct err *e)
{
    (void)user;
    (void)e;
    keep(stored, sizeof stored, entry ? span_str(entry->value) : STR("-"));
}

static const char *read_stored(struct world *w, struct kv *kv, const char *key)
{
    struct err e = ERR_INIT;
    ck_assert(kv_get(kv, str_of(key), on_stored, NULL, &e));
    run(w, 50);
    return stored;
}

/* What wadm would have stored, byte by byte (it reads it after us). */
START_TEST(stored_form)
{
    static const char manifest[] = "{\"apiVersion\":\"a\",\"kind\":\"k\",\"metadata\":{\"name\":\"%"
                                   "s\",\"annotations\":{\"version\":\"%s\"}},"
                                   "\"spec\":{\"components\":[{\"name\":\"c\",\"type\":"
                                   "\"component\",\"properties\":{\"image\":\"i\"}}]}}";
    struct world w;
    struct kv *kv = NULL;
    struct err e = ERR_INIT;
    char one[512], two[512], want[2048];
    world_open(&w);
    sched_open(&w, 0);
    run(&w, 1000);
    struct kv_opts opts = {.bucket = STR("wadm_manifests")};
    ck_assert(kv_open(w.client_bus, &opts, on_kv, &kv, &e));
    run(&w, 100);
    snprintf(one, sizeof one, manifest, "zoo", "v9");
    snprintf(two, sizeof two, manifest, "zoo", "v10");
    put(&w, one, "created");
    put(&w, two, "newversion");
    ask(&w, PROTO_API_DEPLOY, "zoo", "v9", "acknowledged");
    snprintf(want, sizeof want,
             "{\"manifests\":{\"v9\":%s,\"v10\":%s},\"deployed_version\":\"v9\"}", one, two);
    ck_assert_str_eq(read_stored(&w, kv, "default-zoo"), want);
    ask(&w, PROTO_API_UNDEPLOY, "zoo", NULL, "acknowledged");
    ask(&w, PROTO_API_DEL, "zoo", "v9", "deleted");
    snprintf(want, sizeof want, "{\"manifests\":{\"v10\":%s},\"deployed_version\":null}", two);
    ck_assert_str_eq(read_stored(&w, kv, "default-zoo"), want);
    snprintf(one, sizeof one, manifest, "ant", "1");
    put(&w, one, "created");
    ck_assert_str_eq(read_stored(&w, kv, "default"), "[\"ant\",\"zoo\"]");
    ask(&w, PROTO_API_DEL, "zoo", NULL, "deleted");
    ck_assert_str_eq(read_stored(&w, kv, "default"), "[\"ant\"]");
    ck_assert_str_eq(read_stored(&w, kv, "default-zoo"), "-");
    kv_close(kv);
    world_close(&w);
}
END_TEST

/* Asked before it has read the store: answers when it has. */
START_TEST(api_at_start)
{
    struct world w;
    world_open(&w);
    sched_open(&w, 0);
    put(&w, APP("v1", "1", "i"), "created");
    sched_open(&w, 1);
    scheduler_close(w.sched[0]);
    w.sched[0] = NULL;
    ck_assert_str_eq(list(&w), "shop v1  undeployed\n");
    world_close(&w);
}
END_TEST

START_TEST(host_lost_and_back)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "e");
    host_open(&w, 2, "w");
    sched_open(&w, 0);
    sched_open(&w, 1);
    run(&w, 3000); /* before the first heartbeat */
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 1000);
    ck_assert_uint_eq(count(&w, 0, "shop-api") + count(&w, 1, "shop-api"), 8);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 4);
    host_kill(&w.hosts[1], true);
    run(&w, 3500);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 8);
    host_kill(&w.hosts[2], false); /* the whole zone */
    run(&w, 3500);
    expect_status(&w, "shop", "failed: spread 'west' (2): no host with zone=w");
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 8);
    host_open(&w, 2, "w");
    run(&w, 1000);
    ck_assert_uint_eq(count(&w, 2, "shop-api"), 2);
    expect_status(&w, "shop", "deployed");
    host_open(&w, 1, "e"); /* still has its four */
    run(&w, 1000);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 4);
    ck_assert_uint_eq(count(&w, 1, "shop-api"), 4);
    world_close(&w);
}
END_TEST

/* A host without probes, or cut off: heartbeats decide. */
START_TEST(host_silent)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "e");
    sched_open(&w, 0);
    run(&w, 3000);
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 35000);
    bus_sim_cut(w.net, w.hosts[1].bus, true);
    run(&w, 8000);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 8);
    bus_sim_cut(w.net, w.hosts[1].bus, false);
    run(&w, 31000);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 4);
    ck_assert_uint_eq(count(&w, 1, "shop-api"), 4);
    world_close(&w);
}
END_TEST

START_TEST(take_over)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "e");
    host_open(&w, 2, "w");
    for (int i = 0; i < 3; i++)
        sched_open(&w, i);
    run(&w, 35000);
    int holder = -1, holders = 0;
    for (int i = 0; i < 3; i++) {
        holders += scheduler_active(w.sched[i]);
        holder = scheduler_active(w.sched[i]) ? i : holder;
    }
    ck_assert_int_eq(holders, 1);
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 1000);
    /* the holder is cut off and a host dies with it */
    bus_sim_cut(w.net, w.sched_bus[holder], true);
    host_kill(&w.hosts[1], false);
    for (int i = 0; i < 60; i++) {
        run(&w, 100);
        holders = 0;
        for (int k = 0; k < 3; k++)
            holders += scheduler_active(w.sched[k]);
        ck_assert_int_le(holders, 1);
    }
    ck_assert_int_eq(holders, 1);
    ck_assert(!scheduler_active(w.sched[holder]));
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 8);
    bus_sim_cut(w.net, w.sched_bus[holder], false);
    run(&w, 10000);
    holders = 0;
    for (int k = 0; k < 3; k++)
        holders += scheduler_active(w.sched[k]);
    ck_assert_int_eq(holders, 1);
    /* a clean end hands over at once */
    for (int k = 0; k < 3; k++) {
        if (!scheduler_active(w.sched[k]))
            continue;
        scheduler_close(w.sched[k]);
        w.sched[k] = NULL;
        break;
    }
    run(&w, 1500);
    holders = 0;
    for (int k = 0; k < 3; k++)
        holders += w.sched[k] && scheduler_active(w.sched[k]);
    ck_assert_int_eq(holders, 1);
    world_close(&w);
}
END_TEST

START_TEST(failures_are_told)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "w");
    sched_open(&w, 0);
    run(&w, 3000);
    w.hosts[0].fails = w.hosts[1].fails = "address in use";
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 500);
    expect_status(&w, "shop", "reconciling: ");
    expect_status(
        &w, "shop",
        "start provider shop-http on host NHOSTA: address in use (attempt 1, next try 20");
    run(&w, 10000);
    expect_status(&w, "shop", "failed: ");
    expect_status(&w, "shop", "scale component shop-api on host NHOSTB: address in use (attempt ");
    uint32_t sent = commands(&w);
    run(&w, 60000); /* each of the three objects not more often than the back-off says */
    ck_assert_uint_le(commands(&w) - sent, 3 * 5);
    w.hosts[0].fails = w.hosts[1].fails = NULL;
    run(&w, 75000);
    expect_status(&w, "shop", "deployed: ");
    world_close(&w);
}
END_TEST

static void health(struct host *h, enum proto_event_kind kind, const char *message)
{
    struct proto_health_event ev = {str_of(h->id), STR("shop-http"), str_of(message)};
    publish(h, kind, &ev);
}

START_TEST(complaints_are_told)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "w");
    sched_open(&w, 0);
    run(&w, 3000);
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 1000);
    struct host *h = &w.hosts[runs(&w, 0, "shop-http") ? 0 : 1];
    health(h, PROTO_EVENT_HEALTH_STATUS, "listen on 127.0.0.1:8000: address already in use");
    run(&w, 200);
    expect_status(&w, "shop", "failed: unhealthy on host NHOST");
    expect_status(&w, "shop", ": listen on 127.0.0.1:8000: address already in use");
    run(&w, 65000); /* inventories do not forget it */
    expect_status(&w, "shop", "address already in use");
    health(h, PROTO_EVENT_HEALTH_PASSED, NULL);
    run(&w, 200);
    expect_status(&w, "shop", "deployed: ");
    world_close(&w);
}
END_TEST

START_TEST(accepted_but_nothing_happens)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "w");
    sched_open(&w, 0);
    run(&w, 3000);
    w.hosts[1].silent_failures = true;
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 5000);
    ck_assert_uint_le(w.hosts[1].commands, 2); /* not repeated while it may still happen */
    expect_status(&w, "shop", "scale component shop-api on host NHOSTB: accepted");
    w.hosts[1].silent_failures = false;
    run(&w, 80000);
    ck_assert_uint_eq(count(&w, 1, "shop-api"), 2);
    expect_status(&w, "shop", "deployed");
    world_close(&w);
}
END_TEST

/* Somebody interferes: put right without being told. */
START_TEST(drift)
{
    struct world w;
    world_open(&w);
    host_open(&w, 0, "e");
    host_open(&w, 1, "w");
    sched_open(&w, 0);
    run(&w, 3000);
    deploy(&w, APP("v1", "10", "img"), "v1");
    run(&w, 1000);
    find(&w.hosts[0], STR("shop-api"))->used = false; /* no event */
    run(&w, 70000);
    ck_assert_uint_eq(count(&w, 0, "shop-api"), 8);
    struct err e = ERR_INIT;
    ck_assert(kv_purge(w.config, STR("shop-addr"), ignore, NULL, &e));
    run(&w, 1000);
    ck_assert(has_config(&w, "shop-addr"));
    world_close(&w);
}
END_TEST

/* Messages are lost and late, hosts come and go; in the end all is as wanted. */
START_TEST(faults)
{
    struct world w;
    world_open(&w);
    for (int i = 0; i < 4; i++)
        host_open(&w, i, i < 2 ? "e" : "w");
    sched_open(&w, 0);
    sched_open(&w, 1);
    run(&w, 3000);
    deploy(&w, APP("v1", "100", "img"), "v1");
    rand_seed((uint64_t)_i + 1);
    bus_sim_faults(w.net, 50, 80);
    for (int round = 0; round < 20; round++) {
        int i = (int)(rand_u64() % 4);
        if (w.hosts[i].bus)
            host_kill(&w.hosts[i], rand_u64() % 2);
        else
            host_open(&w, i, i < 2 ? "e" : "w");
        run(&w, rand_u64() % 8000);
    }
    bus_sim_faults(w.net, 0, 0);
    for (int i = 0; i < 4; i++)
        if (!w.hosts[i].bus)
            host_open(&w, i, i < 2 ? "e" : "w");
    run(&w, 200000);
    const uint32_t want[] = {40, 40, 10, 10};
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(count(&w, i, "shop-api"), want[i]);
    expect_status(&w, "shop", "deployed");
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scheduler");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, deploy_and_delete);
    tcase_add_test(t, api_answers);
    tcase_add_test(t, stored_form);
    tcase_add_test(t, api_at_start);
    tcase_add_test(t, host_lost_and_back);
    tcase_add_test(t, host_silent);
    tcase_add_test(t, take_over);
    tcase_add_test(t, failures_are_told);
    tcase_add_test(t, complaints_are_told);
    tcase_add_test(t, accepted_but_nothing_happens);
    tcase_add_test(t, drift);
    tcase_add_loop_test(t, faults, 0, 10);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
