/* SPDX-License-Identifier: Apache-2.0 */
/* The control interface of whole hosts in a simulated lattice: requests, their answers, events and KV. */
#include <stdio.h>

#include "lattice/base/alloc.h"
#include "lattice/id/id.h"
#include "tests/hostd/world.h"

#define CTL "wasmbus.ctl.v1.default."
#define OK(text) "{\"success\":true,\"message\":\"" text "\"}"
#define NO(text) "{\"success\":false,\"message\":\"" text "\"}"

static struct world_host *h;

static void setup(void)
{
    static const char *const args[] = {"--label", "zone=a", "--heartbeat-interval-seconds=5", NULL};
    world_start();
    h = world_host(args);
}

static const char *at_host(const char *op)
{
    static char subject[256];
    snprintf(subject, sizeof subject, CTL "%s.%.*s", op, STR_ARG(world_id(h)));
    return subject;
}

static bool contains(struct str s, const char *part)
{
    return memmem(s.p, s.n, part, strlen(part)) != NULL;
}

/* ---- host ---- */

static void on_ping(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)e;
    if (!r)
        w.answered = true;
    else if (str_eq(r->response.host->id, world_id(h)))
        ++*(int *)user;
}

START_TEST(started_event_and_ping)
{
    const struct proto_event *ev = world_wait(PROTO_EVENT_HOST_STARTED);
    struct str zone;
    int pings = 0;
    ck_assert(str_eq(ev->source, world_id(h)));
    ck_assert(proto_map_get(&ev->data.host->labels, STR("zone"), &zone) && str_eqz(zone, "a"));
    ck_assert(ev->data.host->probe_interval_ms.set);
    world_settle(proto_host_ping(w.client, 300, on_ping, &pings, NULL, &we));
    ck_assert_int_eq(pings, 1);
}
END_TEST

START_TEST(heartbeat_carries_the_inventory)
{
    ck_assert_uint_eq(world_count(PROTO_EVENT_HOST_HEARTBEAT), 0);
    loop_sim_advance(w.loop, 16000);
    ck_assert_uint_eq(world_count(PROTO_EVENT_HOST_HEARTBEAT), 3);
    const struct proto_inventory *inv = world_wait(PROTO_EVENT_HOST_HEARTBEAT)->data.inventory;
    ck_assert(str_eq(inv->host_id, world_id(h)));
    ck_assert_uint_eq(inv->components.n + inv->providers.n, 0);
    ck_assert_uint_ge(inv->uptime_seconds, 15);
}
END_TEST

START_TEST(unknown_operations)
{
    world_expect(world_ask(at_host("host.foo"), ""), NO("unsupported subject"));
    world_expect(world_ask(CTL "config.get.a.b", ""), NO("unsupported subject"));
    world_expect(world_ask(CTL "link.query", ""), NO("unsupported subject"));
    world_expect(world_ask(at_host("host.probe"), ""), OK(""));
}
END_TEST

START_TEST(nothing_is_published_without_a_reply_subject)
{
    ck_assert(bus_publish(w.ours, STR(CTL "config.put.x"), STR(""), NULL, 0,
                          str_span(STR("{\"a\":\"b\"}")), &we));
    world_wait(PROTO_EVENT_CONFIG_SET);
}
END_TEST

START_TEST(labels)
{
    struct str zone;
    world_expect(world_ask(at_host("label.put"), "{\"key\":\"zone\",\"value\":\"b\"}"),
                 OK("successfully put label"));
    const struct proto_event *ev = world_wait(PROTO_EVENT_LABELS_CHANGED);
    ck_assert(proto_map_get(&ev->data.host->labels, STR("zone"), &zone) && str_eqz(zone, "b"));
    world_expect(world_ask(at_host("label.put"), "{\"key\":\"HOSTCORE.x\",\"value\":\"b\"}"),
                 NO("hostcore.* labels cannot be set dynamically"));
    world_expect(world_ask(at_host("label.del"), "{\"key\":\"zone\",\"value\":\"\"}"),
                 OK("successfully deleted label"));
    world_expect(world_ask(at_host("label.del"), "{\"key\":\"zone\"}"),
                 OK("successfully deleted label (no such label)"));
    ck_assert(contains(world_ask(at_host("label.put"), "{\"key\":1}"),
                       "failed to deserialize put label request"));
}
END_TEST

