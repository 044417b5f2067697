/* SPDX-License-Identifier: Apache-2.0 */
/* app validate: what is wrong with a manifest, and whether its images are there. */
#include "ctl/table.h"

#include <errno.h>
#include <unistd.h>
#include "hostd/image/image.h"
#include "lattice/base/alloc.h"
#include "manifests/manifests.h"

struct findings {
    struct ctl *c;
    json_t *errors, *warnings;
};

static void add(struct findings *f, bool warning, const char *text)
{
    const char *level = warning ? "Warning" : "Error";
    buf_printf(&f->c->text, "%s: %s\n", level, text);
    json_array_append_new(warning ? f->warnings : f->errors,
                          json_pack("{s:s, s:o}", "level", level, "msg", json_str(str_of(text))));
}

static void add_problem(struct findings *f, const struct manifest_problem *p, const char *path)
{
    AUTO_FREE char *text =
        p->pos.line ? xasprintf("%s:%u:%u: %s", path, p->pos.line, p->pos.column, p->text)
                    : xasprintf("%s: %s", path, p->text);
    add(f, p->level == MANIFEST_WARNING, text);
}

/* What hosts would have to fetch: files, and what registries have; not what hosts bring along. */
static bool image_is_there(struct ctl *c, const struct manifest_component *m, struct err *e)
{
    struct image_ref ref;
    char *path;
    if (!m->image.p)
        return true; /* another application's */
    if (!image_ref_parse(m->image, &c->arena, &ref, e))
        return false;
    bool ours = ref.kind == IMAGE_BUILTIN || image_alias(ref.normal).n > 0;
    switch (ours && m->capability ? IMAGE_BUILTIN : ref.kind) {
    case IMAGE_BUILTIN:
        return true;
    case IMAGE_FILE:
        path = arena_printf(&c->arena, "%.*s", STR_ARG(ref.normal));
        return path ? access(path, R_OK) == 0 || err_errno(e, errno, "open '%s'", path)
                    : arena_full(&c->arena, e);
    case IMAGE_OCI:
        return registry_has(c, ref.normal, e);
    }
    return false;
}

static void check_images(struct findings *f, struct manifest *m, const char *path)
{
    struct err e = ERR_INIT;
    if (!manifest_find_images(m, path, &e)) {
        add(f, false, e.text);
        return;
    }
    for (size_t i = 0; i < m->ncomponents; i++) {
        const struct manifest_component *component = &m->components[i];
        if (image_is_there(f->c, component, &e))
            continue;
        AUTO_FREE char *text =
            xasprintf("%s:%u:%u: component '%.*s': %s", path, component->image_pos.line,
                      component->image_pos.column, STR_ARG(component->name), e.text);
        add(f, false, text);
    }
}

bool cmd_app_validate(struct ctl *c, struct err *e)
{
    struct buf text = BUF_INIT;
    struct manifest_problems problems = {0};
    const char *path = word(c, 0);
    if (!manifest_text(c, path, &text, e)) {
        buf_fini(&text);
        return false;
    }
    struct findings f = {c, json_array(), json_array()};
    struct manifest *m =
        manifest_parse_all(buf_view(&text), MANIFEST_ANY, str_of(path), &problems, e);
    for (size_t i = 0; i < problems.n; i++)
        add_problem(&f, &problems.list[i], path);
    if (!m && problems.nerrors == 0)
        add(&f, false, e->text);
    if (m && option_flag(c, "check-image-refs"))
        check_images(&f, m, path);
    bool valid = json_array_size(f.errors) == 0;
    if (valid)
        buf_str(&c->text, STR("manifest is valid\n"));
    result_set(c, "valid", json_boolean(valid));
    result_set(c, "success", json_boolean(valid));
    result_set(c, "errors", f.errors);
    result_set(c, "warnings", f.warnings);
    manifest_free(m);
    manifest_problems_fini(&problems);
    buf_fini(&text);
    return true;
}
