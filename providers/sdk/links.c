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
    struct arena arena; /* wiped */
    struct proto_link_def def;
    struct proto_secrets secrets; /* our side's */
    struct proto_map settings;    /* our side's configuration with them */
    struct sdk_link link;
};

struct links {
    const struct sdk_provider *provider;
    void *self;
    struct str id;
    const struct sdk_keys *keys;
    struct entry *first, **last;
    uint32_t n;
};

struct links *links_new(const struct sdk_provider *provider, void *self, struct str id,
                        const struct sdk_keys *keys)
{
    struct links *links = xnew(struct links);
    *links = (struct links){.provider = provider, .self = self, .id = id, .keys = keys};
    links->last = &links->first;
    return links;
}

static void free_entry(struct entry *entry)
{
    arena_wipe(&entry->arena);
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

static bool same_secrets(const struct proto_secrets *a, const struct proto_secrets *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        if (!str_eq(a->v[i].name, b->v[i].name) || !str_eq(a->v[i].string, b->v[i].string) ||
            !str_eq(span_str(a->v[i].bytes), span_str(b->v[i].bytes)))
            return false;
    }
    return true;
}

/* Boxes of the same secrets differ, so what is in them is compared. */
static bool same_content(const struct entry *a, const struct entry *b)
{
    return proto_strs_eq(&a->def.interfaces, &b->def.interfaces) &&
           proto_map_eq(&a->def.source_config, &b->def.source_config) &&
           proto_map_eq(&a->def.target_config, &b->def.target_config) &&
           same_secrets(&a->secrets, &b->secrets);
}

static bool fill_entry(struct entry *entry, const struct links *links,
                       const struct proto_link_def *def, struct err *e)
{
    bool source = entry->link.role == SDK_SOURCE;
    const struct proto_link_def *own = &entry->def;
    if (!proto_link_def_copy(&entry->arena, def, &entry->def, e) ||
        !keys_open(links->keys, source ? own->source_secrets : own->target_secrets, &entry->arena,
                   &entry->secrets, e) ||
        !secrets_overlay(source ? &own->source_config : &own->target_config, &entry->secrets,
                         &entry->arena, &entry->settings, e))
        return false;
    entry->link.def = &entry->def;
    entry->link.config = &entry->settings;
    entry->link.secrets = &entry->secrets;
    return true;
}

static struct entry *entry_new(const struct links *links, const struct proto_link_def *def,
                               enum sdk_role role, struct err *e)
{
    struct entry *entry = xnew(struct entry);
    entry->link.role = role;
    arena_init(&entry->arena, LINK_BYTES_MAX);
    if (fill_entry(entry, links, def, e))
        return entry;
    free_entry(entry);
    return NULL;
}

static bool put_role(struct links *links, const struct proto_link_def *def, enum sdk_role role,
                     struct err *e)
{
    struct entry *entry = entry_new(links, def, role, e);
    if (!entry)
        return false;
    struct entry **old = find(links, def, role);
    if (*old && same_content(*old, entry)) {
        free_entry(entry);
        return true;
    }
    if (*old)
        remove_at(links, old);
    if (links->n == LINKS_MAX) {
        free_entry(entry);
        return err_set(e, ERR_LIMIT, "more than %u links", LINKS_MAX);
    }
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
