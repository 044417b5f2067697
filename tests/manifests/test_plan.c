/* SPDX-License-Identifier: Apache-2.0 */
/* The planner as a table: what is wanted, what is seen, which commands follow and what the status says.
 *
 * Wanted: traits of one component "api" of application "shop" and, optionally, more components. Seen, one host per
 * line: "NAME label=value ... : ID=COUNT/SPREAD ID=COUNT/SPREAD ...". Marks behind an instance: '~' started under
 * another scaler id, '!' another image, '*' somebody else's; a count of p: a provider. Commands, one per line, as
 * command_text prints them. */
#include "lattice/base/rand.h"
#include "manifests/manifests_int.h"

#include <check.h>
#include <stdio.h>

struct row {
    const char *name, *wanted, *seen, *commands;
    const char *status; /* of the first want: "type" or "type: fragment" */
};

#define EAST_WEST                                                                           \
    "spread: [{name: east, weight: 80, requirements: {zone: e}}, {name: west, weight: 20, " \
    "requirements: {zone: w}}]"
#define SPREAD(n) "[{type: spreadscaler, properties: {instances: " n ", " EAST_WEST "}}]"
#define PLAIN(n) "[{type: spreadscaler, properties: {instances: " n "}}]"
#define DAEMON(n)                                      \
    "[{type: daemonscaler, properties: {instances: " n \
    ", spread: [{name: d, requirements: {zone: e}}]}}]"

