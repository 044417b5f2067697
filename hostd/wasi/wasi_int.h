/* SPDX-License-Identifier: Apache-2.0 */
/* Shared inside hostd/wasi: the rows of the registry, the guest's world, and the objects behind its handles.
 * An object is on the heap, made by one host function and released by its class's drop (or by the function that
 * takes an own handle of it); what several objects share (fields, bodies) counts its holders. */
#ifndef HOSTD_WASI_INT_H
#define HOSTD_WASI_INT_H

#include "hostd/wasi/wasi.h"
#include "lattice/base/spool.h"

/* ---- rows (registry.c) ---- */

struct wasi_row {
    const char *name;    /* with the highest version we know */
    const char *text[2]; /* WIT, in two parts where one is shared; the second may be NULL */
    const struct comp_host_func *funcs[6]; /* tables, each ended by a row without name */
    comp_host_fn
        *otherwise; /* serves the functions of the text that have no row; NULL: there are none */
};
struct wasi_rows {
    const struct wasi_row *rows;
    size_t n;
};
/* One table per file. A row's text may use the rows before it. */
extern const struct wasi_rows wasi_io_rows, wasi_clocks_rows, wasi_random_rows, wasi_cli_rows,
    wasi_filesystem_rows, wasi_sockets_rows, wasi_http_rows, wasi_config_rows, wasi_logging_rows,
    wasi_secrets_rows, wasi_blobs_rows;

extern const struct comp_class wasi_error_class, wasi_pollable_class, wasi_input_class,
    wasi_output_class, wasi_network_class, wasi_fields_class, wasi_incoming_request_class,
    wasi_incoming_body_class, wasi_future_trailers_class, wasi_outparam_class,
    wasi_outgoing_response_class, wasi_outgoing_body_class, wasi_outgoing_request_class,
    wasi_request_options_class, wasi_future_response_class, wasi_incoming_response_class,
    wasi_descriptor_class, wasi_entries_class, wasi_secret_class;

/* ---- the guest's world (ctx.c) ---- */

/* What a guest waits for: ready says so, or a time. The target outlives it. */
struct wasi_pollable {
    bool (*ready)(void *target); /* NULL: a timer */
    void *target;
    uint64_t due_ns; /* of a timer, clock_mono_ns */
};
bool wasi_pollable_ready(const struct wasi_pollable *p);

struct wasi_line { /* of stdout or stderr, so far */
    struct wasi_ctx *ctx;
    int fd;
    struct buf text;
};

/* The way out for the body of one exchange. */
struct wasi_flow {
    uint32_t exchange;
    size_t credit; /* bytes it may still carry */
    struct wasi_outbody *body;
};

#define WASI_MADE_MAX 3 /* accept: a socket and its streams */

struct wasi_ctx {
    struct wasi_opts opts;
    struct wasi_line out, err;
    size_t stdin_at;
    int watch; /* epoll of the descriptors that were found not ready; -1: none was */
    uint64_t insecure_seed[2];

    struct wasi_pollable *waiting; /* what the parked guest waits for */
    size_t nwaiting, waiting_cap;
    bool full;         /* a result did not fit the call's arena: wasi_done traps */
    struct wasi_made { /* objects that the running function makes for its result */
        const struct comp_class *class;
        void *obj;
    } made[WASI_MADE_MAX];
    uint32_t nmade;

    struct wasi_resolved *resolved; /* addresses of names that net allows (net.c) */
    size_t nresolved;
    uint32_t nsockets;

    struct wasi_incoming_request
        *request; /* NULL: no HTTP request here; else request_body is there too */
    struct wasi_inbody *request_body;
    struct wasi_flow response;      /* from response-outparam.set until its end was told */
    struct wasi_outbody *finishing; /* taken by an outgoing-body.finish that waits */
    struct wasi_made parked;        /* what the function that waits has taken or made; or none */
    bool gone;                      /* the guest will not run again */
    size_t held;                    /* bytes that count for WASI_HELD_BYTES_MAX */
    bool responded;
    bool head_request;          /* the request's method is HEAD */
    struct wasi_fetch *fetches; /* requests it made and still has use for */
    uint32_t nfetches, last_exchange;
};