START_TEST(stop)
{
    ck_assert(
        contains(world_ask(at_host("host.stop"), "{\"host_id\":\"N2\"}"), "invalid host_id [N2]"));
    ck_assert(!h->stopped);
    world_expect(world_ask(at_host("host.stop"), ""), OK("successfully handled stop host"));
    world_wait(PROTO_EVENT_HOST_STOPPED);
    loop_sim_advance(w.loop, 3000);
    ck_assert(h->stopped);
    ck_assert_msg(h->e.code == ERR_NONE, "%s", h->e.text);
    ck_assert_uint_eq(world_ask(at_host("host.get"), "").n, 0);
}
END_TEST

/* ---- auctions ---- */

START_TEST(auctions)
{
    ck_assert(contains(world_ask(CTL "component.auction",
                                 "{\"component_ref\":\"r\",\"component_id\":\"echo\","
                                 "\"constraints\":{\"zone\":\"a\"}}"),
                       "\"response\":{\"host_id\":\"N"));
    ck_assert_uint_eq(world_ask(CTL "component.auction",
                                "{\"component_id\":\"echo\",\"constraints\":{\"zone\":\"b\"}}")
                          .n,
                      0);
    ck_assert_uint_eq(world_ask(CTL "provider.auction",
                                "{\"provider_id\":\"kv\",\"constraints\":{\"other\":\"\"}}")
                          .n,
                      0);
    ck_assert(contains(world_ask(CTL "provider.auction", "{\"provider_id\":\"kv\"}"),
                       "failed to deserialize provider auction command"));
}
END_TEST

/* ---- configuration ---- */

START_TEST(config)
{
    world_expect(world_ask(CTL "config.get.env", ""), OK("Configuration not found"));
    world_expect(world_ask(CTL "config.put.env", "{\"a\":\"1\"}"), OK("successfully put config"));
    ck_assert(str_eqz(world_wait(PROTO_EVENT_CONFIG_SET)->data.config->config_name, "env"));
    world_expect(world_ask(CTL "config.get.env", ""),
                 "{\"success\":true,\"message\":\"\",\"response\":{\"a\":\"1\"}}");
    ck_assert(contains(world_ask(CTL "config.put.env", "{\"a\":1}"),
                       "config data should be a map of string -> string"));
    world_expect(world_ask(CTL "config.del.env", ""), OK("successfully deleted config"));
    world_wait(PROTO_EVENT_CONFIG_DELETED);
    world_expect(world_ask(CTL "config.get.env", ""), OK("Configuration not found"));
    world_expect(world_ask(CTL "config.del.env", ""), OK("successfully deleted config"));
}
END_TEST

/* ---- links ---- */

#define LINK_TO(target, config)                                                                  \
    "{\"source_id\":\"hs\",\"target\":\"" target "\",\"name\":\"default\","                      \
    "\"wit_namespace\":\"wasi\",\"wit_package\":\"http\",\"interfaces\":[\"incoming-handler\"]," \
    "\"source_config\":[" config "],\"target_config\":[]}"
#define LINK_DEL(source) \
    "{\"source_id\":\"" source "\",\"wit_namespace\":\"wasi\",\"wit_package\":\"http\"}"

static char seen_rpc[8][1024];
static int nseen_rpc;

static void on_rpc(void *user, const struct bus_msg *msg)
{
    (void)user;
    snprintf(seen_rpc[nseen_rpc++ % 8], sizeof seen_rpc[0], "%.*s %.*s", STR_ARG(msg->subject),
             (int)msg->data.n, (const char *)msg->data.p);
}

