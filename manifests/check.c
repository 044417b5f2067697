/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a manifest beyond its shape (wadm's validation, and what it forgot). Errors keep a manifest from
 * being stored, warnings are told and that is all.
 * Keeps: linear in the size of the manifest; whoever can write a manifest may be hostile. */
#include "manifests/manifests_int.h"

#define POLICY_TYPE "policy.secret.wasmcloud.dev/v1alpha1"

/* ---- rules ----------------------------------------------------------------------------------------- */

struct check {
    const struct manifest *m;
    struct manifest_problems *out;
    struct set names, explicit_ids, ids; /* of components; values: struct manifest_component */
    struct set policies;                 /* values: struct manifest_policy */
    struct set configs;      /* normalised names of owned configs; values: struct manifest_config */
    struct set link_configs; /* names; values: struct manifest_config */
    struct set links;        /* source, name, namespace, package, interface; values: trait */
};

#define ERROR_AT(c, pos, ...) problem_add((c)->out, MANIFEST_ERROR, (pos), __VA_ARGS__)
#define WARN_AT(c, pos, ...) problem_add((c)->out, MANIFEST_WARNING, (pos), __VA_ARGS__)

static bool alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* 1 to 63 of [A-Za-z0-9] and the extra characters, the last alphanumeric, the first too (a letter when so wanted). */
static bool label_part(struct str s, const char *extra, bool letter_first)
{
    if (s.n == 0 || s.n > 63 || !alnum(s.p[0]) || !alnum(s.p[s.n - 1]))
        return false;
    if (letter_first && s.p[0] >= '0' && s.p[0] <= '9')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!alnum(s.p[i]) && !strchr(extra, s.p[i]))
            return false;
    return true;
}

static bool oam_key(struct str key)
{
    size_t slash = str_find(key, '/');
    if (slash == key.n)
        return label_part(key, "._-", false);
    struct str prefix = str_sub(key, 0, slash), part;
    if (prefix.n == 0 || prefix.n > 253)
        return false;
    while (str_cut(&prefix, '.', &part))
        if (!label_part(part, "-", true))
            return false;
    return label_part(str_sub(key, slash + 1, key.n), "._-", false);
}

static void check_keys(struct check *c, const struct manifest_map *map, const char *what)
{
    for (size_t i = 0; i < map->n; i++) {
        const struct manifest_pair *p = &map->list[i];
        struct shown key, value;
        if (!oam_key(p->key))
            ERROR_AT(c, p->pos, "invalid %s '%s: %s': the key must be [prefix/]name", what,
                     show(&key, p->key), show(&value, p->value));
    }
}

static void check_metadata(struct check *c)
{
    const struct manifest *m = c->m;
    struct shown text;
    if (!manifest_name_ok(m->name))
        ERROR_AT(c, m->name_pos,
                 "manifest name '%s' is not allowed: it must match ^[-_a-zA-Z0-9]+$",
                 show(&text, m->name));
    if (str_eqz(m->version, "latest"))
        ERROR_AT(c, m->name_pos, "version 'latest' is not allowed: it means the newest one stored");
    check_keys(c, &m->labels, "label");
    check_keys(c, &m->annotations, "annotation");
    if (!str_eqz(m->api_version, "core.oam.dev/v1beta1"))
        WARN_AT(c, ((struct manifest_pos){1, 1}),
                "apiVersion is '%s', usually core.oam.dev/v1beta1", show(&text, m->api_version));
    if (!str_eqz(m->kind, "Application"))
        WARN_AT(c, ((struct manifest_pos){1, 1}), "kind is '%s', usually Application",
                show(&text, m->kind));
}

static void check_secrets(struct check *c, const struct manifest_inputs *in)
{
    for (size_t i = 0; i < in->nsecrets; i++) {
        const struct manifest_secret *s = &in->secrets[i];
        const struct manifest_policy *p = set_find(&c->policies, s->policy);
        struct str backend;
        struct shown name, policy;
        show(&name, s->name);
        show(&policy, s->policy);
        if (!p)
            ERROR_AT(c, s->pos, "secret '%s' refers to policy '%s', which is not defined",
                     name.text, policy.text);
        else if (!str_eqz(p->type, POLICY_TYPE))
            ERROR_AT(c, s->pos, "secret '%s' refers to policy '%s', whose type is not %s",
                     name.text, policy.text, POLICY_TYPE);
        else if (!manifest_map_get(&p->properties, STR("backend"), &backend))
            ERROR_AT(c, s->pos,
                     "secret '%s' refers to policy '%s', which has no 'backend' property",
                     name.text, policy.text);
    }
}

