/* SPDX-License-Identifier: Apache-2.0 */
/* The links a provider holds.
 * Keeps: one entry per role, counterpart, interface and name; the provider hears link_put and link_del of an entry
 * strictly in turn. Every entry owns a copy of its definition. */
#include "providers/sdk/sdk_int.h"

#include "lattice/base/alloc.h"

#define LINK_BYTES_MAX (1u << 20) /* of one definition, configuration included */
#define LINKS_MAX 10000u

struct entry {
    struct entry *next;
    struct arena arena;
    struct proto_link_def def;
    struct sdk_link link;
};

struct links {
    const struct sdk_provider *provider;
    void *self;
    struct str id;
    struct entry *first, **last;
    uint32_t n;
};

struct links *links_new(const struct sdk_provider *provider, void *self, struct str id)
{
    struct links *links = xnew(struct links);
    *links = (struct links){.provider = provider, .self = self, .id = id};
    links->last = &links->first;
    return links;
}

static void free_entry(struct entry *entry)
{
    arena_fini(&entry->arena);
    free(entry);
}

static void remove_at(struct links *links, struct entry **at)
{
    struct entry *entry = *at;
    links->provider->link_del(links->self, &entry->link);
    *at = entry->next;
    if (!*at)
        links->last = at;
    links->n--;
    free_entry(entry);
}

void links_free(struct links *links)
{
    if (!links)
        return;
    while (links->first)
        remove_at(links, &links->first);
    free(links);
}

/* A removal may come without target and interfaces. */
static bool same_link(const struct proto_link_def *a, const struct proto_link_def *b)
{
    return str_eq(a->source_id, b->source_id) && str_eq(a->name, b->name) &&
           str_eq(a->wit_namespace, b->wit_namespace) && str_eq(a->wit_package, b->wit_package) &&
           (b->target.n == 0 || str_eq(a->target, b->target));
}

static struct entry **find(struct links *links, const struct proto_link_def *def,
                           enum sdk_role role)
{
    struct entry **at = &links->first;
    while (*at && !((*at)->link.role == role && same_link(&(*at)->def, def)))
        at = &(*at)->next;
    return at;
}

static bool span_eq(struct span a, struct span b)
{
    return str_eq(span_str(a), span_str(b));
}

static bool same_content(const struct proto_link_def *a, const struct proto_link_def *b)
{
    return proto_strs_eq(&a->interfaces, &b->interfaces) &&
           proto_map_eq(&a->source_config, &b->source_config) &&
           proto_map_eq(&a->target_config, &b->target_config) &&
           span_eq(a->source_secrets, b->source_secrets) &&
           span_eq(a->target_secrets, b->target_secrets);
}

/* Copies the bytes of *s; false when there were some and no room. */
static bool own(struct arena *a, struct str *s)
{
    if (!s->p)
        return true;
    *s = arena_str(a, *s);
    return s->p != NULL;
}

static bool copy_def(struct arena *a, const struct proto_link_def *in, struct proto_link_def *out,
                     struct err *e)
{
    struct proto_link_def d = *in;
    struct str source_secrets = span_str(in->source_secrets),
               target_secrets = span_str(in->target_secrets);
    d.interfaces = proto_strs_copy(a, &in->interfaces);
    d.source_config = proto_map_copy(a, &in->source_config);
    d.target_config = proto_map_copy(a, &in->target_config);
    bool ok = own(a, &d.source_id) && own(a, &d.target) && own(a, &d.name) &&
              own(a, &d.wit_namespace) && own(a, &d.wit_package) && own(a, &source_secrets) &&
              own(a, &target_secrets) && (d.interfaces.v || !in->interfaces.v) &&
              (d.source_config.v || !in->source_config.v) &&
              (d.target_config.v || !in->target_config.v);
    if (!ok)
        return arena_full(a, e);
    d.source_secrets = str_span(source_secrets);
    d.target_secrets = str_span(target_secrets);
    *out = d;
    return true;
}

static bool put_role(struct links *links, const struct proto_link_def *def, enum sdk_role role,
                     struct err *e)
{
    struct entry **old = find(links, def, role);
    if (*old) {
        if (same_content(&(*old)->def, def))
            return true;
        remove_at(links, old);
    }
    if (links->n == LINKS_MAX)
        return err_set(e, ERR_LIMIT, "more than %u links", LINKS_MAX);
    struct entry *entry = xnew(struct entry);
    arena_init(&entry->arena, LINK_BYTES_MAX);
    if (!copy_def(&entry->arena, def, &entry->def, e)) {
        free_entry(entry);
        return false;
    }
    entry->link.role = role;
    entry->link.def = &entry->def;
    entry->link.config = role == SDK_SOURCE ? &entry->def.source_config : &entry->def.target_config;
    *links->last = entry;
    links->last = &entry->next;
    links->n++;
    links->provider->link_put(links->self, &entry->link);
    return true;
}

bool links_put(struct links *links, const struct proto_link_def *def, struct err *e)
{
    if (str_eq(def->source_id, links->id) && !put_role(links, def, SDK_SOURCE, e))
        return false;
    if (str_eq(def->target, links->id) && !put_role(links, def, SDK_TARGET, e))
        return false;
    return true;
}

void links_del(struct links *links, const struct proto_link_def *def)
{
    for (enum sdk_role role = SDK_SOURCE; role <= SDK_TARGET; role++) {
        struct entry **at = find(links, def, role);
        if (*at)
            remove_at(links, at);
    }
}
