/* SPDX-License-Identifier: Apache-2.0 */
/* The client side of a connection to a server in a simulated loop: for tests and fuzzing. Bytes put are handled at
 * once; replies appear when the loop turns (loop_sim_advance). Loop thread only. */
#ifndef HOSTD_HTTP_SIM_H
#define HOSTD_HTTP_SIM_H

#include "lattice/http/http_server.h"

struct http_sim_client;

/* ERR_NOT_FOUND: nobody listens there in this loop; ERR_DENIED: turned away. */
bool http_sim_connect(struct loop *loop, struct str address, struct str peer,
                      struct http_sim_client **out, struct err *e);
void http_sim_close(struct http_sim_client *c); /* the client leaves; NULL is fine */
void http_sim_put(struct http_sim_client *c, struct str bytes);
void http_sim_put_eof(struct http_sim_client *c);
/* Does the server read? Bytes put while it does not are kept for when it does. */
bool http_sim_reads(const struct http_sim_client *c);
/* Everything sent since the last http_sim_clear. */
struct str http_sim_got(const struct http_sim_client *c);
void http_sim_clear(struct http_sim_client *c);
/* Takes at most this many bytes from now on (SIZE_MAX: no bound), to play a client that reads slowly. */
void http_sim_take(struct http_sim_client *c, size_t bytes);
bool http_sim_ended(const struct http_sim_client *c);  /* the server sends no more */
bool http_sim_broken(const struct http_sim_client *c); /* ended in the middle of a reply */

#endif