START_TEST(links)
{
    struct bus_sub *sub;
    nseen_rpc = 0;
    ck_assert(bus_subscribe(w.ours, STR("wasmbus.rpc.>"), STR(""), on_rpc, NULL, &sub, &we));
    world_ask(CTL "config.put.web", "{\"address\":\"x\"}");
    world_expect(world_ask(CTL "link.put", LINK_TO("echo", "\"web\"")),
                 OK("successfully set link"));
    ck_assert(str_eqz(world_wait(PROTO_EVENT_LINK_SET)->data.link->link.target, "echo"));
    loop_sim_advance(w.loop, 100);
    ck_assert_int_eq(nseen_rpc, 2);
    ck_assert(strstr(seen_rpc[0], "wasmbus.rpc.default.hs.linkdefs.put {"));
    ck_assert(strstr(seen_rpc[0], "\"source_config\":{\"address\":\"x\"}"));
    ck_assert(strstr(seen_rpc[1], "wasmbus.rpc.default.echo.linkdefs.put {"));
    world_expect(
        world_ask(CTL "link.get", ""),
        "{\"success\":true,\"message\":\"\",\"response\":[" LINK_TO("echo", "\"web\"") "]}");
    world_expect(world_ask(CTL "link.del", LINK_DEL("hs")), OK("successfully deleted link"));
    ck_assert(world_wait(PROTO_EVENT_LINK_DELETED)->data.link->link.target.p);
    ck_assert_int_eq(nseen_rpc, 4);
    ck_assert(strstr(seen_rpc[3], "wasmbus.rpc.default.echo.linkdefs.del"));
    world_expect(world_ask(CTL "link.get", ""),
                 "{\"success\":true,\"message\":\"\",\"response\":[]}");
    uint32_t before = world_count(PROTO_EVENT_LINK_DELETED);
    world_expect(world_ask(CTL "link.del", LINK_DEL("hs")), OK("successfully deleted link"));
    ck_assert_uint_eq(world_count(PROTO_EVENT_LINK_DELETED), before + 1);
    world_expect(world_ask(CTL "link.del", LINK_DEL("nobody")),
                 OK("successfully deleted link (spec doesn't exist)"));
    ck_assert_uint_eq(world_count(PROTO_EVENT_LINK_DELETED), before + 1);
}
END_TEST

START_TEST(refused_links)
{
    struct str text;
    world_expect(world_ask(CTL "link.put", LINK_TO("echo", "")), OK("successfully set link"));
    text = world_ask(CTL "link.put", LINK_TO("other", ""));
    ck_assert(contains(text, "already exists with a different target"));
    ck_assert(contains(world_wait(PROTO_EVENT_LINK_SET_FAILED)->data.link->error, "echo"));
    text = world_ask(CTL "link.put", LINK_TO("echo", "\"nope\",\"SECRET_s\""));
    ck_assert(contains(text, "config \\\"nope\\\", secret reference \\\"SECRET_s\\\""));
    ck_assert(
        contains(world_ask(CTL "link.put", "{}"), "failed to deserialize wrpc link definition"));
    world_expect(world_ask(CTL "link.put", LINK_TO("echo", "")), OK("successfully set link"));
    ck_assert(contains(world_ask(CTL "link.get", ""), "\"target\":\"echo\""));
}
END_TEST

/* Two hosts and many link puts at once, through both: none may be lost. */
START_TEST(no_link_is_lost)
{
    enum { LINKS = 40 };
    world_host(NULL);
    for (int i = 0; i < LINKS; i++) {
        char target[16];
        snprintf(target, sizeof target, "t%d", i);
        struct str iface = STR("i");
        struct proto_link link = {.source_id = STR("src"),
                                  .target = str_of(target),
                                  .name = str_of(target),
                                  .wit_namespace = STR("a"),
                                  .wit_package = STR("b"),
                                  .interfaces = {&iface, 1}};
        ck_assert(proto_link_put(w.client, &link, world_reply, NULL, NULL, &we));
    }
    for (int i = 0; i < 300 && world_count(PROTO_EVENT_LINK_SET) < LINKS; i++)
        loop_sim_advance(w.loop, 10);
    ck_assert_uint_eq(world_count(PROTO_EVENT_LINK_SET_FAILED), 0);
    ck_assert_uint_eq(world_count(PROTO_EVENT_LINK_SET), LINKS);
    loop_sim_advance(w.loop, 200);
    struct proto_reply r;
    struct str text = world_ask(CTL "link.get", "");
    ck_assert(proto_reply_decode(PROTO_LINK_GET, str_span(text), &w.arena, &r, &we));
    ck_assert_uint_eq(r.response.links->n, LINKS);
}
END_TEST

