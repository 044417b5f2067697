/* SPDX-License-Identifier: Apache-2.0 */
/* Tree to struct manifest: one table of members per object of the manifest, one routine that walks them.
 * Keeps: every mistake becomes a problem with its position, reading goes on behind it; a manifest leaves here
 * only when there was no error, its rules (check.c) included. */
#include "manifests/manifests_int.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- problems -------------------------------------------------------------------------------------- */

__attribute__((format(printf, 5, 0))) static void
problem_addv(struct manifest_problems *p, enum manifest_level level, struct manifest_pos pos,
             const char *where, const char *fmt, va_list args)
{
    if (level == MANIFEST_ERROR)
        p->nerrors++;
    else
        p->nwarnings++;
    /* the first error is always kept: it is the one reported */
    if (p->n >= MANIFEST_PROBLEMS_MAX && !(level == MANIFEST_ERROR && p->nerrors == 1))
        return;
    p->list = xrealloc(p->list, (p->n + 1) * sizeof *p->list);
    struct buf text = BUF_INIT;
    char room[ERR_TEXT_MAX];
    vsnprintf(room, sizeof room, fmt, args);
    buf_printf(&text, "%s%s%s", where, *where ? ": " : "", room);
    size_t n;
    p->list[p->n++] = (struct manifest_problem){level, pos, (char *)buf_take(&text, &n)};
}

void problem_add(struct manifest_problems *p, enum manifest_level level, struct manifest_pos pos,
                 const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    problem_addv(p, level, pos, "", fmt, args);
    va_end(args);
}

void manifest_problems_fini(struct manifest_problems *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->list[i].text);
    free(p->list);
    *p = (struct manifest_problems){0};
}

/* ---- walking --------------------------------------------------------------------------------------- */

struct decoder {
    struct arena *arena;
    struct manifest_problems *problems;
    char where[2 * SHOWN_MAX]; /* "component 'x', trait 2 (link)" */
    bool full;                 /* the arena's ceiling was met and reported */
};

typedef void member_fn(struct decoder *d, const struct node *value, void *out);

struct member {
    const char *name;
    bool required;
    member_fn *read;  /* NULL: known, not looked at here */
    size_t offset;    /* of the field that read fills */
    const char *also; /* another spelling of the name */
};

/* What happens to members that are not in the table. */
enum rest { CLOSED, OPEN };

__attribute__((format(printf, 4, 5))) static void
complain(struct decoder *d, enum manifest_level level, const struct node *at, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    problem_addv(d->problems, level, at->pos, d->where, fmt, args);
    va_end(args);
}

static void *take(struct decoder *d, const struct node *at, size_t count, size_t size)
{
    void *p = arena_calloc(d->arena, count, size, alignof(max_align_t));
    if (!p && !d->full) {
        d->full = true;
        complain(d, MANIFEST_ERROR, at, "more memory than the limit of %u bytes",
                 MANIFEST_MEMORY_MAX);
    }
    return p;
}

static bool expect(struct decoder *d, const struct node *n, enum node_kind kind, const char *what)
{
    if (n->kind == kind)
        return true;
    complain(d, MANIFEST_ERROR, n, "'%s' must be %s, not %s", what, node_kind_name(kind),
             node_kind_name(n->kind));
    return false;
}

static const struct member *member_find(const struct member *table, struct str name)
{
    for (; table->name; table++)
        if (str_eqz(name, table->name) || (table->also && str_eqz(name, table->also)))
            return table;
    return NULL;
}

static const struct node *child_find(const struct node *map, const char *name)
{
    for (const struct node *c = map->first; c; c = c->next)
        if (str_eqz(c->key, name))
            return c;
    return NULL;
}

