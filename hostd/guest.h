/* SPDX-License-Identifier: Apache-2.0 */
/* A running guest as an actor between two threads. The loop thread mails it what came in (body bytes, credit,
 * answers of imports); a worker runs it when there is something to do; what it produced comes back to the loop as
 * notes, in order, one batch per run. A guest that waits holds no thread: it is this struct.
 *
 *   g = guest_new(...) ; guest_start(g, func, args) ; ... ops->ended ; guest_free(g)
 *
 * Everything here is for the loop thread, except where marked "worker". Private to the daemon. */
#ifndef HOSTD_GUEST_H
#define HOSTD_GUEST_H

#include "hostd/choice.h"
#include "hostd/grant.h"
#include "hostd/wasi/wasi.h"
#include "lattice/base/worker.h"

struct guest;
struct guest_import;
struct bridge_func;
struct loop;

/* How a guest's call ended. */
struct guest_end {
    enum comp_outcome outcome; /* DONE, TRAPPED, EXITED */
    enum wasm_trap trap;
    bool responded; /* response-outparam.set was called */
    struct str why; /* trap text, for the log */
    uint64_t fuel_used;
};

enum guest_body { GUEST_BODY_MORE, GUEST_BODY_FINISHED, GUEST_BODY_ABORTED };

/* A request that the guest makes (wasi_request): its root as http_request_encode writes it. */
struct guest_fetch {
    struct span root;
    struct str link_name; /* the guest's choice for wasi:http/outgoing-handler */
    bool has_body;
    uint64_t body_bytes, connect_ns, first_byte_ns, between_bytes_ns;
};

/* A call that a link serves for the guest (wasi_call). */
struct guest_call {
    struct str func;
    struct span params;
    struct str link_name; /* the guest's choice for wasi:blobstore/blobstore */
    bool has_body;
};

/* What comes back, on the loop thread. Bytes are encoded wire values; they live during the callback. */
struct guest_ops {
    void (*head)(void *user,
                 struct span root); /* response-outparam.set: result<response, error-code> */
    /* head and all of the body in one, where the guest was that quick */
    void (*response)(void *user, struct span root, struct span body, struct span trailers);
    /* Of the response (WASI_SERVED) or of a fetch. trailers: option<fields>, with FINISHED only */
    void (*body)(void *user, uint32_t exchange, struct span data, enum guest_body end,
                 struct span trailers);
    void (*consumed)(void *user, uint32_t exchange, size_t n); /* bytes that were pushed */
    void (*fetch)(void *user, uint32_t exchange, const struct guest_fetch *request);
    void (*call)(void *user, uint32_t exchange, const struct guest_call *call);
    void (*fetch_drop)(void *user, uint32_t exchange);     /* no use for it any more */
    void (*result)(void *user, struct span root);          /* of a plain function */
    void (*import)(void *user, struct guest_import *call); /* answer with guest_import_answer */
    void (*print)(void *user, int fd, struct str line);
    void (*log)(void *user, uint32_t level, struct str context, struct str message);
    void (*ended)(void *user,
                  const struct guest_end *end); /* last; the guest may be freed inside */
};

struct guest_opts {
    struct loop *loop;
    struct workers *workers;
    const struct guest_ops *ops;
    void *user;
    struct config_map *config;  /* a reference is taken; NULL: empty */
    const struct wasi_net *net; /* what its sockets may reach; NULL: nothing */
};

/* Takes inst over: it comes back through guest_take_instance when it can serve another call. */
struct guest *guest_new(const struct guest_opts *opts, struct comp_inst *inst);
/* A new guest's world, to make arguments of (wasi_http_args). Before guest_start only. */
struct wasi_ctx *guest_world(struct guest *g);
/* Values for arguments live here as long as the guest. Before guest_start only. */
struct arena *guest_arena(struct guest *g);
bool guest_start(struct guest *g, const struct comp_func *func, const struct wit_value *args,
                 struct err *e); /* false: free it */

/* Of the request that is served (WASI_SERVED), or of the response to a fetch. A body of which much more than
 * INFLOW_WINDOW_BYTES (inflow.h) is there unread is cut. */
void guest_body_push(struct guest *g, uint32_t exchange, struct span data);
void guest_body_end(struct guest *g, uint32_t exchange, const struct http_field *trailers,
                    size_t n);
void guest_body_fail(struct guest *g, uint32_t exchange, enum http_error_code why);
void guest_body_credit(struct guest *g, uint32_t exchange,
                       size_t n); /* the guest's own body may go on */
/* How a fetch went: encoded result<response, error-code>. */
void guest_fetch_result(struct guest *g, uint32_t exchange, struct span root);
/* How a call went: encoded results, or why there are none; and how what followed them ended (empty: well). */
void guest_call_result(struct guest *g, uint32_t exchange, struct span root);
void guest_call_fail(struct guest *g, uint32_t exchange, struct str why);
void guest_call_end(struct guest *g, uint32_t exchange, struct str why);
void guest_cancel(struct guest *g, enum wasm_trap why); /* ends it soon; ended is still called */

/* After ended: the instance, rewound, or NULL when it cannot be used again. */
struct comp_inst *guest_take_instance(struct guest *g);
void guest_free(struct guest *g); /* after ended, or before guest_start */

/* ---- calls of imports that are not served here ---- */

/* One call on its way; owned by the guest. Views live until it is answered. */
struct guest_import {
    const struct bridge_func *func; /* NULL: a question of choice.c */
    struct str link_name;
    struct span params; /* encoded */
    struct guest *guest;
    /* the daemon's, while the call is under way */
    void *state;
    void (*cancel)(struct guest_import *call); /* the guest ended first: forget it, do not answer */
};
/* e NULL: root is the encoded result tuple (copied). Once. */
void guest_import_answer(struct guest_import *call, struct span root, const struct err *e);

/* Worker, from inside a host function: starts such a call (copies texts), and asks for its answer. */
struct guest_import *guest_import_start(struct guest *g, const struct bridge_func *func,
                                        struct str link_name, struct span params);
bool guest_import_done(struct guest_import *call, struct span *root, const struct err **e);
void guest_import_free(struct guest_import *call); /* after its answer was used */
struct guest *guest_of(const struct comp_host_call *hc);
struct choices *guest_choices(struct guest *g);

#endif
