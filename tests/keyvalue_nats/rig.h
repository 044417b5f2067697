/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the keyvalue-nats provider: a simulated lattice with JetStream, the provider in it, and a component
 * that calls it. Parameters and results are written as bytes, by the table of wRPC 4.2. */
#ifndef HOSTD_TESTS_KEYVALUE_NATS_RIG_H
#define HOSTD_TESTS_KEYVALUE_NATS_RIG_H

#include <check.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"
#include "providers/keyvalue_nats/provider.h"

struct rig {
    struct loop *loop;
    struct bus_sim *net;
    struct bus *bus, *provider_bus;
    struct wrpc *wrpc;
    struct sdk *sdk;
    struct kv *kv; /* a look at the bucket past the provider */
    bool stopped;
    struct buf reply; /* of a request to the provider's host subjects */
};

#define LINK_OF(source, name, config)                                                        \
    "{\"source_id\":\"" source "\",\"target\":\"kv\",\"name\":\"" name                       \
    "\",\"wit_namespace\":\"wasi\",\"wit_package\":\"keyvalue\",\"interfaces\":[\"store\"]," \
    "\"source_config\":{},\"target_config\":{" config                                        \
    "},\"source_secrets\":null,\"target_secrets\":null}"
#define MAKE(bucket) "\"bucket\":\"" bucket "\",\"enable_bucket_auto_create\":\"true\""

static inline void rig_stopped(void *user)
{
    ((struct rig *)user)->stopped = true;
}

static inline struct bus *rig_join(struct rig *r)
{
    struct err e = ERR_INIT;
    struct bus *bus;
    ck_assert(bus_sim_open(r->net, &(struct bus_opts){.url = "sim", .name = "member"}, &bus, &e));
    return bus;
}

static inline void rig_open(struct rig *r, const char *links)
{
    struct err e = ERR_INIT;
    char host_data[4096];
    log_open(LOG_ERROR, false, "test");
    *r = (struct rig){.loop = loop_sim_new()};
    r->net = bus_sim_new(r->loop, 1);
    r->bus = rig_join(r);
    r->provider_bus = rig_join(r);
    loop_sim_advance(r->loop, 10);
    ck_assert(wrpc_open(r->bus, NULL, &r->wrpc, &e));
    snprintf(host_data, sizeof host_data,
             "{\"host_id\":\"NHOST\",\"lattice_rpc_prefix\":\"default\",\"provider_key\":\"kv\","
             "\"lattice_rpc_url\":\"nats://x\",\"config\":{},\"env_values\":{},"
             "\"link_definitions\":[%s]}",
             links);
    ck_assert_msg(sdk_open(r->provider_bus, &keyvalue_nats_provider, str_span(str_of(host_data)),
                           rig_stopped, r, &r->sdk, &e),
                  "%s", e.text);
}

static inline void rig_close(struct rig *r)
{
    sdk_close(r->sdk);
    kv_close(r->kv);
    wrpc_close(r->wrpc);
    bus_close(r->bus);
    bus_close(r->provider_bus);
    loop_sim_advance(r->loop, 2000);
    bus_sim_free(r->net);
    loop_free(r->loop);
    buf_fini(&r->reply);
}

/* ---- calls ---- */

struct ask {
    struct wrpc_call *call;
    struct buf root;
    bool ended;
};

static inline void ask_bytes(void *user, const struct wit_path *p, struct span piece)
{
    if (p->n == 0)
        buf_put(&((struct ask *)user)->root, piece.p, piece.n);
}

static inline void ask_end(void *user, const struct err *why)
{
    struct ask *a = user;
    if (why)
        buf_printf(&a->root, "!%s", err_name(why->code));
    a->ended = true;
}

static inline void ask_open(struct rig *r, struct ask *a, const char *source, const char *link,
                            const char *func, struct span params)
{
    static const struct wit_pendings none;
    static const struct {
        const char *first, *interface;
    } homes[] = {{"increment", "atomics"},
                 {"get-many", "batch"},
                 {"set-many", "batch"},
                 {"delete-many", "batch"}};
    const struct bus_header headers[] = {{STR("source-id"), str_of(source)},
                                         {STR("link-name"), str_of(link)}};
    struct err e = ERR_INIT;
    char instance[64];
    const char *home = "store";
    for (size_t i = 0; i < ARRAY_LEN(homes); i++)
        home = strcmp(func, homes[i].first) == 0 ? homes[i].interface : home;
    snprintf(instance, sizeof instance, "wrpc:keyvalue/%s@0.2.0-draft", home);
    *a = (struct ask){0};
    const struct wrpc_target target = {.prefix = STR("default.kv"),
                                       .instance = str_of(instance),
                                       .func = str_of(func),
                                       .headers = headers,
                                       .nheaders = 2};
    ck_assert_msg(
        wrpc_invoke(r->wrpc, &target, params, &none, 60000, ask_bytes, ask_end, a, &a->call, &e),
        "%s", e.text);
}