static const struct row rows[] = {
    {"two zones", SPREAD("10"), "A zone=e\nB zone=w\n",
     "scale A shop-api 8 east\nscale B shop-api 2 west\n", "reconciling: scaling 2 hosts"},
    {"two zones, a hundred", SPREAD("100"), "A zone=e\nB zone=w\n",
     "scale A shop-api 80 east\nscale B shop-api 20 west\n", "reconciling"},
    {"done", SPREAD("10"), "A zone=e : shop-api=8/east\nB zone=w : shop-api=2/west\n", "",
     "deployed"},
    {"a zone is missing", SPREAD("100"), "A zone=e\n", "scale A shop-api 80 east\n",
     "failed: spread 'west' (20): no host with zone=w; 1 host seen: A"},
    {"all hosts in one zone", SPREAD("100"), "A zone=e\nB zone=e\nC zone=e\n",
     "scale A shop-api 27 east\nscale B shop-api 27 east\nscale C shop-api 26 east\n",
     "failed: spread 'west'"},
    {"even inside an entry", SPREAD("100"), "A zone=e\nB zone=e\nC zone=w\n",
     "scale A shop-api 40 east\nscale B shop-api 40 east\nscale C shop-api 20 west\n",
     "reconciling"},
    {"no entries", PLAIN("100"), "A\nB\nC\n",
     "scale A shop-api 34 default\nscale B shop-api 33 default\nscale C shop-api 33 default\n",
     "reconciling"},
    {"more hosts than instances", PLAIN("2"), "A\nB\nC\n",
     "scale A shop-api 1 default\nscale B shop-api 1 default\n", "reconciling"},
    {"no host at all", PLAIN("2"), "", "", "failed: spread 'default' (2): no host; 0 hosts seen"},
    {"a host was lost", SPREAD("100"), "B zone=e : shop-api=40/east\nC zone=w : shop-api=20/west\n",
     "scale B shop-api 80 east\n", "reconciling"},
    {"the last host of a zone was lost", SPREAD("100"), "A zone=e : shop-api=80/east\n", "",
     "failed: spread 'west'"},
    {"a lost host is back", SPREAD("100"),
     "A zone=e : shop-api=40/east\nB zone=e : shop-api=80/east\nC zone=w : shop-api=20/west\n",
     "scale B shop-api 40 east\n", "reconciling"},
    {"a new host first gets its share", SPREAD("100"),
     "A zone=e : shop-api=80/east\nB zone=e\nC zone=w : shop-api=20/west\n",
     "scale B shop-api 40 east\n", "reconciling"},
    {"then the old one gives it up", SPREAD("100"),
     "A zone=e : shop-api=80/east\nB zone=e : shop-api=40/east\nC zone=w : shop-api=20/west\n",
     "scale A shop-api 40 east\n", "reconciling"},
    {"one entry does not hold up another", SPREAD("10"), "A zone=e : shop-api=9/east\nB zone=w\n",
     "scale B shop-api 2 west\nscale A shop-api 8 east\n", "reconciling"},
    {"fewer instances", SPREAD("50"),
     "A zone=e : shop-api=40/east\nB zone=e : shop-api=40/east\nC zone=w : "
     "shop-api=20/west\n",
     "scale A shop-api 20 east\nscale B shop-api 20 east\nscale C shop-api 10 west\n",
     "reconciling"},
    {"the remainder stays where it is", PLAIN("5"),
     "A : shop-api=2/default\nB : shop-api=3/default\n", "", "deployed"},
    {"a label was taken away", SPREAD("10"),
     "A zone=x : shop-api=8/east\nB zone=w : shop-api=2/west\n", "scale A shop-api 0 -\n",
     "failed: spread 'east' (8): no host with zone=e; 2 hosts seen: A, B"},
    {"first up elsewhere, then down", SPREAD("10"),
     "A zone=x : shop-api=8/east\nB zone=w : shop-api=2/west\nC zone=e\n",
     "scale C shop-api 8 east\n", "reconciling"},
    {"somebody else's instances", SPREAD("10"), "A zone=e : shop-api=8/east*\nB zone=w\n",
     "scale B shop-api 2 west\n", "failed: shop-api runs on host A for somebody else"},
    {"images roll host by host", PLAIN("9"),
     "A : shop-api=3/default!\nB : shop-api=3/default!\nC : shop-api=3/default!\n",
     "update A shop-api 3 default\n", "reconciling: scaling 3 hosts"},
    {"the count follows the image", PLAIN("2"), "A : shop-api=3/default!\n",
     "update A shop-api 3 default\n", "reconciling"},
    {"other configurations", PLAIN("2"), "A : shop-api=2/default~\n",
     "scale A shop-api 2 default\n", "reconciling"},
    {"entries share the only host",
     "[{type: spreadscaler, properties: {instances: 10, spread: [{name: a, weight: 70}, {name: b, "
     "weight: 30}]}}]",
     "A\n", "scale A shop-api 10 a\n", "reconciling"},
    {"entries share, done",
     "[{type: spreadscaler, properties: {instances: 10, spread: [{name: a, weight: 70}, {name: b, "
     "weight: 30}]}}]",
     "A : shop-api=10/a\n", "", "deployed"},
    {"special entries choose their hosts first",
     "[{type: spreadscaler, properties: {instances: 8, spread: [{name: any, weight: 50}, {name: "
     "gpu, weight: 50, "
     "requirements: {gpu: y}}]}}]",
     "A gpu=y\nB\n", "scale A shop-api 4 gpu\nscale B shop-api 4 any\n", "reconciling"},
    {"every entry gets a host where that is possible",
     "[{type: spreadscaler, properties: {instances: 8, spread: [{name: any, weight: 50}, {name: "
     "gpu, weight: 50, "
     "requirements: {gpu: y}}]}}]",
     "A gpu=y\nB gpu=y\n", "scale A shop-api 4 gpu\nscale B shop-api 4 any\n", "reconciling"},
    {"daemon", DAEMON("5"), "A zone=e\nB zone=e : shop-api=5/d\nC zone=w : shop-api=5/d\n",
     "scale A shop-api 5 d\n", "reconciling"},
    {"daemon, stray instances", DAEMON("5"), "B zone=e : shop-api=5/d\nC zone=w : shop-api=5/d\n",
     "scale C shop-api 0 -\n", "reconciling"},
    {"nothing wanted", SPREAD("0"), "A zone=e : shop-api=8/east\nB zone=w\n",
     "scale A shop-api 0 -\n", "reconciling"},
    {"a component that is no longer listed", PLAIN("1"),
     "A : shop-api=1/default shop-old=4/default\n", "scale A shop-old 0 -\n", "deployed"},
    {"the successor starts first", PLAIN("1"), "A : shop-old=4/default\n",
     "scale A shop-api 1 default\n", "reconciling"},
};

struct scene {
    struct arena arena;
    struct manifest *m;
    struct want_app app;
    struct observed seen;
};

static struct want_app wants(struct arena *a, struct manifest **m, const char *body)
{
    AUTO_FREE char *text =
        xasprintf("apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: shop}\n"
                  "spec:\n  components:\n%s",
                  body);
    struct err e = ERR_INIT;
    struct want_app out = {0};
    *m = manifest_parse(str_of(text), STR("t"), &e);
    ck_assert_msg(*m != NULL, "%s\n%s", e.text, text);
    ck_assert_msg(want_app_build(a, *m, NULL, NULL, &out, &e), "%s", e.text);
    return out;
}

