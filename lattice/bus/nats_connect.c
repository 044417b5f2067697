/* SPDX-License-Identifier: Apache-2.0 */
/* Which server, when, and the greeting:
 *
 *   IDLE -> DIALING -> GREETING (its INFO; TLS then) -> LOGGING_IN (our CONNECT and PING) -> READY (its PONG)
 *
 * Whatever fails leads back to IDLE and to the next server, with a pause after each round of them. Refused
 * credentials end it: at once when they never worked, else the second time in a row, for a server that is being set
 * up anew may not know us yet.
 * Keeps: a wire exists in every phase but IDLE; the owner may close the bus in what is told to it, so nothing here
 * follows that. */
#include "lattice/bus/nats_int.h"

#include <stdio.h>
#include "lattice/base/num.h"
#include "lattice/tls/tls.h"

#define GREETING_MS 5000 /* from being connected to being logged in */
#define PING_MS 20000
#define PINGS_MAX 2
#define PAUSE_FIRST_MS 50
#define PAUSE_MAX_MS 2000

static void attempt(void *user);

/* ---- the end of an attempt, or of a connection ---------------------------------------------------- */

/* Before the next attempt: none within a round of servers but the first, which a crowd must not make at once. */
static uint64_t pause_ms(const struct nats_connection *c)
{
    size_t n = MAX(c->servers.n, (size_t)1);
    uint32_t rounds = c->attempts / (uint32_t)n;
    if (c->attempts == 0)
        return rand_u64() % PAUSE_FIRST_MS;
    if (c->attempts % n)
        return 0;
    uint64_t pause = MIN((uint64_t)PAUSE_FIRST_MS << MIN(rounds - 1, 6u), PAUSE_MAX_MS);
    return pause + rand_u64() % (pause / 2);
}

static void shut(struct nats_bus *b, const struct err *why)
{
    nats_wire_close(&b->conn.wire);
    loop_timer_stop(&b->conn.timer);
    b->conn.phase = NATS_IDLE;
    nats_state(b, BUS_SHUT, why);
}

static void gone(struct nats_bus *b, const struct err *why)
{
    struct nats_connection *c = &b->conn;
    bool was_ready = c->phase == NATS_READY;
    struct err said = c->why.code
                          ? c->why
                          : *why; /* what the server complains of says more than that it hung up */
    c->why = (struct err)ERR_INIT;
    c->denials = said.code == ERR_DENIED ? c->denials + 1 : 0;
    if (c->denials > (c->was_ready ? 1u : 0u)) {
        shut(b, &said);
        return;
    }
    nats_wire_close(&c->wire);
    loop_timer_stop(&c->timer);
    c->phase = NATS_IDLE;
    c->attempts = was_ready ? 0 : c->attempts + 1;
    c->current = (c->current + 1) % c->servers.n;
    c->timer = loop_after(b->base.loop, pause_ms(c), attempt, b);
    bool round_over = c->attempts % c->servers.n == 0;
    if (was_ready || (b->base.state == BUS_CONNECTING && round_over))
        nats_state(b, BUS_DOWN, &said);
}

static void on_lost(void *user, const struct err *why)
{
    gone(user, why);
}

static void on_no_greeting(void *user)
{
    struct nats_bus *b = user;
    struct err e = ERR_INIT;
    b->conn.timer = NULL;
    err_set(&e, ERR_TIMEOUT, "what answers there does not greet as a NATS server within %d ms",
            GREETING_MS);
    gone(b, &e);
}

/* ---- ready ---------------------------------------------------------------------------------------- */

static void say(struct nats_bus *b, struct str text)
{
    buf_str(nats_wire_out(b->conn.wire), text);
    nats_wire_send(b->conn.wire);
}

static void on_ping_time(void *user)
{
    struct nats_bus *b = user;
    struct err e = ERR_INIT;
    if (b->conn.pings++ < PINGS_MAX) {
        say(b, STR("PING\r\n"));
        return;
    }
    err_set(&e, ERR_TIMEOUT, "the server is silent for %d s", PINGS_MAX * PING_MS / 1000);
    gone(b, &e);
}

static void on_pong(struct nats_bus *b)
{
    struct nats_connection *c = &b->conn;
    const struct nats_server *s = &c->servers.at[c->current];
    char url[sizeof b->base.url];
    if (c->phase != NATS_LOGGING_IN)
        return;
    bool v6 = strchr(s->host, ':');
    snprintf(url, sizeof url, v6 ? "nats://[%s]:%u" : "nats://%s:%u", s->host, s->port);
    bus_set_url(&b->base, str_of(url));
    loop_timer_stop(&c->timer);
    c->timer = loop_every(b->base.loop, PING_MS, on_ping_time, b);
    c->phase = NATS_READY;
    c->attempts = c->denials = 0;
    c->was_ready = true;
    nats_up(b);
}

/* ---- the greeting --------------------------------------------------------------------------------- */

static bool secure_wire(struct nats_bus *b, const struct nats_info *info, struct err *e)
{
    struct nats_connection *c = &b->conn;
    if (c->secure && !info->tls_required && !info->tls_available)
        return err_set(e, ERR_UNSUPPORTED, "the server does not speak TLS, which was asked for");
    if (!c->tls)
        c->tls = tls_client_context(NULL, NULL, e);
    if (!c->tls)
        return false;
    nats_wire_secure(c->wire, c->tls, nats_server_name(&c->servers.at[c->current]));
    return true;
}

