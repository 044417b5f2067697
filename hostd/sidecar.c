/* SPDX-License-Identifier: Apache-2.0 */
/* Providers as supervised processes. Each goes through
 *     PREPARING (image -> policy -> claims -> spec -> config) -> BUILDING (links) -> SPAWNING -> RUNNING
 *     -> (exit) WAITING -> BUILDING ...
 * and leaves by STOPPING (shutdown request, a moment for it to go, kill) or by a failure.
 * Owns: the table, per provider its process, its requests and its xkey.
 * Keeps: at most one process per id; what changes (links, config) between reading it for the host data and the first
 * sign of life is sent again then, since before that nobody listens. */
#include "hostd/sidecar.h"

#include <assert.h>
#include <utlist.h>

#include "hostd/image/image.h"
#include "hostd/policy.h"
#include "hostd/process.h"
#include "hostd/sidecar_int.h"
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

static void start_again(void *user);
static void ended(struct sidecar *s, enum sidecar_news news, const struct err *e);

/* ---- the table ------------------------------------------------------------------------------------- */

static struct sidecar *find(const struct sidecars *ss, struct str id)
{
    struct sidecar *s;
    MAP_FIND(ss->table, id, s);
    return s;
}

enum sidecar_state sidecar_state(const struct sidecars *ss, struct str id)
{
    const struct sidecar *s = find(ss, id);
    return !s ? SIDECAR_NONE : s->listed ? SIDECAR_RUNNING : SIDECAR_STARTING;
}

static struct sidecar_info describe(const struct sidecar *s)
{
    return (struct sidecar_info){
        .id = s->spec.id,
        .image_ref = s->image_ref,
        .given_ref = s->spec.ref,
        .annotations = s->spec.annotations,
        .name = s->claims ? s->claims->event.name : STR_NONE,
        .revision = s->claims ? s->claims->revision : 0,
        .claims = s->claims ? &s->claims->event : NULL,
    };
}

struct sidecar_iter sidecars_iter(const struct sidecars *ss)
{
    return (struct sidecar_iter){.at = ss->table};
}

bool sidecar_next(struct sidecar_iter *it)
{
    const struct sidecar *s = it->at;
    while (s && !s->listed)
        s = s->hh.next;
    if (!s)
        return false;
    it->info = describe(s);
    it->at = s->hh.next;
    return true;
}

void sidecar_tell(struct sidecar *s, enum sidecar_news news, const struct err *e)
{
    struct sidecar_info info = describe(s);
    if (!s->ss->stopping_all)
        s->ss->opts.news(s->ss->opts.user, news, &info, e);
}

/* ---- host data and start --------------------------------------------------------------------------- */

static void fail(struct sidecar *s, const struct err *e, const char *doing)
{
    struct err wrapped = *e;
    err_wrap(&wrapped, "%s", doing);
    ended(s, s->listed ? SIDECAR_LOST : SIDECAR_START_FAILED, &wrapped);
}

static void on_program(void *user, const struct err *e)
{
    struct sidecar *s = user;
    if (s->state == STATE_STOPPING) {
        if (e)
            ended(s, SIDECAR_STOPPED, NULL);
        return;
    }
    if (e) {
        fail(s, e, "start the provider's process");
        return;
    }
    s->state = STATE_RUNNING;
    s->started_ms = clock_mono_ms();
    log_info("provider started", LS("provider", s->spec.id), LI("pid", process_pid(s->process)));
    sidecar_health_begin(s);
    if (!s->listed) {
        s->listed = true;
        sidecar_tell(s, SIDECAR_STARTED, NULL);
    }
}

/* 0 at first, then 0.5 s doubling to 30 s; a process that lived for a while starts over. */
static uint64_t restart_delay_ms(struct sidecar *s)
{
    if (clock_mono_ms() - s->started_ms >= RESTART_CALM_MS)
        s->restarts = 0;
    uint32_t n = s->restarts++;
    return n == 0 ? 0 : MIN((uint64_t)RESTART_MIN_MS << MIN(n - 1, 10u), (uint64_t)RESTART_MAX_MS);
}

