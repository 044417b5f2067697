/* SPDX-License-Identifier: Apache-2.0 */
/* Every payload decoder: the first byte picks one, the rest is the JSON. What decodes must encode, and what was encoded
 * must decode and encode to the same bytes. */
#include <assert.h>
#include <stdlib.h>

#include "lattice/proto/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pass {
    struct arena arena;
    struct buf out;
    struct err e;
};

static void pass_init(struct pass *p)
{
    arena_init(&p->arena, PROTO_ARENA_BYTES);
    buf_init(&p->out, 0);
    p->e = (struct err)ERR_INIT;
}

static void pass_fini(struct pass *p)
{
    arena_fini(&p->arena);
    buf_fini(&p->out);
}

#define X(name, type)                                               \
    static bool again_##name(struct span json, struct pass *p)      \
    {                                                               \
        type m;                                                     \
        return proto_##name##_decode(json, &p->arena, &m, &p->e) && \
               proto_##name##_encode(&m, &p->out, &p->e);           \
    }
PROTO_MESSAGES(X)
PROTO_SERVICE_MESSAGES(X)
#undef X

static bool again_event(struct span json, struct pass *p)
{
    struct proto_event ev;
    return proto_event_decode(json, &p->arena, &ev, &p->e) && ev.kind != PROTO_EVENT_UNKNOWN &&
           ev.id.p && ev.time.p && proto_event_encode(&ev, &p->out, &p->e);
}

static bool again_reply(enum proto_op op, struct span json, struct pass *p)
{
    struct proto_reply r;
    return proto_reply_decode(op, json, &p->arena, &r, &p->e) &&
           proto_reply_encode(op, &r, &p->out, &p->e);
}

typedef bool again_fn(struct span json, struct pass *p);

static again_fn *const messages[] = {
#define X(name, type) again_##name,
    PROTO_MESSAGES(X)
#undef X
        again_event,
#define X(name, type) again_##name,
    PROTO_SERVICE_MESSAGES(X)
#undef X
};
#define NMESSAGES (sizeof messages / sizeof *messages)

static bool again(uint8_t which, struct span json, struct pass *p)
{
    size_t i = which % (NMESSAGES + PROTO_OP_COUNT);
    return i < NMESSAGES ? messages[i](json, p)
                         : again_reply((enum proto_op)(i - NMESSAGES), json, p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pass first, second;
    struct proto_api_reply api;
    if (size == 0)
        return 0;
    struct span json = {data + 1, size - 1};
    pass_init(&first);
    pass_init(&second);
    if (again(data[0], json, &first)) {
        bool ok = again(data[0], buf_span(&first.out), &second);
        assert(ok);
        assert(first.out.n == second.out.n);
        assert(memcmp(first.out.p, second.out.p, first.out.n) == 0);
    }
    proto_api_reply_decode((enum proto_api_op)(data[0] % PROTO_API_OP_COUNT), json, &first.arena,
                           &api, &first.e);
    pass_fini(&first);
    pass_fini(&second);
    return 0;
}