static void read_members(struct decoder *d, const struct node *map, const char *what,
                         const struct member *table, enum rest rest, void *out)
{
    if (!expect(d, map, NODE_MAP, what))
        return;
    for (const struct node *c = map->first; c; c = c->next) {
        const struct member *m = member_find(table, c->key);
        struct shown key;
        if (m && m->read)
            m->read(d, c, (char *)out + m->offset);
        else if (!m && rest == CLOSED)
            problem_add(d->problems, MANIFEST_ERROR, c->key_pos, "%s%sunknown member '%s' in '%s'",
                        d->where, *d->where ? ": " : "", show(&key, c->key), what);
    }
    for (const struct member *m = table; m->name; m++) {
        bool given = child_find(map, m->name), also = m->also && child_find(map, m->also);
        if (m->required && !given && !also)
            complain(d, MANIFEST_ERROR, map, "'%s' lacks '%s'", what, m->name);
        if (given && also)
            complain(d, MANIFEST_ERROR, map, "'%s' and '%s' mean the same; give one", m->name,
                     m->also);
    }
}

/* ---- scalars, maps, lists -------------------------------------------------------------------------- */

static void read_str(struct decoder *d, const struct node *n, void *out)
{
    struct str *s = out;
    if (expect(d, n, NODE_STRING, n->key.p ? n->key.p : "item"))
        *s = n->text;
}

/* Where upstream's YAML takes any scalar: the text as written. */
static bool loose_text(const struct node *n, bool null_too, struct str *out)
{
    bool scalar =
        n->kind == NODE_NUMBER || n->kind == NODE_BOOL || (n->kind == NODE_NULL && null_too);
    if (n->kind != NODE_STRING && (n->strict || !scalar))
        return false;
    *out = n->text;
    return true;
}

static void read_texts(struct decoder *d, const struct node *n, bool null_too, void *out)
{
    struct manifest_map *m = out;
    if (!expect(d, n, NODE_MAP, n->key.p))
        return;
    struct manifest_pair *list = take(d, n, n->n, sizeof *list);
    if (!list)
        return;
    size_t count = 0;
    for (const struct node *c = n->first; c; c = c->next) {
        struct shown key;
        list[count].key = c->key;
        list[count].pos = c->key_pos;
        if (loose_text(c, null_too, &list[count].value))
            count++;
        else
            complain(d, MANIFEST_ERROR, c, "'%s' in '%.*s' must be a string, not %s",
                     show(&key, c->key), STR_ARG(n->key), node_kind_name(c->kind));
    }
    *m = (struct manifest_map){list, count};
}

static void read_map(struct decoder *d, const struct node *n, void *out)
{
    read_texts(d, n, false, out);
}

/* Labels, annotations and the like: "key:" with nothing behind it is common, and is the empty text; nothing at all is
 * the empty map. */
static void read_notes(struct decoder *d, const struct node *n, void *out)
{
    if (n->kind != NODE_NULL)
        read_texts(d, n, true, out);
}

static bool read_u32(struct decoder *d, const struct node *n, uint32_t *out)
{
    uint64_t v;
    struct shown text;
    if (n->kind == NODE_NUMBER && str_u64(n->text, &v) && fit_u32(v, out))
        return true;
    if (n->kind == NODE_MAP || n->kind == NODE_LIST || n->kind == NODE_NULL)
        expect(d, n, NODE_NUMBER, n->key.p);
    else
        complain(d, MANIFEST_ERROR, n, "'%s' must be a whole number from 0 to %u, not '%s'",
                 n->key.p, UINT32_MAX, show(&text, n->text));
    return false;
}

static void read_number(struct decoder *d, const struct node *n, void *out)
{
    read_u32(d, n, out);
}

typedef void item_fn(struct decoder *d, const struct node *item, void *out);

/* Reads a list into a new array of its length; NULL (and a problem) when it is none. */
static void *read_list(struct decoder *d, const struct node *n, size_t size, item_fn *read,
                       size_t *count)
{
    if (!expect(d, n, NODE_LIST, n->key.p))
        return NULL;
    char *list = take(d, n, n->n, size);
    if (!list)
        return NULL;
    size_t i = 0;
    for (const struct node *c = n->first; c; c = c->next)
        read(d, c, list + i++ * size);
    *count = n->n;
    return list;
}

