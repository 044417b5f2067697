/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated server's JetStream. */
#include "lattice/bus/sim_int.h"

#include "lattice/base/alloc.h"

struct sim_js {
    struct bus_sim *net;
};

struct sim_js *sim_js_new(struct bus_sim *net)
{
    struct sim_js *js = xnew(struct sim_js);
    js->net = net;
    return js;
}

void sim_js_free(struct sim_js *js)
{
    free(js);
}

bool sim_js_handle(struct sim_js *js, const struct bus_msg *m, bool *stored)
{
    (void)js;
    (void)m;
    (void)stored;
    return false;
}