static void on_exited(void *user, const char *how)
{
    struct sidecar *s = user;
    process_free(s->process);
    s->process = NULL;
    if (s->state == STATE_STOPPING) {
        ended(s, SIDECAR_STOPPED, NULL);
        return;
    }
    uint64_t delay_ms = restart_delay_ms(s);
    log_warn("provider ended, starting it again", LS("provider", s->spec.id), LZ("how", how),
             LI("delay_ms", delay_ms));
    sidecar_health_end(s);
    sidecar_drop_links(s);
    s->state = STATE_WAITING;
    s->timer = loop_after(s->ss->loop, delay_ms, start_again, s);
}

static void spawn(struct sidecar *s)
{
    struct err e = ERR_INIT;
    struct buf line = {.secret = true};
    s->state = STATE_SPAWNING;
    if (sidecar_host_data(s, &line, &e)) {
        struct process_opts opts = {.path = s->path,
                                    .env = (const char *const *)s->ss->env,
                                    .input = buf_span(&line),
                                    .on_started = on_program,
                                    .on_exit = on_exited,
                                    .user = s};
        process_start(s->ss->loop, &opts, &s->process, &e);
    }
    buf_fini(&line);
    if (!s->process)
        fail(s, &e, "start the provider's process");
}

static void build(struct sidecar *s)
{
    s->state = STATE_BUILDING;
    sidecar_resolve_links(s, spawn);
}

/* ---- preparation: image, claims, spec, config -------------------------------------------------------------- */

static void on_config_changed(void *user)
{
    sidecar_send_config(user);
}

static void on_config(void *user, const struct err *e)
{
    struct sidecar *s = user;
    if (e) {
        fail(s, e, "read the provider's configuration");
        return;
    }
    grant_config_listen(s->config, on_config_changed, s);
    build(s);
}

static void read_config(struct sidecar *s)
{
    struct secrets_who who = claims_who(s->claims, &s->spec.annotations);
    struct err e = ERR_INIT;
    grant_config_close(&s->config);
    if (!grant_config_open(s->ss->opts.grants, &s->spec.config, &who, on_config, s, &s->config, &e))
        fail(s, &e, "read the provider's configuration");
}

/* Configuration was kept current; secrets are as they are by now. */
static void start_again(void *user)
{
    struct sidecar *s = user;
    s->timer = NULL;
    if (config_secrets(grant_config_now(s->config)))
        read_config(s);
    else
        build(s);
}

static void on_spec(void *user, const struct err *why)
{
    struct sidecar *s = user;
    if (why)
        fail(s, why, "store the provider's spec");
    else
        read_config(s);
}

static void ensure_spec(struct sidecar *s)
{
    struct err e = ERR_INIT;
    if (!grant_spec_ensure(s->ss->opts.grants, s->spec.id, s->image_ref, on_spec, s, &e))
        fail(s, &e, "store the provider's spec");
}

static void on_claims(void *user, const struct err *why)
{
    struct sidecar *s = user;
    if (why)
        fail(s, why, "store the provider's claims");
    else
        ensure_spec(s);
}

static void store_claims(struct sidecar *s)
{
    struct err e = ERR_INIT;
    if (!s->claims)
        ensure_spec(s);
    else if (!grant_claims_put(s->ss->opts.grants, &s->claims->stored, on_claims, s, &e))
        fail(s, &e, "store the provider's claims");
}

static void on_permitted(void *user, const struct err *e)
{
    struct sidecar *s = user;
    s->asking = NULL;
    if (e)
        fail(s, e, "start the provider");
    else
        store_claims(s);
}

static void permit(struct sidecar *s)
{
    struct err e = ERR_INIT;
    struct policy_question q = {.kind = PROTO_POLICY_PROVIDER,
                                .provider = {.provider_id = s->spec.id,
                                             .image_ref = s->image_ref,
                                             .annotations = s->spec.annotations,
                                             .claims = s->claims ? &s->claims->policy : NULL}};
    if (!policy_ask(s->ss->opts.policy, &q, on_permitted, s, &s->asking, &e))
        fail(s, &e, "start the provider");
    else if (!s->asking)
        store_claims(s);
}

static void on_image(void *user, const struct image_provider *p, const struct err *why)
{
    struct lookup *l = user;
    struct sidecar *s = l->s;
    struct err e = ERR_INIT;
    lookup_end(l);
    if (!s) {
        image_hold_free(p ? p->hold : NULL);
        return;
    }
    if (why) {
        fail(s, why, "fetch the provider");
        return;
    }
    s->path = str_dup(p->path);
    s->hold = p->hold;
    if (!claims_of_provider(p->token, &s->claims, &e))
        fail(s, &e, "check the provider's claims");
    else
        permit(s);
}