/* ---- config, secrets ------------------------------------------------------------------------------- */

static void read_owned(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_config *c = out;
    c->owned = n->kind != NODE_NULL;
    if (c->owned)
        read_map(d, n, &c->properties);
}

static void read_config(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_str, offsetof(struct manifest_config, name)},
        {"properties", false, NULL, 0},
        {0},
    };
    struct manifest_config *c = out;
    c->pos = n->pos;
    read_members(d, n, "config", table, CLOSED, c);
    const struct node *properties = n->kind == NODE_MAP ? child_find(n, "properties") : NULL;
    if (properties)
        read_owned(d, properties, c);
}

static void read_secret_properties(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"policy", true, read_str, offsetof(struct manifest_secret, policy)},
        {"key", true, read_str, offsetof(struct manifest_secret, key)},
        {"field", false, read_str, offsetof(struct manifest_secret, field)},
        {"version", false, read_str, offsetof(struct manifest_secret, version)},
        {0},
    };
    read_members(d, n, "properties", table, OPEN, out);
}

static void read_secret(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_str, offsetof(struct manifest_secret, name)},
        {"properties", true, NULL, 0},
        {0},
    };
    struct manifest_secret *s = out;
    s->pos = n->pos;
    read_members(d, n, "secret", table, OPEN, s);
    const struct node *properties = n->kind == NODE_MAP ? child_find(n, "properties") : NULL;
    if (properties)
        read_secret_properties(d, properties, s);
}

static void read_configs(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_inputs *in = out;
    in->configs = read_list(d, n, sizeof *in->configs, read_config, &in->nconfigs);
}

static void read_secrets(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_inputs *in = out;
    in->secrets = read_list(d, n, sizeof *in->secrets, read_secret, &in->nsecrets);
}

/* ---- traits ---------------------------------------------------------------------------------------- */

static void read_weight(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_spread *s = out;
    if (n->kind != NODE_NULL)
        s->has_weight = read_u32(d, n, &s->weight);
}

static void read_spread_entry(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_str, offsetof(struct manifest_spread, name)},
        {"requirements", false, read_map, offsetof(struct manifest_spread, requirements)},
        {"weight", false, read_weight, 0},
        {0},
    };
    struct manifest_spread *s = out;
    s->pos = n->pos;
    s->weight = MANIFEST_WEIGHT_DEFAULT;
    read_members(d, n, "spread", table, CLOSED, s);
}

static void read_spread(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_scaler *s = out;
    s->spread = read_list(d, n, sizeof *s->spread, read_spread_entry, &s->nspread);
}

static void read_scaler(struct decoder *d, const struct node *n, struct manifest_scaler *s)
{
    static const struct member table[] = {
        {"instances", true, read_number, offsetof(struct manifest_scaler, instances), "replicas"},
        {"spread", false, read_spread, 0},
        {0},
    };
    read_members(d, n, "properties", table, CLOSED, s);
}

static void read_interfaces(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_link *l = out;
    l->interfaces = read_list(d, n, sizeof *l->interfaces, read_str, &l->ninterfaces);
}

static void read_target(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_str, offsetof(struct manifest_link, target)},
        {"config", false, read_configs, offsetof(struct manifest_link, target_inputs)},
        {"secrets", false, read_secrets, offsetof(struct manifest_link, target_inputs)},
        {0},
    };
    struct manifest_link *l = out;
    l->target_pos = n->pos;
    if (n->kind == NODE_STRING)
        l->target = n->text;
    else
        read_members(d, n, "target", table, OPEN, l);
}

static void read_source(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"config", false, read_configs, 0},
        {"secrets", false, read_secrets, 0},
        {0},
    };
    struct manifest_link *l = out;
    l->has_source = true;
    read_members(d, n, "source", table, OPEN, &l->source_inputs);
}

static void read_link_name(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_link *l = out;
    read_str(d, n, &l->name);
    l->has_name = true;
}