static bool log_in(struct nats_bus *b, const struct nats_info *info, struct err *e)
{
    struct nats_connection *c = &b->conn;
    bool secure = c->secure || info->tls_required;
    if (!info->headers)
        return err_set(e, ERR_UNSUPPORTED, "the server is too old: it knows no message headers");
    if (secure && !secure_wire(b, info, e))
        return false;
    if (!nats_login_put(&c->login, &c->servers.at[c->current], info, secure, nats_wire_out(c->wire),
                        e))
        return false;
    c->phase = NATS_LOGGING_IN;
    say(b, STR("PING\r\n"));
    return true;
}

/* Comes first, and again when the cluster changes. */
static void on_info(struct nats_bus *b, struct str text)
{
    struct nats_connection *c = &b->conn;
    struct nats_info info;
    struct str found[NATS_SERVERS_MAX];
    struct err e = ERR_INIT;
    if (!nats_info_read(&info, text, &e)) {
        gone(b, &e);
        return;
    }
    if (info.max_payload)
        b->base.max_payload = (size_t)info.max_payload;
    bool ok = c->phase != NATS_GREETING || log_in(b, &info, &e);
    if (ok)
        nats_servers_found(&c->servers, &c->current, found,
                           nats_info_addresses(&info, found, NATS_SERVERS_MAX));
    nats_info_fini(&info);
    if (!ok)
        gone(b, &e);
}

/* ---- what the server complains of ------------------------------------------------------------------ */

static bool holds(struct str text, const char *part)
{
    return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

/* Refused credentials: "Authorization Violation", "User Authentication Expired", "... Revoked". A timeout is none. */
static bool is_denial(struct str text)
{
    return holds(text, "Authorization Violation") || holds(text, "Authentication Expired") ||
           holds(text, "Authentication Revoked");
}

/* After a complaint the server hangs up, but for these: there is something that the account may not have. */
static bool is_refusal(struct str text)
{
    return str_starts(text, STR("Permissions Violation")) ||
           str_starts(text, STR("maximum subscriptions exceeded"));
}

static void on_complaint(struct nats_bus *b, struct str text)
{
    struct nats_connection *c = &b->conn;
    char shown[ERR_TEXT_MAX / 2];
    if (c->phase == NATS_READY && is_refusal(text)) {
        nats_refused(b, text);
        return;
    }
    err_set(&c->why, is_denial(text) ? ERR_DENIED : ERR_IO, "the server says: %s",
            str_show(text, shown, sizeof shown));
    if (c->phase != NATS_READY)
        gone(b, &c->why);
}

/* ---- what comes over the wire ----------------------------------------------------------------------- */

static void on_open(void *user)
{
    struct nats_bus *b = user;
    b->conn.phase = NATS_GREETING;
    b->conn.timer = loop_after(b->base.loop, GREETING_MS, on_no_greeting, b);
}

static void on_frame(void *user, const struct nats_frame *f)
{
    struct nats_bus *b = user;
    b->conn.pings = 0; /* an answer may be a long way behind what it says in between */
    switch (f->op) {
    case NATS_MSG:
        if (b->conn.phase == NATS_READY)
            nats_message(b, f);
        break;
    case NATS_PING:
        if (b->conn.phase == NATS_READY)
            say(b, STR("PONG\r\n"));
        break;
    case NATS_PONG:
        on_pong(b);
        break;
    case NATS_INFO:
        on_info(b, f->text);
        break;
    case NATS_ERR:
        on_complaint(b, f->text);
        break;
    case NATS_OK:
        break;
    }
}

static void on_room(void *user)
{
    nats_room(user);
}

static const struct nats_wire_events events = {on_open, on_frame, on_lost, on_room};

static void attempt(void *user)
{
    struct nats_bus *b = user;
    struct nats_connection *c = &b->conn;
    const struct nats_server *s = &c->servers.at[c->current];
    c->timer = NULL;
    c->phase = NATS_DIALING;
    c->wire = nats_wire_open(b->base.loop, s->host, s->port, &events, b);
}

/* ---- for nats.c ------------------------------------------------------------------------------------- */

bool nats_connect(struct nats_bus *b, const struct bus_opts *opts, struct err *e)
{
    struct nats_connection *c = &b->conn;
    if (!nats_servers_parse(&c->servers, str_of(opts->url), e) ||
        !nats_login_init(&c->login, opts, e))
        return false;
    c->secure = c->servers.secure || opts->ca_file || opts->ca;
    if (c->secure)
        c->tls = tls_client_context(opts->ca_file, opts->ca, e);
    if (c->secure && !c->tls)
        return false;
    attempt(b);
    return true;
}

void nats_disconnect(struct nats_bus *b)
{
    struct nats_connection *c = &b->conn;
    nats_wire_close(&c->wire);
    loop_timer_stop(&c->timer);
    c->phase = NATS_IDLE;
    nats_servers_fini(&c->servers);
    nats_login_fini(&c->login);
    tls_context_free(c->tls);
    c->tls = NULL;
}