static inline struct wasi_ctx *wasi_of(const struct comp_host_call *hc)
{
    return hc->user;
}

/* The end of a host function that answered: traps when a result did not fit. */
enum comp_host_status wasi_done(struct comp_host_call *hc);
/* What the guest is parked for: one of all that was added since wasi_wait_none (which wasi_done does, too). */
void wasi_wait(struct wasi_ctx *c, struct wasi_pollable p);
static inline void wasi_wait_none(struct wasi_ctx *c)
{
    c->nwaiting = 0;
}
/* An object that belongs to the function which waits now: dropped with the guest, or by wasi_unpark. Again for the same
 * object: no matter. */
void wasi_park(struct wasi_ctx *c, const struct comp_class *class, void *obj);
void wasi_unpark(struct wasi_ctx *c);
/* For a `ready` that says no because of a descriptor: what happens to that wakes the embedder (wasi_wait_fd). */
void wasi_watch(struct wasi_ctx *c, int fd);
enum comp_host_status wasi_wait_for(struct comp_host_call *hc, bool (*ready)(void *), void *target);

/* Values with a payload, in the call's arena. */
struct wit_value wasi_case(struct comp_host_call *hc, uint32_t index, struct wit_value payload);
struct wit_value wasi_tuple(struct comp_host_call *hc, const struct wit_value *members, uint32_t n);
struct wit_value *wasi_list(struct comp_host_call *hc,
                            size_t n); /* NULL, and full, when it does not fit */
struct wit_value wasi_copy_bytes(struct comp_host_call *hc, struct span s);

static inline struct wit_value
wasi_bare(uint32_t index) /* a case, ok or error without payload; none */
{
    return (struct wit_value){.n = index};
}
/* An own handle of a new object; at most WASI_MADE_MAX per call. Dropped again if the result cannot be delivered. */
struct wit_value wasi_own(struct comp_host_call *hc, const struct comp_class *class, void *obj);
static inline struct wit_value wasi_some(struct comp_host_call *hc, struct wit_value v)
{
    return wasi_case(hc, 1, v);
}
static inline struct wit_value wasi_ok(struct comp_host_call *hc, struct wit_value v)
{
    return wasi_case(hc, 0, v);
}
static inline struct wit_value wasi_err(struct comp_host_call *hc, struct wit_value v)
{
    return wasi_case(hc, 1, v);
}
#define WASI_OK wasi_bare(0)
#define WASI_ERR wasi_bare(1)
#define WASI_NONE wasi_bare(0)

/* ---- errors and streams (io.c, streams.c) ---- */

#define WASI_NO_HTTP_CODE UINT32_MAX

/* The object of wasi:io/error. */
struct wasi_error {
    uint32_t http_code; /* case of error-code, or WASI_NO_HTTP_CODE */
    uint64_t http_size; /* payload of the body-size cases */
    const char *text;
    char *own;      /* the text of an error that has a handle */
    int file_errno; /* its cause in a file; 0: none */
    int net_errno;  /* in a socket */
};
/* error-code of HTTP with the payload that goes with it. */
struct wit_value wasi_http_code(struct comp_host_call *hc, uint32_t code, uint64_t size);

enum wasi_state { WASI_OPEN, WASI_CLOSED, WASI_FAILED };

struct wasi_input;
struct wasi_input_ops {
    /* What can be read now, without taking it; empty while open: not now. */
    enum wasi_state (*peek)(struct wasi_input *s, struct span *view);
    void (*take)(struct wasi_input *s, size_t n); /* of what peek showed */
    void (*drop)(struct wasi_input *s);           /* of the source; may be NULL */
};
struct wasi_input {
    const struct wasi_input_ops *ops;
    void *source;
    struct wasi_error failure; /* of WASI_FAILED */
    bool told;                 /* the failure was reported: closed from then on */
};