/* The flat spelling, which the nested one overrides. */
static void read_flat_configs(struct decoder *d, const struct node *n, struct manifest_link *l)
{
    const struct node *target = child_find(n, "target"), *source = child_find(n, "source");
    const struct node *flat = child_find(n, "target_config");
    if (flat && target && target->kind == NODE_STRING)
        read_configs(d, flat, &l->target_inputs);
    flat = child_find(n, "source_config");
    if (flat && !source) {
        l->has_source = true;
        read_configs(d, flat, &l->source_inputs);
    }
    for (const struct node *c = n->first; c; c = c->next)
        if (str_eqz(c->key, "target_config") || str_eqz(c->key, "source_config"))
            complain(d, MANIFEST_WARNING, c,
                     "'%s' is the old spelling; write '%.6s: {config: [...]}'", c->key.p, c->key.p);
}

static void read_link(struct decoder *d, const struct node *n, struct manifest_link *l)
{
    static const struct member table[] = {
        {"namespace", true, read_str, offsetof(struct manifest_link, wit_namespace)},
        {"package", true, read_str, offsetof(struct manifest_link, wit_package)},
        {"interfaces", true, read_interfaces, 0},
        {"target", true, read_target, 0},
        {"source", false, read_source, 0},
        {"name", false, read_link_name, 0},
        {0},
    };
    l->name = STR("default");
    read_members(d, n, "properties", table, OPEN, l);
    if (n->kind == NODE_MAP)
        read_flat_configs(d, n, l);
}

static void read_other(struct decoder *d, const struct node *n, struct str *json)
{
    json_t *v = node_json(n);
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    *json = text ? arena_str(d->arena, str_of(text)) : STR_NONE;
    if (!json->p)
        complain(d, MANIFEST_ERROR, n, "'properties' cannot be kept as JSON");
    free(text);
    json_decref(v);
}

static enum manifest_trait_kind trait_kind(struct str type)
{
    if (str_eqz(type, "spreadscaler"))
        return TRAIT_SPREAD;
    if (str_eqz(type, "daemonscaler"))
        return TRAIT_DAEMON;
    return str_eqz(type, "link") ? TRAIT_LINK : TRAIT_OTHER;
}

static void read_trait(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"type", true, read_str, offsetof(struct manifest_trait, type)},
        {"properties", true, NULL, 0},
        {0},
    };
    struct manifest_trait *t = out;
    struct shown type;
    t->pos = n->pos;
    t->kind = TRAIT_OTHER;
    t->json = STR("null");
    read_members(d, n, "trait", table, CLOSED, t);
    const struct node *properties = n->kind == NODE_MAP ? child_find(n, "properties") : NULL;
    if (!properties || !t->type.p)
        return;
    size_t n_where = strlen(d->where);
    snprintf(d->where + n_where, sizeof d->where - n_where, " (%s)", show(&type, t->type));
    t->kind = trait_kind(t->type);
    if (t->kind == TRAIT_LINK)
        read_link(d, properties, &t->link);
    else if (t->kind == TRAIT_OTHER)
        read_other(d, properties, &t->json);
    else
        read_scaler(d, properties, &t->scaler);
    if (t->kind == TRAIT_LINK && !t->link.interfaces)
        t->link.interfaces = take(d, n, 0, 1);
}

static void read_traits(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_component *c = out;
    if (n->kind == NODE_NULL || !expect(d, n, NODE_LIST, "traits"))
        return;
    struct manifest_trait *list = take(d, n, n->n, sizeof *list);
    if (!list)
        return;
    size_t n_where = strlen(d->where), i = 0;
    for (const struct node *t = n->first; t; t = t->next) {
        snprintf(d->where + n_where, sizeof d->where - n_where, ", trait %zu", i + 1);
        read_trait(d, t, &list[i++]);
        d->where[n_where] = '\0';
    }
    c->traits = list;
    c->ntraits = n->n;
}