static bool same_map(const struct manifest_map *a, const struct manifest_map *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        struct str value;
        if (!manifest_map_get(b, a->list[i].key, &value) || !str_eq(a->list[i].value, value))
            return false;
    }
    return true;
}

/* Owned configs share one namespace per application. */
static void check_configs(struct check *c, const struct manifest_inputs *in, bool of_link)
{
    for (size_t i = 0; i < in->nconfigs; i++) {
        const struct manifest_config *config = &in->configs[i], *earlier;
        struct shown name;
        show(&name, config->name);
        if (!config->owned) {
            if (!proto_token_ok(config->name))
                ERROR_AT(c, config->pos,
                         "config '%s' is not a possible name of a stored configuration", name.text);
            continue;
        }
        earlier = of_link ? set_add(&c->link_configs, config->name, config) : NULL;
        if (earlier) {
            ERROR_AT(c, config->pos, "link config '%s' is defined twice, first in line %u",
                     name.text, earlier->pos.line);
            continue;
        }
        struct buf norm = BUF_INIT;
        manifest_norm(config->name, &norm);
        earlier = set_add(&c->configs, buf_view(&norm), config);
        buf_fini(&norm);
        if (earlier && !same_map(&config->properties, &earlier->properties))
            ERROR_AT(
                c, config->pos,
                "config '%s' is stored under the same name as the one in line %u, which has other "
                "properties",
                name.text, earlier->pos.line);
    }
}

static void check_id(struct check *c, const struct manifest_component *comp)
{
    struct shown name, other;
    show(&name, comp->name);
    struct buf id = BUF_INIT;
    if (comp->id.p) {
        if (!manifest_name_ok(comp->id))
            ERROR_AT(c, comp->pos,
                     "component '%s': id '%s' is not allowed: it must match ^[-_a-zA-Z0-9]+$",
                     name.text, show(&other, comp->id));
        if (set_add(&c->explicit_ids, comp->id, comp))
            ERROR_AT(c, comp->pos, "duplicate component identifier '%s'", show(&other, comp->id));
        buf_str(&id, comp->id);
    } else {
        manifest_derived(c->m->name, comp->name, &id);
    }
    const struct manifest_component *same = set_add(&c->ids, buf_view(&id), comp);
    if (same && !str_eq(same->name, comp->name) && !(comp->id.p && same->id.p))
        ERROR_AT(c, comp->pos, "components '%s' and '%s' get the same identifier '%.*s'", name.text,
                 show(&other, same->name), STR_ARG(buf_view(&id)));
    buf_fini(&id);
}

static void check_image(struct check *c, const struct manifest_component *comp, uint32_t scalers)
{
    struct shown name;
    show(&name, comp->name);
    bool image = comp->image.p != NULL, shared = comp->shared_app.p != NULL;
    if (image && shared)
        ERROR_AT(c, comp->pos, "component '%s' has both 'image' and 'application'; give one",
                 name.text);
    else if (!image && !shared)
        ERROR_AT(c, comp->pos,
                 "component '%s' has no image: 'properties' needs 'image' (or 'application')",
                 name.text);
    else if (image && str_trim(comp->image).n == 0)
        ERROR_AT(c, comp->image_pos, "component '%s': 'image' is empty", name.text);
    else if (shared && comp->inputs.nconfigs > 0)
        ERROR_AT(c, comp->pos, "shared component '%s' cannot have 'config'", name.text);
    else if (shared && comp->inputs.nsecrets > 0)
        ERROR_AT(c, comp->pos, "shared component '%s' cannot have 'secrets'", name.text);
    else if (shared && scalers > 0)
        ERROR_AT(c, comp->pos, "shared component '%s' cannot have a scaler trait", name.text);
}