/* ---- components ---- */

static struct str hello_ref(void)
{
    static char ref[4096 + 64];
    char dir[4096];
    ck_assert_ptr_nonnull(getcwd(dir, sizeof dir));
    snprintf(ref, sizeof ref, "file://%s/deploy/examples/hello/hello.wasm", dir);
    return str_of(ref);
}

static void scale(struct str ref, uint32_t count)
{
    struct proto_pair pair = {STR("wasmcloud.dev/appspec"), STR("hello")};
    struct proto_scale m = {.host_id = world_id(h),
                            .component_id = STR("hello"),
                            .component_ref = ref,
                            .max_instances = count,
                            .annotations = {&pair, 1}};
    world_settle(proto_component_scale(w.client, &m, world_reply, NULL, NULL, &we));
}

START_TEST(component_life)
{
    scale(hello_ref(), 8);
    ck_assert(w.ok);
    const struct proto_event *ev = world_wait(PROTO_EVENT_COMPONENT_SCALED);
    ck_assert_uint_eq(ev->data.component->max_instances, 8);
    ck_assert(str_eq(ev->data.component->image_ref, hello_ref()));
    ck_assert_uint_eq(ev->data.component->annotations.n, 1);
    loop_sim_advance(w.loop, 6000);
    const struct proto_inventory *inv = world_wait(PROTO_EVENT_HOST_HEARTBEAT)->data.inventory;
    ck_assert_uint_eq(inv->components.n, 1);
    ck_assert_uint_eq(inv->components.v[0].max_instances, 8);
    ck_assert(contains(world_ask(at_host("host.get"), ""), "\"limits\":null"));
    scale(STR("file:///other.wasm"), 3);
    ck_assert(w.ok && contains(w.message, " != file:///other.wasm"));
    loop_sim_advance(w.loop, 100);
    ev = world_wait(PROTO_EVENT_COMPONENT_SCALED);
    ck_assert_uint_eq(ev->data.component->max_instances, 3);
    ck_assert(str_eq(ev->data.component->image_ref, hello_ref()));
    ck_assert_uint_eq(
        world_ask(CTL "component.auction", "{\"component_id\":\"hello\",\"constraints\":{}}").n, 0);
    scale(hello_ref(), 0);
    loop_sim_advance(w.loop, 100);
    ck_assert_uint_eq(world_wait(PROTO_EVENT_COMPONENT_SCALED)->data.component->max_instances, 0);
    ck_assert(contains(world_ask(at_host("host.get"), ""), "\"components\":[]"));
}
END_TEST

START_TEST(component_failures)
{
    scale(STR("file:///nowhere/at/all.wasm"), 2);
    ck_assert(w.ok); /* acknowledged; the event tells */
    const struct proto_component_event *ev =
        world_wait(PROTO_EVENT_COMPONENT_SCALE_FAILED)->data.component;
    ck_assert_msg(contains(ev->error, "/nowhere/at/all.wasm"), "%.*s", STR_ARG(ev->error));
    ck_assert_uint_eq(ev->max_instances, 2);
    ck_assert(
        contains(world_ask(at_host("component.scale"), "{\"component_id\":\"a.b\",\"count\":1}"),
                 "cannot be an id"));
    ck_assert(contains(world_ask(at_host("component.scale"), "{\"count\":1}"),
                       "failed to deserialize component scale command"));
    world_expect(world_ask(at_host("component.update"), "{\"component_id\":\"x\"}"),
                 NO("component x not found"));
}
END_TEST

/* ---- signed components ---- */

