/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest taken apart into single wishes with final names: components, providers, links, configurations. Pure.
 * Keeps: order and identity of the scalers are upstream's, since both are visible in the status and in the
 * annotations of what runs. */
#include "manifests/manifests_int.h"

struct builder {
    struct arena *arena;
    const struct manifest *m;
    want_find_fn *find;
    void *user;
    struct want *list;
    struct want_config *configs;
    uint32_t n, nconfigs;
    struct err *e;
};

const char *want_status_kind(const struct want *w)
{
    if (w->kind == WANT_LINK)
        return "LinkScaler";
    return w->daemon ? "DaemonScaler" : "SpreadScaler";
}

/* ---- configurations -------------------------------------------------------------------------------- */

static struct proto_map pairs(struct arena *a, const struct manifest_map *m)
{
    struct proto_pair *v = arena_array(a, struct proto_pair, m->n);
    for (size_t i = 0; v && i < m->n; i++)
        v[i] = (struct proto_pair){m->list[i].key, m->list[i].value};
    return (struct proto_map){v, v ? (uint32_t)m->n : 0};
}

static bool config_add(struct builder *b, struct str name, struct proto_map values)
{
    if (!name.p || !values.v)
        return arena_full(b->arena, b->e);
    for (uint32_t i = 0; i < b->nconfigs; i++)
        if (str_eq(b->configs[i].name, name))
            return true; /* equal contents: check.c saw to that */
    b->configs[b->nconfigs++] = (struct want_config){name, b->m->name, values};
    return true;
}

/* The policy as a secret carries it: a JSON text. */
static struct str policy_text(struct arena *a, const struct manifest_policy *p)
{
    json_t *o = json_object(), *properties = json_object();
    for (size_t i = 0; i < p->properties.n; i++) {
        const struct manifest_pair *pair = &p->properties.list[i];
        if (!str_eqz(pair->key, "backend"))
            json_object_setn_new(properties, pair->key.p, pair->key.n,
                                 json_stringn(pair->value.p, pair->value.n));
    }
    json_object_set_new(o, "type", json_string(PROTO_SECRET_PROPERTIES_TYPE));
    json_object_set_new(o, "properties", properties);
    char *text = json_dumps(o, JSON_COMPACT);
    struct str out = arena_str(a, str_of(text));
    free(text);
    json_decref(o);
    return out;
}

static bool secret_add(struct builder *b, struct str name, const struct manifest_secret *s)
{
    const struct manifest_policy *policy = NULL;
    for (size_t i = 0; i < b->m->npolicies; i++)
        if (str_eq(b->m->policies[i].name, s->policy))
            policy = &b->m->policies[i];
    struct proto_pair *v = arena_array(b->arena, struct proto_pair, 7);
    if (!policy || !v)
        return policy ? arena_full(b->arena, b->e)
                      : err_set(b->e, ERR_INVALID, "a secret without a policy");
    uint32_t n = 0;
    struct str backend = STR_NONE;
    manifest_map_get(&policy->properties, STR("backend"), &backend);
    v[n++] = (struct proto_pair){STR("name"), s->name};
    v[n++] = (struct proto_pair){STR("type"), STR(PROTO_SECRET_TYPE)};
    v[n++] = (struct proto_pair){STR("backend"), backend};
    v[n++] = (struct proto_pair){STR("key"), s->key};
    if (s->field.p)
        v[n++] = (struct proto_pair){STR("field"), s->field};
    if (s->version.p)
        v[n++] = (struct proto_pair){STR("version"), s->version};
    v[n++] = (struct proto_pair){STR("policy"), policy_text(b->arena, policy)};
    return v[n - 1].value.p ? config_add(b, name, (struct proto_map){v, n})
                            : arena_full(b->arena, b->e);
}

/* Names for the host, and whatever of it is the scheduler's to store. */
static bool inputs(struct builder *b, const struct manifest_inputs *in, struct proto_strs *out)
{
    struct str *names = arena_array(b->arena, struct str, in->nconfigs + in->nsecrets);
    if (!names)
        return arena_full(b->arena, b->e);
    uint32_t n = 0;
    for (size_t i = 0; i < in->nconfigs; i++) {
        const struct manifest_config *c = &in->configs[i];
        names[n] = name_config(b->arena, b->m->name, c);
        if (!names[n].p)
            return arena_full(b->arena, b->e);
        if (c->owned && !config_add(b, names[n], pairs(b->arena, &c->properties)))
            return false;
        n++;
    }
    for (size_t i = 0; i < in->nsecrets; i++) {
        names[n] = name_secret(b->arena, b->m->name, &in->secrets[i]);
        if (!names[n].p)
            return arena_full(b->arena, b->e);
        if (!secret_add(b, names[n], &in->secrets[i]))
            return false;
        n++;
    }
    *out = (struct proto_strs){names, n};
    return true;
}

/* ---- scalers --------------------------------------------------------------------------------------- */

