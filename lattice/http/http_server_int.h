/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lattice/http's server: the server object, its connections, and the seam to what carries bytes. */
#ifndef HOSTD_HTTP_SERVER_INT_H
#define HOSTD_HTTP_SERVER_INT_H

#include <llhttp.h>
#include <sys/types.h>
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"
#include "lattice/base/map.h"
#include "lattice/http/http_server.h"

struct http_conn;

/* ---- the seam: what carries a connection's bytes (tcp.c, with TLS if need be; sim.c) ----
 * The carrier calls conn_new, then conn_input, conn_lost and conn_sent; the connection calls these. */
struct http_transport {
    /* Sends what goes without waiting. Returns how much that was, 0 included, or a negative number when broken. */
    ssize_t (*send)(void *carrier, struct span data);
    /* Takes over what is left of a buffer and calls conn_sent when all of it is out. One at a time. */
    void (*send_rest)(void *carrier, struct buf *data);
    size_t (*unsent)(const void *carrier); /* of send_rest's bytes */
    void (*read_on)(void *carrier, bool on);
    void (*shut)(void *carrier); /* we will send no more */
    /* At once; the carrier forgets the connection and frees itself. broken: let the client notice. */
    void (*close)(void *carrier, bool broken);
};

/* ---- heads and trailers being collected (fields.c) ---- */

struct field_mark { /* offsets into bytes; the buffer moves while it grows */
    uint32_t name, name_n, value, value_n;
};

struct fields {
    struct buf bytes;
    struct field_mark *marks;
    struct http_header *views; /* made by fields_views */
    uint32_t n, cap, max;
};

void fields_fini(struct fields *f);
void fields_clear(struct fields *f);
/* Pieces arrive as the tokeniser cuts them. False: too many fields, or no room. */
bool fields_name(struct fields *f, bool starts, struct str piece);
bool fields_value(struct fields *f, bool starts, struct str piece);
void fields_views(struct fields *f);

/* ---- what a protocol makes of connections and exchanges (h1.c, h2.c) ---- */

#define LENGTH_UNKNOWN UINT64_MAX

struct reply_head { /* as a handler gave it, checked */
    uint16_t status;
    const struct http_header *headers;
    size_t nheaders;
    uint64_t length; /* of the body, or LENGTH_UNKNOWN */
    bool has_date;
};

struct http_protocol {
    void (*input)(struct http_conn *c, struct span in);    /* not while lingering; may free c */
    size_t (*room)(const struct http_conn *c);             /* see conn_room */
    bool (*busy)(const struct http_conn *c);               /* an exchange is the handler's */
    void (*gone)(struct http_conn *c, enum http_gone why); /* tells it of all that are */
    void (*retire)(struct http_conn *c);                   /* no request after those under way */
    bool (*fill)(struct http_conn *c); /* moves on to the empty `out` what may go; false: nothing */
    void (*sent)(struct http_conn *c); /* all that can be sent for now was; may free c */
    uint64_t (*deadline_ms)(const struct http_conn *c);
    void (*check)(struct http_conn *c, uint64_t now_ms); /* that may have passed */
    void (*fini)(struct http_conn *c);

    void (*head)(struct http_exchange *x, const struct reply_head *h);
    void (*body)(struct http_exchange *x,
                 struct span data); /* of a reply that has one; not empty */
    void (*end)(struct http_exchange *x, const struct http_header *trailers, size_t n);
    bool (*retract)(struct http_exchange *x);
    void (*abort)(struct http_exchange *x);
    void (*consumed)(struct http_exchange *x, size_t n); /* may free the connection */
    void (*proceed)(struct http_exchange *x);            /* 100 */
    size_t (*queued)(const struct http_exchange *x);     /* of the reply */
};

#define RATE_WINDOW_MS 20000u /* a body's rate is measured over this */
#define OUT_KEEP_BYTES 4096u  /* a sent buffer larger than this is given back */

extern const struct http_protocol h1_protocol;
void h2_begin(struct http_conn *c); /* it is HTTP/2 from here on */

/* ---- one request and its reply (exchange.c) ---- */

enum reply_framing {
    REPLY_NONE,
    REPLY_EMPTY,  /* no body, whatever its length would be */
    REPLY_LENGTH, /* known beforehand */
    REPLY_OPEN,   /* until it ends */
};

