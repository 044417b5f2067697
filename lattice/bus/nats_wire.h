/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the NATS build of the bus: one connection to one server. Resolves a name, connects, carries bytes with or
 * without TLS, and hands over what the server sends, operation by operation. Everything on the loop, nothing blocks but
 * nats_wire_finish. What is appended to nats_wire_out goes out at the end of the loop's turn. */
#ifndef HOSTD_BUS_NATS_WIRE_H
#define HOSTD_BUS_NATS_WIRE_H

#include "lattice/base/loop.h"
#include "lattice/bus/nats_parse.h"

struct nats_wire;
struct ssl_ctx_st;

/* Each may close the wire; none is called inside a function below. */
struct nats_wire_events {
    void (*open)(void *user);
    void (*frame)(void *user, const struct nats_frame *f);
    void (*lost)(void *user,
                 const struct err *why); /* the last one; the wire is still to be closed */
    void (*room)(
        void *user); /* all that was unsent has been sent, after it had been more than some */
};

struct nats_wire *nats_wire_open(struct loop *loop, const char *host, uint16_t port,
                                 const struct nats_wire_events *events, void *user);
/* NULL is fine. Views of a frame that is being handed over stay valid until its callback returns. */
void nats_wire_close(struct nats_wire **w);

/* From here on through TLS: to be called in `frame`, before anything was appended. */
void nats_wire_secure(struct nats_wire *w, struct ssl_ctx_st *context, const char *host);

/* For appending; nats_wire_send afterwards. */
struct buf *nats_wire_out(struct nats_wire *w);
void nats_wire_send(struct nats_wire *w);
/* `room` is told once all is sent, however little it is. */
void nats_wire_expect_room(struct nats_wire *w);
size_t nats_wire_unsent(const struct nats_wire *w);

/* Blocks until the server has dealt with everything and hung up, at most timeout_ms. Close then. */
void nats_wire_finish(struct nats_wire *w, uint64_t timeout_ms);

#endif