static struct str scaler_of(const struct scene *s, struct str id)
{
    for (uint32_t i = 0; i < s->app.n; i++)
        if (s->app.list[i].kind != WANT_LINK && str_eq(s->app.list[i].id, id))
            return s->app.list[i].scaler_id;
    return STR("gone");
}

static struct proto_map annotate(struct scene *s, struct str id, struct str spread,
                                 struct str marks)
{
    struct proto_pair *v = arena_array(&s->arena, struct proto_pair, 4);
    bool other = str_find(marks, '~') < marks.n || str_find(marks, '!') < marks.n;
    v[0] = (struct proto_pair){STR(ANNOTATION_MANAGED_BY), STR("wadm")};
    v[1] = (struct proto_pair){STR(ANNOTATION_APP), STR("shop")};
    v[2] = (struct proto_pair){STR(ANNOTATION_SCALER), other ? STR("0123") : scaler_of(s, id)};
    v[3] = (struct proto_pair){STR(ANNOTATION_SPREAD), spread};
    return (struct proto_map){v, str_find(marks, '*') < marks.n ? 0 : 4};
}

/* "ID=COUNT/SPREADmarks" */
static void add_instance(struct scene *s, struct proto_inventory *in, struct str word)
{
    struct str id, count, spread = word;
    ck_assert(str_cut(&spread, '=', &id) && str_cut(&spread, '/', &count));
    size_t end = 0;
    while (end < spread.n && !strchr("~!*", spread.p[end]))
        end++;
    struct str marks = str_sub(spread, end, spread.n);
    struct proto_map map = annotate(s, id, str_sub(spread, 0, end), marks);
    struct str image = str_find(marks, '!') < marks.n ? STR("old") : STR("img");
    uint64_t n;
    if (str_u64(count, &n))
        ((struct proto_component *)in->components.v)[in->components.n++] = (struct proto_component){
            .id = id, .image_ref = image, .annotations = map, .max_instances = (uint32_t)n};
    else
        ((struct proto_provider *)in->providers.v)[in->providers.n++] =
            (struct proto_provider){.id = id, .image_ref = image, .annotations = map};
}

static void see_host(struct scene *s, struct str line)
{
    struct proto_pair labels[8];
    struct proto_component components[8];
    struct proto_provider providers[8];
    struct proto_inventory in = {
        .labels = {labels, 0}, .components = {components, 0}, .providers = {providers, 0}};
    struct str word;
    bool instances = false, changed, first = true;
    while (str_cut(&line, ' ', &word)) {
        struct str key, value = word;
        if (first)
            in.host_id = in.friendly_name = word;
        else if (str_eqz(word, ":"))
            instances = true;
        else if (instances)
            add_instance(s, &in, word);
        else if (str_cut(&value, '=', &key))
            labels[in.labels.n++] = (struct proto_pair){key, value};
        first = false;
    }
    struct err e = ERR_INIT;
    ck_assert_msg(observed_host_set(&s->seen, &in, &changed, &e), "%s", e.text);
}

static void see_hosts(struct scene *s, const char *text)
{
    struct str rest = str_of(text), line;
    while (str_cut(&rest, '\n', &line))
        if (line.n > 0)
            see_host(s, line);
}

static void command_text(const struct plan_command *c, struct buf *out)
{
    struct str spread = STR("-");
    static const char *const verbs[] = {"config", "scale",  "start",   "stop",
                                        "link",   "unlink", "unconfig"};
    const char *verb = verbs[c->op];
    if (c->op == PLAN_SCALE) {
        proto_map_get(&c->scale.annotations, STR(ANNOTATION_SPREAD), &spread);
        buf_printf(out, "%s %.*s %.*s %u %.*s\n", c->scale.allow_update ? "update" : verb,
                   STR_ARG(c->host_id), STR_ARG(c->id), c->scale.max_instances, STR_ARG(spread));
    } else if (c->op == PLAN_LINK_PUT || c->op == PLAN_LINK_DEL) {
        buf_printf(out, "%s %.*s %.*s\n", verb, STR_ARG(c->link.source_id),
                   STR_ARG(c->link.target));
    } else {
        buf_printf(out, "%s %.*s%s%.*s\n", verb, STR_ARG(c->host_id), c->host_id.n ? " " : "",
                   STR_ARG(c->id));
    }
}

static void scene_open(struct scene *s, const char *body)
{
    *s = (struct scene){0};
    arena_init(&s->arena, 64u << 20);
    s->app = wants(&s->arena, &s->m, body);
}

static void scene_close(struct scene *s)
{
    observed_fini(&s->seen);
    manifest_free(s->m);
    arena_fini(&s->arena);
}