/* The answer as text: printable bytes as they are, others as \xNN. */
static inline const char *ask_text(struct ask *a)
{
    static char text[200000];
    struct str root = buf_view(&a->root);
    ck_assert_msg(a->ended, "no answer");
    size_t n = 0;
    for (size_t i = 0; i < root.n && n + 5 < sizeof text; i++) {
        bool plain = root.p[i] >= ' ' && root.p[i] <= '~';
        n += (size_t)snprintf(text + n, sizeof text - n, plain ? "%c" : "<%02x>",
                              (unsigned char)root.p[i]);
    }
    text[n] = 0;
    wrpc_call_free(a->call);
    buf_fini(&a->root);
    return text;
}

static inline const char *ask(struct rig *r, const char *source, const char *link, const char *func,
                              struct span params)
{
    struct ask a;
    ask_open(r, &a, source, link, func, params);
    for (int i = 0; i < 20000 && !a.ended; i++)
        loop_sim_advance(r->loop, 1);
    return ask_text(&a);
}

/* ASK("get", "\7default" "\1k"): as component `web` over its link `default`. */
#define BYTES(literal) ((struct span){(const uint8_t *)"" literal, sizeof(literal) - 1})
#define ASK(func, params) ask(&r, "web", "default", func, BYTES(params))
#define D "\7default"
#define IS(call, want) ck_assert_str_eq(call, want)

/* ---- the bucket, past the provider ---- */

static inline void rig_on_kv(void *user, struct kv *kv, const struct err *e)
{
    ck_assert_msg(kv != NULL, "%s", e->text);
    ((struct rig *)user)->kv = kv;
}

static inline void rig_bucket(struct rig *r, const char *name)
{
    struct err e = ERR_INIT;
    ck_assert(kv_open(r->bus, &(struct kv_opts){.bucket = str_of(name), .create = true}, rig_on_kv,
                      r, &e));
    loop_sim_advance(r->loop, 10);
    ck_assert_ptr_nonnull(r->kv);
}

static inline void rig_on_put(void *user, const struct kv_entry *entry, const struct err *e)
{
    (void)user;
    ck_assert_msg(entry != NULL, "%s", e->text);
}

static inline void rig_put(struct rig *r, const char *key, const char *value)
{
    struct err e = ERR_INIT;
    ck_assert(kv_put(r->kv, str_of(key), str_span(str_of(value)), rig_on_put, NULL, &e));
    loop_sim_advance(r->loop, 10);
}

/* ---- the host ---- */

static inline void rig_on_reply(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct rig *r = user;
    buf_clear(&r->reply);
    if (msg)
        buf_put(&r->reply, msg->data.p, msg->data.n);
    else
        buf_printf(&r->reply, "%s", e->text);
}

static inline const char *rig_host(struct rig *r, enum proto_rpc what, const char *payload)
{
    struct err e = ERR_INIT;
    struct proto_subject s;
    struct bus_request *req;
    ck_assert(proto_rpc_subject(STR("default"), STR("kv"), what, &s, &e));
    buf_clear(&r->reply);
    if (what == PROTO_RPC_LINK_PUT || what == PROTO_RPC_LINK_DEL)
        ck_assert(bus_publish(r->bus, proto_subject_str(&s), STR_NONE, NULL, 0,
                              str_span(str_of(payload)), &e));
    else
        ck_assert(bus_request(r->bus, proto_subject_str(&s), NULL, 0, str_span(str_of(payload)),
                              2000, rig_on_reply, r, &req, &e));
    loop_sim_advance(r->loop, 500);
    buf_byte(&r->reply, 0);
    r->reply.n--;
    return (const char *)r->reply.p;
}

static inline int rig_run(const char *name, TCase *t)
{
    Suite *s = suite_create(name);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}

#endif
