/* SPDX-License-Identifier: Apache-2.0 */
/* The provider side of the lattice protocol. A provider is a table of functions and `int main(void) { return
 * sdk_run(&table); }`; the rest is done here: the host's line on stdin, the bus, links, health, configuration,
 * invocations in both directions, graceful stop. Loop thread only.
 *
 *   sdk_run: host data -> bus -> open() -> link_put() for every link -> serving -> stop() ... sdk_stopped() -> close()
 *
 * Spec: wasmCloud 1.x, host data and messages from host to provider; wRPC headers of a provider. */
#ifndef HOSTD_SDK_H
#define HOSTD_SDK_H

#include "lattice/base/loop.h"
#include "lattice/proto/message.h"
#include "wrpc/wrpc.h"

struct sdk;

enum sdk_role {
    SDK_SOURCE, /* we call the target */
    SDK_TARGET, /* the source calls us */
};

/* Lives from link_put until link_del of the same link returned. */
struct sdk_link {
    enum sdk_role role;
    const struct proto_link_def *def;
    /* Our side's. A secret that is text is in it as a setting of its name, and wins over configuration. */
    const struct proto_map *config;
    const struct proto_secrets *secrets; /* our side's; not for logs */
    void *user;                          /* the provider's */
};

struct sdk_health {
    bool healthy;
    char message[512]; /* may be empty */
};

struct sdk_provider {
    const char *name;                              /* for logs */
    void *(*open)(struct sdk *sdk, struct err *e); /* NULL: refuses to start */
    void (*close)(void *self);
    /* A link never comes twice without a link_del between. Failing is shown by health. */
    void (*link_put)(void *self, struct sdk_link *link);
    void (*link_del)(void *self, struct sdk_link *link);
    /* The rest may be NULL. */
    void (*config)(
        void *self,
        const struct proto_map *config); /* replaced; as a link's; borrowed for the call */
    void (*health)(void *self, struct sdk_health *out); /* out says healthy */
    /* The connection came or went. While it is down messages in both directions may be lost. */
    void (*lattice)(void *self, bool up);
    /* Take no more work (what NATS had sent for served functions has begun); call sdk_stopped when what is at hand is
     * done, or is not within grace_ms. */
    void (*stop)(void *self, uint64_t grace_ms);
};

/* The whole life of the process; its exit status. */
int sdk_run(const struct sdk_provider *provider);

/* The same without process, stdin and signals: over any bus, which stays the caller's. host_data is JSON.
 * on_stopped: the provider stopped, its host was told; sdk_close may follow (not from inside). */
bool sdk_open(struct bus *bus, const struct sdk_provider *provider, struct span host_data,
              void (*on_stopped)(void *user), void *user, struct sdk **out, struct err *e);
void sdk_close(struct sdk *sdk);
void sdk_stop(struct sdk *sdk, uint64_t grace_ms); /* as on a signal; again is fine */
void sdk_lattice(struct sdk *sdk, bool up);        /* to be told by whoever opened the bus */

/* ---- for providers ---- */

/* Its config has our own secrets in it, as a link's has. */
const struct proto_host_data *sdk_host_data(const struct sdk *sdk);
struct str sdk_id(const struct sdk *sdk); /* ours */
struct loop *sdk_loop(const struct sdk *sdk);
struct bus *sdk_bus(const struct sdk *sdk);
void sdk_stopped(struct sdk *sdk);
/* For health: this link is not served, and why; in the message as far as there is room. */
void sdk_health_link(struct sdk_health *out, const struct sdk_link *link, const struct err *why);

struct sdk_call {
    struct str target; /* component id */
    struct str instance, func;
    const struct bus_header
        *headers; /* besides a provider's own: trace context; at most SDK_HEADERS_MAX */
    size_t nheaders;
    uint64_t deadline_ms; /* 0: none */
    bool paced;           /* wrpc_out_room bounds the writers, wrpc_call_consumed the peer's */
    bool bare;            /* as in struct wrpc_target */
};

#define SDK_HEADERS_MAX 6u

/* wrpc_invoke at a component, with the headers of a provider. */
bool sdk_invoke(struct sdk *sdk, const struct sdk_call *call, struct span params,
                const struct wit_pendings *result_paths, wrpc_bytes_fn *on_bytes,
                wrpc_end_fn *on_end, void *user, struct wrpc_call **out, struct err *e);
/* wrpc_serve_open on our own id. Close it in stop or close, not before. */
bool sdk_serve(struct sdk *sdk, struct str instance, struct str func,
               const struct wit_pendings *param_paths, wrpc_inv_fn *fn, void *user,
               struct wrpc_serve **out, struct err *e);

/* ---- functions of plain values (typed.c) ----
 * fn gets each call with its parameters decoded, and owes it sdk_answer or sdk_drop, now or later. */

#define SDK_PARAMS_MAX 8u

struct sdk_func;
struct sdk_typed;
typedef void sdk_typed_fn(void *user, struct sdk_typed *call);
/* type outlives the function; it has no streams. */
bool sdk_serve_typed(struct sdk *sdk, struct str instance, const struct wit_func *type,
                     sdk_typed_fn *fn, void *user, struct sdk_func **out, struct err *e);
void sdk_func_stop(struct sdk_func *f); /* no new calls; NULL is fine */
void sdk_func_free(struct sdk_func *f); /* calls that were handed out stay valid; NULL is fine */

const struct wit_value *sdk_args(const struct sdk_typed *c);
struct arena *sdk_arena(struct sdk_typed *c);          /* lives as long as the call */
struct str sdk_caller(const struct sdk_typed *c);      /* id of the component */
struct str sdk_caller_link(const struct sdk_typed *c); /* name of the link it came by */
/* type: the function's result; NULL for none. The call is gone. */
void sdk_answer(struct sdk_typed *c, const struct wit_type *type, const struct wit_value *result);
void sdk_drop(struct sdk_typed *c); /* without an answer: the caller sees a failure */

#endif
