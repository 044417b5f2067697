/* SPDX-License-Identifier: Apache-2.0 */
/* A module from the outside: loading, sharing, and what it imports, exports and calls its functions.
 * Owns: the life of struct wasm_module. A module whose load failed is released like any other. */
#include "hostd/wasm/module.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* What decoding may need in proportion to the file, and what translation may (interpreter.md 2.4). */
#define DECODE_BYTES_BASE ((size_t)1 << 20)
#define DECODE_BYTES_PER_BYTE 48
#define CODE_BYTES_BASE ((size_t)16 << 20)
#define CODE_BYTES_PER_BYTE 32

static const struct wasm_limits default_limits = {
    .module_bytes_max = 64u << 20,
    .functions_max = 1000000,
    .body_bytes_max = 8u << 20,
    .locals_max = 50000,
    .data_segments_max = 200000,
    .table_elems_max = 10000000,
    .memory_pages_max = 65536,
};

static uint32_t limit_or(uint32_t given, uint32_t otherwise)
{
    return given ? given : otherwise;
}

static struct wasm_limits effective_limits(const struct wasm_limits *l)
{
    const struct wasm_limits *d = &default_limits;
    if (!l)
        return *d;
    return (struct wasm_limits){
        .module_bytes_max = limit_or(l->module_bytes_max, d->module_bytes_max),
        .functions_max = limit_or(l->functions_max, d->functions_max),
        .body_bytes_max = limit_or(l->body_bytes_max, d->body_bytes_max),
        .locals_max = limit_or(l->locals_max, d->locals_max),
        .data_segments_max = limit_or(l->data_segments_max, d->data_segments_max),
        .table_elems_max = limit_or(l->table_elems_max, d->table_elems_max),
        .memory_pages_max = limit_or(l->memory_pages_max, d->memory_pages_max),
        .code_bytes_max = l->code_bytes_max,
        .threads = l->threads,
        .known_frames = l->known_frames,
    };
}

static bool load(struct wasm_module *m, struct span bytes, bool copy, struct err *e)
{
    if (bytes.n > m->limits.module_bytes_max)
        return err_set(e, ERR_LIMIT, "module has %zu bytes, the limit is %u", bytes.n,
                       m->limits.module_bytes_max);
    arena_init(&m->arena, DECODE_BYTES_BASE + bytes.n * (DECODE_BYTES_PER_BYTE + copy));
    arena_init(&m->code_arena, m->limits.code_bytes_max
                                   ? m->limits.code_bytes_max
                                   : CODE_BYTES_BASE + bytes.n * CODE_BYTES_PER_BYTE);
    m->bytes = copy ? arena_span(&m->arena, bytes) : bytes;
    if (!m->bytes.p && bytes.n)
        return arena_full(&m->arena, e);
    if (!module_decode(m, e) || !module_validate(m, e))
        return false;
    m->code = arena_array(&m->arena, struct func_code *, m->nfuncs - m->nimported_funcs);
    return m->code || arena_full(&m->arena, e);
}

struct wasm_module *wasm_module_load(struct span bytes, bool copy, const struct wasm_limits *limits,
                                     struct err *e)
{
    struct wasm_module *m = xnew(struct wasm_module);
    atomic_init(&m->refs, 1);
    pthread_mutex_init(&m->grow_lock, NULL);
    pthread_mutex_init(&m->translate_lock, NULL);
    m->owns_bytes = copy;
    m->limits = effective_limits(limits);
    if (!load(m, bytes, copy, e)) {
        wasm_module_unref(m);
        return NULL;
    }
    return m;
}

struct wasm_module *wasm_module_ref(struct wasm_module *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void wasm_module_unref(struct wasm_module *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&m->translate_lock);
    pthread_mutex_destroy(&m->grow_lock);
    arena_fini(&m->code_arena);
    arena_fini(&m->arena);
    free(m);
}

/* ---- imports and exports ---- */

