/* SPDX-License-Identifier: Apache-2.0 */
/* What the host itself offers a guest: WASI 0.2 interfaces (io, clocks, random, cli, filesystem, sockets, http, and
 * blobstore over a link) as rows for the component linker, and WASI 0.1 for core modules. A guest's world is a
 * `struct wasi_ctx`, passed as `user` to comp_inst_new.
 *
 * Threads: a ctx belongs to whoever runs the guest at the moment. The embedder (daemon, ctl) keeps a mailbox per guest
 * and feeds what came in (wasi_body_push ...) just before comp_run; nothing here locks.
 * Waiting: blocking functions answer PENDING; after COMP_PARKED the embedder asks wasi_wake_at, and runs the guest
 * again once wasi_ready says so or that time has come. Nothing here ever blocks a thread, except
 * what only `hostctl run` turns on: calls on files (preopens) and on the standard streams (pass_stdio).
 * Spec: wasi:io, clocks, random, cli, http 0.2.x; semantics of component-model.md section 12. */
#ifndef HOSTD_WASI_H
#define HOSTD_WASI_H

#include "hostd/component/component.h"
#include "wrpc/http.h"

struct wasi_ctx;

/* ---- linking ---- any thread, static data after wasi_init */

void wasi_init(void); /* once: parses the interface texts */
/* The host interface for an import name of any compatible version, or NULL. */
const struct comp_host_iface *wasi_find(struct str import);
const struct comp_class *wasi_find_class(struct str import, struct str resource);

/* ---- one guest's world ---- */

/* Exchanges of one guest: the HTTP request that it serves is this one, those that it makes are 1, 2, ... */
#define WASI_SERVED 0u
#define WASI_FETCHES_MAX 256u /* that one guest may have under way */

/* A request that the guest makes. Views live during the call. */
struct wasi_request {
    struct http_request head;                             /* its scheme is http or https */
    bool has_body;                                        /* it follows by body_data and body_end */
    uint64_t body_bytes;                                  /* UINT64_MAX: not known */
    uint64_t connect_ns, first_byte_ns, between_bytes_ns; /* 0: not said */
};

/* The value of a secret, a text or bytes. */
struct wasi_secret {
    bool is_text;
    struct span value;
};

/* A call that a link serves for the guest (wasi:blobstore, as wrpc:blobstore). Views live during the call. */
struct wasi_call {
    struct str func;    /* on the wire; static */
    struct span params; /* encoded */
    bool has_body;      /* a stream<u8> among them, which follows by body_data and body_end */
};

/* What the embedder does for the guest. Called on the thread that runs it, from inside comp_run. */
struct wasi_world {
    /* A line (or a capped piece) of stdout (1) or stderr (2), without its newline. */
    void (*print)(void *user, int fd, struct str line);
    /* wasi:config/store: NULL when unset. May be NULL itself. */
    bool (*config_get)(void *user, struct str key, struct str *value);
    /* The i-th pair of it, in any order; false past the last. May be NULL. */
    bool (*config_at)(void *user, size_t i, struct str *key, struct str *value);
    /* wasmcloud:secrets: false when there is none of that name. The view is valid until the guest runs. May be NULL. */
    bool (*secret_get)(void *user, struct str name, struct wasi_secret *out);
    /* wasi:logging. May be NULL. level: 0 trace .. 5 critical */
    void (*log)(void *user, uint32_t level, struct str context, struct str message);

    /* response-outparam.set: exactly one of head and error. Once per call. */
    void (*respond)(void *user, const struct http_response *head, const struct http_error *error);
    /* outgoing-handler.handle: what happens is told by wasi_fetch_response or _error, later. NULL: the guest may make
     * no requests. */
    void (*fetch)(void *user, uint32_t exchange, const struct wasi_request *request);
    /* What happens is told by wasi_call_result or _fail, later. NULL: nobody serves such calls. */
    void (*call)(void *user, uint32_t exchange, const struct wasi_call *call);
    /* The guest has no use for the request or call any more, ended or not. */
    void (*fetch_drop)(void *user, uint32_t exchange);

    /* Bodies of exchanges. Of the response, or of a request with a body: data, at most what wasi_body_credit allowed,
     * then exactly one end: finished (with trailers) or aborted; neither after fetch_drop. */
    void (*body_data)(void *user, uint32_t exchange, struct span data);
    void (*body_end)(void *user, uint32_t exchange, bool finished,
                     const struct http_field *trailers, size_t ntrailers);
    /* The guest consumed n bytes of what came in: the embedder may let more come. */
    void (*body_consumed)(void *user, uint32_t exchange, size_t n);
};

/* A directory the guest may use, with all below it. */
struct wasi_preopen {
    int fd;           /* open for reading; stays the embedder's, open until wasi_ctx_free */
    struct str guest; /* what the guest calls it */
    bool read_only;   /* nothing below it may be changed */
};

/* What of the network guests may reach: rules "HOST:PORT", where HOST is a name, an address ("127.0.0.1", "10.0.0.0/8",
 * "[::1]") or "*", and PORT a number or "*". A rule allows to connect to it, to send to it, and to listen there; a
 * name, to look it up, too. Complete before the first guest uses it; then any thread. */