/* ---- components ------------------------------------------------------------------------------------ */

static void read_type(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_component *c = out;
    struct str type = STR_NONE;
    struct shown text;
    read_str(d, n, &type);
    c->capability = str_eqz(type, "capability");
    if (type.p && !c->capability && !str_eqz(type, "component") && !str_eqz(type, "actor"))
        complain(d, MANIFEST_ERROR, n, "'type' must be component or capability, not '%s'",
                 show(&text, type));
}

static void read_image(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_component *c = out;
    read_str(d, n, &c->image);
    c->image_pos = n->pos;
}

static void read_shared(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_str, offsetof(struct manifest_component, shared_app)},
        {"component", true, read_str, offsetof(struct manifest_component, shared_component)},
        {0},
    };
    read_members(d, n, "application", table, OPEN, out);
}

static void read_id(struct decoder *d, const struct node *n, void *out)
{
    struct manifest_component *c = out;
    if (n->kind != NODE_NULL) /* nothing: derived from the name */
        read_str(d, n, &c->id);
}

static void read_properties(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"image", false, read_image, 0},
        {"application", false, read_shared, 0},
        {"id", false, read_id, 0},
        {"config", false, read_configs, offsetof(struct manifest_component, inputs)},
        {"secrets", false, read_secrets, offsetof(struct manifest_component, inputs)},
        {0},
    };
    read_members(d, n, "properties", table, CLOSED, out);
}

static void read_component(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_str, offsetof(struct manifest_component, name)},
        {"type", true, read_type, 0},
        {"properties", true, read_properties, 0},
        {"traits", false, read_traits, 0},
        {0},
    };
    struct manifest_component *c = out;
    struct shown name;
    const struct node *named = n->kind == NODE_MAP ? child_find(n, "name") : NULL;
    c->pos = c->image_pos = n->pos;
    if (named && named->kind == NODE_STRING)
        snprintf(d->where, sizeof d->where, "component '%s'", show(&name, named->text));
    else
        snprintf(d->where, sizeof d->where, "a component");
    read_members(d, n, "component", table, OPEN, c);
    d->where[0] = '\0';
}

/* ---- the document ---------------------------------------------------------------------------------- */

static void read_components(struct decoder *d, const struct node *n, void *out)
{
    struct manifest *m = out;
    m->components = read_list(d, n, sizeof *m->components, read_component, &m->ncomponents);
}

static void read_policy(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_str, offsetof(struct manifest_policy, name)},
        {"type", true, read_str, offsetof(struct manifest_policy, type)},
        {"properties", true, read_notes, offsetof(struct manifest_policy, properties)},
        {0},
    };
    struct manifest_policy *p = out;
    p->pos = n->pos;
    read_members(d, n, "policy", table, OPEN, p);
}

static void read_policies(struct decoder *d, const struct node *n, void *out)
{
    struct manifest *m = out;
    if (n->kind != NODE_NULL)
        m->policies = read_list(d, n, sizeof *m->policies, read_policy, &m->npolicies);
}

static void read_name(struct decoder *d, const struct node *n, void *out)
{
    struct manifest *m = out;
    read_str(d, n, &m->name);
    m->name_pos = n->pos;
}

static void read_metadata(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"name", true, read_name, 0},
        {"annotations", false, read_notes, offsetof(struct manifest, annotations)},
        {"labels", false, read_notes, offsetof(struct manifest, labels)},
        {0},
    };
    read_members(d, n, "metadata", table, OPEN, out);
}

static void read_spec(struct decoder *d, const struct node *n, void *out)
{
    static const struct member table[] = {
        {"components", true, read_components, 0},
        {"policies", false, read_policies, 0},
        {0},
    };
    read_members(d, n, "spec", table, OPEN, out);
}

