/* SPDX-License-Identifier: Apache-2.0 */
/* The guest actor's struct, for its three files. Keeps:
 * - inst and wasi belong to the worker that runs the guest while state is RUNNING, to nobody else ever; the loop thread
 *   touches them only before guest_start and after ENDED was noted;
 * - `lock` guards inbox, state, and the life of inst as seen by comp_pause; it is a leaf. */
#ifndef HOSTD_GUEST_INT_H
#define HOSTD_GUEST_INT_H

#include "hostd/guest.h"

#include <pthread.h>

struct batch;
struct import;
struct loop_fd;
struct loop_timer;
struct mail;

enum note_kind {
    NOTE_HEAD,
    NOTE_BODY,
    NOTE_CONSUMED,
    NOTE_FETCH,
    NOTE_CALL,
    NOTE_FETCH_DROP,
    NOTE_RESULT,
    NOTE_IMPORT,
    NOTE_PRINT,
    NOTE_LOG,
    NOTE_TIMER,
    NOTE_WATCH,
    NOTE_ENDED
};

struct note {
    struct note *next;
    enum note_kind kind;
    uint32_t number;   /* BODY: enum guest_body; CONSUMED: bytes; PRINT: fd; LOG: level */
    uint32_t exchange; /* BODY, CONSUMED, FETCH, CALL, FETCH_DROP */
    uint64_t at_ns;    /* TIMER */
    int fd;            /* WATCH: the descriptor; -1: the same as before */
    struct guest_fetch fetch;
    struct guest_call call;
    struct guest_import *import;
    struct buf text, more;
};

enum guest_state { GUEST_NEW, GUEST_PARKED, GUEST_QUEUED, GUEST_RUNNING, GUEST_ENDED };

struct guest {
    struct worker_job job;
    struct guest_opts opts;
    struct arena arena;
    const struct comp_func *func;
    struct comp_inst *inst;
    struct wasi_ctx *wasi;
    struct import *imports; /* worker; after ENDED the loop's */
    struct choices choices; /* likewise */
    struct batch *batch;    /* worker: notes of this run */
    struct guest_end end;
    struct buf end_text;

    pthread_mutex_t lock;
    struct mail *inbox, **inbox_tail;
    enum guest_state state;
    enum wasm_trap ending; /* why it must end; NONE: it need not */

    bool watched;            /* worker: the loop has watch_fd */
    struct loop_timer *wake; /* this and what follows: loop */
    struct loop_fd *watch;   /* while the guest is parked */
    int watch_fd; /* of wasi_wait_fd, a duplicate: it stays when the guest's world is gone; -1: none yet */
};

/* guest.c. Loop: something happened that a parked guest should look at. */
void guest_wake(struct guest *g);

/* guest_notes.c. Worker: one more note of this run; all of them on their way to the loop. */
struct note *guest_note(struct guest *g, enum note_kind kind);
void guest_send_notes(struct guest *g);
/* What the guest does to its world becomes notes; user: the guest. */
extern const struct wasi_world guest_wasi_world;
/* Loop: its timer and its descriptor, if any, are gone. */
void guest_stop_waking(struct guest *g);

/* guest_import.c. Loop, the guest has ended: drops calls that were not answered, or not used. */
void guest_imports_end(struct guest *g);

#endif