static struct str hash(struct builder *b, const struct str *fixed, size_t nfixed,
                       const struct proto_strs *lists, size_t nlists)
{
    size_t n = nfixed;
    for (size_t i = 0; i < nlists; i++)
        n += lists[i].n;
    struct str *parts = arena_array(b->arena, struct str, n);
    if (!parts)
        return STR_NONE;
    memcpy(parts, fixed, nfixed * sizeof *fixed);
    n = nfixed;
    for (size_t i = 0; i < nlists; i++)
        for (uint32_t k = 0; k < lists[i].n; k++)
            parts[n++] = lists[i].v[k];
    return name_hash(b->arena, parts, n);
}

static bool entries(struct builder *b, const struct manifest_scaler *s, struct want *w)
{
    size_t n = MAX(s->nspread, 1);
    struct want_entry *list = arena_array(b->arena, struct want_entry, n);
    uint32_t *weights = arena_array(b->arena, uint32_t, n),
             *counts = arena_array(b->arena, uint32_t, n);
    if (!list || !weights || !counts)
        return arena_full(b->arena, b->e);
    if (s->nspread == 0) {
        list[0] = (struct want_entry){STR("default"), {NULL, 0}, s->instances};
        weights[0] = 1;
    }
    for (size_t i = 0; i < s->nspread; i++) {
        list[i].name = s->spread[i].name;
        list[i].requirements = pairs(b->arena, &s->spread[i].requirements);
        weights[i] = s->spread[i].weight;
        if (!list[i].requirements.v)
            return arena_full(b->arena, b->e);
    }
    if (w->daemon)
        for (size_t i = 0; i < n; i++)
            counts[i] = s->instances;
    else
        spread_weights(s->instances, weights, n, counts);
    for (size_t i = 0; i < n; i++)
        list[i].count = counts[i];
    w->entries = list;
    w->nentries = (uint32_t)n;
    return true;
}

static bool broken_add(struct builder *b, struct str name, bool link, const char *why)
{
    struct want *w = &b->list[b->n++];
    *w = (struct want){.kind = WANT_BROKEN, .app = b->m->name, .status_name = name};
    w->link.name = link ? STR("default") : STR_NONE;
    w->broken = str_of(arena_printf(b->arena, "%s", why));
    const struct str parts[] = {STR("StatusScaler"), b->m->name, name, w->broken};
    w->scaler_id = name_hash(b->arena, parts, ARRAY_LEN(parts));
    return (w->broken.p && w->scaler_id.p) || arena_full(b->arena, b->e);
}

static bool scaler_add(struct builder *b, const struct manifest_component *c,
                       const struct manifest_scaler *s, bool daemon)
{
    struct want *w = &b->list[b->n++];
    *w = (struct want){
        .kind = c->capability ? WANT_PROVIDER : WANT_COMPONENT,
        .daemon = daemon,
        .app = b->m->name,
        .id = name_component_id(b->arena, b->m->name, c),
        .image = c->image,
    };
    w->status_name = w->id;
    if (!w->id.p)
        return arena_full(b->arena, b->e);
    if (!inputs(b, &c->inputs, &w->config) || !entries(b, s, w))
        return false;
    const struct str fixed[] = {str_of(want_status_kind(w)), b->m->name, c->name, w->id, w->image};
    w->scaler_id = hash(b, fixed, ARRAY_LEN(fixed), &w->config, 1);
    return w->scaler_id.p || arena_full(b->arena, b->e);
}

/* ---- links ----------------------------------------------------------------------------------------- */

/* The component that c stands for, and the application it belongs to; NULL with *why when there is none. */
static const struct manifest_component *
resolve(struct builder *b, const struct manifest_component *c, struct str *app, const char **why)
{
    *app = b->m->name;
    if (!c->shared_app.p)
        return c;
    const struct manifest *other = b->find ? b->find(b->user, c->shared_app) : NULL;
    const struct manifest_component *found =
        other ? manifest_find(other, c->shared_component) : NULL;
    *why = !other                               ? "its application is not deployed"
           : !other->shared                     ? "its application is not shared"
           : !found                             ? "its application has no component of that name"
           : found->capability != c->capability ? "in its application it has another type"
                                                : NULL;
    *app = c->shared_app;
    return *why ? NULL : found;
}

static bool end_id(struct builder *b, const struct manifest_component *c, struct str *id,
                   bool *provider)
{
    struct str app;
    const char *why = NULL;
    const struct manifest_component *real = resolve(b, c, &app, &why);
    struct shown name;
    if (!real)
        return err_set(b->e, ERR_NOT_FOUND, "shared component '%s': %s", show(&name, c->name), why);
    *id = name_component_id(b->arena, app, real);
    *provider = real->capability;
    return id->p || arena_full(b->arena, b->e);
}

