/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to a lattice for one command. Requests are asynchronous below; here a command sends one, and waits
 * in session_await until its callback has called session_answer. */
#include "ctl/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/id/id.h"

#define CREDENTIAL_BYTES_MAX 65536
#define QUIET_MS \
    400 /* collecting ends when nobody answered for so long, unless a time was asked for */

/* ---- waiting -------------------------------------------------------------------------------------- */

void session_answer(struct ctl *c, const struct err *e)
{
    if (e)
        c->answer_error = *e;
    c->answered = true;
    loop_stop(c->loop);
}

bool session_await(struct ctl *c, bool sent, struct err *e)
{
    if (!sent)
        return false;
    while (!c->answered)
        loop_run(c->loop);
    c->answered = false;
    bool ok = c->answer_error.code == ERR_NONE;
    if (!ok)
        *e = c->answer_error;
    c->answer_error.code = ERR_NONE;
    return ok;
}

bool session_await_any(struct ctl *c, bool sent, struct err *e)
{
    if (session_await(c, sent, e))
        return true;
    if (e->code == ERR_NO_RESPONDERS)
        err_set(e, ERR_NO_RESPONDERS, "no host answers on lattice '%.*s'; `hostctl up` starts one",
                STR_ARG(session_lattice(c)));
    return false;
}

struct sleeping {
    struct ctl *c;
    struct loop_timer *timer;
};

static void on_sleep_over(void *user)
{
    struct sleeping *s = user;
    s->timer = NULL;
    session_answer(s->c, NULL);
}

bool session_sleep(struct ctl *c, uint64_t ms, struct err *e)
{
    struct sleeping s = {.c = c};
    s.timer = loop_after(c->loop, ms, on_sleep_over, &s);
    bool ok = session_await(c, true, e);
    loop_timer_stop(&s.timer);
    return ok;
}

bool session_watch(struct ctl *c, uint64_t preset_ms, command_fn *show, struct err *e)
{
    if (!option_given(c, "watch"))
        return show(c, e);
    uint64_t every_ms = option_number(c, "watch");
    do {
        arena_reset(&c->arena);
        buf_clear(&c->text);
        if (!show(c, e))
            return false;
        if (c->json)
            json_dumpf(c->result, stdout, JSON_COMPACT);
        else
            printf("\033[H\033[2J%.*s", STR_ARG(buf_view(&c->text)));
        printf("\n");
        fflush(stdout);
    } while (session_sleep(c, every_ms ? every_ms : preset_ms, e));
    return false;
}

/* ---- connecting ----------------------------------------------------------------------------------- */

static void on_state(void *user, enum bus_state state, const struct err *why)
{
    struct ctl *c = user;
    if (!c->client) /* later losses show as requests without an answer */
        session_answer(c, state == BUS_UP ? NULL : why);
}

static void on_refused(void *user, const struct err *why)
{
    notice(user, "the NATS account lacks a permission: %s", why->text);
}

/* A literal, or the content of the file of that name. */
static const char *literal_or_file(struct ctl *c, const char *text)
{
    FILE *f = text ? fopen(text, "r") : NULL;
    if (!f)
        return text;
    char *content = arena_alloc(&c->arena, CREDENTIAL_BYTES_MAX, 1);
    size_t n = content ? fread(content, 1, CREDENTIAL_BYTES_MAX - 1, f) : 0;
    fclose(f);
    struct str trimmed = str_trim((struct str){content, n});
    return arena_str(&c->arena, trimmed).p;
}

