/* SPDX-License-Identifier: Apache-2.0 */
/* A key-value bucket that is opened in the background, again and again until it is there, and watched.
 * Keeps: after bucket_close nothing of the owner is called, although an opening under way may still end. */
#include "manifests/scheduler_int.h"

#include "lattice/base/log.h"

#define RETRY_MS 1000

struct bucket {
    struct bus *bus;
    char *name, *domain;
    uint64_t ttl_ms;
    kv_watch_fn *watch;
    loop_fn *opened;
    void *user;
    struct kv *kv;
    struct kv_watch *watching;
    struct opening *opening;
    struct loop_timer *retry;
    bool complained;
};

/* Outlives the bucket when that is closed first. */
struct opening {
    struct bucket *bucket;
};

static void try_open(void *user);

static void try_later(struct bucket *b, const struct err *why)
{
    if (!b->complained)
        log_warn("scheduler cannot open a bucket yet", LZ("bucket", b->name), LE(why));
    b->complained = true;
    b->retry = loop_after(bus_loop(b->bus), RETRY_MS, try_open, b);
}

static void on_open(void *user, struct kv *kv, const struct err *e)
{
    struct opening *o = user;
    struct bucket *b = o->bucket;
    struct err why = ERR_INIT;
    free(o);
    if (!b) {
        kv_close(kv);
        return;
    }
    b->opening = NULL;
    if (!kv) {
        try_later(b, e);
        return;
    }
    b->kv = kv;
    if (b->watch && !kv_watch_open(kv, STR(">"), false, b->watch, b->user, &b->watching, &why)) {
        kv_close(MOVE(b->kv));
        try_later(b, &why);
        return;
    }
    b->complained = false;
    if (b->opened)
        b->opened(b->user);
}

static void try_open(void *user)
{
    struct bucket *b = user;
    struct err e = ERR_INIT;
    const struct kv_opts opts = {.bucket = str_of(b->name),
                                 .js_domain = str_of(b->domain),
                                 .create = true,
                                 .ttl_ms = b->ttl_ms};
    b->retry = NULL;
    b->opening = xnew(struct opening);
    b->opening->bucket = b;
    if (kv_open(b->bus, &opts, on_open, b->opening, &e))
        return;
    free(MOVE(b->opening));
    try_later(b, &e);
}

struct bucket *bucket_open(const struct bucket_opts *opts)
{
    struct bucket *b = xnew(struct bucket);
    *b = (struct bucket){.bus = opts->bus,
                         .name = str_dup(str_of(opts->name)),
                         .domain = str_dup(str_of(opts->domain)),
                         .ttl_ms = opts->ttl_ms,
                         .watch = opts->watch,
                         .opened = opts->opened,
                         .user = opts->user};
    try_open(b);
    return b;
}

static void bucket_drop(struct bucket *b)
{
    kv_unwatch(&b->watching);
    kv_close(MOVE(b->kv));
    if (b->opening)
        b->opening->bucket = NULL;
    b->opening = NULL;
    loop_timer_stop(&b->retry);
}

void bucket_reopen(struct bucket *b)
{
    bucket_drop(b);
    b->retry = loop_after(bus_loop(b->bus), RETRY_MS, try_open, b);
}

void bucket_close(struct bucket *b)
{
    if (!b)
        return;
    bucket_drop(b);
    free(b->name);
    free(b->domain);
    free(b);
}

struct kv *bucket_kv(const struct bucket *b)
{
    return b->kv;
}