struct http_exchange {
    struct http_conn *conn;
    void *user;
    struct http_head head;
    struct fields fields, trailers;
    uint32_t target_n;        /* the first bytes of fields.bytes */
    uint64_t body_bytes;      /* received */
    uint64_t extension_bytes; /* of chunks */
    uint64_t unwanted_bytes;  /* of the body, after the reply */
    size_t unconsumed_bytes;  /* delivered and not yet reported back */
    uint64_t reply_left;      /* REPLY_LENGTH: what is still owed */
    enum reply_framing framing;
    size_t head_at;    /* where in conn.out the reply begins, */
    uint64_t head_run; /* while conn.sends is still this */
    bool begun;        /* the first byte of the request is in */
    bool head_done;    /* request() was called */
    bool active;       /* and the handler may use it still */
    bool request_done; /* the last byte of the request is in */
    bool reply_started, reply_done;
    bool expects_continue;
    bool above_high; /* drained() is owed */
};

void exchange_init(struct http_exchange *x, struct http_conn *c);
void exchange_begin(struct http_exchange *x); /* its first byte is in */
void exchange_reset(struct http_exchange *x);
void exchange_fini(struct http_exchange *x);
void exchange_request(struct http_exchange *x); /* the head is complete: it is the handler's */
/* False: the body is longer than it may be. Nobody may want it any more. */
bool exchange_body(struct http_exchange *x, struct span data);
void exchange_complete(struct http_exchange *x);                 /* the request is */
void exchange_gone(struct http_exchange *x, enum http_gone why); /* tells the handler, once */
void exchange_refuse(struct http_exchange *x, uint16_t status);  /* a reply of the server's own */
const char *status_reason(uint16_t status);
/* What of a handler's fields goes into a head and into trailers. */
bool reply_field_travels(const struct http_header *h);
bool reply_trailer_travels(const struct http_header *h);

/* ---- what a request's fields say about it (request.c) ---- */

struct framing_fields {
    uint32_t hosts, lengths, codings;
    struct str host, length, coding, expect;
};

struct framing_fields framing_find(const struct fields *f);
/* host [":" port], without user information or anything a URI would not take. */
bool authority_ok(struct str a);

/* ---- HTTP/1.1: parsing (request.c), replies (h1_reply.c), whose turn it is (h1.c) ---- */

void h1_put_head(struct http_exchange *x, const struct reply_head *h);
void h1_put_body(struct http_exchange *x, struct span data);
void h1_put_trailers(struct http_exchange *x, const struct http_header *trailers, size_t n);
bool h1_retract(struct http_exchange *x);
void h1_put_continue(struct http_exchange *x);
void h1_body_begins(struct http_conn *c);

extern const llhttp_settings_t http_request_settings;
/* Tokenises in; the callbacks drive the exchange. *used is what was taken. False: the request must be refused with
 * conn->refuse, 0 meaning that the connection is not worth an answer. */
bool request_feed(struct http_conn *c, struct span in, size_t *used);

/* ---- connections (conn.c) ---- */

enum conn_phase {
    CONN_IDLE,    /* between requests */
    CONN_HEAD,    /* in a request's head */
    CONN_BODY,    /* the head was handed over, the body is coming in */
    CONN_WAIT,    /* the request is complete, its reply is not */
    CONN_STREAMS, /* HTTP/2: each stream for itself */
    CONN_LINGER,  /* the last reply is on its way; what comes in is dropped */
};

struct http_conn {
    struct http_server *server;
    const struct http_protocol *protocol;
    const struct http_transport *transport;
    void *carrier;
    struct http_conn *prev, *next;             /* of all */
    struct http_conn *wheel_prev, *wheel_next; /* of one slot */
    size_t dirty_at;                           /* 1 + place in the server's list; 0: not there */
    uint64_t slot_s;
    struct address_count *address;
    char peer[48];

    uint8_t preface_n; /* bytes of HTTP/2's preface that came so far */
    bool undecided;    /* it may still be that */
    struct h2 *h2;     /* NULL: HTTP/1.1, which the following is for */
    llhttp_t parser;
    struct http_exchange x;
    uint64_t raw_bytes; /* read since the head began */
    uint32_t nrequests;
    uint16_t refuse;
    enum conn_phase phase;