bool session_open_at(struct ctl *c, const struct session_where *w, uint64_t timeout_ms,
                     struct err *e)
{
    char url[300];
    snprintf(url, sizeof url, "%s://%s:%" PRIu64, w->tls ? "tls" : "nats", w->host, w->port);
    struct bus_opts opts = {
        .url = url,
        .name = "hostctl",
        .creds = w->creds,
        .jwt = literal_or_file(c, w->jwt),
        .seed = literal_or_file(c, w->seed),
        .ca_file = w->ca_file,
        .on_state = on_state,
        .on_refused = on_refused,
        .user = c,
    };
    if (!c->loop)
        c->loop = loop_new();
    if (!session_await(c, bus_nats_open(c->loop, &opts, &c->bus, e), e)) {
        session_close(c);
        if (e->code == ERR_DENIED)
            return err_wrap(
                e, "NATS refuses us: look at --ctl-credsfile, or --ctl-jwt and --ctl-seed");
        if (e->code == ERR_INVALID)
            return false;
        return err_set(e, e->code,
                       "cannot reach NATS at %s:%" PRIu64
                       " (%s); is it running? `hostctl up` starts one",
                       w->host, w->port, e->text);
    }
    struct proto_space space = {.lattice = session_lattice(c),
                                .ctl_prefix = str_of(getenv("WASMCLOUD_CTL_TOPIC_PREFIX"))};
    c->client = proto_client_new(c->bus, &space, timeout_ms);
    return true;
}

bool session_open(struct ctl *c, struct err *e)
{
    struct session_where w = {
        .host = option_text(c, "ctl-host"),
        .port = option_number(c, "ctl-port"),
        .creds = option_text(c, "ctl-credsfile"),
        .jwt = option_text(c, "ctl-jwt"),
        .seed = option_text(c, "ctl-seed"),
        .ca_file = option_text(c, "ctl-tls-ca-file"),
    };
    if (option_flag(c, "ctl-tls-first"))
        return err_set(e, ERR_UNSUPPORTED,
                       "--ctl-tls-first: only servers that greet before TLS are served");
    if (!proto_lattice_ok(session_lattice(c)))
        return err_set(e, ERR_INVALID, "'%s' is not a lattice name: use A-Z a-z 0-9 - _",
                       option_text(c, "lattice"));
    return session_open_at(c, &w,
                           option_chosen(c, "timeout-ms") ? option_number(c, "timeout-ms") : 0, e);
}

void session_close(struct ctl *c)
{
    proto_client_free(c->client);
    c->client = NULL;
    bus_close(c->bus);
    c->bus = NULL;
}

struct str session_lattice(const struct ctl *c)
{
    return str_of(option_text(c, "lattice"));
}

/* ---- hosts ---------------------------------------------------------------------------------------- */

struct collecting {
    struct ctl *c;
    struct host_list *list;
    struct proto_request *request;
    struct loop_timer *quiet;
};

static void on_quiet(void *user)
{
    struct collecting *w = user;
    w->quiet = NULL;
    proto_cancel(&w->request);
    session_answer(w->c, NULL);
}

static bool host_copy(struct arena *a, const struct proto_host *in, struct proto_host *out)
{
    *out = *in;
    out->id = arena_str(a, in->id);
    out->friendly_name = arena_str(a, in->friendly_name);
    out->lattice = arena_str(a, in->lattice);
    out->labels = proto_map_copy(a, &in->labels);
    out->uptime_human = in->uptime_human.p ? arena_str(a, in->uptime_human) : STR_NONE;
    out->version = in->version.p ? arena_str(a, in->version) : STR_NONE;
    out->ctl_host = in->ctl_host.p ? arena_str(a, in->ctl_host) : STR_NONE;
    out->rpc_host = in->rpc_host.p ? arena_str(a, in->rpc_host) : STR_NONE;
    out->js_domain = in->js_domain.p ? arena_str(a, in->js_domain) : STR_NONE;
    return out->id.p && out->friendly_name.p;
}

static void on_host(void *user, const struct proto_reply *r, const struct err *e)
{
    struct collecting *w = user;
    struct ctl *c = w->c;
    struct host_list *list = w->list;
    if (!r && e->code == ERR_NONE) {
        loop_timer_stop(&w->quiet);
        session_answer(c, NULL);
        return;
    }
    if (!r || !r->response.host)
        return; /* an answer that makes no sense: somebody else's affair */
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 16;
        struct proto_host *grown = arena_array(&c->arena, struct proto_host, cap);
        if (!grown)
            return;
        if (list->n)
            memcpy(grown, list->v, list->n * sizeof *grown);
        list->v = grown;
        list->cap = cap;
    }
    if (host_copy(&c->arena, r->response.host, &list->v[list->n]))
        list->n++;
    if (!option_chosen(c, "timeout-ms")) {
        loop_timer_stop(&w->quiet);
        w->quiet = loop_after(c->loop, QUIET_MS, on_quiet, w);
    }
}