static void read_document(struct decoder *d, const struct node *n, struct manifest *m)
{
    static const struct member table[] = {
        {"apiVersion", true, read_str, offsetof(struct manifest, api_version)},
        {"kind", true, read_str, offsetof(struct manifest, kind)},
        {"metadata", true, read_metadata, 0},
        {"spec", true, read_spec, 0},
        {0},
    };
    read_members(d, n, "manifest", table, CLOSED, m);
    struct str shared = STR_NONE;
    manifest_map_get(&m->annotations, STR("version"), &m->version);
    manifest_map_get(&m->annotations, STR("description"), &m->description);
    manifest_map_get(&m->annotations, STR("experimental.wasmcloud.dev/shared"), &shared);
    m->shared = str_eqz(shared, "true");
}

/* ---- entry ----------------------------------------------------------------------------------------- */

bool manifest_map_get(const struct manifest_map *m, struct str key, struct str *value)
{
    for (size_t i = 0; i < m->n; i++) {
        if (str_eq(m->list[i].key, key)) {
            *value = m->list[i].value;
            return true;
        }
    }
    return false;
}

const struct manifest_component *manifest_find(const struct manifest *m, struct str component)
{
    for (size_t i = 0; i < m->ncomponents; i++)
        if (str_eq(m->components[i].name, component))
            return &m->components[i];
    return NULL;
}

static struct node *read_text(struct arena *a, struct str text, enum manifest_format format,
                              struct manifest_pos *at, struct err *e)
{
    *at = (struct manifest_pos){0, 0};
    if (text.n == 0) { /* may be NULL, which libyaml would assert against */
        err_set(e, ERR_INVALID, "the document is empty");
        return NULL;
    }
    if (text.n > MANIFEST_SIZE_MAX) {
        err_set(e, ERR_LIMIT, "a manifest of %zu bytes, the limit is %u", text.n,
                MANIFEST_SIZE_MAX);
        return NULL;
    }
    if (format == MANIFEST_JSON)
        return node_read_json(a, text, at, e);
    struct node *n = node_read_yaml(a, text, at, e);
    struct str body = str_trim(text);
    if (n || format == MANIFEST_YAML || body.n == 0 || body.p[0] != '{')
        return n;
    struct manifest_pos json_at;
    struct err json_e = ERR_INIT; /* the YAML error is the one with the better position: kept */
    return node_read_json(a, text, &json_at, &json_e);
}

static void report(const struct manifest_problem *p, struct str file, struct err *e)
{
    err_set(e, ERR_INVALID, "%s", p->text);
    if (p->pos.line > 0)
        err_wrap(e, "%.*s%s%u:%u", STR_ARG(file), file.n ? ":" : "", p->pos.line, p->pos.column);
    else if (file.n > 0)
        err_wrap(e, "%.*s", STR_ARG(file));
}

struct manifest *manifest_parse_all(struct str text, enum manifest_format format,
                                    struct str file_name, struct manifest_problems *problems,
                                    struct err *e)
{
    struct manifest_problems own = {0}, *out = problems ? problems : &own;
    size_t before = out->nerrors, first = out->n;
    struct manifest *m = xnew(struct manifest);
    arena_init(&m->arena, MANIFEST_MEMORY_MAX);
    struct manifest_pos at;
    struct err why = ERR_INIT;
    const struct node *root = read_text(&m->arena, text, format, &at, &why);
    if (root) {
        struct decoder d = {.arena = &m->arena, .problems = out};
        read_document(&d, root, m);
        if (out->nerrors == before)
            manifest_check(m, out);
    } else {
        problem_add(out, MANIFEST_ERROR, at, "%s", why.text);
    }
    while (first < out->n && out->list[first].level != MANIFEST_ERROR)
        first++;
    if (out->nerrors > before) {
        report(&out->list[first], file_name, e);
        manifest_free(m);
        m = NULL;
    }
    manifest_problems_fini(&own);
    return m;
}

struct manifest *manifest_parse(struct str text, struct str file_name, struct err *e)
{
    return manifest_parse_all(text, MANIFEST_ANY, file_name, NULL, e);
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    arena_fini(&m->arena);
    free(m);
}
