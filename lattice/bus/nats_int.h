/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the NATS build of the bus, bottom up: nats_parse.c (what a server sends), nats_wire.c (the socket),
 * nats_server.c (where servers are), nats_login.c (who we are), nats_connect.c (which server, when, and the greeting),
 * nats.c (publishing, subscriptions, delivery). */
#ifndef HOSTD_BUS_NATS_INT_H
#define HOSTD_BUS_NATS_INT_H

#include "lattice/base/map.h"
#include "lattice/bus/bus_int.h"
#include "lattice/bus/nats_wire.h"

#define NATS_PORT_DEFAULT 4222

/* ---- nats_server.c -------------------------------------------------------------------------------- */

#define NATS_SERVERS_MAX 64 /* given and found */

struct nats_server {
    char *host;
    uint16_t port;
    char *user, *password; /* from its URL; NULL: none. A user without a password is a token */
    char *known_as;        /* what its certificate may say instead of host; NULL: nothing else */
    bool found;            /* another server told of it */
};

struct nats_servers {
    struct nats_server at[NATS_SERVERS_MAX];
    size_t n;
    bool secure; /* one of the URLs insists on TLS */
};

/* URLs separated by commas, put into an order by chance. */
bool nats_servers_parse(struct nats_servers *s, struct str urls, struct err *e);
/* Replaces those that were found, but for the current one, which told of these "host:port". It says no more of them:
 * users and certificates are those of a cluster, so they are taken to be as its own. */
void nats_servers_found(struct nats_servers *s, size_t *current, const struct str *addresses,
                        size_t n);
/* What the certificate of one must say. */
const char *nats_server_name(const struct nats_server *server);
void nats_servers_fini(struct nats_servers *s);

/* ---- nats_login.c --------------------------------------------------------------------------------- */

/* What a server says of itself. */
struct nats_info {
    struct str nonce; /* for us to sign, or empty; a view into json */
    uint64_t max_payload;
    bool headers, tls_required, tls_available;
    struct json_t *json;
};

bool nats_info_read(struct nats_info *out, struct str text, struct err *e);
void nats_info_fini(struct nats_info *info);
/* Other servers of the cluster; at most max are written. */
size_t nats_info_addresses(const struct nats_info *info, struct str *out, size_t max);

/* Who we are, copied from the options. */
struct nats_login {
    char *name, *creds, *jwt, *seed;
};

/* Checks what can be checked without a server, files included. */
bool nats_login_init(struct nats_login *l, const struct bus_opts *opts, struct err *e);
void nats_login_fini(struct nats_login *l);
/* Appends CONNECT. */
bool nats_login_put(const struct nats_login *l, const struct nats_server *server,
                    const struct nats_info *info, bool secure, struct buf *out, struct err *e);

/* ---- nats_connect.c ------------------------------------------------------------------------------- */

enum nats_phase { NATS_IDLE, NATS_DIALING, NATS_GREETING, NATS_LOGGING_IN, NATS_READY };

struct nats_connection {
    struct nats_servers servers;
    struct nats_login login;
    struct ssl_ctx_st *tls; /* made when first needed */
    bool secure;            /* TLS or nothing */
    enum nats_phase phase;
    struct nats_wire *wire; /* NULL while NATS_IDLE */
    size_t current;         /* of servers */
    uint32_t attempts;      /* that failed since we were ready last */
    uint32_t denials;       /* in a row */
    uint32_t pings;         /* since the server said something */
    bool was_ready;
    struct err why;           /* what the server complained of last on this wire */
    struct loop_timer *timer; /* the next attempt; the end of this one's patience; the next ping */
};

struct nats_bus;

/* Reads the options and begins; from then on goes on by itself until nats_disconnect. */
bool nats_connect(struct nats_bus *b, const struct bus_opts *opts, struct err *e);
void nats_disconnect(struct nats_bus *b);

/* ---- nats.c --------------------------------------------------------------------------------------- */

struct nats_sub {
    struct bus_sub base;
    uint64_t sid;
    char *subject, *queue;
    UT_hash_handle hh;
};

struct nats_bus {
    struct bus base;
    struct nats_connection conn;
    struct nats_sub *subs; /* by sid, in order of subscribing */
    uint64_t last_sid;
    struct buf outbox; /* published while down, as it will be sent */
};

/* Told by nats_connect.c. nats_up and nats_state may close the bus. */
void nats_message(struct nats_bus *b, const struct nats_frame *f);
void nats_up(struct nats_bus *b);
void nats_room(struct nats_bus *b);
void nats_state(struct nats_bus *b, enum bus_state state, const struct err *why);
void nats_refused(struct nats_bus *b, struct str what);

#endif