static struct plan expect_commands(struct scene *s, const struct plan_in *in, const char *want)
{
    struct plan plan;
    struct err e = ERR_INIT;
    struct buf text = BUF_INIT;
    ck_assert_msg(plan_make(&s->arena, in, &plan, &e), "%s", e.text);
    for (uint32_t i = 0; i < plan.n; i++)
        command_text(&plan.commands[i], &text);
    ck_assert_msg(str_eqz(buf_view(&text), want), "got:\n%.*swant:\n%s", STR_ARG(buf_view(&text)),
                  want);
    buf_fini(&text);
    return plan;
}

static void expect_status(const struct plan_result *r, const char *status)
{
    struct str type, text = str_of(status);
    str_cut(&text, ':', &type);
    ck_assert_msg(str_eqz(type, proto_status_name(r->type)), "%s, not %s: %.*s",
                  proto_status_name(r->type), status, STR_ARG(r->message));
    text = str_trim(text);
    AUTO_FREE char *message = str_dup(r->message), *fragment = str_dup(text.p ? text : STR(""));
    ck_assert_msg(strstr(message, fragment) != NULL, "%s\nlacks %s", message, fragment);
}

START_TEST(table)
{
    const struct row *row = &rows[_i];
    struct scene s;
    AUTO_FREE char *body = xasprintf(
        "    - {name: api, type: component, properties: {image: img}, traits: %s}\n", row->wanted);
    scene_open(&s, body);
    see_hosts(&s, row->seen);
    struct plan_in in = {.apps = &s.app, .napps = 1, .seen = &s.seen};
    struct plan plan = expect_commands(&s, &in, row->commands);
    expect_status(&plan.apps[0].results[0], row->status);
    scene_close(&s);
}
END_TEST

static const struct {
    uint32_t n, count;
    uint32_t weights[6], result[6];
} weights[] = {
    {100, 2, {80, 20}, {80, 20}},
    {10, 2, {80, 20}, {8, 2}},
    {7, 3, {50, 30, 20}, {4, 2, 1}},
    {5, 2, {80, 20}, {4, 1}},
    {4, 2, {80, 20}, {4, 0}},
    {3, 2, {80, 20}, {3, 0}},
    {1, 2, {80, 20}, {1, 0}},
    {99, 2, {80, 20}, {80, 19}},
    {1, 2, {20, 80}, {0, 1}},
    {7, 3, {50, 25, 25}, {4, 2, 1}},
    {10, 3, {1, 1, 1}, {4, 3, 3}},
    {100, 3, {33, 33, 33}, {34, 33, 33}},
    {101, 3, {33, 33, 33}, {34, 34, 33}},
    {11, 6, {1, 1, 1, 1, 1, 1}, {2, 2, 2, 2, 2, 1}},
    {2, 3, {100, 100, 100}, {1, 1, 0}},
    {100, 2, {50, 100}, {33, 67}},
    {100, 2, {100, 0}, {100, 0}},
    {5, 3, {0, 1, 1}, {0, 3, 2}},
    {2, 4, {40, 30, 20, 10}, {1, 1, 0, 0}},
    {8, 4, {3, 3, 3, 1}, {3, 3, 2, 0}},
    {103, 4, {42, 3, 37, 384}, {10, 0, 8, 85}},
    {412, 3, {50, 25, 25}, {206, 103, 103}},
    {UINT32_MAX, 2, {UINT32_MAX, UINT32_MAX}, {2147483648u, 2147483647u}},
};

START_TEST(weight_vectors)
{
    uint32_t counts[6];
    spread_weights(weights[_i].n, weights[_i].weights, weights[_i].count, counts);
    for (uint32_t k = 0; k < weights[_i].count; k++)
        ck_assert_uint_eq(counts[k], weights[_i].result[k]);
}
END_TEST

#define WITH_PROVIDER                                                                            \
    "    - name: api\n      type: component\n      properties: {image: img, config: [{name: c, " \
    "properties: {a: b}}]}\n"                                                                    \
    "      traits:\n        - {type: spreadscaler, properties: {instances: 1}}\n"                \
    "        - {type: link, properties: {namespace: wasi, package: keyvalue, interfaces: "       \
    "[store],\n"                                                                                 \
    "           target: {name: kv, config: [{name: external}]}}}\n"                              \
    "    - {name: kv, type: capability, properties: {image: img}}\n"

static void store_config(struct scene *s, const char *name, const char *key, const char *value)
{
    struct proto_pair pair = {str_of(key), str_of(value)};
    struct proto_map map = {&pair, 1};
    struct err e = ERR_INIT;
    ck_assert(observed_config_set(&s->seen, str_of(name), &map, &e));
}