static bool fetch(struct sidecar *s, struct err *e)
{
    struct lookup *l = lookup_new(s);
    if (image_provider_find(s->ss->opts.images, s->spec.ref, on_image, l, e))
        return true;
    lookup_end(l);
    return false;
}

/* Begins from the loop, so that even what is refused at once is told after sidecar_start returned. */
static void begin(void *user)
{
    struct sidecar *s = user;
    struct err e = ERR_INIT;
    s->timer = NULL;
    if (!fetch(s, &e))
        fail(s, &e, "fetch the provider");
}

static bool copy_spec(struct sidecar *s, const struct sidecar_spec *spec, struct err *e)
{
    struct image_ref ref;
    s->spec = (struct sidecar_spec){.id = arena_str(&s->arena, spec->id),
                                    .ref = arena_str(&s->arena, spec->ref),
                                    .annotations = proto_map_copy(&s->arena, &spec->annotations),
                                    .config = proto_strs_copy(&s->arena, &spec->config)};
    if (!s->spec.id.p || !s->spec.ref.p || !s->spec.annotations.v || !s->spec.config.v)
        return arena_full(&s->arena, e);
    if (!image_ref_parse(s->spec.ref, &s->arena, &ref, e))
        return false;
    s->image_ref = ref.normal;
    return true;
}

bool sidecar_start(struct sidecars *ss, const struct sidecar_spec *spec, struct err *e)
{
    assert(!find(ss, spec->id));
    if (HASH_COUNT(ss->table) >= SIDECARS_MAX)
        return err_set(e, ERR_LIMIT, "%u providers run on this host already", SIDECARS_MAX);
    struct sidecar *s = xnew(struct sidecar);
    s->ss = ss;
    arena_init(&s->arena, SIDECAR_BYTES_MAX);
    if (!copy_spec(s, spec, e)) {
        arena_fini(&s->arena);
        free(s);
        return false;
    }
    id_key_generate(ID_CURVE, &s->xkey);
    MAP_ADD(ss->table, s->spec.id, s);
    s->timer = loop_after(ss->loop, 0, begin, s);
    return true;
}

/* ---- the end --------------------------------------------------------------------------------------- */

static void sidecar_free(struct sidecar *s)
{
    MAP_DEL(s->ss->table, s);
    while (s->lookups)
        lookup_forget(s->lookups);
    policy_forget(&s->asking);
    grant_forget(s->ss->opts.grants, s);
    loop_timer_stop(&s->timer);
    sidecar_health_end(s);
    sidecar_drop_links(s);
    bus_cancel(&s->shutdown);
    grant_config_close(&s->config);
    process_free(s->process);
    id_key_fini(&s->xkey);
    claims_free(s->claims);
    image_hold_free(s->hold);
    free(s->path);
    arena_fini(&s->arena);
    free(s);
}

static void all_stopped(void *user)
{
    struct sidecars *ss = user;
    ss->timer = NULL;
    ss->all_done(ss->all_user);
}

/* It is gone, one way or another. */
static void ended(struct sidecar *s, enum sidecar_news news, const struct err *e)
{
    struct sidecars *ss = s->ss;
    struct stopper *stoppers = s->stoppers, *next;
    if (e)
        log_warn(news == SIDECAR_LOST ? "provider lost" : "provider not started",
                 LS("provider", s->spec.id), LE(e));
    else
        log_info("provider stopped", LS("provider", s->spec.id));
    s->listed = false;
    sidecar_tell(s, news, e);
    sidecar_free(s);
    LL_FOREACH_SAFE(stoppers, stoppers, next)
    {
        stoppers->done(stoppers->user);
        free(stoppers);
    }
    if (ss->stopping_all && !ss->table && !ss->timer)
        ss->timer = loop_after(ss->loop, 0, all_stopped, ss);
}

static void kill_it(void *user)
{
    struct sidecar *s = user;
    s->timer = NULL;
    process_kill(s->process);
}