struct wasi_output;
struct wasi_output_ops {
    enum wasi_state (*room)(struct wasi_output *s, size_t *n); /* bytes that can be accepted now */
    void (*write)(struct wasi_output *s, struct span data);    /* at most that */
    bool (*flushed)(struct wasi_output *s); /* nothing accepted waits here; true when not open */
    void (*drop)(struct wasi_output *s);    /* of the sink; may be NULL */
};
struct wasi_output {
    const struct wasi_output_ops *ops;
    void *sink;
    struct wasi_error failure;
    bool told, flushing;
    size_t permit; /* what check-write allowed and write has not used */
};
extern const struct comp_host_func wasi_input_funcs[], wasi_output_funcs[];
struct wasi_input *wasi_input_new(const struct wasi_input_ops *ops, void *source);
struct wasi_output *wasi_output_new(const struct wasi_output_ops *ops, void *sink);

/* A new pollable handle on a parent object's condition. */
struct wit_value wasi_subscribe(struct comp_host_call *hc, void *parent, bool (*ready)(void *));

/* Now on the guest's monotonic clock (clocks.c). */
uint64_t wasi_monotonic_ns(void);

/* ---- stdout, stderr (cli.c) ---- */
void wasi_line_end(struct wasi_line *line); /* prints what has no newline yet */

/* ---- HTTP ---- */

#define WASI_FIELDS_BYTES_MAX (128u << 10) /* names and values of one fields object */
#define WASI_HELD_BYTES_MAX (4u << 20)     /* fields and unsent bodies of one guest together */
#define WASI_OUTBODY_BUFFER 65536u /* accepted from the guest, not yet taken by the embedder */

/* http_fields.c: names in lower case, order kept. */
struct wasi_fields {
    struct wasi_ctx *ctx;
    uint32_t holders;
    bool immutable;
    size_t n, cap, bytes;
    struct http_field *at;
};
struct wasi_fields *wasi_fields_hold(struct wasi_fields *f);
void wasi_fields_release(struct wasi_fields *f);
/* What came in: forbidden and malformed ones are left out, and what is over the size. Immutable. */
struct wasi_fields *wasi_fields_received(struct wasi_ctx *c, const struct http_field *fields,
                                         size_t n);
/* An own handle of it; every handle is an object of its own, however many share the fields. */
struct wit_value wasi_fields_own(struct comp_host_call *hc, struct wasi_fields *f);
struct wasi_fields *
wasi_fields_take(void *handle); /* ends an own handle, keeps its hold; immutable from here on */

/* http_body.c: a body on its way to the guest. */
struct wasi_inbody {
    uint32_t holders;
    struct wasi_ctx *ctx;
    uint32_t exchange;
    struct wasi_fetch *fetch; /* whose response it is; NULL: the request that is served */
    struct spool data; /* in memory only */
    bool ended, discard, stream_taken, stream_open;
    uint32_t failed;   /* error-code, or WASI_NO_HTTP_CODE */
    char *failed_text; /* of a call: says more than the code; else NULL */
    struct wasi_fields *trailers;
};
struct wasi_inbody *wasi_inbody_new(struct wasi_ctx *c, uint32_t exchange);
struct wasi_inbody *wasi_inbody_hold(struct wasi_inbody *b);
void wasi_inbody_release(struct wasi_inbody *b);
void wasi_inbody_discard(struct wasi_inbody *b);             /* what is there and what is to come */
struct wasi_input *wasi_inbody_input(struct wasi_inbody *b); /* takes over a hold; once */
const char *wasi_inbody_failure(const struct wasi_inbody *b);

