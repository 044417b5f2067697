/* SPDX-License-Identifier: Apache-2.0 */
/* Registry and cache put together. A tag is asked for each time, as upstream does; a digest that was pulled before
 * needs nobody. */
#include "hostd/image/pull.h"

#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define PULL_ARENA_MAX (16u << 20)

struct pulling {
    const struct pull *p;
    struct arena arena;
    struct oci_name name;
    struct str key; /* of the cache's tags */
    struct oci *oci;
    struct oci_manifest manifest;
};

static bool open_registry(struct pulling *g, struct err *e)
{
    if (g->oci)
        return true;
    struct oci_access access = g->p->access;
    if (!access.authority)
        access.authority = arena_printf(&g->arena, "%.*s", STR_ARG(g->name.authority));
    if (access.authority && strcmp(access.authority, "docker.io") == 0)
        access.authority = "registry-1.docker.io";
    if (!access.authority)
        return arena_full(&g->arena, e);
    g->oci = oci_open(&access, e);
    return g->oci != NULL;
}

static bool cached_manifest(struct pulling *g, struct span *out)
{
    char digest[DIGEST_LEN + 1];
    return g->p->cache && cache_tag_get(g->p->cache, g->key, digest) &&
           cache_get(g->p->cache, str_of(digest), PULL_ARENA_MAX, out);
}

/* Malloced. */
static bool find_manifest(struct pulling *g, struct span *out, struct err *e)
{
    struct span fetched;
    if (g->name.digest.n && cached_manifest(g, out))
        return true;
    if (open_registry(g, e) && oci_manifest(g->oci, &g->name, &g->arena, &fetched, e)) {
        *out = str_span((struct str){str_dup(span_str(fetched)), fetched.n});
        return true;
    }
    if (!err_may_retry(e->code) || e->code == ERR_CLOSED || !cached_manifest(g, out))
        return false;
    log_warn("registry not reached, using what the tag meant last time", LS("image", g->key),
             LE(e));
    return true;
}

/* The cache is a convenience: what cannot be kept is told and used all the same. */
static void keep(const struct pull *p, struct str digest, struct span bytes)
{
    struct err e = ERR_INIT;
    if (p->cache && !cache_put(p->cache, digest, bytes, &e))
        log_warn("image not kept", LE(&e));
}

/* In the cache it stays while it is used, unless somebody was faster to remove it: we have it in memory. */
static void hold(const struct pull *p, struct str digest)
{
    if (!p->cache || !p->hold)
        return;
    AUTO_FREE char *path = cache_blob_path(p->cache, digest);
    image_hold_add(p->hold, path);
}

static bool add_layer(struct pulling *g, const struct oci_layer *layer, struct buf *out,
                      struct err *e)
{
    struct span cached;
    size_t from = out->n;
    if (g->p->cache && cache_get(g->p->cache, layer->digest, layer->bytes, &cached)) {
        buf_put(out, cached.p, cached.n);
        free((void *)cached.p);
        hold(g->p, layer->digest);
        return buf_ok(out, e);
    }
    if (!open_registry(g, e) || !oci_blob(g->oci, g->name.repository, layer, out, e))
        return false;
    keep(g->p, layer->digest, (struct span){out->p + from, out->n - from});
    hold(g->p, layer->digest);
    return true;
}

static bool fetch(struct pulling *g, enum oci_what what, struct buf *out, struct err *e)
{
    struct span manifest;
    struct err ignored = ERR_INIT;
    if (!find_manifest(g, &manifest, e))
        return false;
    bool ok = oci_manifest_read(manifest, what, g->p->bytes_max, &g->arena, &g->manifest, e);
    for (size_t i = 0; ok && i < g->manifest.nlayers; i++)
        ok = add_layer(g, &g->manifest.layers[i], out, e);
    if (ok && g->p->cache) {
        keep(g->p, g->manifest.digest, manifest);
        hold(g->p, g->manifest.digest);
        cache_tag_put(g->p->cache, g->key, g->manifest.digest, &ignored);
    }
    free((void *)manifest.p);
    return ok;
}

static bool name_image(struct pulling *g, struct str reference, struct err *e)
{
    if (!oci_name_parse(reference, &g->arena, &g->name, e))
        return false;
    const struct oci_name *n = &g->name;
    if (n->said_tag && !n->digest.n && str_eqz(n->tag, "latest") && !g->p->allow_latest)
        return err_set(e, ERR_DENIED,
                       "the tag 'latest' is not allowed here: name a version, or start with "
                       "--allow-latest");
    g->key = str_of(arena_printf(&g->arena, "%.*s/%.*s%c%.*s", STR_ARG(n->authority),
                                 STR_ARG(n->repository), n->digest.n ? '@' : ':',
                                 STR_ARG(n->digest.n ? n->digest : n->tag)));
    return g->key.p || arena_full(&g->arena, e);
}

bool pull_image(const struct pull *p, struct str reference, enum oci_what what, struct span *out,
                char digest[DIGEST_LEN + 1], struct err *e)
{
    struct pulling g = {.p = p};
    struct buf bytes;
    char text[128];
    arena_init(&g.arena, PULL_ARENA_MAX);
    buf_init(&bytes, p->bytes_max);
    bool ok = name_image(&g, reference, e) && fetch(&g, what, &bytes, e);
    if (ok) {
        snprintf(digest, DIGEST_LEN + 1, "%.*s", STR_ARG(g.manifest.digest));
        out->p = buf_take(&bytes, &out->n);
    } else {
        err_wrap(e, "image '%s'", str_escape(reference, text, sizeof text));
    }
    oci_close(g.oci);
    buf_fini(&bytes);
    arena_fini(&g.arena);
    return ok;
}
