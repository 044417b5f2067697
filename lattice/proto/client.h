/* SPDX-License-Identifier: Apache-2.0 */
/* Typed requests over the bus: a host's control interface, the manifest API. Asynchronous, loop thread only.
 *   proto_client_new -> proto_host_get ... (fn is called, or proto_cancel) -> proto_client_free */
#ifndef HOSTD_PROTO_CLIENT_H
#define HOSTD_PROTO_CLIENT_H

#include "lattice/proto/message.h"

struct proto_client; /* asks; many requests may be open */
struct proto_request;

/* The views are copied. timeout_ms 0: 2000 (manifest API: 10000). */
struct proto_client *proto_client_new(struct bus *bus, const struct proto_space *space,
                                      uint64_t timeout_ms);
void proto_client_free(
    struct proto_client *c); /* cancels what is open, without callbacks; takes NULL */

/* Once, save for collecting requests. Exactly one of: r (success); e (no answer, an answer that is none, or
 * success:false, which is ERR_PEER with the peer's message). All views die after the callback.
 * Collecting (ping, auctions): once per answer, then r == NULL and e->code == ERR_NONE when the time is up. */
typedef void proto_reply_fn(void *user, const struct proto_reply *r, const struct err *e);

/* For requests: false when it could not even be sent (fn is not called). *out, when out is not NULL, may be
 * cancelled until the (last) callback ran. */
bool proto_host_ping(struct proto_client *c, uint64_t collect_ms, proto_reply_fn *fn, void *user,
                     struct proto_request **out, struct err *e);
bool proto_host_get(struct proto_client *c, struct str host_id, proto_reply_fn *fn, void *user,
                    struct proto_request **out, struct err *e);
bool proto_host_stop(struct proto_client *c, const struct proto_host_stop *m, proto_reply_fn *fn,
                     void *user, struct proto_request **out, struct err *e);
bool proto_host_probe(struct proto_client *c, struct str host_id, uint64_t timeout_ms,
                      proto_reply_fn *fn, void *user, struct proto_request **out,
                      struct err *e); /* any answer is success */
bool proto_component_bids(struct proto_client *c, const struct proto_component_auction *m,
                          uint64_t collect_ms, proto_reply_fn *fn, void *user,
                          struct proto_request **out, struct err *e);
bool proto_provider_bids(struct proto_client *c, const struct proto_provider_auction *m,
                         uint64_t collect_ms, proto_reply_fn *fn, void *user,
                         struct proto_request **out, struct err *e);
/* The next five go to m->host_id. */
bool proto_component_scale(struct proto_client *c, const struct proto_scale *m, proto_reply_fn *fn,
                           void *user, struct proto_request **out, struct err *e);
bool proto_component_update(struct proto_client *c, const struct proto_update *m,
                            proto_reply_fn *fn, void *user, struct proto_request **out,
                            struct err *e);
bool proto_provider_start(struct proto_client *c, const struct proto_provider_start *m,
                          proto_reply_fn *fn, void *user, struct proto_request **out,
                          struct err *e);
bool proto_provider_stop(struct proto_client *c, const struct proto_provider_stop *m,
                         proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e);
bool proto_label_put(struct proto_client *c, struct str host_id, const struct proto_label *m,
                     proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e);
bool proto_label_del(struct proto_client *c, struct str host_id, struct str key, proto_reply_fn *fn,
                     void *user, struct proto_request **out, struct err *e);
bool proto_links_get(struct proto_client *c, proto_reply_fn *fn, void *user,
                     struct proto_request **out, struct err *e);
bool proto_link_put(struct proto_client *c, const struct proto_link *m, proto_reply_fn *fn,
                    void *user, struct proto_request **out, struct err *e);
bool proto_link_del(struct proto_client *c, const struct proto_link_del *m, proto_reply_fn *fn,
                    void *user, struct proto_request **out, struct err *e);
/* r->response.config NULL: no such configuration. */
bool proto_config_get(struct proto_client *c, struct str name, proto_reply_fn *fn, void *user,
                      struct proto_request **out, struct err *e);
bool proto_config_put(struct proto_client *c, struct str name, const struct proto_map *m,
                      proto_reply_fn *fn, void *user, struct proto_request **out, struct err *e);
bool proto_config_del(struct proto_client *c, struct str name, proto_reply_fn *fn, void *user,
                      struct proto_request **out, struct err *e);
bool proto_claims_get(struct proto_client *c, proto_reply_fn *fn, void *user,
                      struct proto_request **out, struct err *e);
void proto_cancel(struct proto_request **r); /* sets *r to NULL; takes NULL in it */

/* Manifest API. "error" and "notfound" results are successes here: look at result. */
typedef void proto_api_fn(void *user, const struct proto_api_reply *r, const struct err *e);

/* manifest: JSON when `json`, else YAML. */
bool proto_api_put(struct proto_client *c, struct span manifest, bool json, proto_api_fn *fn,
                   void *user, struct proto_request **out, struct err *e);
bool proto_api_list(struct proto_client *c, proto_api_fn *fn, void *user,
                    struct proto_request **out, struct err *e);
/* get, versions, del, deploy, undeploy, status. version none: what the operation takes then. */
bool proto_api_ask(struct proto_client *c, enum proto_api_op op, struct str app, struct str version,
                   proto_api_fn *fn, void *user, struct proto_request **out, struct err *e);

#endif
