/* SPDX-License-Identifier: Apache-2.0 */
/* Reading manifests: positions, shapes, rules, the canonical form. Each bad manifest is a row: text, the position and
 * a fragment of the first error. */
#include "manifests/manifests_int.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>

static const char head[] = "apiVersion: core.oam.dev/v1beta1\n"
                           "kind: Application\n"
                           "metadata: {name: shop, annotations: {version: v1}}\n"
                           "spec:\n"
                           "  components:\n"; /* components start in line 6 */

static struct manifest *read_ok(const char *text)
{
    struct err e = ERR_INIT;
    struct manifest *m = manifest_parse(str_of(text), STR("a.yaml"), &e);
    ck_assert_msg(m != NULL, "%s", e.text);
    return m;
}

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    char *text = xalloc(MANIFEST_SIZE_MAX + 1);
    ck_assert(fread(text, 1, MANIFEST_SIZE_MAX, f) > 0);
    fclose(f);
    return text;
}

struct bad {
    const char *body; /* behind `head`; starting with '!': the whole text */
    const char *error;
};

static const struct bad bad[] = {
    /* YAML itself */
    {"!metadata: {name: x\nspec: [", "a.yaml:2:"},
    {"!a: \"b", "YAML: found unexpected end of stream"},
    {"!", "the document is empty"},
    {"!--- 1\n--- 2\n", "a.yaml:2:1: a second document"},
    {"!a: 1\nb: 2\na: 3\n", "a.yaml:3:1: duplicate key 'a', first given in line 1"},
    {"!a: *b\n", "a.yaml:1:4: an alias without an anchor"},
    {"!a: &b [*b]\n", "an alias inside the value it stands for"},
    {"!a: !thing x\n", "a.yaml:1:4: a tag"},
    {"!a: \"\\0\"\n", "a NUL character"},
    {"!? [a]\n: b\n", "cannot be a key"},
    {"!just text", "a.yaml:1:1: 'manifest' must be a map, not a string"},
    /* shapes */
    {"!apiVersion: x\nkind: y\nmetadata: {name: a}\nspec: {components: []}\nmore: 1\n",
     "a.yaml:5:1: unknown member 'more' in 'manifest'"},
    {"!apiVersion: x\nkind: y\nspec: {components: []}\n", "'manifest' lacks 'metadata'"},
    {"    - {name: a, type: widget, properties: {image: x}}\n",
     "a.yaml:6:23: component 'a': 'type' must be component or capability, not 'widget'"},
    {"    - {name: a, type: component, properties: {image: 5}}\n",
     "a.yaml:6:54: component 'a': 'image' must be a string, not a number"},
    {"    - {name: a, type: component, properties: {imagine: x}}\n",
     "a.yaml:6:47: component 'a': unknown member 'imagine' in 'properties'"},
    {"    - {name: a, type: component, properties: {}}\n",
     "a.yaml:6:7: component 'a' has no image"},
    {"    - {name: a, type: component, properties: {image: \"\"}}\n", "'image' is empty"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - type: spreadscaler\n          properties: {instances: 1, spread: [{name: s, "
     "weight: -5}]}\n",
     "a.yaml:11:65: component 'a', trait 1 (spreadscaler): 'weight' must be a whole number from 0 "
     "to "
     "4294967295, not '-5'"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - type: spreadscaler\n          properties: {instances: many}\n",
     "'instances' must be a whole number"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - type: spreadscaler\n          properties: {instance: 3}\n",
     "a.yaml:11:24: component 'a', trait 1 (spreadscaler): unknown member 'instance'"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - type: spreadscaler\n          properties: {instances: 1, replicas: 2}\n",
     "'instances' and 'replicas' mean the same"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - type: link\n          properties: {instances: 3}\n",
     "component 'a', trait 1 (link): 'properties' lacks 'namespace'"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - type: link\n          properties: {namespace: n, package: p, interfaces: i, "
     "target: a}\n",
     "a.yaml:11:62: component 'a', trait 1 (link): 'interfaces' must be a list, not a string"},
    /* rules */
    {"    - {name: a, type: component, properties: {image: x}}\n"
     "    - {name: a, type: component, properties: {image: x}}\n",
     "a.yaml:7:7: duplicate component name 'a'"},
    {"    - {name: a.b, type: component, properties: {image: x}}\n"
     "    - {name: a_b, type: component, properties: {image: x}}\n",
     "components 'a_b' and 'a.b' get the same identifier 'shop-a_b'"},
    {"    - {name: a, type: component, properties: {image: x, id: i}}\n"
     "    - {name: b, type: component, properties: {image: x, id: i}}\n",
     "a.yaml:7:7: duplicate component identifier 'i'"},
    {"    - {name: a, type: component, properties: {image: x, id: i.j}}\n",
     "id 'i.j' is not allowed"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - {type: spreadscaler, properties: {instances: 1, spread: [{name: s, weight: 0}]}}\n",
     "a.yaml:10:68: component 'a': the weights of its spread are all 0"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - {type: spreadscaler, properties: {instances: 1, spread: [{name: s}, {name: s}]}}\n",
     "duplicate spread name 's'"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - {type: spreadscaler, properties: {instances: 1}}\n"
     "        - {type: daemonscaler, properties: {instances: 1}}\n",
     "a.yaml:11:11: component 'a' has two scaler traits"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - type: link\n          properties:\n            {namespace: wasi, package: http, "
     "interfaces: [i],\n"
     "             target: nobody}\n",
     "a.yaml:13:22: component 'a': link target 'nobody' is not a component of this manifest"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - {type: link, properties: {namespace: n, package: p, interfaces: [i], target: a}}\n"
     "        - {type: link, properties: {namespace: n, package: p, interfaces: [j, i], target: "
     "a}}\n",
     "a.yaml:11:11: component 'a': duplicate link 'default' for n:p/i"},
    {"    - name: a\n      type: component\n      properties: {image: x}\n      traits:\n"
     "        - {type: link, properties: {namespace: n, package: p, interfaces: [], target: a}}\n",
     "link 'default' has no interfaces"},
    {"    - name: a\n      type: component\n      properties: {image: x, secrets: [{name: s, "
     "properties: "
     "{policy: p, key: k}}]}\n",
     "secret 's' refers to policy 'p', which is not defined"},
    {"!apiVersion: x\nkind: y\nmetadata: {name: a b}\nspec: {components: []}\n",
     "a.yaml:3:18: manifest name 'a b' is not allowed"},
    {"!apiVersion: x\nkind: y\nmetadata: {name: a, annotations: {version: latest}}\nspec: "
     "{components: []}\n",
     "version 'latest' is not allowed"},
    {"!apiVersion: x\nkind: y\nmetadata: {name: a, labels: {-x: y}}\nspec: {components: []}\n",
     "a.yaml:3:30: invalid label '-x: y'"},
};

START_TEST(bad_manifests)
{
    const struct bad *row = &bad[_i];
    struct err e = ERR_INIT;
    AUTO_FREE char *text =
        row->body[0] == '!' ? xasprintf("%s", row->body + 1) : xasprintf("%s%s", head, row->body);
    struct manifest *m = manifest_parse(str_of(text), STR("a.yaml"), &e);
    ck_assert_msg(m == NULL, "accepted: %s", text);
    ck_assert_msg(strstr(e.text, row->error) != NULL, "got  %s\nwant %s", e.text, row->error);
}
END_TEST

START_TEST(nothing_at_all_is_refused)
{
    static const enum manifest_format formats[] = {MANIFEST_ANY, MANIFEST_YAML, MANIFEST_JSON};
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct err e = ERR_INIT;
        ck_assert(!manifest_parse_all(STR_NONE, formats[i], STR("a.yaml"), NULL, &e));
        ck_assert_str_eq(e.text, "a.yaml: the document is empty");
    }
}
END_TEST

/* What costs much elsewhere is refused quickly. */
START_TEST(hostile_sizes)
{
    struct err e = ERR_INIT;
    size_t n = 200000;
    AUTO_FREE char *text = xalloc(n + 1);
    memset(text, '[', n);
    ck_assert(!manifest_parse(str_of(text), STR_NONE, &e));
    ck_assert(strstr(e.text, "nested deeper") != NULL);

    struct buf bomb = BUF_INIT; /* each line ten times the line before */
    buf_printf(&bomb, "a0: &a0 x\n");
    for (int i = 1; i < 12; i++)
        buf_printf(&bomb, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    ck_assert(!manifest_parse(buf_view(&bomb), STR_NONE, &e));
    ck_assert_msg(strstr(e.text, "more values than the limit") != NULL, "%s", e.text);
    buf_clear(&bomb);
    for (int i = 0; i < 40; i++) { /* nests 30 levels deeper per line */
        buf_printf(&bomb, "a%d: &a%d ", i, i);
        for (int k = 0; k < 30; k++)
            buf_byte(&bomb, '[');
        if (i > 0)
            buf_printf(&bomb, "*a%d", i - 1);
        for (int k = 0; k < 30; k++)
            buf_byte(&bomb, ']');
        buf_byte(&bomb, '\n');
    }
    ck_assert(!manifest_parse(buf_view(&bomb), STR_NONE, &e));
    ck_assert_msg(strstr(e.text, "nested deeper") != NULL, "%s", e.text);
    buf_clear(&bomb);
    while (bomb.n <= MANIFEST_SIZE_MAX)
        buf_str(&bomb, STR("# comment\n"));
    ck_assert(!manifest_parse(buf_view(&bomb), STR_NONE, &e));
    ck_assert(e.code == ERR_INVALID && strstr(e.text, "the limit is") != NULL);
    buf_fini(&bomb);
}
END_TEST

START_TEST(all_problems_are_listed)
{
    AUTO_FREE char *text =
        xasprintf("%s%s", head,
                  "    - {name: a, type: component, properties: {image: 1, x: 2}}\n"
                  "    - {name: b, type: thing, properties: {image: i}}\n");
    struct manifest_problems all = {0};
    struct err e = ERR_INIT;
    ck_assert(!manifest_parse_all(str_of(text), MANIFEST_YAML, STR("f"), &all, &e));
    ck_assert_uint_eq(all.nerrors, 3);
    ck_assert_uint_eq(all.list[1].pos.line, 6);
    ck_assert_uint_eq(all.list[2].pos.line, 7);
    ck_assert_uint_eq(all.list[2].pos.column, 23);
    manifest_problems_fini(&all);
}
END_TEST

START_TEST(warnings_do_not_refuse)
{
    AUTO_FREE char *text =
        xasprintf("%s%s", head,
                  "    - name: a\n      type: actor\n      properties: {image: i}\n"
                  "      traits: [{type: rainbow, properties: {x: [1, no, 2.5]}}]\n");
    struct manifest_problems all = {0};
    struct err e = ERR_INIT;
    struct manifest *m = manifest_parse_all(str_of(text), MANIFEST_YAML, STR("f"), &all, &e);
    ck_assert_msg(m != NULL, "%s", e.text);
    ck_assert_uint_eq(all.nwarnings, 2);
    ck_assert(strstr(all.list[0].text, "unknown trait type 'rainbow'") != NULL);
    ck_assert(strstr(all.list[1].text, "never started") != NULL);
    ck_assert(str_eqz(m->components[0].traits[0].json, "{\"x\":[1,\"no\",2.5]}"));
    manifest_problems_fini(&all);
    manifest_free(m);
}
END_TEST

START_TEST(a_misspelt_trait_is_refused)
{
    static const char *const slips[] = {"spreadscalar", "spread-scaler", "Spreadscaler",
                                        "demonscaler", "lnk"};
    for (size_t i = 0; i < ARRAY_LEN(slips); i++) {
        struct err e = ERR_INIT;
        AUTO_FREE char *text =
            xasprintf("%s    - name: a\n      type: component\n"
                      "      properties: {image: i}\n      traits: [{type: %s, properties: {}}]\n",
                      head, slips[i]);
        ck_assert_ptr_null(manifest_parse(str_of(text), STR("f"), &e));
        ck_assert_msg(strstr(e.text, "did you mean") && strstr(e.text, slips[i]), "%s", e.text);
    }
}
END_TEST

START_TEST(scalars_as_strings)
{
    AUTO_FREE char *text =
        xasprintf("%s%s", head,
                  "    - name: a\n      type: capability\n      properties:\n"
                  "        image: i\n"
                  "        config: [{name: c, properties: {port: 8080, tls: no, on: true}}]\n");
    struct manifest *m = read_ok(text);
    const struct manifest_map *map = &m->components[0].inputs.configs[0].properties;
    struct str v;
    ck_assert(manifest_map_get(map, STR("port"), &v) && str_eqz(v, "8080"));
    ck_assert(manifest_map_get(map, STR("tls"), &v) && str_eqz(v, "no"));
    ck_assert(manifest_map_get(map, STR("on"), &v) && str_eqz(v, "true"));
    manifest_free(m);

    struct err e = ERR_INIT;
    static const char json[] =
        "{\"apiVersion\":\"a\",\"kind\":\"k\",\"metadata\":{\"name\":\"a\"},\"spec\":"
        "{\"components\":[{\"name\":\"c\",\"type\":\"component\",\"properties\":"
        "{\"image\":\"i\",\"config\":[{\"name\":\"x\",\"properties\":{\"p\":1}}]}}]}}";
    ck_assert(!manifest_parse_all(str_of(json), MANIFEST_JSON, STR_NONE, NULL, &e));
    ck_assert_msg(strstr(e.text, "'p' in 'properties' must be a string") != NULL, "%s", e.text);
}
END_TEST

static const char canonical[] =
    "{\"apiVersion\":\"core.oam.dev/"
    "v1beta1\",\"kind\":\"Application\",\"metadata\":{\"name\":\"shop\","
    "\"annotations\":{\"version\":\"v1\"}},\"spec\":{\"components\":[{\"name\":\"api\",\"type\":"
    "\"component\","
    "\"properties\":{\"image\":\"i\"},\"traits\":[{\"type\":\"spreadscaler\",\"properties\":{"
    "\"instances\":4,"
    "\"spread\":[{\"name\":\"e\",\"requirements\":{},\"weight\":3},{\"name\":\"f\","
    "\"requirements\":{}}]}},"
    "{\"type\":\"link\",\"properties\":{\"namespace\":\"wasi\",\"package\":\"keyvalue\","
    "\"interfaces\":"
    "[\"store\"],\"source\":{\"config\":[{\"name\":\"s\",\"properties\":{\"a\":\"b\"}}]},"
    "\"target\":{\"name\":"
    "\"kv\",\"config\":[{\"name\":\"t\"}]}}}]},{\"name\":\"kv\",\"type\":\"capability\","
    "\"properties\":{"
    "\"image\":\"j\"}}]}}";

/* As in manifests that leave their template's annotations empty. */
START_TEST(annotations_without_text)
{
    struct manifest *m =
        read_ok("apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: app\n"
                "  annotations:\n    example.com/homepage:\n    example.com/tilde: ~\n"
                "spec:\n  components: []\n");
    struct str v;
    ck_assert(manifest_map_get(&m->annotations, STR("example.com/homepage"), &v) && v.n == 0);
    ck_assert(manifest_map_get(&m->annotations, STR("example.com/tilde"), &v) && str_eqz(v, "~"));
    manifest_free(m);
    m = read_ok("apiVersion: a\nkind: Application\nmetadata:\n  name: app\n  labels:\n"
                "  annotations:\nspec:\n  components:\n    - name: a\n      type: capability\n"
                "      properties: {image: i, id: }\n");
    ck_assert_uint_eq(m->labels.n + m->annotations.n, 0);
    ck_assert(m->components[0].id.p == NULL);
    manifest_free(m);

    struct err e = ERR_INIT;
    AUTO_FREE char *config =
        xasprintf("%s%s", head,
                  "    - name: a\n      type: capability\n      properties:\n"
                  "        image: i\n        config: [{name: c, properties: {port: }}]\n");
    ck_assert_ptr_null(manifest_parse(str_of(config), STR("f"), &e));
    ck_assert_msg(strstr(e.text, "'port' in 'properties' must be a string") != NULL, "%s", e.text);
}
END_TEST

START_TEST(canonical_form)
{
    AUTO_FREE char *text = xasprintf(
        "%s%s", head,
        "    - type: actor\n      name: api\n      unknown: gone\n      properties: {image: i}\n"
        "      traits:\n"
        "        - {type: spreadscaler, properties: {replicas: 4, spread: [{name: e, weight: 3},\n"
        "           {name: f, requirements: {}}]}}\n"
        "        - type: link\n          properties:\n"
        "            {namespace: wasi, package: keyvalue, interfaces: [store], target: kv,\n"
        "             source_config: [{name: s, properties: {a: b}}], target_config: [{name: t}]}\n"
        "    - {name: kv, type: capability, properties: {image: j}}\n");
    struct manifest *m = read_ok(text);
    struct buf out = BUF_INIT, again = BUF_INIT;
    struct err e = ERR_INIT;
    ck_assert(manifest_json(m, &out, &e));
    ck_assert_msg(str_eqz(buf_view(&out), canonical), "%.*s", STR_ARG(buf_view(&out)));
    manifest_free(m);
    m = manifest_parse_all(buf_view(&out), MANIFEST_JSON, STR_NONE, NULL, &e);
    ck_assert_msg(m != NULL, "%s", e.text);
    ck_assert(manifest_json(m, &again, &e) && str_eq(buf_view(&out), buf_view(&again)));
    manifest_free(m);
    buf_fini(&out);
    buf_fini(&again);
}
END_TEST

/* What `app get` prints can be deployed again. */
START_TEST(yaml_round_trip)
{
    struct buf yaml = BUF_INIT, again = BUF_INIT;
    struct err e = ERR_INIT;
    ck_assert(manifest_yaml_from_json(str_of(canonical), &yaml, &e));
    ck_assert(strstr((const char *)yaml.p, "\n    - name: api\n      type: component\n") != NULL);
    struct manifest *m = manifest_parse_all(buf_view(&yaml), MANIFEST_YAML, STR("y"), NULL, &e);
    ck_assert_msg(m != NULL, "%s\n%.*s", e.text, STR_ARG(buf_view(&yaml)));
    ck_assert(manifest_json(m, &again, &e));
    ck_assert_msg(str_eqz(buf_view(&again), canonical), "%.*s", STR_ARG(buf_view(&yaml)));
    manifest_free(m);
    buf_fini(&yaml);
    buf_fini(&again);
}
END_TEST

START_TEST(hello_example)
{
    AUTO_FREE char *text = slurp("deploy/examples/hello/wadm.yaml");
    struct manifest_problems all = {0};
    struct err e = ERR_INIT;
    struct manifest *m = manifest_parse_all(str_of(text), MANIFEST_ANY, STR("wadm.yaml"), &all, &e);
    ck_assert_msg(m != NULL && all.n == 0, "%s", e.text);
    ck_assert(str_eqz(m->components[0].image, "file://./hello.wasm"));
    ck_assert_uint_eq(m->components[0].traits[0].scaler.instances, 10);
    manifest_free(m);
}
END_TEST

/* What people have written over the years is read without errors; only the old spelling is mentioned. */
START_TEST(mixed_spelling)
{
    AUTO_FREE char *text = slurp("tests/fuzz/corpus/manifest/mixed.yaml");
    struct manifest_problems all = {0};
    struct err e = ERR_INIT;
    struct manifest *m =
        manifest_parse_all(str_of(text), MANIFEST_ANY, STR("mixed.yaml"), &all, &e);
    ck_assert_msg(m != NULL, "%s", e.text);
    ck_assert_uint_eq(all.n, 2);
    for (size_t i = 0; i < all.n; i++)
        ck_assert(strstr(all.list[i].text, "_config' is the old spelling") != NULL);
    ck_assert(str_eqz(m->version, "0.3"));
    ck_assert(str_eqz(m->description, "Pages in a bucket, answers over HTTP"));
    ck_assert_uint_eq(m->components[0].traits[0].scaler.instances, 100);
    ck_assert_uint_eq(m->components[0].traits[1].link.target_inputs.nconfigs, 1);
    ck_assert(str_eqz(m->components[0].traits[2].link.name, "events"));
    ck_assert_int_eq(m->components[1].traits[1].kind, TRAIT_DAEMON);
    ck_assert(str_eqz(m->components[1].traits[1].scaler.spread[0].requirements.list[0].value,
                      "us-east-1"));
    ck_assert(!m->components[3].inputs.configs[0].owned);
    manifest_problems_fini(&all);
    manifest_free(m);
}
END_TEST

START_TEST(images_become_absolute)
{
    char dir[] = P_tmpdir "/manifest_test_XXXXXX";
    ck_assert(mkdtemp(dir) != NULL);
    AUTO_FREE char *image = xasprintf("%s/a b.wasm", dir);
    FILE *f = fopen(image, "w");
    ck_assert(f != NULL);
    fclose(f);
    AUTO_FREE char *text =
        xasprintf("%s%s", head,
                  "    - {name: a, type: component, properties: {image: 'file://./a b.wasm'}}\n"
                  "    - {name: b, type: component, properties: {image: 'file:///x'}}\n");
    struct manifest *m = read_ok(text);
    struct err e = ERR_INIT;
    ck_assert_msg(manifest_images_absolute(m, str_of(dir), STR("f.yaml"), &e), "%s", e.text);
    AUTO_FREE char *want = xasprintf("file://%s/a%%20b.wasm", dir);
    ck_assert_msg(str_eqz(m->components[0].image, want), "%.*s", STR_ARG(m->components[0].image));
    ck_assert(str_eqz(m->components[1].image, "file:///x"));
    manifest_free(m);
    m = read_ok(text);
    unlink(image);
    ck_assert(!manifest_images_absolute(m, str_of(dir), STR("f.yaml"), &e));
    ck_assert_int_eq(e.code, ERR_NOT_FOUND);
    ck_assert_msg(strstr(e.text, "f.yaml:6:54: component 'a': image 'file://./a b.wasm'") != NULL,
                  "%s", e.text);
    manifest_free(m);
    rmdir(dir);
}
END_TEST

START_TEST(norm_and_ids)
{
    static const struct {
        const char *app, *part, *id;
    } rows[] = {
        {"hello-simple", "httpserver", "hello_simple-httpserver"},
        {"My ThInG", "thing.wasm", "my_thing-thing_wasm"},
        {"mymodel", "echo-component", "mymodel-echo_component"},
        {"h\xc3\xa9llo", "x", "h_llo-x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf id = BUF_INIT;
        manifest_derived(str_of(rows[i].app), str_of(rows[i].part), &id);
        ck_assert(str_eqz(buf_view(&id), rows[i].id));
        buf_fini(&id);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("manifest");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, bad_manifests, 0, ARRAY_LEN(bad));
    tcase_add_test(t, nothing_at_all_is_refused);
    tcase_add_test(t, hostile_sizes);
    tcase_add_test(t, all_problems_are_listed);
    tcase_add_test(t, warnings_do_not_refuse);
    tcase_add_test(t, a_misspelt_trait_is_refused);
    tcase_add_test(t, scalars_as_strings);
    tcase_add_test(t, annotations_without_text);
    tcase_add_test(t, canonical_form);
    tcase_add_test(t, yaml_round_trip);
    tcase_add_test(t, hello_example);
    tcase_add_test(t, mixed_spelling);
    tcase_add_test(t, images_become_absolute);
    tcase_add_test(t, norm_and_ids);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