/* http_body.c: a body on its way from the guest. */
enum wasi_outbody_state { OUTBODY_OPEN, OUTBODY_FINISHED, OUTBODY_ABORTED };
struct wasi_outbody {
    uint32_t holders;
    struct wasi_ctx *ctx;
    struct wasi_flow *flow; /* from its head's leaving until its end was told */
    struct buf data;        /* accepted, waiting for that or for credit */
    enum wasi_outbody_state state;
    bool is_request, stream_taken, stream_open, overrun;
    bool lost;             /* nobody takes it any more */
    bool has_length;       /* a Content-Length was given */
    bool no_content;       /* HEAD, 204, 304, most GET: what is written goes nowhere */
    bool ends_with_stream; /* dropping the stream finishes it; until it starts it may become long */
    uint64_t length, written;
    struct wasi_fields *trailers;
};
struct wasi_outbody *wasi_outbody_new(struct wasi_ctx *c, bool is_request);
struct wasi_outbody *wasi_outbody_hold(struct wasi_outbody *b);
void wasi_outbody_release(struct wasi_outbody *b);
void wasi_outbody_start(struct wasi_outbody *b, struct wasi_flow *flow);
void wasi_outbody_abort(struct wasi_outbody *b);  /* unless it was finished */
void wasi_outbody_finish(struct wasi_outbody *b); /* unless it was aborted */
/* result<output-stream>, for the handle of parent. */
struct wit_value wasi_outbody_stream(struct comp_host_call *hc, void *parent,
                                     struct wasi_outbody *b);
bool wasi_outbody_drained(void *body);                           /* nothing waits for credit */
void wasi_flow_pump(struct wasi_ctx *c, struct wasi_flow *flow); /* as much as credit allows */
void wasi_flow_lose(struct wasi_flow *flow); /* the body it carries, if any, goes nowhere now */
/* Content-Length of f: none, a number, or false when it is not one. */
bool wasi_fields_length(const struct wasi_fields *f, bool *has_length, uint64_t *length);

/* http_incoming.c, http_outgoing.c, http_request.c, http_fetch.c */
void wasi_incoming_request_free(struct wasi_incoming_request *r);
struct wasi_outgoing_request {
    char *method, *scheme, *authority, *path_with_query; /* NULL: none */
    struct wasi_fields *headers;
    struct wasi_outbody *body; /* NULL until asked for */
};
void wasi_outgoing_request_free(struct wasi_outgoing_request *r);
enum wasi_timeout { TIMEOUT_CONNECT, TIMEOUT_FIRST_BYTE, TIMEOUT_BETWEEN_BYTES, TIMEOUT_COUNT };
struct wasi_request_options {
    struct {
        bool set;
        uint64_t ns;
    } timeouts[TIMEOUT_COUNT];
};

/* http_fetch.c: a request that the guest makes, from handle until nobody holds what comes of it. Or a call (call.c). */
struct wasi_fetch {
    struct wasi_fetch *next; /* of the context */
    struct wasi_ctx *ctx;
    struct wasi_flow request;
    struct wasi_inbody *body; /* of the response; the holders of it keep the fetch */
    bool answered;
    uint16_t status; /* 0: error says why */
    struct wasi_fields *headers;
    uint32_t error;
    char *error_text; /* may be NULL */
    struct buf root;  /* of a call: the encoded results, when there is no error_text */
};
struct wasi_fetch *wasi_fetch_new(struct wasi_ctx *c); /* held by whoever holds its body */
struct wasi_fetch *wasi_fetch_find(const struct wasi_ctx *c, uint32_t exchange); /* or NULL */
void wasi_fetch_unused(struct wasi_fetch *f); /* the last holder is gone */

/* call.c: a call that a link serves. Parked with its body until the function that makes it is done. */
struct wasi_call;
struct wasi_fetch *wasi_call_start(struct wasi_ctx *c, const struct wasi_call *call, struct err *e);

struct wit_value wasi_method_value(struct comp_host_call *hc, const char *text);
struct wit_value wasi_scheme_value(struct comp_host_call *hc, const char *text);
struct str wasi_method_text(const struct wit_value *v);
struct str wasi_scheme_text(const struct wit_value *v);
struct wit_value wasi_optional_text(struct comp_host_call *hc, const char *text); /* NULL: none */

extern const struct comp_host_func wasi_fields_funcs[], wasi_incoming_funcs[],
    wasi_outgoing_funcs[], wasi_body_funcs[], wasi_fetch_funcs[], wasi_handler_funcs[];

#endif
