/* SPDX-License-Identifier: Apache-2.0 */
/* What happens on the threads of the nats.c library, on its way to the loop: a locked list of events, emptied in
 * batches with one wake-up for many.
 * Keeps: the inlet outlives the bus until the library has said "closed"; the library's callbacks touch nothing else. */
#include "lattice/bus/nats_int.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "lattice/base/alloc.h"

void inlet_unref(struct inlet *in)
{
    pthread_mutex_lock(&in->lock);
    bool last = --in->refs == 0;
    pthread_mutex_unlock(&in->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&in->lock);
    free(in->jwt);
    free_secret(in->seed);
    free(in);
}

struct inlet *inlet_ref(struct inlet *in)
{
    pthread_mutex_lock(&in->lock);
    in->refs++;
    pthread_mutex_unlock(&in->lock);
    return in;
}

static void event_free(struct event *ev)
{
    natsMsg_Destroy(ev->msg);
    free(ev->text);
    free(ev);
}

/* Any thread. Takes the event; states find room always. */
static void inlet_put(struct inlet *in, const struct event *what)
{
    struct event *ev = xnew(struct event);
    *ev = *what;
    ev->size = sizeof *ev + (ev->msg ? (size_t)natsMsg_GetDataLength(ev->msg) : 0);
    bool may_drop = ev->msg || ev->text;
    pthread_mutex_lock(&in->lock);
    bool take = in->wake >= 0 && (!may_drop || in->bytes + ev->size <= BUS_INLET_BYTES_MAX);
    if (take) {
        if (!in->first) /* under the lock, or bus_close might close it in between */
            eventfd_write(in->wake, 1);
        *in->last = ev;
        in->last = &ev->next;
        in->bytes += ev->size;
    }
    pthread_mutex_unlock(&in->lock);
    if (!take)
        event_free(ev);
}

void inlet_on_msg(natsConnection *nc, natsSubscription *s, natsMsg *msg, void *closure)
{
    struct nats_sub *sub = closure;
    (void)nc;
    (void)s;
    inlet_put(sub->inlet, &(struct event){.kind = EVENT_MSG, .sub = sub, .msg = msg});
}

void inlet_on_up(natsConnection *nc, void *closure)
{
    (void)nc;
    inlet_put(closure, &(struct event){.kind = EVENT_UP});
}

static void note_error(struct inlet *in, natsConnection *nc, enum err_code code)
{
    const char *text = NULL;
    natsConnection_GetLastError(nc, &text);
    pthread_mutex_lock(&in->lock);
    snprintf(in->why, sizeof in->why, "%s", text && *text ? text : "the server went away");
    in->why_code = code;
    pthread_mutex_unlock(&in->lock);
}

void inlet_on_down(natsConnection *nc, void *closure)
{
    note_error(closure, nc, ERR_IO);
    inlet_put(closure, &(struct event){.kind = EVENT_DOWN});
}

/* The library's last callback for this connection. */
void inlet_on_closed(natsConnection *nc, void *closure)
{
    note_error(closure, nc, ERR_CLOSED);
    inlet_put(closure, &(struct event){.kind = EVENT_SHUT});
    inlet_unref(closure);
}

/* The connection goes on. Without this the library prints to stderr. */
void inlet_on_error(natsConnection *nc, natsSubscription *s, natsStatus status, void *closure)
{
    const char *text = NULL;
    (void)s;
    if (status != NATS_NOT_PERMITTED)
        return; /* a slow consumer: there is none, our limits are not the library's */
    natsConnection_GetLastError(nc, &text);
    inlet_put(closure,
              &(struct event){.kind = EVENT_REFUSED,
                              .text = str_dup(str_of(text && *text ? text : "something"))});
}

/* ---- on the loop ---------------------------------------------------------------------------------- */

static struct event *inlet_take(struct inlet *in)
{
    pthread_mutex_lock(&in->lock);
    struct event *ev = in->first;
    in->first = NULL;
    in->last = &in->first;
    in->bytes = 0;
    pthread_mutex_unlock(&in->lock);
    return ev;
}

static void inlet_drain(void *user)
{
    struct inlet *in = inlet_ref(user); /* a callback may close the bus */
    eventfd_t count;
    eventfd_read(in->wake, &count);
    struct event *ev = inlet_take(in);
    while (ev) {
        struct event *next = ev->next;
        if (in->bus)
            nbus_handle(in->bus, ev);
        if (in->bus)
            nbus_used(in->bus, MOVE(ev->msg));
        event_free(ev);
        ev = next;
    }
    inlet_unref(in);
}

/* ---- life ----------------------------------------------------------------------------------------- */

void inlet_close(struct inlet *in)
{
    loop_fd_close(&in->watch);
    pthread_mutex_lock(&in->lock);
    close(in->wake);
    in->wake = -1;
    pthread_mutex_unlock(&in->lock);
    in->bus = NULL;
    for (struct event *ev = inlet_take(in), *next; ev; ev = next) {
        next = ev->next;
        event_free(ev);
    }
}

struct inlet *inlet_new(struct loop *loop, const struct bus_opts *opts, struct err *e)
{
    struct inlet *in = xnew(struct inlet);
    pthread_mutex_init(&in->lock, NULL);
    in->last = &in->first;
    in->refs = 1;
    in->jwt = opts->jwt ? str_dup(str_of(opts->jwt)) : NULL;
    in->seed = opts->seed ? str_dup(str_of(opts->seed)) : NULL;
    in->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (in->wake < 0)
        err_errno(e, errno, "eventfd");
    else
        in->watch = loop_fd_open(loop, in->wake, inlet_drain, in, e);
    if (in->watch)
        return in;
    inlet_close(in);
    inlet_unref(in);
    return NULL;
}
