/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider: HTTP from outside becomes calls of wrpc:http/incoming-handler on linked components. One
 * listener per link. main.c hands http_server_provider to the SDK; the rest is private to this folder.
 * Spec: wRPC 4.1 (wrpc:http@0.1.0). */
#ifndef HOSTD_HTTP_SERVER_PROVIDER_H
#define HOSTD_HTTP_SERVER_PROVIDER_H

#include "lattice/http/http_server.h"
#include "providers/sdk/sdk.h"
#include "wrpc/http.h"

extern const struct sdk_provider http_server_provider;

/* ---- CORS (cors.c) ---- */

#define CORS_MAX_AGE_S 300u

struct cors {           /* lists as headers have them */
    struct str origins; /* empty: all */
    struct str methods, headers, exposed;
    uint64_t max_age_s;
};
struct cors_answer {
    struct http_header headers[5];
    size_t n;
    char age[24];
};
/* Is it a browser asking beforehand? Then this is the answer, to go out without a body. */
bool cors_preflight(const struct cors *c, const struct http_head *head, struct cors_answer *out);
/* Adds what a browser wants to see in the response to this request; returns how many there are. Room for
 * CORS_HEADERS_MAX. */
#define CORS_HEADERS_MAX 3
size_t cors_headers(const struct cors *c, const struct http_head *head, struct http_header *headers,
                    size_t n);

/* ---- settings of one link (settings.c) ---- */

#define ADDRESS_MAX 64
#define CALL_FIELDS_MAX 160u /* header fields of a request or response */

struct settings {              /* texts in the arena it was read into */
    char address[ADDRESS_MAX]; /* host:port */
    uint64_t timeout_ms;       /* of a call, until the head of its response; 0: CALL_TIMEOUT_MS */
    bool readonly;             /* GET and HEAD only */
    bool access_log;           /* a line per request at level info */
    bool http2;                /* else HTTP/1.1 only */
    struct str cache_control;  /* added to responses that have none; empty: nothing */
    struct str path, host;     /* what routes to it, where links share a listener */
    const char *cert_file, *key_file; /* PEM; empty: no TLS */
    struct cors cors;
    struct http_limits limits;
};

/* Reads a link's configuration, what it does not say from the provider's; what we cannot honour is an error that names
 * the key. */
bool settings_read(const struct proto_map *link, const struct proto_map *fallback,
                   struct str default_address, struct arena *a, struct settings *out,
                   struct err *e);

/* ---- links and listeners (provider.c) ---- By address each link has a listener. By path or host all share one, which
 * is a link to nobody, and a request belongs to the link whose path or host it names. */

enum routing { ROUTE_ADDRESS, ROUTE_PATH, ROUTE_HOST };

struct provider {
    struct sdk *sdk;
    enum routing routing;
    char *route_header;      /* ROUTE_HOST: where the host is read */
    struct listener *shared; /* NULL in ROUTE_ADDRESS */
    struct listener *listeners;
    struct listener *leaving;         /* their link is gone, and may come back changed */
    struct listener *draining;        /* replaced or gone; requests are not */
    struct wit_pendings result_paths; /* of handle */
    struct buf params;                /* scratch: one encoded request */
    struct arena arena;               /* scratch: one decoded response head */
    struct call *calls;               /* all that are open */
    uint32_t nstreaming;              /* of them, those whose response has begun */
    struct loop_timer *watch;         /* over these, while there are any */
    uint32_t stopping;                /* listeners that still have work */
    bool stopped;
};

struct listener {
    struct listener *prev, *next;
    struct provider *provider;
    char *source, *target, *name; /* of the link, our copies: requests outlive it */
    struct arena arena;           /* of the settings */
    struct settings settings;
    struct http_server *server; /* NULL while it cannot listen, and where it shares one */
    struct http_tls *tls;       /* NULL: without */
    struct loop_timer *retry;   /* while leaving: until it has left */
    uint64_t retry_ms;
    uint32_t ncalls;   /* open ones */
    char problem[256]; /* empty: served */
};

/* The link that a request at l belongs to. NULL: none; status and text say why. */
struct listener *listener_route(struct listener *l, const struct http_head *head, uint16_t *status,
                                const char **text);
/* A call of l ended. */
void listener_call_ended(struct listener *l);

#define LEAVING_MS 2000u      /* a deleted link is served on, for one that may replace it */
#define DRAIN_GRACE_MS 60000u /* for requests of a link that is gone */

/* ---- one request (call.c) ---- */

#define CALL_TIMEOUT_MS 605000u       /* hosts end a call after 10 minutes by default */
#define STALL_TIMEOUT_MS 600000u      /* a response body of which nothing came */
#define TRAILERS_TIMEOUT_MS 2000u     /* a body is over, its trailers never come */
#define REPLY_HIGH_BYTES (256u << 10) /* queued for a client: a peer that paces is made to wait */
#define REPLY_LOW_BYTES (64u << 10)   /* and may go on */
#define REPLY_QUEUE_BYTES_MAX (16u << 20) /* a peer that does not pace is broken off */
#define EARLY_BYTES_MAX (4u << 20)        /* of a response body that overtook its head */
#define TRAILER_BYTES_MAX (64u << 10)
#define PACE_BYTES (64u << 10) /* of a request body per round trip, to peers that do not pace */

extern const struct http_handler call_handler; /* user: struct listener */
void calls_fail(struct provider *p); /* the lattice is gone: messages of open calls may be lost */

/* ---- statuses (status.c) ---- */

struct failure {
    uint16_t status;
    bool retry;     /* tell the client to come again in a second */
    char text[200]; /* for the client */
};

void failure_of_error(const struct http_error *error,
                      struct failure *out); /* what the component said */
void failure_of_call(const struct err *why,
                     struct failure *out); /* how the call ended; NULL: early */

#endif