/* An answer means that it goes by itself: it gets the rest of the delay. */
static void on_shutdown(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct sidecar *s = user;
    (void)e;
    s->shutdown = NULL;
    if (!msg) {
        loop_timer_stop(&s->timer);
        kill_it(s);
    }
}

static void stop(struct sidecar *s)
{
    const struct sidecar_opts *o = &s->ss->opts;
    struct err e = ERR_INIT;
    bool runs = s->state == STATE_RUNNING;
    if (s->state == STATE_STOPPING)
        return;
    s->state = STATE_STOPPING;
    loop_timer_stop(&s->timer);
    sidecar_health_end(s);
    sidecar_drop_links(s);
    if (!s->process) {
        err_set(&e, ERR_CLOSED, "stopped while it was being started");
        ended(s, s->listed ? SIDECAR_STOPPED : SIDECAR_START_FAILED, s->listed ? NULL : &e);
    } else if (!runs || !sidecar_ask_shutdown(s, on_shutdown)) {
        process_kill(s->process);
    } else {
        s->timer = loop_after(s->ss->loop, o->shutdown_ms, kill_it, s);
    }
}

bool sidecar_stop(struct sidecars *ss, struct str id, loop_fn *done, void *user)
{
    struct sidecar *s = find(ss, id);
    if (!s)
        return false;
    struct stopper *st = xnew(struct stopper);
    st->done = done;
    st->user = user;
    LL_PREPEND(s->stoppers, st);
    stop(s);
    return true;
}

void sidecars_stop_all(struct sidecars *ss, loop_fn *done, void *user)
{
    struct sidecar *s, *next;
    ss->stopping_all = true;
    ss->all_done = done;
    ss->all_user = user;
    HASH_ITER(hh, ss->table, s, next)
    stop(s);
    if (!ss->table && !ss->timer)
        ss->timer = loop_after(ss->loop, 0, all_stopped, ss);
}

void sidecars_link_added(struct sidecars *ss, const struct proto_link *link)
{
    struct sidecar *source = find(ss, link->source_id), *target = find(ss, link->target);
    if (source)
        sidecar_send_link(source, link);
    if (target && target != source)
        sidecar_send_link(target, link);
}

/* ---- life of the whole ----------------------------------------------------------------------------- */

/* Takes line. */
static char **env_add(char **env, size_t *n, char *line)
{
    env = xrealloc(env, (*n + 2) * sizeof *env);
    env[(*n)++] = line;
    env[*n] = NULL;
    return env;
}

/* The environment of a provider: cleared, except for logging and telemetry settings, and what ours need to know. */
static char **pick_env(char **env, struct str ca_file)
{
    char **picked = xnew(char *);
    size_t n = 0;
    for (; *env; env++) {
        struct str line = str_of(*env);
        if (str_starts(line, STR("RUST_LOG=")) || str_starts(line, STR("OTEL_")))
            picked = env_add(picked, &n, str_dup(line));
    }
    if (ca_file.n)
        picked = env_add(picked, &n, xasprintf(PROTO_CA_FILE_ENV "=%.*s", STR_ARG(ca_file)));
    return picked;
}

struct sidecars *sidecars_open(const struct sidecar_opts *opts)
{
    struct sidecars *ss = xnew(struct sidecars);
    ss->opts = *opts;
    ss->loop = bus_loop(opts->rpc);
    ss->env = pick_env(environ, opts->rpc_ca_file);
    arena_init(&ss->arena, SIDECAR_BYTES_MAX);
    struct str *const texts[] = {&ss->opts.lattice,  &ss->opts.host_id,  &ss->opts.rpc_url,
                                 &ss->opts.rpc_jwt,  &ss->opts.rpc_seed, &ss->opts.rpc_creds,
                                 &ss->opts.log_level};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_str(&ss->arena, *texts[i]);
    return ss;
}

void sidecars_close(struct sidecars *ss)
{
    struct sidecar *s, *next;
    struct stopper *st, *next_st;
    if (!ss)
        return;
    loop_timer_stop(&ss->timer);
    HASH_ITER(hh, ss->table, s, next)
    {
        LL_FOREACH_SAFE(s->stoppers, st, next_st)
        free(st);
        sidecar_free(s);
    }
    for (char **line = ss->env; *line; line++)
        free(*line);
    free(ss->env);
    arena_fini(&ss->arena);
    free(ss);
}