    struct buf in;  /* came while the reply to an earlier request was pending */
    struct buf out; /* formatted, not yet sent */
    bool flight;    /* send_rest is at work */
    uint64_t sends; /* how often out was emptied */
    size_t unsent_seen;

    uint64_t phase_ms, read_ms, write_ms; /* when it began; last bytes in; last bytes out */
    uint64_t rate_ms, rate_bytes;         /* the window in which the body's rate is measured */
    bool running; /* somebody is inside: closing and going on are left to him */
    bool dead;    /* to be freed as soon as nobody is inside */
    bool closing; /* HTTP/1.1: no request after this one */
    bool reading;
    bool shut, eof;                     /* towards and from the client */
    bool in_name, in_value, value_over; /* the tokeniser is inside of one; saw its end */
    const char *input_end;              /* of what the tokeniser is at */
    const char *gap; /* in it: where the one between a name and its value begins; NULL: not there */
    bool gap_breaks; /* has a line end */
};

struct http_conn *conn_new(struct http_server *s, const struct http_transport *t, void *carrier,
                           struct str peer);
/* How much the carrier may read for it now; not 0 while reading. */
size_t conn_room(const struct http_conn *c);
void conn_input(struct http_conn *c, struct span in);
void conn_set_protocol(struct http_conn *c, bool http2); /* TLS settled on it; before any input */
/* The client sends no more (eof), or the connection broke. */
void conn_lost(struct http_conn *c, bool eof);
void conn_sent(struct http_conn *c);

void conn_touch(struct http_conn *c); /* something is to be sent: flush at the end of this turn */
void conn_flush(struct http_conn *c);
void conn_settle(struct http_conn *c, bool reading); /* the end of every way in; may free c */
void conn_linger(struct http_conn *c);
void conn_retire(struct http_conn *c); /* closes when idle, else after what is at hand */
void conn_kill(struct http_conn *c, enum http_gone why);
uint64_t conn_deadline_ms(const struct http_conn *c);  /* UINT64_MAX: none */
void conn_check(struct http_conn *c, uint64_t now_ms); /* the wheel came by */
size_t conn_queued(const struct http_conn *c);

/* ---- timeouts (wheel.c): a slot per second, looked at when the second is over ---- */

#define WHEEL_SLOTS 64

struct wheel {
    struct http_conn *slot[WHEEL_SLOTS];
    uint32_t nseated;
    struct loop_timer *timer;
    uint64_t timer_s;
    uint64_t seen_s; /* slots up to this second are done */
};

void wheel_put(struct http_server *s, struct http_conn *c); /* by conn_deadline_ms; also moves */
void wheel_remove(struct http_server *s, struct http_conn *c);
void wheel_stop(struct wheel *w);

/* ---- the server (server.c) ---- */

struct address_count {
    UT_hash_handle hh;
    char text[48];
    uint32_t n;
};

struct http_server {
    struct loop *loop;
    struct http_limits limits;
    struct http_tls *tls; /* NULL: without */
    bool http1_only;
    const struct http_handler *handler;
    void *user;
    struct http_conn *conns;
    uint32_t nconns, nexchanges;
    struct address_count *addresses;
    struct wheel wheel;
    struct loop_late *flush; /* of the connections that were touched */
    struct http_conn **dirty;
    size_t ndirty, dirty_cap;
    struct buf body; /* scratch of h2.c, during one input */
    char address[64];
    void *listener; /* tcp.c's or sim.c's */
    bool stopping;
    struct loop_timer *grace;
    void (*stopped)(void *user);
    void *stopped_user;
    uint64_t date_s;
    char date[32];
};

/* May one more connection come from this address? Counts it when so. */
bool server_admit(struct http_server *s, struct str peer, struct address_count **out);
void server_forget(struct http_server *s, struct http_conn *c);
void server_touch(struct http_server *s, struct http_conn *c);
struct str server_date(struct http_server *s);

/* ---- carriers ---- */

bool tcp_listen(struct http_server *s, struct str address, struct err *e);
void tcp_unlisten(struct http_server *s); /* no new connections */
void tcp_close(struct http_server *s);    /* frees the listener; connections are gone already */

bool sim_listen(struct http_server *s, struct str address, struct err *e);
void sim_unlisten(struct http_server *s);
void sim_close(struct http_server *s);

#endif
