/* SPDX-License-Identifier: Apache-2.0 */
/* The demultiplexer: one subscription per struct wrpc, "_INBOX.{nuid}.>", and a table of the ends of open calls.
 * An inbox is "_INBOX.{nuid}.{slot}{id}", both hexadecimal and of fixed length, so a message finds its end without a
 * search; the id must match, so late messages find nothing and nobody can write into a call he was not told of.
 * What no end wants (stray empty messages on paths in between, late ones) is ignored. */
#include "wrpc/wrpc_int.h"

#include <assert.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"
#include "lattice/base/reader.h"

#define ROOT_BYTES_MAX (8u << 20)
#define CHANNEL_BYTES_MAX (4u << 20)
#define CALLS_MAX 20000
#define FIRST_SLOTS 64
#define ROOT_PIECES_EAGER 32

/* ---- tokens ---- */

static void put_hex(char *out, uint64_t v, uint32_t digits)
{
    while (digits--) {
        out[digits] = "0123456789abcdef"[v & 15];
        v >>= 4;
    }
}

static bool get_hex(const char *p, uint32_t digits, uint64_t *out)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < digits; i++) {
        uint32_t c = (uint8_t)p[i];
        uint32_t d = c - '0' < 10 ? c - '0' : c - 'a' < 6 ? c - 'a' + 10 : 16;
        if (d == 16)
            return false;
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

/* ---- the table ---- */

static void grow_slots(struct wrpc *w)
{
    uint32_t n = w->nslots ? 2 * w->nslots : FIRST_SLOTS;
    w->slots = xrealloc(w->slots, n * sizeof *w->slots);
    memset(w->slots + w->nslots, 0, (n - w->nslots) * sizeof *w->slots);
    w->next_slot = w->nslots;
    w->nslots = n;
}

/* Slots are handed out round; the table grows before it is more than half full, so one is near. */
static uint32_t take_slot(struct wrpc *w)
{
    if (2 * (w->nends + 1) > w->nslots)
        grow_slots(w);
    while (w->slots[w->next_slot])
        w->next_slot = (w->next_slot + 1) & (w->nslots - 1);
    return w->next_slot;
}

bool wrpc_end_init(struct wrpc_end *end, struct wrpc *w, const struct wrpc_end_ops *ops,
                   struct err *e)
{
    if (w->nends >= w->limits.calls_max)
        return err_set(e, ERR_LIMIT, "%u calls are open, the limit is calls_max", w->nends);
    end->w = w;
    end->ops = ops;
    end->slot = take_slot(w);
    end->id = rand_u64();
    memcpy(end->inbox, w->inbox, sizeof w->inbox - 1);
    char *token = end->inbox + sizeof w->inbox - 1;
    put_hex(token, end->slot, WRPC_SLOT_BITS / 4);
    put_hex(token + WRPC_SLOT_BITS / 4, end->id, 16);
    w->slots[end->slot] = end;
    w->nends++;
    DL_APPEND(w->ends, end);
    return true;
}

void wrpc_end_leave(struct wrpc_end *end)
{
    struct wrpc *w = end->w;
    if (!w || w->slots[end->slot] != end)
        return;
    w->slots[end->slot] = NULL;
    w->nends--;
    DL_DELETE(w->ends, end);
}

void wrpc_end_fini(struct wrpc_end *end)
{
    if (end->freed)
        *end->freed = true;
    wrpc_outs_free(end);
    wrpc_end_leave(end);
    buf_fini(&end->root_held);
}

static struct wrpc_end *find_end(const struct wrpc *w, const char *token)
{
    uint64_t slot, id;
    if (!get_hex(token, WRPC_SLOT_BITS / 4, &slot) || !get_hex(token + WRPC_SLOT_BITS / 4, 16, &id))
        return NULL;
    struct wrpc_end *end = slot < w->nslots ? w->slots[slot] : NULL;
    return end && end->id == id ? end : NULL;
}

/* ---- messages ---- */

/* "0.1" */
static bool parse_path(struct str text, struct wit_path *out)
{
    struct str part;
    out->n = 0;
    while (str_cut(&text, '.', &part)) {
        uint64_t v;
        if (out->n == WIT_PATH_MAX || !str_u64(part, &v) || !fit_u32(v, &out->i[out->n]))
            return false;
        out->n++;
    }
    return true;
}

/* Channel of "results" or "results.0.1": false when nobody listens there. */
static bool find_channel(const struct wrpc_end *end, struct str name, uint32_t *channel)
{
    struct str in = str_of(end->ops->in);
    struct wit_path path;
    *channel = 0;
    if (str_eq(name, in))
        return true;
    if (!str_starts(name, in) || name.p[in.n] != '.' ||
        !parse_path(str_sub(name, in.n + 1, name.n), &path))
        return false;
    for (uint32_t i = 0; i < end->npaths; i++) {
        if (wit_path_eq(&end->paths[i], &path)) {
            *channel = i + 1;
            return true;
        }
    }
    return false;
}

static void on_credit(struct wrpc_end *end, struct str path_text, struct span data)
{
    struct err ignored = ERR_INIT;
    struct reader r;
    struct wit_path path;
    rd_init(&r, data, &ignored);
    uint64_t n = rd_u64(&r);
    if (rd_ok(&r) && parse_path(path_text, &path))
        wrpc_outs_credit(end, &path, n);
}

/* False: the end is gone. */
static bool take_piece(struct wrpc_end *end, uint32_t channel, struct span piece)
{
    bool freed = false, *outer = end->freed;
    end->freed = &freed;
    end->ops->on_channel(end, channel, piece);
    if (!freed)
        end->freed = outer;
    else if (outer)
        *outer = true;
    return !freed;
}

static void on_message(void *user, const struct bus_msg *m)
{
    struct wrpc *w = user;
    uint32_t channel;
    if (m->subject.n < WRPC_INBOX_LEN)
        return;
    struct wrpc_end *end = find_end(w, m->subject.p + sizeof w->inbox - 1);
    struct str rest = str_sub(m->subject, WRPC_INBOX_LEN, m->subject.n);
    if (!end) {
        /* the handshake of a call that was given up meanwhile */
        if (rest.n == 0 && m->reply.n && wrpc_offer_of(span_str(m->data)))
            wrpc_say_gone(w, m->reply);
        return;
    }
    end->heard |= !m->status;
    if (rest.n == 0) {
        end->ops->on_inbox(end, m);
        return;
    }
    if (str_eqz(rest, ".gone")) {
        if (end->ops->on_gone && end->pacing == WRPC_PACED)
            end->ops->on_gone(end);
        return;
    }
    if (str_starts(rest, STR(".credit."))) {
        on_credit(end, str_sub(rest, 8, rest.n), m->data);
        return;
    }
    if (rest.p[0] != '.' || !find_channel(end, str_sub(rest, 1, rest.n), &channel))
        return;
    uint64_t bit = UINT64_C(1) << channel;
    if (end->ended & bit)
        return;
    bool joined = m->data.n && m->reply.n && end->pacing != WRPC_UNPACED;
    if (m->data.n == 0 || joined)
        end->ended |= bit;
    if (take_piece(end, channel, m->data) && joined)
        take_piece(end, channel, (struct span){NULL, 0});
}

/* ---- to the reader ---- */

bool wrpc_pass(struct wrpc_end *end, uint32_t channel, struct span piece)
{
    bool freed = false, *outer = end->freed;
    struct wit_path path = channel ? end->paths[channel - 1] : (struct wit_path){.n = 0};
    end->freed = &freed;
    end->on_bytes(end->user, &path, piece);
    if (!freed)
        end->freed = outer;
    else if (outer)
        *outer = true;
    return !freed;
}

/* Readers try to decode the root with every piece of it, which is right as long as there are few. A peer that sends
 * very many must not make that quadratic: the later ones are gathered until the whole grew by an eighth. */
bool wrpc_pass_root(struct wrpc_end *end, struct span piece)
{
    if (piece.n && end->root_pieces < ROOT_PIECES_EAGER) {
        end->root_pieces++;
        end->root_passed += piece.n;
        return wrpc_pass(end, 0, piece);
    }
    buf_put(&end->root_held, piece.p, piece.n);
    if (end->root_held.n == 0 || (piece.n && end->root_held.n < end->root_passed / 8))
        return true;
    struct buf due = end->root_held;
    end->root_held = (struct buf)BUF_INIT;
    end->root_passed += due.n;
    bool there = wrpc_pass(end, 0, buf_span(&due));
    buf_fini(&due);
    return there;
}

void wrpc_paths_copy(struct wit_path *to, const struct wit_pendings *from)
{
    for (uint32_t i = 0; i < from->n; i++)
        to[i] = from->at[i].path;
}

/* ---- open and close ---- */

static struct wrpc_limits with_defaults(const struct wrpc_limits *given)
{
    struct wrpc_limits l = given ? *given : (struct wrpc_limits){.calls_max = 0};
    l.root_bytes_max = l.root_bytes_max ? l.root_bytes_max : ROOT_BYTES_MAX;
    l.channel_bytes_max = l.channel_bytes_max ? l.channel_bytes_max : CHANNEL_BYTES_MAX;
    l.calls_max = l.calls_max ? l.calls_max : CALLS_MAX;
    /* the table, at most half full, has to fit a token */
    l.calls_max = MIN(l.calls_max, 1u << (WRPC_SLOT_BITS - 1));
    return l;
}

/* Writers whose peer does not pace wait for the socket. */
static void on_bus_room(void *user)
{
    struct wrpc *w = user;
    for (uint32_t i = 0; i < w->nslots; i++)
        if (w->slots[i] && w->slots[i]->pacing == WRPC_UNPACED)
            wrpc_outs_room(w->slots[i]);
}

bool wrpc_open(struct bus *bus, const struct wrpc_limits *limits, struct wrpc **out, struct err *e)
{
    struct wrpc *w = xnew(struct wrpc);
    char all[sizeof w->inbox + 1];
    w->bus = bus;
    w->limits = with_defaults(limits);
    memcpy(w->inbox, "_INBOX.", 7);
    rand_nuid(w->inbox + 7);
    w->inbox[sizeof w->inbox - 2] = '.';
    w->inbox[sizeof w->inbox - 1] = 0;
    memcpy(all, w->inbox, sizeof w->inbox - 1);
    all[sizeof all - 2] = '>';
    all[sizeof all - 1] = 0;
    if (!bus_subscribe(bus, str_of(all), STR_NONE, on_message, w, &w->sub, e)) {
        free(w);
        return false;
    }
    bus_on_room(bus, on_bus_room, w);
    *out = w;
    return true;
}

void wrpc_close(struct wrpc *w)
{
    if (!w)
        return;
    bus_unsubscribe(&w->sub);
    bus_on_room(w->bus, NULL, NULL);
    while (w->serves)
        wrpc_serve_detach(w->serves);
    while (w->ends) {
        struct wrpc_end *end = w->ends;
        wrpc_end_leave(end);
        end->w = NULL;
        end->ops->on_closed(end);
    }
    buf_fini(&w->scratch);
    free(w->slots);
    free(w);
}