/* Configuration, then what runs, then links; and each only as long as it is needed. */
START_TEST(order)
{
    struct scene s;
    struct err e = ERR_INIT;
    scene_open(&s, WITH_PROVIDER);
    struct plan_in in = {.apps = &s.app, .napps = 1, .seen = &s.seen};
    see_hosts(&s, "A\nB\n");
    struct plan plan = expect_commands(&s, &in, "config shop-c\nstart A shop-kv\n");
    expect_status(&plan.apps[0].results[0], "reconciling: storing configuration shop-c");
    expect_status(&plan.apps[0].results[1], "failed: configuration external does not exist");
    store_config(&s, "shop-c", "a", "b");
    store_config(&s, "external", "x", "1");
    see_hosts(&s, "A : shop-kv=p/default\n");
    plan = expect_commands(&s, &in, "scale A shop-api 1 default\n");
    expect_status(&plan.apps[0].results[1], "reconciling: waiting for shop-api to start");
    struct set accepted = {0};
    set_add(&accepted, STR("shop-api"), &s);
    in.accepted = &accepted;
    expect_commands(&s, &in, "scale A shop-api 1 default\nlink shop-api shop-kv\n");
    set_fini(&accepted);
    in.accepted = NULL;
    see_hosts(&s, "A : shop-kv=p/default shop-api=1/default\n");
    expect_commands(&s, &in, "link shop-api shop-kv\n");
    struct proto_spec spec = {.links = {&s.app.list[1].link, 1}};
    ck_assert(observed_spec_set(&s.seen, STR("shop-api"), &spec, &e));
    plan = expect_commands(&s, &in, "");
    expect_status(&plan.apps[0].results[1], "deployed");
    store_config(&s, "external", "x", "2"); /* hosts do not pass that on to a link */
    expect_commands(&s, &in, "unlink shop-api shop-kv\n");
    ck_assert(observed_spec_set(&s.seen, STR("shop-api"), NULL, &e));
    expect_commands(&s, &in, "link shop-api shop-kv\n");
    ck_assert(observed_spec_set(&s.seen, STR("shop-api"), &spec, &e));
    expect_commands(&s, &in, "");
    store_config(&s, "shop-c", "a", "changed by hand");
    expect_commands(&s, &in, "config shop-c\n");
    ck_assert(observed_health(observed_host(&s.seen, STR("A")), STR("shop-kv"), true,
                              STR("address in use")));
    plan = expect_commands(&s, &in, "config shop-c\n");
    expect_status(&plan.apps[0].results[2], "failed: unhealthy on host A: address in use");
    scene_close(&s);
}
END_TEST

/* Links, then what runs, then configuration; what others own stays. */
START_TEST(teardown)
{
    struct scene s;
    struct err e = ERR_INIT;
    scene_open(&s, WITH_PROVIDER);
    struct str configs[] = {STR("shop-c")};
    struct plan_past past = {STR("shop"), true, &s.app.list[1].link, 1, configs, 1};
    struct plan_in in = {.past = &past, .npast = 1, .seen = &s.seen};
    store_config(&s, "shop-c", "a", "b");
    store_config(&s, "external", "x", "1");
    see_hosts(&s, "A : shop-kv=p/default shop-api=1/default other=1/default*\n");
    struct proto_spec spec = {.links = {&s.app.list[1].link, 1}};
    ck_assert(observed_spec_set(&s.seen, STR("shop-api"), &spec, &e));
    struct plan plan = expect_commands(&s, &in, "unlink shop-api shop-kv\n");
    ck_assert_uint_eq(plan.apps[0].left, 4);
    ck_assert(observed_spec_set(&s.seen, STR("shop-api"), NULL, &e));
    expect_commands(&s, &in, "scale A shop-api 0 -\nstop A shop-kv\n");
    see_hosts(&s, "A : other=1/default*\n");
    expect_commands(&s, &in, "unconfig shop-c\n");
    ck_assert(observed_config_set(&s.seen, STR("shop-c"), NULL, &e));
    plan = expect_commands(&s, &in, "");
    ck_assert_uint_eq(plan.apps[0].left, 0);
    scene_close(&s);
}
END_TEST

#define PROVIDER(n, image)                                          \
    "    - {name: kv, type: capability, properties: {image: " image \
    "}, traits: [{type: spreadscaler, "                             \
    "properties: {instances: " n "}}]}\n"