struct wasi_net;
struct wasi_net *wasi_net_new(void);
void wasi_net_free(struct wasi_net *n);
bool wasi_net_allow(struct wasi_net *n, struct str rule, struct err *e);

/* Can paths be confined to it on this machine? */
bool wasi_preopen_check(const struct wasi_preopen *dir, struct err *e);

struct wasi_opts {
    const struct wasi_world *world;
    void *user;                   /* for the world's functions; wasi_user() */
    const char *const *args;      /* NULL terminated; NULL: {"main.wasm"} */
    const struct http_field *env; /* name, value */
    size_t nenv;
    struct span stdin_bytes;
    bool pass_stdio; /* the process's own 0, 1 and 2 instead of stdin_bytes and print */
    const struct wasi_preopen *preopens; /* must outlive it */
    size_t npreopens;
    const struct wasi_net *net;  /* must outlive it; NULL: no network */
    uint32_t buffered_bytes_max; /* of one body, waiting for the guest: 0 = 1 MiB */
};
struct wasi_ctx *wasi_ctx_new(const struct wasi_opts *opts); /* opts->args, env must outlive it */
/* Before the instance is freed or reset: what is dropped from here on its guest did not drop. */
void wasi_guest_gone(struct wasi_ctx *c);
/* After the instance was freed or reset. A response body that has not ended ends here, as aborted. */
void wasi_ctx_free(struct wasi_ctx *c);
void *wasi_user(const struct wasi_ctx *c);

/* The two arguments for wasi:http/incoming-handler.handle; deep copies the request. Forbidden headers are removed. */
bool wasi_http_args(struct wasi_ctx *c, const struct http_request *request,
                    struct wit_value args[2], struct err *e);
/* How a request that the guest made went: one of them, once. */
void wasi_fetch_response(struct wasi_ctx *c, uint32_t exchange, const struct http_response *r);
void wasi_fetch_error(struct wasi_ctx *c, uint32_t exchange, const struct http_error *error);
/* How a call went: one of them, once. */
void wasi_call_result(struct wasi_ctx *c, uint32_t exchange, struct span root);
void wasi_call_fail(struct wasi_ctx *c, uint32_t exchange, struct str why);
/* What follows ok results, if anything does: bytes by wasi_body_push, then this. why empty: it ended well. */
void wasi_call_end(struct wasi_ctx *c, uint32_t exchange, struct str why);
/* What came in for a body: of the request that is served, or behind wasi_fetch_response. push copies; false: it
 * is more than buffered_bytes_max. Of exchanges that are over nothing is wanted. */
bool wasi_body_push(struct wasi_ctx *c, uint32_t exchange, struct span data, struct err *e);
void wasi_body_end(struct wasi_ctx *c, uint32_t exchange, const struct http_field *trailers,
                   size_t ntrailers);
void wasi_body_fail(struct wasi_ctx *c, uint32_t exchange, enum http_error_code why);
/* The body that the guest writes in this exchange may carry n more bytes (starts at 0). */
void wasi_body_credit(struct wasi_ctx *c, uint32_t exchange, size_t n);
/* Has response-outparam.set been called? */
bool wasi_responded(const struct wasi_ctx *c);

/* ---- parked guests ---- */

/* May a parked guest go on now (something it waits for is ready)? True also when it waits for nothing of WASI's.
 * A guest waits for credit too: outgoing-body.finish answers when the last byte was handed to body_data and body_end
 * was called, so nothing of a response is left here once the call is done. */
bool wasi_ready(struct wasi_ctx *c);
/* Earliest monotonic time (clock_mono_ns) at which a timer it waits for is due; UINT64_MAX: none. */
uint64_t wasi_wake_at(const struct wasi_ctx *c);
/* A descriptor that becomes readable when something may have come that the parked guest waits for, and is readable
 * until the next wasi_ready; -1: no descriptor will bring it anything. It is the context's. */
int wasi_wait_fd(const struct wasi_ctx *c);

/* ---- WASI 0.1 ---- the same world for a core module, with pass_stdio */

struct wasi_p1;
struct wasi_p1 *wasi_p1_new(struct wasi_ctx *c); /* c must outlive it */
void wasi_p1_free(struct wasi_p1 *p);            /* after the instances that import from it */
/* What an import is bound to, or NULL: it is none of WASI 0.1. A deferred function, for wasi_p1_serve. */
struct wasm_func *wasi_p1_func(const struct wasi_p1 *p, struct str module, struct str name);
void wasi_p1_attach(struct wasi_p1 *p, struct wasm_inst *inst); /* whose memory pointers mean */

enum wasi_p1_status {
    WASI_P1_DONE,    /* run it again */
    WASI_P1_PENDING, /* not now: serve the same call again when wasi_ready, or at wasi_wake_at */
    WASI_P1_EXITED,  /* the guest called proc_exit */
};
/* Answers the call that wasm_run returned with. */
enum wasi_p1_status wasi_p1_serve(struct wasi_p1 *p, struct wasm_vm *vm);
uint32_t wasi_p1_exit_status(const struct wasi_p1 *p);

#endif