static void check_spread(struct check *c, const struct manifest_component *comp,
                         const struct manifest_trait *t)
{
    const struct manifest_scaler *s = &t->scaler;
    struct set names = {0};
    struct shown shown_comp, name;
    show(&shown_comp, comp->name);
    uint64_t sum = 0;
    if (s->nspread > MANIFEST_SPREAD_MAX)
        ERROR_AT(c, t->pos, "component '%s': a spread of %zu entries, the limit is %u",
                 shown_comp.text, s->nspread, MANIFEST_SPREAD_MAX);
    for (size_t i = 0; i < s->nspread; i++) {
        sum += s->spread[i].weight;
        if (set_add(&names, s->spread[i].name, &s->spread[i]))
            ERROR_AT(c, s->spread[i].pos, "component '%s': duplicate spread name '%s'",
                     shown_comp.text, show(&name, s->spread[i].name));
    }
    set_fini(&names);
    if (t->kind == TRAIT_SPREAD && s->nspread > 0 && sum == 0)
        ERROR_AT(c, s->spread[0].pos, "component '%s': the weights of its spread are all 0",
                 shown_comp.text);
}

/* ---- links ----------------------------------------------------------------------------------------- */

/* "namespace:package" to its interfaces, each with a blank behind it. */
static const struct {
    const char *package, *interfaces;
} known_packages[] = {
    {"wrpc:blobstore", "blobstore "},
    {"wrpc:keyvalue", "atomics store "},
    {"wrpc:http", "incoming-handler outgoing-handler "},
    {"wasi:blobstore", "blobstore "},
    {"wasi:config", "runtime store "},
    {"wasi:keyvalue", "atomics batch store watch watcher "},
    {"wasi:http", "incoming-handler outgoing-handler "},
    {"wasi:logging", "logging "},
    {"wasmcloud:messaging", "consumer handler "},
    {"wasmcloud:bus", "lattice "},
    {"wasmcloud:secrets", "reveal store "},
};

static bool known_namespace(struct str ns)
{
    return str_eqz(ns, "wasi") || str_eqz(ns, "wrpc") || str_eqz(ns, "wasmcloud");
}

static bool known_interface(const struct manifest_link *l, struct str interface)
{
    for (size_t i = 0; i < ARRAY_LEN(known_packages); i++) {
        struct str package = str_of(known_packages[i].package), ns, list, word;
        str_cut(&package, ':', &ns);
        if (!str_eq(ns, l->wit_namespace) || !str_eq(package, l->wit_package))
            continue;
        list = str_of(known_packages[i].interfaces);
        while (str_cut(&list, ' ', &word))
            if (word.n > 0 && str_eq(word, interface))
                return true;
    }
    return false;
}

static void check_interfaces(struct check *c, const struct manifest_component *comp,
                             const struct manifest_trait *t)
{
    const struct manifest_link *l = &t->link;
    struct shown name, link, iface, ns, package;
    show(&name, comp->name);
    show(&link, l->name);
    show(&ns, l->wit_namespace);
    show(&package, l->wit_package);
    if (l->ninterfaces == 0)
        ERROR_AT(c, t->pos, "component '%s': link '%s' has no interfaces", name.text, link.text);
    for (size_t i = 0; i < l->ninterfaces; i++) {
        struct buf key = BUF_INIT;
        const struct str parts[] = {comp->name, l->name, l->wit_namespace, l->wit_package,
                                    l->interfaces[i]};
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
            buf_str(&key, parts[k]);
            buf_byte(&key, 0);
        }
        show(&iface, l->interfaces[i]);
        if (set_add(&c->links, buf_view(&key), t))
            ERROR_AT(c, t->pos, "component '%s': duplicate link '%s' for %s:%s/%s", name.text,
                     link.text, ns.text, package.text, iface.text);
        else if (known_namespace(l->wit_namespace) && !known_interface(l, l->interfaces[i]))
            WARN_AT(c, t->pos, "component '%s': unrecognised interface %s:%s/%s", name.text,
                    ns.text, package.text, iface.text);
        buf_fini(&key);
    }
}