static const struct row providers[] = {
    {"one host of three", PROVIDER("1", "img"), "A\nB\nC\n", "start A shop-kv\n", "reconciling"},
    {"what runs stays", PROVIDER("1", "img"), "A\nB : shop-kv=p/default\n", "", "deployed"},
    {"not enough hosts", PROVIDER("3", "img"), "A : shop-kv=p/default\nB\n", "start B shop-kv\n",
     "failed: 2 of 3 hosts found"},
    {"too many", PROVIDER("1", "img"), "A : shop-kv=p/default\nB : shop-kv=p/default\n",
     "stop B shop-kv\n", "reconciling"},
    {"another image", PROVIDER("1", "img"), "A : shop-kv=p/default!\n", "stop A shop-kv\n",
     "reconciling"},
    {"somebody else's", PROVIDER("1", "img"), "A : shop-kv=p/default*\nB\n", "start B shop-kv\n",
     "failed: shop-kv runs on host A for somebody else"},
    {"the emptier host", PROVIDER("1", "img"), "A : x=p/default*\nB\n", "start B shop-kv\n",
     "reconciling"},
    {"daemon",
     "    - {name: kv, type: capability, properties: {image: img}, traits: [{type: daemonscaler, "
     "properties: {instances: 1}}]}\n",
     "A\nB : shop-kv=p/default\n", "start A shop-kv\n", "reconciling"},
};

START_TEST(provider_table)
{
    const struct row *row = &providers[_i];
    struct scene s;
    scene_open(&s, row->wanted);
    see_hosts(&s, row->seen);
    struct plan_in in = {.apps = &s.app, .napps = 1, .seen = &s.seen};
    struct plan plan = expect_commands(&s, &in, row->commands);
    expect_status(&plan.apps[0].results[0], row->status);
    scene_close(&s);
}
END_TEST

/* A component that came up meanwhile must not draw a second one beside it: it would be started twice, then stopped. */
START_TEST(a_provider_on_its_way_stays)
{
    struct scene s;
    struct set starting = {0};
    scene_open(&s, PROVIDER("1", "img"));
    see_hosts(&s, "A : x=p/default*\nB\nC\n");
    set_add(&starting, STR("shop-kv C"), &s);
    struct plan_in in = {.apps = &s.app, .napps = 1, .seen = &s.seen, .starting = &starting};
    expect_commands(&s, &in, "start C shop-kv\n");
    see_hosts(&s, "A : shop-kv=p/default\nB\nC\n"); /* what runs wins */
    expect_commands(&s, &in, "");
    set_fini(&starting);
    scene_close(&s);
}
END_TEST

/* Identity as wadm derives it: what it started is recognised after a take-over (vectors from wadm 0.21). */
static const char hello[] =
    "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: rust-hello-world, "
    "annotations: {}}\n"
    "spec:\n  components:\n"
    "    - name: http-component\n      type: component\n"
    "      properties: {image: "
    "'ghcr.io/danbugs/serverside-wasm-book-code/hello-world-wasmcloud:v1'}\n"
    "      traits:\n        - {type: spreadscaler, properties: {replicas: 10}}\n"
    "        - type: link\n          properties:\n            target: kvnats\n            "
    "namespace: wasi\n"
    "            package: keyvalue\n            interfaces: [store, atomics]\n            "
    "target_config:\n"
    "              - {name: wasi-keyvalue-config, properties: {bucket: wasmcloud, "
    "enable_bucket_auto_create: 'true'}}\n"
    "    - name: httpserver\n      type: capability\n"
    "      properties: {image: 'ghcr.io/wasmcloud/http-server:0.23.2'}\n      traits:\n"
    "        - type: link\n          properties:\n            target: http-component\n            "
    "namespace: wasi\n"
    "            package: http\n            interfaces: [incoming-handler]\n            "
    "source_config:\n"
    "              - {name: default-http, properties: {address: '127.0.0.1:8080'}}\n"
    "    - {name: kvnats, type: capability, properties: {image: "
    "'ghcr.io/wasmcloud/keyvalue-nats:0.3.1'}}\n";

