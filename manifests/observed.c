/* SPDX-License-Identifier: Apache-2.0 */
/* The lattice as last reported: hosts with what they run (from inventories and heartbeats), links and configurations
 * (from the buckets). A cache; the hosts and the buckets are the truth.
 * Keeps: everything about one host (source, configuration) lives in one arena and is replaced as a whole; hosts are
 * sorted by id, so that whoever walks them gets the same answer twice. */
#include "manifests/manifests_int.h"
#include "lattice/base/map.h"

#define SPEC_BYTES (4u << 20)

struct seen_spec {
    UT_hash_handle hh;
    struct arena arena;
    struct str source;
    struct seen_link *links;
    uint32_t n;
};

struct seen_config {
    UT_hash_handle hh;
    struct arena arena;
    struct str name;
    struct proto_map values;
};

/* ---- hosts ----------------------------------------------------------------------------------------- */

static size_t host_index(const struct observed *o, struct str id)
{
    size_t low = 0, high = o->nhosts;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (str_cmp(o->hosts[mid]->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct seen_host *observed_host(const struct observed *o, struct str id)
{
    size_t i = host_index(o, id);
    return i < o->nhosts && str_eq(o->hosts[i]->id, id) ? o->hosts[i] : NULL;
}

struct seen_component *seen_component(const struct seen_host *h, struct str id)
{
    for (uint32_t i = 0; i < h->ncomponents; i++)
        if (str_eq(h->components[i].id, id))
            return &h->components[i];
    return NULL;
}

struct seen_provider *seen_provider(const struct seen_host *h, struct str id)
{
    for (uint32_t i = 0; i < h->nproviders; i++)
        if (str_eq(h->providers[i].id, id))
            return &h->providers[i];
    return NULL;
}

static void host_free(struct seen_host *h)
{
    if (!h)
        return;
    struct arena arena = h->arena; /* h lives in it */
    arena_fini(&arena);
}

static struct str annotation(struct arena *a, const struct proto_map *m, const char *key)
{
    struct str value;
    return proto_map_get(m, str_of(key), &value) ? arena_str(a, value) : STR_NONE;
}

/* The application, when the scheduler of an application put it there. */
static struct str owner(struct arena *a, const struct proto_map *annotations)
{
    struct str by;
    if (!proto_map_get(annotations, STR(ANNOTATION_MANAGED_BY), &by) || !str_eqz(by, "wadm"))
        return STR_NONE;
    return annotation(a, annotations, ANNOTATION_APP);
}

static bool components_copy(struct seen_host *h, const struct proto_inventory *in,
                            const struct seen_host *old)
{
    struct arena *a = &h->arena;
    h->components = arena_array(a, struct seen_component, in->components.n);
    for (uint32_t i = 0; h->components && i < in->components.n; i++) {
        const struct proto_component *from = &in->components.v[i];
        struct seen_component *c = &h->components[i];
        *c = (struct seen_component){.id = arena_str(a, from->id),
                                     .image = arena_str(a, from->image_ref),
                                     .scaler = annotation(a, &from->annotations, ANNOTATION_SCALER),
                                     .spread = annotation(a, &from->annotations, ANNOTATION_SPREAD),
                                     .app = owner(a, &from->annotations),
                                     .max_instances = from->max_instances};
        const struct seen_component *before = old ? seen_component(old, from->id) : NULL;
        if (before && before->confirmed.p && str_eq(before->image, c->image))
            c->confirmed = arena_str(a, before->confirmed);
        if (!c->id.p || !c->image.p)
            return false;
    }
    h->ncomponents = in->components.n;
    return h->components != NULL;
}

static bool providers_copy(struct seen_host *h, const struct proto_inventory *in,
                           const struct seen_host *old)
{
    struct arena *a = &h->arena;
    h->providers = arena_array(a, struct seen_provider, in->providers.n);
    for (uint32_t i = 0; h->providers && i < in->providers.n; i++) {
        const struct proto_provider *from = &in->providers.v[i];
        struct seen_provider *p = &h->providers[i];
        *p = (struct seen_provider){.id = arena_str(a, from->id),
                                    .image = arena_str(a, from->image_ref),
                                    .scaler = annotation(a, &from->annotations, ANNOTATION_SCALER),
                                    .app = owner(a, &from->annotations)};
        const struct seen_provider *before = old ? seen_provider(old, from->id) : NULL;
        if (before && before->unhealthy) {
            p->unhealthy = true;
            p->complaint = arena_str(a, before->complaint);
        }
        if (!p->id.p || !p->image.p)
            return false;
    }
    h->nproviders = in->providers.n;
    return h->providers != NULL;
}

static struct seen_host *host_copy(const struct proto_inventory *in, const struct seen_host *old,
                                   struct err *e)
{
    struct arena arena;
    arena_init(&arena, OBSERVED_HOST_BYTES);
    struct seen_host *h = arena_new(&arena, struct seen_host);
    if (h) {
        h->arena = arena;
        h->id = arena_str(&h->arena, in->host_id);
        h->name = arena_str(&h->arena, in->friendly_name);
        h->labels = proto_map_copy(&h->arena, &in->labels);
        if (h->id.p && h->name.p && (h->labels.v || in->labels.n == 0) &&
            components_copy(h, in, old) && providers_copy(h, in, old))
            return h;
        arena = h->arena;
    }
    arena_full(&arena, e);
    arena_fini(&arena);
    return NULL;
}

static bool same_str(struct str a, struct str b)
{
    return (a.p != NULL) == (b.p != NULL) && str_eq(a, b);
}

static bool host_same(const struct seen_host *a, const struct seen_host *b)
{
    if (a->ncomponents != b->ncomponents || a->nproviders != b->nproviders ||
        !proto_map_eq(&a->labels, &b->labels))
        return false;
    for (uint32_t i = 0; i < a->ncomponents; i++) {
        const struct seen_component *x = &a->components[i], *y = seen_component(b, x->id);
        if (!y || x->max_instances != y->max_instances || !str_eq(x->image, y->image) ||
            !same_str(x->scaler, y->scaler) || !same_str(x->spread, y->spread) ||
            !same_str(x->app, y->app))
            return false;
    }
    for (uint32_t i = 0; i < a->nproviders; i++) {
        const struct seen_provider *x = &a->providers[i], *y = seen_provider(b, x->id);
        if (!y || !str_eq(x->image, y->image) || !same_str(x->scaler, y->scaler) ||
            !same_str(x->app, y->app))
            return false;
    }
    return true;
}

bool observed_host_set(struct observed *o, const struct proto_inventory *in, bool *changed,
                       struct err *e)
{
    size_t i = host_index(o, in->host_id);
    struct seen_host *old = observed_host(o, in->host_id);
    if (!proto_token_ok(in->host_id))
        return err_set(e, ERR_INVALID, "an inventory without a host id");
    if (!old && o->nhosts == OBSERVED_HOSTS_MAX)
        return err_set(e, ERR_LIMIT, "more hosts than the limit of %u", OBSERVED_HOSTS_MAX);
    struct seen_host *h = host_copy(in, old, e);
    if (!h)
        return false;
    *changed = !old || !host_same(old, h);
    if (!old) {
        o->hosts = xrealloc(o->hosts, (o->nhosts + 1) * sizeof(struct seen_host *));
        memmove(&o->hosts[i + 1], &o->hosts[i], (o->nhosts - i) * sizeof(struct seen_host *));
        o->nhosts++;
    }
    o->hosts[i] = h;
    host_free(old);
    return true;
}

void observed_host_del(struct observed *o, struct str id)
{
    size_t i = host_index(o, id);
    struct seen_host *h = observed_host(o, id);
    if (!h)
        return;
    memmove(&o->hosts[i], &o->hosts[i + 1], (o->nhosts - i - 1) * sizeof(struct seen_host *));
    o->nhosts--;
    host_free(h); /* last: id may be a view of it */
}

void observed_host_confirm(struct seen_host *h, struct str component, struct str scaler)
{
    struct seen_component *c = seen_component(h, component);
    if (c && !same_str(c->scaler, scaler) && !same_str(c->confirmed, scaler))
        c->confirmed = arena_str(&h->arena, scaler);
}

bool observed_health(struct seen_host *h, struct str provider, bool unhealthy, struct str complaint)
{
    struct seen_provider *p = seen_provider(h, provider);
    if (!p || (p->unhealthy == unhealthy && str_eq(p->complaint, complaint)))
        return false;
    p->unhealthy = unhealthy;
    p->complaint = complaint.n > 0 ? arena_str(&h->arena, complaint) : STR_NONE;
    return true;
}

bool observed_runs(const struct observed *o, struct str id)
{
    for (size_t i = 0; i < o->nhosts; i++)
        if (seen_component(o->hosts[i], id) || seen_provider(o->hosts[i], id))
            return true;
    return false;
}

bool labels_match(const struct proto_map *labels, const struct proto_map *requirements)
{
    for (uint32_t i = 0; i < requirements->n; i++) {
        struct str value;
        if (!proto_map_get(labels, requirements->v[i].key, &value) ||
            !str_eq(value, requirements->v[i].value))
            return false;
    }
    return true;
}

/* ---- links ----------------------------------------------------------------------------------------- */

static void spec_free(struct observed *o, struct seen_spec *s)
{
    if (!s)
        return;
    HASH_DELETE(hh, o->specs, s);
    arena_fini(&s->arena);
    free(s);
}

static const struct seen_link *link_in(const struct seen_spec *s, const struct proto_link *l,
                                       bool any_target)
{
    for (uint32_t i = 0; s && i < s->n; i++) {
        const struct proto_link *have = &s->links[i].link;
        if (str_eq(have->name, l->name) && str_eq(have->wit_namespace, l->wit_namespace) &&
            str_eq(have->wit_package, l->wit_package) &&
            (any_target || str_eq(have->target, l->target)))
            return &s->links[i];
    }
    return NULL;
}

bool observed_spec_set(struct observed *o, struct str source, const struct proto_spec *spec,
                       struct err *e)
{
    struct seen_spec *old, *s;
    MAP_FIND(o->specs, source, old);
    if (!spec || spec->links.n == 0) {
        spec_free(o, old);
        return true;
    }
    s = xnew(struct seen_spec);
    arena_init(&s->arena, SPEC_BYTES);
    s->source = arena_str(&s->arena, source);
    s->links = arena_array(&s->arena, struct seen_link, spec->links.n);
    bool ok = s->source.p && s->links;
    for (uint32_t i = 0; ok && i < spec->links.n; i++) {
        struct seen_link *l = &s->links[i];
        ok = proto_link_copy(&s->arena, &spec->links.v[i], &l->link, e);
        const struct seen_link *before = ok ? link_in(old, &l->link, false) : NULL;
        l->stale = before && before->stale && proto_link_eq(&before->link, &l->link);
    }
    if (!ok) {
        arena_full(&s->arena, e);
        arena_fini(&s->arena);
        free(s);
        return false;
    }
    s->n = spec->links.n;
    spec_free(o, old);
    MAP_ADD(o->specs, s->source, s);
    return true;
}

const struct seen_link *observed_link(const struct observed *o, const struct proto_link *l)
{
    struct seen_spec *s;
    MAP_FIND(o->specs, l->source_id, s);
    const struct seen_link *same = link_in(s, l, false);
    return same ? same : link_in(s, l, true);
}

static void links_stale(struct observed *o, struct str config)
{
    for (struct seen_spec *s = o->specs; s; s = s->hh.next)
        for (uint32_t i = 0; i < s->n; i++)
            if (proto_strs_has(&s->links[i].link.source_config, config) ||
                proto_strs_has(&s->links[i].link.target_config, config))
                s->links[i].stale = true;
}

/* ---- configurations -------------------------------------------------------------------------------- */

static void config_free(struct observed *o, struct seen_config *c)
{
    if (!c)
        return;
    HASH_DELETE(hh, o->configs, c);
    arena_fini(&c->arena);
    free(c);
}

bool observed_config_set(struct observed *o, struct str name, const struct proto_map *values,
                         struct err *e)
{
    struct seen_config *old, *c;
    MAP_FIND(o->configs, name, old);
    if (!values) {
        config_free(o, old);
        return true;
    }
    if (old && proto_map_eq(&old->values, values))
        return true;
    c = xnew(struct seen_config);
    arena_init(&c->arena, SPEC_BYTES);
    c->name = arena_str(&c->arena, name);
    c->values = proto_map_copy(&c->arena, values);
    if (!c->name.p || (!c->values.v && values->n > 0)) {
        arena_full(&c->arena, e);
        arena_fini(&c->arena);
        free(c);
        return false;
    }
    if (old)
        links_stale(o, name);
    config_free(o, old);
    MAP_ADD(o->configs, c->name, c);
    return true;
}

const struct proto_map *observed_config(const struct observed *o, struct str name)
{
    struct seen_config *c;
    MAP_FIND(o->configs, name, c);
    return c ? &c->values : NULL;
}

void observed_specs_clear(struct observed *o)
{
    while (o->specs)
        spec_free(o, o->specs);
}

void observed_configs_clear(struct observed *o)
{
    while (o->configs)
        config_free(o, o->configs);
}

void observed_fini(struct observed *o)
{
    while (o->nhosts > 0)
        host_free(o->hosts[--o->nhosts]);
    free(o->hosts);
    observed_specs_clear(o);
    observed_configs_clear(o);
    *o = (struct observed){0};
}