#define SUBJECT "MAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5PMMJ"

static void read_file(const char *path, struct buf *out)
{
    uint8_t piece[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_put(out, piece, n);
    fclose(f);
}

/* Signs the hello component; `changed` flips a byte afterwards. Returns a file reference, valid until the next. */
static struct str signed_ref(const char *extra, bool changed)
{
    static char path[64], ref[96];
    struct buf plain = BUF_INIT, token = BUF_INIT, out = BUF_INIT;
    struct id_key key;
    char issuer[ID_PUBLIC_LEN + 1], hash[ID_HASH_LEN + 1];
    id_key_generate(ID_ACCOUNT, &key);
    read_file("deploy/examples/hello/hello.wasm", &plain);
    AUTO_FREE char *json = xasprintf(
        "{\"jti\":\"1\",\"iat\":1700000000,\"iss\":\"%s\",\"sub\":\"" SUBJECT "\"%s,\"wascap\":"
        "{\"name\":\"hello "
        "there\",\"hash\":\"%s\",\"tags\":[\"demo\"],\"rev\":7,\"ver\":\"1.2.3\"},"
        "\"wascap_revision\":3}",
        id_key_public(&key, issuer), extra, id_hash(buf_span(&plain), hash));
    id_token_sign(&key, str_of(json), &token);
    ck_assert(id_component_embed(buf_span(&plain), buf_view(&token), &out, &we));
    if (changed)
        out.p[plain.n / 2] ^= 1;
    snprintf(path, sizeof path, P_tmpdir "/hostd-signed-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, out.p, out.n), (ssize_t)out.n);
    close(fd);
    snprintf(ref, sizeof ref, "file://%s", path);
    buf_fini(&plain);
    buf_fini(&token);
    buf_fini(&out);
    return str_of(ref);
}

static void remove_ref(struct str ref)
{
    unlink(ref.p + strlen("file://"));
}

START_TEST(a_signed_component_is_known_by_its_claims)
{
    struct str ref = signed_ref("", false);
    scale(ref, 2);
    const struct proto_component_event *ev =
        world_wait(PROTO_EVENT_COMPONENT_SCALED)->data.component;
    remove_ref(ref);
    ck_assert(str_eqz(ev->public_key, SUBJECT));
    ck_assert_ptr_nonnull(ev->claims);
    ck_assert(str_eqz(ev->claims->name, "hello there") && str_eqz(ev->claims->version, "1.2.3"));
    ck_assert(ev->claims->revision.set && ev->claims->revision.v == 7);
    ck_assert(str_eqz(ev->claims->expires_human, "never"));
    loop_sim_advance(w.loop, 6000);
    const struct proto_component *c =
        &world_wait(PROTO_EVENT_HOST_HEARTBEAT)->data.inventory->components.v[0];
    ck_assert(str_eqz(c->name, "hello there") && c->revision == 7);
    struct str claims = world_ask(CTL "claims.get", "");
    ck_assert_msg(contains(claims, SUBJECT) && contains(claims, "\"tags\":\"demo\"") &&
                      contains(claims, "\"rev\":\"7\""),
                  "%.*s", STR_ARG(claims));
}
END_TEST

START_TEST(bad_claims_refuse_a_component)
{
    static const struct {
        const char *extra;
        bool changed;
        const char *why;
    } cases[] = {{"", true, "changed after it was signed"},
                 {",\"exp\":1600000000", false, "expired"},
                 {",\"nbf\":99999999999", false, "is valid in"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str ref = signed_ref(cases[i].extra, cases[i].changed);
        uint32_t before = world_count(PROTO_EVENT_COMPONENT_SCALE_FAILED);
        scale(ref, 2);
        for (int k = 0; k < 100 && world_count(PROTO_EVENT_COMPONENT_SCALE_FAILED) == before; k++)
            loop_sim_advance(w.loop, 10);
        const struct proto_component_event *ev =
            world_wait(PROTO_EVENT_COMPONENT_SCALE_FAILED)->data.component;
        remove_ref(ref);
        ck_assert_msg(contains(ev->error, cases[i].why) && contains(ev->error, ref.p), "%.*s",
                      STR_ARG(ev->error));
    }
    ck_assert(!contains(world_ask(CTL "claims.get", ""), SUBJECT));
}
END_TEST

START_TEST(a_component_needs_its_configuration)
{
    struct str name = STR("absent");
    struct proto_scale m = {.host_id = world_id(h),
                            .component_id = STR("hello"),
                            .component_ref = hello_ref(),
                            .max_instances = 1,
                            .config = {&name, 1}};
    world_settle(proto_component_scale(w.client, &m, world_reply, NULL, NULL, &we));
    const struct proto_component_event *ev =
        world_wait(PROTO_EVENT_COMPONENT_SCALE_FAILED)->data.component;
    ck_assert_msg(contains(ev->error, "\"absent\""), "%.*s", STR_ARG(ev->error));
}
END_TEST

/* ---- providers ---- */

START_TEST(provider_failures)
{
    struct proto_provider_start m = {
        .host_id = world_id(h), .provider_id = STR("p"), .provider_ref = STR("file:///nowhere/p")};
    world_settle(proto_provider_start(w.client, &m, world_reply, NULL, NULL, &we));
    ck_assert(w.ok);
    const struct proto_provider_event *ev =
        world_wait(PROTO_EVENT_PROVIDER_START_FAILED)->data.provider;
    ck_assert(str_eqz(ev->provider_ref, "file:///nowhere/p"));
    ck_assert_msg(contains(ev->error, "/nowhere/p"), "%.*s", STR_ARG(ev->error));
    struct proto_provider_stop stop_m = {world_id(h), STR("p")};
    world_settle(proto_provider_stop(w.client, &stop_m, world_reply, NULL, NULL, &we));
    ck_assert(!w.ok && str_eqz(w.message, "provider with that ID is not running"));
    m.provider_ref = STR("wasmcloud+builtin://nothing");
    world_settle(proto_provider_start(w.client, &m, world_reply, NULL, NULL, &we));
    ck_assert(w.ok);
    loop_sim_advance(w.loop, 200);
    ck_assert_uint_eq(world_count(PROTO_EVENT_PROVIDER_START_FAILED), 2);
}
END_TEST

START_TEST(oversized_and_odd_bodies)
{
    static char big[300u << 10];
    memset(big, ' ', sizeof big - 1);
    ck_assert(contains(world_ask(at_host("component.scale"), big), "too large"));
    static const char *const bodies[] = {"",     "null", "[]", "{", "\xff", "{\"component_id\":{}}",
                                         "\"x\""};
    static const char *const ops[] = {"component.scale", "component.update", "provider.start",
                                      "provider.stop",   "label.put",        "label.del"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (size_t k = 0; k < sizeof bodies / sizeof *bodies; k++)
            ck_assert(contains(world_ask(at_host(ops[i]), bodies[k]), "\"success\":false"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control");
    TCase *tc = tcase_create("control");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, world_end);
    tcase_add_test(tc, started_event_and_ping);
    tcase_add_test(tc, heartbeat_carries_the_inventory);
    tcase_add_test(tc, unknown_operations);
    tcase_add_test(tc, nothing_is_published_without_a_reply_subject);
    tcase_add_test(tc, labels);
    tcase_add_test(tc, stop);
    tcase_add_test(tc, auctions);
    tcase_add_test(tc, config);
    tcase_add_test(tc, links);
    tcase_add_test(tc, refused_links);
    tcase_add_test(tc, no_link_is_lost);
    tcase_add_test(tc, component_life);
    tcase_add_test(tc, component_failures);
    tcase_add_test(tc, a_signed_component_is_known_by_its_claims);
    tcase_add_test(tc, bad_claims_refuse_a_component);
    tcase_add_test(tc, a_component_needs_its_configuration);
    tcase_add_test(tc, provider_failures);
    tcase_add_test(tc, oversized_and_odd_bodies);
    suite_add_tcase(suite, tc);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