START_TEST(identity)
{
    static const struct {
        const char *id, *name;
    } want[] = {
        {"f4a82159d2125d70d8a6742337a70ead34c9174a69ebcda5117ebf0f47f8245b",
         "rust_hello_world-http_component"},
        {"d67f7e39d4b96447e1cba60946e7e56a3a969121f0ec0de953a3b9393c3b1a1a",
         "rust_hello_world-http_component -(wasi:keyvalue)-> rust_hello_world-kvnats"},
        {"ea010c3726e248ef3c112bf31f9ed1af75d7127438f43576ff66626890ae74e2",
         "rust_hello_world-httpserver -(wasi:http)-> rust_hello_world-http_component"},
        {"9508bc9a27429f74c5e806851e93c381df068aa74e57816003ccff43f043c70d",
         "rust_hello_world-httpserver"},
        {"ea8e57674c1733b212a0304ea7e43a336c11817311cc670aec903b8881c9c149",
         "rust_hello_world-kvnats"},
    };
    struct arena a;
    struct err e = ERR_INIT;
    struct want_app app;
    arena_init(&a, 1u << 20);
    struct manifest *m = manifest_parse(str_of(hello), STR("h"), &e);
    ck_assert_msg(m != NULL, "%s", e.text);
    ck_assert(want_app_build(&a, m, NULL, NULL, &app, &e));
    ck_assert_uint_eq(app.n, ARRAY_LEN(want));
    for (uint32_t i = 0; i < app.n; i++) {
        ck_assert_msg(str_eqz(app.list[i].status_name, want[i].name), "%.*s",
                      STR_ARG(app.list[i].status_name));
        ck_assert_msg(str_eqz(app.list[i].scaler_id, want[i].id), "%s: %.*s", want[i].name,
                      STR_ARG(app.list[i].scaler_id));
    }
    ck_assert_uint_eq(app.nconfigs, 2);
    ck_assert(str_eqz(app.configs[0].name, "rust_hello_world-wasi_keyvalue_config"));
    ck_assert(str_eqz(app.configs[1].name, "rust_hello_world-default_http"));
    manifest_free(m);
    arena_fini(&a);
}
END_TEST

START_TEST(secrets)
{
    struct arena a;
    struct err e = ERR_INIT;
    struct want_app app;
    struct str v;
    arena_init(&a, 1u << 20);
    static const char text[] =
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: shop}\nspec:\n"
        "  policies: [{name: vault, type: policy.secret.wasmcloud.dev/v1alpha1, properties: "
        "{backend: nats-kv, x: 1}}]\n"
        "  components:\n    - name: a\n      type: component\n      properties:\n        image: i\n"
        "        secrets: [{name: apikey, properties: {policy: vault, key: k, version: '2'}}]\n"
        "      traits: [{type: spreadscaler, properties: {instances: 1}}]\n";
    struct manifest *m = manifest_parse(str_of(text), STR("s"), &e);
    ck_assert_msg(m != NULL, "%s", e.text);
    ck_assert(want_app_build(&a, m, NULL, NULL, &app, &e));
    ck_assert_uint_eq(app.nconfigs, 1);
    ck_assert(str_eqz(app.configs[0].name, "SECRET_shop-apikey"));
    ck_assert(proto_map_get(&app.configs[0].values, STR("backend"), &v) && str_eqz(v, "nats-kv"));
    ck_assert(proto_map_get(&app.configs[0].values, STR("type"), &v) &&
              str_eqz(v, "secret.wasmcloud.dev/v1alpha1"));
    ck_assert(proto_map_get(&app.configs[0].values, STR("policy"), &v));
    ck_assert_msg(
        str_eqz(
            v,
            "{\"type\":\"properties.secret.wasmcloud.dev/v1alpha1\",\"properties\":{\"x\":\"1\"}}"),
        "%.*s", STR_ARG(v));
    ck_assert(str_eqz(app.list[0].config.v[0], "SECRET_shop-apikey"));
    manifest_free(m);
    arena_fini(&a);
}
END_TEST

#define SHARED                                                                                    \
    "    - {name: base, type: component, properties: {image: img, id: base-id}, traits: [{type: " \
    "spreadscaler, "                                                                              \
    "properties: {instances: 1}}]}\n"

static const struct manifest *find_shared(void *user, struct str app)
{
    struct manifest *m = user;
    return m && str_eqz(app, "shop") ? m : NULL;
}

/* A component of another application: its id, no scaler, but links to it. */
START_TEST(shared_components)
{
    struct arena a;
    struct err e = ERR_INIT;
    struct manifest *owner, *user;
    struct want_app app;
    arena_init(&a, 1u << 20);
    wants(&a, &owner, SHARED);
    owner->shared = true;
    wants(&a, &user,
          "    - name: web\n      type: component\n      properties: {image: img}\n      traits:\n"
          "        - {type: link, properties: {namespace: a, package: b, interfaces: [c], target: "
          "it}}\n"
          "    - {name: it, type: component, properties: {application: {name: shop, component: "
          "base}}}\n");
    ck_assert(want_app_build(&a, user, find_shared, owner, &app, &e));
    ck_assert_uint_eq(app.n, 1);
    ck_assert_msg(app.list[0].kind == WANT_LINK && str_eqz(app.list[0].link.target, "base-id"),
                  "%.*s", STR_ARG(app.list[0].link.target));
    ck_assert(want_app_build(&a, user, find_shared, NULL, &app, &e));
    ck_assert_uint_eq(app.n, 2);
    ck_assert(app.list[0].kind == WANT_BROKEN && app.list[1].kind == WANT_BROKEN);
    manifest_free(owner);
    manifest_free(user);
    arena_fini(&a);
}
END_TEST