static void check_link(struct check *c, const struct manifest_component *comp,
                       const struct manifest_trait *t)
{
    const struct manifest_link *l = &t->link;
    const struct manifest_component *target = set_find(&c->names, l->target);
    struct shown name, target_name;
    show(&name, comp->name);
    show(&target_name, l->target);
    if (!target)
        ERROR_AT(c, l->target_pos,
                 "component '%s': link target '%s' is not a component of this manifest", name.text,
                 target_name.text);
    else if (target->capability && comp->capability)
        WARN_AT(c, t->pos, "component '%s': a link from a provider to provider '%s' is ignored",
                name.text, target_name.text);
    check_interfaces(c, comp, t);
    check_configs(c, &l->source_inputs, true);
    check_configs(c, &l->target_inputs, true);
    check_secrets(c, &l->source_inputs);
    check_secrets(c, &l->target_inputs);
}

/* ---- unknown traits: ignored, as upstream does, but for a slip of the pen ---- */

#define TRAIT_NAME_MAX 32

/* Letters to insert, delete or replace to make b of a. */
static size_t distance(struct str a, struct str b)
{
    size_t row[TRAIT_NAME_MAX + 1];
    for (size_t k = 0; k <= b.n; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= b.n; k++) {
            size_t above = row[k];
            row[k] = MIN(MIN(above, row[k - 1]) + 1, diagonal + (a.p[i - 1] != b.p[k - 1]));
            diagonal = above;
        }
    }
    return row[b.n];
}

static void check_unknown(struct check *c, const struct manifest_component *comp,
                          const struct manifest_trait *t)
{
    static const struct str known[] = {STR_INIT("spreadscaler"), STR_INIT("daemonscaler"),
                                       STR_INIT("link")};
    struct shown name, type;
    show(&name, comp->name);
    show(&type, t->type);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (t->type.n <= TRAIT_NAME_MAX && distance(t->type, known[i]) <= known[i].n / 4 &&
            !str_eq(t->type, known[i])) {
            ERROR_AT(c, t->pos, "component '%s': unknown trait type '%s', did you mean %s?",
                     name.text, type.text, known[i].p);
            return;
        }
    }
    WARN_AT(c, t->pos,
            "component '%s': unknown trait type '%s' is ignored; known are spreadscaler, "
            "daemonscaler and link",
            name.text, type.text);
}

/* ---- all of it ------------------------------------------------------------------------------------- */

static void check_component(struct check *c, const struct manifest_component *comp)
{
    uint32_t scalers = 0;
    struct shown name;
    show(&name, comp->name);
    for (size_t i = 0; i < comp->ntraits; i++) {
        const struct manifest_trait *t = &comp->traits[i];
        if (t->kind == TRAIT_SPREAD || t->kind == TRAIT_DAEMON) {
            check_spread(c, comp, t);
            if (++scalers == 2)
                ERROR_AT(c, t->pos, "component '%s' has two scaler traits; one decides", name.text);
        } else if (t->kind == TRAIT_LINK) {
            check_link(c, comp, t);
        } else {
            check_unknown(c, comp, t);
        }
    }
    check_image(c, comp, scalers);
    check_configs(c, &comp->inputs, false);
    check_secrets(c, &comp->inputs);
    if (!comp->capability && comp->image.p && scalers == 0)
        WARN_AT(c, comp->pos,
                "component '%s' has no spreadscaler or daemonscaler: it is never started",
                name.text);
}

void manifest_check(const struct manifest *m, struct manifest_problems *out)
{
    struct check c = {.m = m, .out = out};
    struct shown name;
    check_metadata(&c);
    for (size_t i = 0; i < m->npolicies; i++)
        if (set_add(&c.policies, m->policies[i].name, &m->policies[i]))
            ERROR_AT(&c, m->policies[i].pos, "duplicate policy name '%s'",
                     show(&name, m->policies[i].name));
    for (size_t i = 0; i < m->ncomponents; i++) {
        const struct manifest_component *comp = &m->components[i];
        if (set_add(&c.names, comp->name, comp))
            ERROR_AT(&c, comp->pos, "duplicate component name '%s'", show(&name, comp->name));
        check_id(&c, comp);
    }
    for (size_t i = 0; i < m->ncomponents; i++)
        check_component(&c, &m->components[i]);
    set_fini(&c.names);
    set_fini(&c.explicit_ids);
    set_fini(&c.ids);
    set_fini(&c.policies);
    set_fini(&c.configs);
    set_fini(&c.link_configs);
    set_fini(&c.links);
}
