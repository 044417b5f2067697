/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:sockets/ip-name-lookup. The system's resolver blocks, so two threads of its own ask it, started with the first
 * lookup; an eventfd tells the guest's epoll that the answer is there.
 * Keeps: an entry belongs to its stream and to the thread until that is done with it; the thread writes the answer
 * before it raises `done`, and nothing after. */
#include "hostd/wasi/sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/base/worker.h"

#define THREADS 2u
#define PENDING_MAX 256u /* lookups of all guests that have no answer yet */
#define ADDRESSES_MAX 64u
#define NAME_BYTES_MAX 253u

struct lookup {
    struct worker_job job;
    atomic_uint holders;
    atomic_bool done;
    int event; /* becomes readable when done; -1: it was done at once */
    char name[NAME_BYTES_MAX + 1];
    int error; /* EAI_... */
    union net_addr found[ADDRESSES_MAX];
    size_t n;

    struct wasi_ctx *ctx; /* of the stream; the thread leaves it alone */
    size_t next;          /* address to hand out */
};

static struct workers *threads;
static pthread_once_t threads_once = PTHREAD_ONCE_INIT;
static atomic_uint pending;

static void start_threads(void)
{
    threads = workers_new(THREADS, NULL);
}

static void release(struct lookup *l)
{
    if (atomic_fetch_sub(&l->holders, 1) > 1)
        return;
    if (l->event >= 0)
        close(l->event);
    free(l);
}

/* ---- asking (thread) ---- */

static bool is_known(const struct lookup *l, const union net_addr *a)
{
    for (size_t i = 0; i < l->n; i++)
        if (net_same(&l->found[i], a))
            return true;
    return false;
}

static void keep_answers(struct lookup *l, const struct addrinfo *list)
{
    for (const struct addrinfo *i = list; i && l->n < ADDRESSES_MAX; i = i->ai_next) {
        union net_addr a = {0};
        if (i->ai_addrlen > sizeof a || (i->ai_family != AF_INET && i->ai_family != AF_INET6))
            continue;
        memcpy(&a, i->ai_addr, i->ai_addrlen);
        if (!is_known(l, &a))
            l->found[l->n++] = a;
    }
}

static void ask(struct worker_job *job, uint32_t worker)
{
    struct lookup *l = (struct lookup *)job;
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    (void)worker;
    l->error = getaddrinfo(l->name, NULL, &hints, &list);
    if (l->error == 0) {
        keep_answers(l, list);
        freeaddrinfo(list);
    }
    atomic_fetch_sub(&pending, 1);
    atomic_store(&l->done, true);
    eventfd_write(l->event, 1);
    release(l);
}

/* ---- the guest's side ---- */

static void stream_drop(void *user, void *obj)
{
    (void)user;
    release(obj);
}
const struct comp_class wasi_lookup_class = {"resolve-address-stream", stream_drop};

static bool is_literal(struct lookup *l)
{
    union net_addr *a = &l->found[0];
    if (inet_pton(AF_INET, l->name, &a->v4.sin_addr) == 1)
        a->sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, l->name, &a->v6.sin6_addr) == 1)
        a->sa.sa_family = AF_INET6;
    else
        return false;
    l->n = 1;
    atomic_store(&l->done, true);
    return true;
}

/* Names of hosts only: numbers that the resolver takes for addresses ("127.1") are not for guests. */
static bool is_name(struct str s)
{
    bool letters = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return false;
        letters |= letter;
    }
    return s.n > 0 && s.n <= NAME_BYTES_MAX && s.p[0] != '.' && s.p[0] != '-' && letters;
}

static struct lookup *lookup_new(struct wasi_ctx *c, struct str name)
{
    struct lookup *l = xnew(struct lookup);
    l->ctx = c;
    l->event = -1;
    atomic_init(&l->holders, 1);
    memcpy(l->name, name.p, name.n);
    return l;
}

/* Case of error-code, or 0. */
static uint32_t begin(struct lookup *l)
{
    struct str name = str_of(l->name);
    if (!is_name(name))
        return NET_INVALID_ARGUMENT;
    if (!net_allows_name(l->ctx, name))
        return NET_ACCESS_DENIED;
    if (atomic_fetch_add(&pending, 1) >= PENDING_MAX ||
        (l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        atomic_fetch_sub(&pending, 1);
        return NET_TEMPORARY_FAILURE;
    }
    pthread_once(&threads_once, start_threads);
    atomic_fetch_add(&l->holders, 1);
    l->job.run = ask;
    workers_submit(threads, &l->job);
    return 0;
}

static enum comp_host_status
resolve_addresses(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    struct wasi_ctx *c = wasi_of(hc);
    struct str name = wit_get_str(&args[1]);
    if (!c->opts.net)
        return net_refuse(hc, NET_ACCESS_DENIED, result);
    if (name.n == 0 || name.n > NAME_BYTES_MAX || memchr(name.p, '\0', name.n))
        return net_refuse(hc, NET_INVALID_ARGUMENT, result);
    struct lookup *l = lookup_new(c, name);
    uint32_t refusal = is_literal(l) ? 0 : begin(l);
    if (refusal) {
        release(l);
        return net_refuse(hc, refusal, result);
    }
    return net_end_with(hc, wasi_own(hc, &wasi_lookup_class, l), result);
}

static uint32_t code_of(const struct lookup *l)
{
    switch (l->error) {
    case 0:
        return l->n ? 0 : NET_NAME_UNRESOLVABLE;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return NET_NAME_UNRESOLVABLE;
    case EAI_AGAIN:
    case EAI_MEMORY:
    case EAI_SYSTEM:
        return NET_TEMPORARY_FAILURE;
    }
    return NET_PERMANENT_FAILURE;
}

static enum comp_host_status next_address(struct comp_host_call *hc, const struct wit_value *args,
                                          struct wit_value *result)
{
    struct lookup *l = args[0].obj;
    if (!atomic_load(&l->done))
        return net_refuse(hc, NET_WOULD_BLOCK, result);
    if (code_of(l))
        return net_refuse(hc, code_of(l), result);
    if (l->next == l->n)
        return net_end_with(hc, WASI_NONE, result);
    const union net_addr *a = &l->found[l->next++];
    net_resolved(l->ctx, str_of(l->name), a);
    return net_end_with(hc, wasi_some(hc, net_ip_value(hc, a)), result);
}

static bool stream_ready(void *obj)
{
    const struct lookup *l = obj;
    if (atomic_load(&l->done))
        return true;
    wasi_watch(l->ctx, l->event);
    return atomic_load(&l->done);
}

static enum comp_host_status subscribe(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    *result = wasi_subscribe(hc, args[0].obj, stream_ready);
    return wasi_done(hc);
}

const struct comp_host_func wasi_lookup_funcs[] = {
    {"resolve-addresses", resolve_addresses},
    {"[method]resolve-address-stream.resolve-next-address", next_address},
    {"[method]resolve-address-stream.subscribe", subscribe},
    {NULL, NULL},
};