static int by_uptime(const void *a, const void *b)
{
    const struct proto_host *x = a, *y = b;
    if (x->uptime_seconds != y->uptime_seconds)
        return x->uptime_seconds < y->uptime_seconds ? 1 : -1;
    return str_cmp(x->id, y->id);
}

bool hosts_collect(struct ctl *c, struct host_list *out, struct err *e)
{
    struct collecting w = {.c = c, .list = out};
    *out = (struct host_list){0};
    bool sent =
        proto_host_ping(c->client, option_number(c, "timeout-ms"), on_host, &w, &w.request, e);
    if (!session_await(c, sent, e))
        return false;
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, by_uptime);
    return true;
}

/* ASCII case does not matter. */
static bool contains(struct str hay, struct str needle)
{
    for (size_t i = 0; i + needle.n <= hay.n; i++)
        if (str_ieq(str_sub(hay, i, i + needle.n), needle))
            return true;
    return false;
}

bool host_find(struct ctl *c, const char *text, struct str *id, struct err *e)
{
    enum id_key_type type;
    uint8_t raw[ID_RAW_BYTES];
    struct err ignored = ERR_INIT;
    struct str want = str_of(text);
    if (id_public_parse(want, &type, raw, &ignored) && type == ID_SERVER) {
        *id = want;
        return true;
    }
    struct host_list hosts;
    struct buf found = BUF_INIT;
    uint32_t matches = 0;
    if (!hosts_collect(c, &hosts, e))
        return false;
    for (uint32_t i = 0; i < hosts.n && want.n; i++) {
        const struct proto_host *h = &hosts.v[i];
        if (!str_ieq(str_sub(h->id, 0, want.n), want) && !contains(h->friendly_name, want))
            continue;
        matches++;
        *id = h->id;
        buf_printf(&found, "\n  %.*s  %.*s", STR_ARG(h->id), STR_ARG(h->friendly_name));
    }
    if (matches > 1)
        err_set(e, ERR_INVALID, "'%s' could be any of these hosts, say which:%.*s", text,
                STR_ARG(buf_view(&found)));
    else if (matches == 0)
        err_set(e, ERR_NOT_FOUND,
                "no host of lattice '%.*s' has an id that begins with '%s' or a name with it",
                STR_ARG(session_lattice(c)), text);
    buf_fini(&found);
    return matches == 1;
}

/* ---- inventory ------------------------------------------------------------------------------------ */

struct asking {
    struct ctl *c;
    struct proto_inventory *out;
};

static void on_inventory(void *user, const struct proto_reply *r, const struct err *e)
{
    struct asking *w = user;
    struct err bad = ERR_INIT;
    struct buf json = BUF_INIT;
    /* through JSON into our own arena: a deep copy by the one codec there is */
    if (r && r->response.inventory && proto_inventory_encode(r->response.inventory, &json, &bad))
        proto_inventory_decode(
            (struct span){(uint8_t *)arena_span(&w->c->arena, buf_span(&json)).p, json.n},
            &w->c->arena, w->out, &bad);
    else if (r)
        err_set(&bad, ERR_PROTOCOL, "the host's answer holds no inventory");
    buf_fini(&json);
    session_answer(w->c, r ? &bad : e);
}

bool inventory_get(struct ctl *c, struct str id, struct proto_inventory *out, struct err *e)
{
    struct asking w = {c, out};
    return session_await(c, proto_host_get(c->client, id, on_inventory, &w, NULL, e), e) ||
           err_wrap(e, "inventory of host %.*s", STR_ARG(id));
}
