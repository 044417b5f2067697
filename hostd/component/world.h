/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hostd/component: a component's world, or the interfaces and worlds of a package in its binary form, as
 * world.c finds it and world_text.c writes it down. All of it lies
 * in one arena; lists are in the order in which the component names things. */
#ifndef HOSTD_COMPONENT_WORLD_H
#define HOSTD_COMPONENT_WORLD_H

#include "hostd/component/component_int.h"

#define WORLD_ARENA_MAX ((size_t)128 << 20)
#define WORLD_PACKAGES_DEEP 64 /* that use one another's types */

struct world_func {
    struct str name; /* without the resource that it belongs to */
    enum name_kind kind;
    const struct wit_func *type;
    struct world_func *next;
};
struct world_funcs {
    struct world_func *first, **end;
};

struct world_type {
    struct str name;
    const struct def *def; /* a value or a resource */
    const struct world_iface *iface;
    const struct world_type *same; /* what it is another name of; NULL: it is declared here */
    struct world_funcs funcs;      /* of a resource */
    struct world_type *next;
};

struct world_iface {
    struct wit_name name;
    struct world_package *package; /* NULL: written where it is mentioned; also the world itself */
    struct world_type *types, **types_end;
    struct world_funcs funcs; /* of no resource */
    struct name_map type_at;  /* into world.types */
    struct name_map func_seen;
    struct world_iface *next; /* of the package */
};

struct world_package {
    const struct wit_name *name; /* of one of its interfaces */
    struct world_iface *ifaces, **ifaces_end;
    bool ordered;
    struct world_package *next; /* in the order of writing: after those whose types it uses */
};

/* An interface, or a function by itself. */
struct world_item {
    struct str name;
    const struct world_iface *iface;
    const struct world_func *func;
    struct world_item *next;
};

/* One world: of a component, or of a package. */
struct world_scope {
    struct str name;
    struct world_iface own; /* types and functions that it imports by themselves */
    struct world_item *imports, **imports_end; /* interfaces */
    struct world_item *exports, **exports_end; /* interfaces and functions */
    struct world_scope *next;
};

struct world {
    struct arena arena;
    struct world_package *main; /* which all is about; NULL: a component */
    struct world_scope *scopes, **scopes_end;
    struct world_package *order, **order_end; /* the others */
    struct ptr_map type_of;                   /* naming or resource -> world_type */
    struct name_map iface_at, package_at;
    struct world_type **types;
    struct world_iface **ifaces;
    struct world_package **packages;
    uint32_t ntypes, nifaces, npackages, types_cap, ifaces_cap, packages_cap;
};

/* Fills `w`, whose arena the caller releases in any case. ERR_UNSUPPORTED: WIT has no way to say it. */
bool world_read(struct world *w, const struct comp_type *component, struct err *e);
/* The type that a naming or a resource stands for; NULL: none that has a name in this world. */
const struct world_type *world_type_of(const struct world *w, const void *naming_or_resource);
bool world_write(const struct world *w, struct buf *out, struct err *e);

#endif
