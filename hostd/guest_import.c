/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's calls of imports that are served elsewhere. Owns each call's texts and answer, from guest_import_start
 * until the guest has used the answer or ended. Keeps: an answer is written under the guest's lock, read after
 * `done`. */
#include "hostd/guest_int.h"

#include "lattice/base/alloc.h"

struct import {
    struct guest_import call;
    struct guest *guest;
    struct import *next;
    struct buf params;
    char *link_name;
    bool done; /* this and what follows: written by the loop under the guest's lock */
    struct buf root;
    struct err e;
};

struct guest *guest_of(const struct comp_host_call *hc)
{
    return wasi_user(hc->user);
}

struct choices *guest_choices(struct guest *g)
{
    return &g->choices;
}

struct guest_import *guest_import_start(struct guest *g, const struct bridge_func *func,
                                        struct str link_name, struct span params)
{
    struct import *i = xnew(struct import);
    buf_put(&i->params, params.p, params.n);
    i->link_name = str_dup(link_name);
    i->guest = g;
    i->call = (struct guest_import){.func = func,
                                    .link_name = str_of(i->link_name),
                                    .params = buf_span(&i->params),
                                    .guest = g};
    i->next = g->imports;
    g->imports = i;
    guest_note(g, NOTE_IMPORT)->import = &i->call;
    return &i->call;
}

void guest_import_answer(struct guest_import *call, struct span root, const struct err *e)
{
    struct import *i = (struct import *)call;
    struct guest *g = i->guest;
    pthread_mutex_lock(&g->lock);
    buf_put(&i->root, root.p, root.n);
    if (e)
        i->e = *e;
    i->done = true;
    pthread_mutex_unlock(&g->lock);
    guest_wake(g);
}

bool guest_import_done(struct guest_import *call, struct span *root, const struct err **e)
{
    struct import *i = (struct import *)call;
    pthread_mutex_lock(&i->guest->lock);
    bool done = i->done;
    pthread_mutex_unlock(&i->guest->lock);
    if (!done)
        return false;
    *root = buf_span(&i->root);
    *e = i->e.code == ERR_NONE ? NULL : &i->e;
    return true;
}

void guest_import_free(struct guest_import *call)
{
    struct import *i = (struct import *)call, **at = &i->guest->imports;
    while (*at != i)
        at = &(*at)->next;
    *at = i->next;
    buf_fini(&i->params);
    buf_fini(&i->root);
    free(i->link_name);
    free(i);
}

void guest_imports_end(struct guest *g)
{
    while (g->imports) { /* it ended before they were answered or used */
        if (!g->imports->done && g->imports->call.cancel)
            g->imports->call.cancel(&g->imports->call);
        guest_import_free(&g->imports->call);
    }
}