/* Two applications whose names make the same ids: the first has them, the other is told. */
START_TEST(applications_collide)
{
    struct scene s;
    struct manifest *other;
    scene_open(&s, "    - {name: kv, type: capability, properties: {image: img}}\n");
    struct want_app apps[] = {s.app, wants(&s.arena, &other,
                                           "    - {name: k_v, type: capability, properties: "
                                           "{image: img, id: shop-kv}}\n")};
    apps[1].app = STR("shop2");
    see_hosts(&s, "A\n");
    struct plan_in in = {.apps = apps, .napps = 2, .seen = &s.seen};
    struct plan plan = expect_commands(&s, &in, "start A shop-kv\n");
    expect_status(&plan.apps[1].results[0],
                  "failed: id shop-kv is already used by application shop");
    manifest_free(other);
    scene_close(&s);
}
END_TEST

/* Random lattices: applying the plan again and again ends, with the wanted sums, and stays there. */
START_TEST(converges)
{
    rand_seed((uint64_t)_i + 1);
    struct scene s;
    scene_open(&s, "    - {name: api, type: component, properties: {image: img}, traits: [{type: "
                   "spreadscaler, "
                   "properties: {instances: 50, spread: [{name: a, weight: 5, requirements: {z: "
                   "e}}, {name: b, weight: "
                   "3}, {name: c, weight: 2, requirements: {z: w}}]}}]}\n");
    uint32_t have[6], nhosts = 1 + (uint32_t)(rand_u64() % 6);
    char zone[6], spread[6];
    for (uint32_t h = 0; h < nhosts; h++) {
        have[h] = rand_u64() % 2 ? (uint32_t)(rand_u64() % 60) : 0;
        zone[h] = "ewx"[rand_u64() % 3];
        spread[h] = "abc"[rand_u64() % 3];
    }
    struct plan_in in = {.apps = &s.app, .napps = 1, .seen = &s.seen};
    struct plan plan;
    struct err e = ERR_INIT;
    uint32_t rounds = 0;
    for (;; rounds++) {
        ck_assert_uint_lt(rounds, 40);
        for (uint32_t h = 0; h < nhosts; h++) {
            AUTO_FREE char *line = have[h] ? xasprintf("%c z=%c : shop-api=%u/%c", 'A' + h, zone[h],
                                                       have[h], spread[h])
                                           : xasprintf("%c z=%c", 'A' + h, zone[h]);
            see_host(&s, str_of(line));
        }
        ck_assert(plan_make(&s.arena, &in, &plan, &e));
        if (plan.n == 0)
            break;
        const struct plan_command *c =
            &plan.commands[rand_u64() % plan.n]; /* any order of arrival */
        uint32_t h = (uint32_t)(c->host_id.p[0] - 'A');
        struct str name;
        have[h] = c->scale.max_instances;
        if (proto_map_get(&c->scale.annotations, STR(ANNOTATION_SPREAD), &name))
            spread[h] = name.p[0];
    }
    uint32_t sum = 0, want = 15;
    bool east = false, west = false;
    for (uint32_t h = 0; h < nhosts; h++) {
        sum += have[h];
        east |= zone[h] == 'e';
        west |= zone[h] == 'w';
    }
    want += (east ? 25 : 0) + (west ? 10 : 0);
    ck_assert_uint_eq(sum, want);
    scene_close(&s);
    rand_seed(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, table, 0, ARRAY_LEN(rows));
    tcase_add_test(t, a_provider_on_its_way_stays);
    tcase_add_loop_test(t, provider_table, 0, ARRAY_LEN(providers));
    tcase_add_loop_test(t, weight_vectors, 0, ARRAY_LEN(weights));
    tcase_add_test(t, order);
    tcase_add_test(t, teardown);
    tcase_add_test(t, identity);
    tcase_add_test(t, secrets);
    tcase_add_test(t, shared_components);
    tcase_add_test(t, applications_collide);
    tcase_add_loop_test(t, converges, 0, 200);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