static bool link_add(struct builder *b, const struct manifest_component *source,
                     const struct manifest_link *l)
{
    const struct manifest_component *target = manifest_find(b->m, l->target);
    bool from_provider, to_provider;
    struct proto_link link = {.name = l->name,
                              .wit_namespace = l->wit_namespace,
                              .wit_package = l->wit_package,
                              .interfaces = {l->interfaces, (uint32_t)l->ninterfaces}};
    if (!target || !end_id(b, source, &link.source_id, &from_provider) ||
        !end_id(b, target, &link.target, &to_provider))
        return target && b->e->code == ERR_LIMIT
                   ? false
                   : broken_add(b, source->name, true,
                                target ? b->e->text : "its target is unknown");
    if (from_provider && to_provider)
        return true; /* warned about when it was read */
    if (!inputs(b, &l->source_inputs, &link.source_config) ||
        !inputs(b, &l->target_inputs, &link.target_config))
        return false;
    struct want *w = &b->list[b->n++];
    *w = (struct want){.kind = WANT_LINK, .app = b->m->name, .link = link};
    w->status_name = str_of(arena_printf(b->arena, "%.*s -(%.*s:%.*s)-> %.*s",
                                         STR_ARG(link.source_id), STR_ARG(l->wit_namespace),
                                         STR_ARG(l->wit_package), STR_ARG(link.target)));
    const struct str fixed[] = {STR("LinkScaler"), b->m->name,       l->name,       link.source_id,
                                link.target,       l->wit_namespace, l->wit_package};
    const struct proto_strs lists[] = {link.interfaces, link.source_config, link.target_config};
    w->scaler_id = hash(b, fixed, ARRAY_LEN(fixed), lists, ARRAY_LEN(lists));
    return (w->status_name.p && w->scaler_id.p) || arena_full(b->arena, b->e);
}

/* ---- components ------------------------------------------------------------------------------------ */

static bool shared_checked(struct builder *b, const struct manifest_component *c)
{
    struct str app;
    const char *why = NULL;
    return resolve(b, c, &app, &why) != NULL || broken_add(b, c->name, false, why);
}

static bool component_add(struct builder *b, const struct manifest_component *c)
{
    static const struct manifest_scaler one = {.instances = 1};
    bool scaled = false;
    if (c->shared_app.p && !shared_checked(b, c))
        return false;
    for (size_t i = 0; i < c->ntraits; i++) {
        const struct manifest_trait *t = &c->traits[i];
        bool scaler = t->kind == TRAIT_SPREAD || t->kind == TRAIT_DAEMON;
        if (scaler && !scaler_add(b, c, &t->scaler, t->kind == TRAIT_DAEMON))
            return false;
        if (t->kind == TRAIT_LINK && !link_add(b, c, &t->link))
            return false;
        scaled |= scaler;
    }
    return scaled || !c->capability || c->shared_app.p || scaler_add(b, c, &one, false);
}

/* Where a provider would rather run: beside what it is linked with. */
static bool linked_ids(struct builder *b, struct want *provider)
{
    struct str *ids = arena_array(b->arena, struct str, b->n);
    if (!ids)
        return arena_full(b->arena, b->e);
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct want *w = &b->list[i];
        if (w->kind != WANT_LINK)
            continue;
        if (str_eq(w->link.source_id, provider->id))
            ids[n++] = w->link.target;
        else if (str_eq(w->link.target, provider->id))
            ids[n++] = w->link.source_id;
    }
    provider->linked = (struct proto_strs){ids, n};
    return true;
}

/* Upper bounds of what the manifest yields. */
static void count(const struct manifest *m, size_t *wants, size_t *configs)
{
    *wants = *configs = 0;
    for (size_t i = 0; i < m->ncomponents; i++) {
        const struct manifest_component *c = &m->components[i];
        *wants += 2 + c->ntraits;
        *configs += c->inputs.nconfigs + c->inputs.nsecrets;
        for (size_t k = 0; k < c->ntraits; k++) {
            if (c->traits[k].kind != TRAIT_LINK)
                continue;
            const struct manifest_link *l = &c->traits[k].link;
            *configs += l->source_inputs.nconfigs + l->source_inputs.nsecrets +
                        l->target_inputs.nconfigs + l->target_inputs.nsecrets;
        }
    }
}

bool want_app_build(struct arena *a, const struct manifest *m, want_find_fn *find, void *user,
                    struct want_app *out, struct err *e)
{
    struct builder b = {.arena = a, .m = m, .find = find, .user = user, .e = e};
    size_t wants, configs;
    count(m, &wants, &configs);
    b.list = arena_array(a, struct want, wants);
    b.configs = arena_array(a, struct want_config, configs);
    if (!b.list || !b.configs)
        return arena_full(a, e);
    for (size_t i = 0; i < m->ncomponents; i++)
        if (!component_add(&b, &m->components[i]))
            return false;
    for (uint32_t i = 0; i < b.n; i++)
        if (b.list[i].kind == WANT_PROVIDER && !linked_ids(&b, &b.list[i]))
            return false;
    *out = (struct want_app){m->name, b.list, b.n, b.configs, b.nconfigs};
    return true;
}
