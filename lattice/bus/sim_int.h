/* SPDX-License-Identifier: Apache-2.0 */
/* Between sim.c, which moves messages, and sim_js.c, the simulated server's JetStream. */
#ifndef HOSTD_BUS_SIM_INT_H
#define HOSTD_BUS_SIM_INT_H

#include "lattice/bus/bus_int.h"

struct sim_js;

/* Sends m to whoever subscribed, as the server would; returns how many copies went out (dropped ones count). */
size_t sim_route(struct bus_sim *net, const struct bus_msg *m);
struct loop *sim_loop(const struct bus_sim *net);

struct sim_js *sim_js_new(struct bus_sim *net);
void sim_js_free(struct sim_js *js);
/* Handles requests to the JetStream API and stores messages; true: m is no business of anybody else (an API
 * request). Subscribers of a stored subject still get it. */
bool sim_js_handle(struct sim_js *js, const struct bus_msg *m, bool *stored);

#endif
