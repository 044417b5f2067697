/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests from outside: YAML and JSON, down to what the planner would be asked for. Whatever is accepted must
 * survive the canonical form and the YAML that is made of it. */
#include "manifests/manifests_int.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct manifest *m)
{
    struct buf json = BUF_INIT, yaml = BUF_INIT, again = BUF_INIT;
    struct err e = ERR_INIT;
    assert(manifest_json(m, &json, &e));
    struct manifest *from_json =
        manifest_parse_all(buf_view(&json), MANIFEST_JSON, STR_NONE, NULL, &e);
    assert(from_json && manifest_json(from_json, &again, &e));
    assert(str_eq(buf_view(&json), buf_view(&again)));
    buf_clear(&again);
    assert(manifest_yaml_from_json(buf_view(&json), &yaml, &e));
    struct manifest *from_yaml =
        manifest_parse_all(buf_view(&yaml), MANIFEST_YAML, STR_NONE, NULL, &e);
    assert(from_yaml && manifest_json(from_yaml, &again, &e));
    assert(str_eq(buf_view(&json), buf_view(&again)));
    manifest_free(from_json);
    manifest_free(from_yaml);
    buf_fini(&json);
    buf_fini(&yaml);
    buf_fini(&again);
}

static void plan(const struct manifest *m)
{
    struct arena a;
    struct want_app app;
    struct plan out;
    struct observed seen = {0};
    struct err e = ERR_INIT;
    arena_init(&a, 64u << 20);
    if (want_app_build(&a, m, NULL, NULL, &app, &e)) {
        const struct plan_in in = {.apps = &app, .napps = 1, .seen = &seen};
        plan_make(&a, &in, &out, &e);
    }
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int format = MANIFEST_ANY; format <= MANIFEST_JSON; format++) {
        struct err e = ERR_INIT;
        struct manifest_problems problems = {0};
        struct manifest *m =
            manifest_parse_all((struct str){(const char *)data, size}, (enum manifest_format)format,
                               STR("fuzz"), &problems, &e);
        assert(m ? problems.nerrors == 0 : problems.nerrors > 0 && e.code != ERR_NONE);
        if (m) {
            round_trip(m);
            plan(m);
        }
        manifest_free(m);
        manifest_problems_fini(&problems);
    }
    return 0;
}