static struct wasm_extern_type extern_type(const struct wasm_module *m, enum wasm_kind kind,
                                           uint32_t index)
{
    struct wasm_extern_type t = {.kind = kind, .refs = &m->type_refs};
    switch (kind) {
    case WASM_FUNC:
        t.func = &m->types[m->funcs[index].type];
        break;
    case WASM_TABLE:
        t.type = m->tables[index].elem;
        t.limits = m->tables[index].limits;
        break;
    case WASM_MEMORY:
        t.limits = m->memories[index];
        break;
    case WASM_GLOBAL:
        t.type = m->globals[index].type;
        t.mutable_ = m->globals[index].mutable_;
        break;
    case WASM_TAG:
        t.func = &m->types[m->tags[index]];
        break;
    }
    return t;
}

uint32_t wasm_module_nimports(const struct wasm_module *m)
{
    return m->nimports;
}

struct wasm_extern_type wasm_module_import(const struct wasm_module *m, uint32_t i)
{
    const struct import *import = &m->imports[i];
    struct wasm_extern_type t = extern_type(m, import->kind, import->index);
    t.module = import->module;
    t.name = import->name;
    return t;
}

uint32_t wasm_module_nexports(const struct wasm_module *m)
{
    return m->nexports;
}

struct wasm_extern_type wasm_module_export(const struct wasm_module *m, uint32_t i)
{
    struct wasm_extern_type t = extern_type(m, m->exports[i].kind, m->exports[i].index);
    t.name = m->exports[i].name;
    return t;
}

uint32_t wasm_module_find_export(const struct wasm_module *m, struct str name)
{
    uint32_t low = 0, high = m->nexports;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        uint32_t export_index = m->exports_by_name[mid];
        int order = str_cmp(m->exports[export_index].name, name);
        if (order == 0)
            return export_index;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return UINT32_MAX;
}

struct span wasm_module_custom(const struct wasm_module *m, struct str name, uint32_t nth)
{
    for (uint32_t i = 0; i < m->ncustoms; i++)
        if (str_eq(m->customs[i].name, name) && nth-- == 0)
            return m->customs[i].bytes;
    return (struct span){NULL, 0};
}

/* ---- names ---- */

/* The function-name part of a name section; empty when there is none or the section is malformed, which the
 * specification does not count against the module. */
static struct reader function_names(const struct wasm_module *m, struct err *ignored)
{
    enum { FUNCTION_NAMES = 1 };
    struct reader r;
    rd_init(&r, wasm_module_custom(m, STR("name"), 0), ignored);
    while (rd_more(&r)) {
        uint8_t id = rd_u8(&r);
        struct reader part = rd_part(&r, rd_u32(&r));
        if (id == FUNCTION_NAMES)
            return part;
    }
    r.p = r.end;
    return r;
}

static struct str name_in_section(const struct wasm_module *m, uint32_t func)
{
    struct err ignored;
    struct reader r = function_names(m, &ignored);
    for (uint32_t n = rd_u32(&r); n > 0 && rd_more(&r); n--) {
        uint32_t index = rd_u32(&r);
        struct str name = rd_name(&r);
        if (index == func && rd_ok(&r))
            return name;
    }
    return STR_NONE;
}

/* By which it is exported, else imported. */
static struct str outside_name(const struct wasm_module *m, enum wasm_kind kind, uint32_t index)
{
    for (uint32_t i = 0; i < m->nexports; i++)
        if (m->exports[i].kind == kind && m->exports[i].index == index)
            return m->exports[i].name;
    for (uint32_t i = 0; i < m->nimports; i++)
        if (m->imports[i].kind == kind && m->imports[i].index == index)
            return m->imports[i].name;
    return STR_NONE;
}

struct str module_func_name(const struct wasm_module *m, uint32_t func)
{
    struct str name = name_in_section(m, func);
    return name.p ? name : outside_name(m, WASM_FUNC, func);
}

struct str module_tag_name(const struct wasm_module *m, uint32_t tag)
{
    return outside_name(m, WASM_TAG, tag);
}
