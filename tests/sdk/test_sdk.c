/* SPDX-License-Identifier: Apache-2.0 */
/* The provider SDK on a simulated bus, with a host played by hand. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"
#include "lattice/id/id.h"
#include "providers/sdk/sdk_int.h"

struct rig {
    struct loop *loop;
    struct bus_sim *net;
    struct bus *host, *member;
    struct sdk *sdk;
    struct buf seen, reply; /* seen: what the provider was told, one word each */
    uint32_t stopped;
    struct wrpc_serve *serve; /* closed when it stopped, as by the end of a process */
};

static struct rig *opened; /* providers are made by a table, so this is how they find their test */

/* ---- a provider that notes what it hears ---- */

static void *note_open(struct sdk *sdk, struct err *e)
{
    struct str refuse;
    if (proto_map_get(&sdk_host_data(sdk)->config, STR("refuse"), &refuse)) {
        err_set(e, ERR_INVALID, "refused: %.*s", STR_ARG(refuse));
        return NULL;
    }
    buf_str(&opened->seen, STR("open "));
    return opened;
}

static void note_close(void *self)
{
    buf_str(&((struct rig *)self)->seen, STR("close "));
}

static void note_link(struct rig *r, const char *what, const struct sdk_link *l)
{
    struct str v = STR("-");
    proto_map_get(l->config, STR("k"), &v);
    buf_printf(&r->seen, "%s:%s:%.*s:%.*s ", what, l->role == SDK_SOURCE ? "to" : "from",
               STR_ARG(l->role == SDK_SOURCE ? l->def->target : l->def->source_id), STR_ARG(v));
}

static void note_put(void *self, struct sdk_link *l)
{
    note_link(self, "put", l);
}

static void note_del(void *self, struct sdk_link *l)
{
    note_link(self, "del", l);
}

static void note_config(void *self, const struct proto_map *config)
{
    struct rig *r = self;
    for (uint32_t i = 0; i < config->n; i++)
        buf_printf(&r->seen, "%.*s=%.*s ", STR_ARG(config->v[i].key), STR_ARG(config->v[i].value));
}

static const struct sdk_provider noting = {
    .name = "noting",
    .open = note_open,
    .close = note_close,
    .link_put = note_put,
    .link_del = note_del,
    .config = note_config,
};

/* ---- the rig ---- */

static void on_stopped(void *user)
{
    struct rig *r = user;
    r->stopped++;
    wrpc_serve_close(MOVE(r->serve));
}

static struct bus *join(struct rig *r)
{
    struct err e = ERR_INIT;
    struct bus *bus;
    ck_assert(bus_sim_open(r->net, &(struct bus_opts){.url = "sim", .name = "member"}, &bus, &e));
    return bus;
}

#define LINK(source, target, k)                                                        \
    "{\"source_id\":\"" source "\",\"target\":\"" target                               \
    "\",\"name\":\"default\",\"wit_namespace\":\"wasi\",\"wit_package\":\"keyvalue\"," \
    "\"interfaces\":[\"store\"],\"source_config\":{\"k\":\"s" k                        \
    "\"},\"target_config\":{\"k\":\"t" k "\"}}"

static bool try_open(struct rig *r, const char *more, const char *links, struct err *e)
{
    char host_data[4096];
    *r = (struct rig){.loop = loop_sim_new()};
    opened = r;
    r->net = bus_sim_new(r->loop, 1);
    r->host = join(r);
    r->member = join(r);
    loop_sim_advance(r->loop, 10);
    snprintf(host_data, sizeof host_data,
             "{\"host_id\":\"NHOST\",\"lattice_rpc_prefix\":\"default\",\"provider_key\":\"me\","
             "\"env_values\":{},%s\"link_definitions\":[%s]}",
             more, links);
    bool ok = sdk_open(r->member, &noting, str_span(str_of(host_data)), on_stopped, r, &r->sdk, e);
    loop_sim_advance(r->loop, 10);
    return ok;
}

static void rig_open(struct rig *r, const char *more, const char *links)
{
    struct err e = ERR_INIT;
    ck_assert_msg(try_open(r, more, links, &e), "%s", e.text);
}

static void rig_close(struct rig *r)
{
    sdk_close(r->sdk);
    bus_close(r->member);
    bus_close(r->host);
    loop_sim_advance(r->loop, 2000);
    bus_sim_free(r->net);
    loop_free(r->loop);
    buf_fini(&r->seen);
    buf_fini(&r->reply);
}

static const char *seen(struct rig *r)
{
    static char text[4096];
    snprintf(text, sizeof text, "%.*s", (int)r->seen.n, (const char *)r->seen.p);
    buf_clear(&r->seen);
    return text;
}

static void tell(struct rig *r, const char *token, enum proto_rpc what, const char *payload)
{
    struct err e = ERR_INIT;
    struct proto_subject s;
    ck_assert(proto_rpc_subject(STR("default"), str_of(token), what, &s, &e));
    ck_assert(bus_publish(r->host, proto_subject_str(&s), STR_NONE, NULL, 0,
                          str_span(str_of(payload)), &e));
    loop_sim_advance(r->loop, 10);
}

static void on_reply(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct rig *r = user;
    buf_clear(&r->reply);
    if (msg)
        buf_put(&r->reply, msg->data.p, msg->data.n);
    else
        buf_printf(&r->reply, "%s", err_name(e->code));
    buf_byte(&r->reply, 0);
}

static const char *ask(struct rig *r, enum proto_rpc what, const char *payload)
{
    struct err e = ERR_INIT;
    struct proto_subject s;
    ck_assert(proto_rpc_subject(STR("default"), STR("me"), what, &s, &e));
    ck_assert(bus_request(r->host, proto_subject_str(&s), NULL, 0, str_span(str_of(payload)), 300,
                          on_reply, r, NULL, &e));
    loop_sim_advance(r->loop, 400);
    return (const char *)r->reply.p;
}

/* ---- the line ---- */

START_TEST(host_data_lines)
{
    static const struct {
        const char *line, *json; /* NULL: refused */
    } rows[] = {
        {"eyJhIjoxfQ==\r\n", "{\"a\":1}"},
        {"  eyJhIjoxfQ  ", "{\"a\":1}"},
        {"eyJhIjoxMn0=", "{\"a\":12}"},
        {"eyJhIjoxMjN9", "{\"a\":123}"},
        {"", NULL},
        {"\r\n", NULL},
        {"eyJhI=joxfQ==", NULL},
        {"eyJh\tIjox", NULL},
        {"eyJhI", NULL},
        {"{\"a\":1}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        struct buf json = BUF_INIT;
        bool ok = host_data_line(str_of(rows[i].line), &json, &e);
        ck_assert_msg(ok == (rows[i].json != NULL), "row %zu: %s", i, e.text);
        if (ok)
            ck_assert_msg(str_eqz(buf_view(&json), rows[i].json), "row %zu", i);
        buf_fini(&json);
    }
}
END_TEST

START_TEST(host_data_from_a_pipe)
{
    struct err e = ERR_INIT;
    struct buf json = BUF_INIT;
    int fd[2];
    ck_assert(pipe(fd) == 0);
    ck_assert(write(fd[1], "eyJhIjoxfQ==\r\nmore", 18) == 18); /* and it stays open */
    ck_assert_msg(host_data_read(fd[0], &json, &e), "%s", e.text);
    ck_assert(str_eqz(buf_view(&json), "{\"a\":1}"));
    close(fd[0]);
    close(fd[1]);
    buf_fini(&json);
}
END_TEST

START_TEST(bad_host_data)
{
    static const struct {
        const char *more, *text;
    } rows[] = {
        {"\"config\":{\"refuse\":\"no\"},", "refused: no"},
        {"\"provider_xkey_private_key\":\"SXAA\",", "provider_xkey_private_key"},
        {"\"config\":7,", "config"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        struct err e = ERR_INIT;
        ck_assert(!try_open(&r, rows[i].more, "", &e));
        ck_assert_msg(strstr(e.text, rows[i].text), "%s", e.text);
        rig_close(&r);
    }
}
END_TEST

/* ---- links ---- */

START_TEST(links_from_host_data)
{
    struct rig r;
    rig_open(&r, "", LINK("me", "a", "1") "," LINK("b", "me", "2") "," LINK("x", "y", "3"));
    ck_assert_str_eq(seen(&r), "open put:to:a:s1 put:from:b:t2 ");
    sdk_close(MOVE(r.sdk));
    ck_assert_str_eq(seen(&r), "del:to:a:s1 del:from:b:t2 close ");
    rig_close(&r);
}
END_TEST

START_TEST(links_come_and_go)
{
    struct rig r;
    rig_open(&r, "", "");
    seen(&r);
    tell(&r, "me", PROTO_RPC_LINK_PUT, LINK("me", "a", "1"));
    ck_assert_str_eq(seen(&r), "put:to:a:s1 ");
    tell(&r, "me", PROTO_RPC_LINK_PUT, LINK("me", "a", "1")); /* the same again */
    ck_assert_str_eq(seen(&r), "");
    tell(&r, "me", PROTO_RPC_LINK_PUT, LINK("me", "a", "2"));
    ck_assert_str_eq(seen(&r), "del:to:a:s1 put:to:a:s2 ");
    tell(&r, "me", PROTO_RPC_LINK_PUT, LINK("me", "b", "1")); /* another target */
    ck_assert_str_eq(seen(&r), "put:to:b:s1 ");
    tell(&r, "me", PROTO_RPC_LINK_DEL,
         "{\"source_id\":\"me\",\"target\":\"a\",\"name\":\"default\",\"wit_namespace\":\"wasi\","
         "\"wit_package\":\"keyvalue\",\"interfaces\":[]}");
    ck_assert_str_eq(seen(&r), "del:to:a:s2 ");
    tell(&r, "me", PROTO_RPC_LINK_DEL, LINK("me", "c", "1")); /* never was */
    tell(&r, "me", PROTO_RPC_LINK_PUT, "{\"source_id\":\"me\"}");
    tell(&r, "me", PROTO_RPC_LINK_PUT, "junk");
    ck_assert_str_eq(seen(&r), "");
    tell(&r, "me", PROTO_RPC_LINK_PUT, LINK("me", "me", "5")); /* both ends */
    ck_assert_str_eq(seen(&r), "put:to:me:s5 put:from:me:t5 ");
    rig_close(&r);
}
END_TEST

/* With a key in the host data, links are sent to the key. */
START_TEST(links_by_key)
{
    struct rig r;
    struct id_key key;
    char seed[ID_SEED_LEN + 1], public[ID_PUBLIC_LEN + 1], more[200];
    id_key_generate(ID_CURVE, &key);
    snprintf(more, sizeof more, "\"provider_xkey_private_key\":\"%s\",", id_key_seed(&key, seed));
    rig_open(&r, more, "");
    seen(&r);
    tell(&r, "me", PROTO_RPC_LINK_PUT, LINK("me", "a", "1"));
    ck_assert_str_eq(seen(&r), "");
    tell(&r, id_key_public(&key, public), PROTO_RPC_LINK_PUT, LINK("me", "a", "1"));
    ck_assert_str_eq(seen(&r), "put:to:a:s1 ");
    tell(&r, "me", PROTO_RPC_LINK_DEL, LINK("me", "a", "1"));
    ck_assert_str_eq(seen(&r), "del:to:a:s1 ");
    rig_close(&r);
}
END_TEST

/* ---- the rest of the messages ---- */

START_TEST(config_and_health)
{
    struct rig r;
    rig_open(&r, "", "");
    seen(&r);
    tell(&r, "me", PROTO_RPC_CONFIG, "{\"a\":\"1\"}");
    tell(&r, "me", PROTO_RPC_CONFIG, "{\"a\":1}");
    ck_assert_str_eq(seen(&r), "a=1 ");
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    rig_close(&r);
}
END_TEST

START_TEST(shutdown)
{
    struct rig r;
    rig_open(&r, "", "");
    ck_assert_str_eq(ask(&r, PROTO_RPC_SHUTDOWN, "{\"host_id\":\"NOTHER\"}"), "ERR_TIMEOUT");
    ck_assert_str_eq(ask(&r, PROTO_RPC_SHUTDOWN, "junk"), "ERR_TIMEOUT");
    ck_assert_uint_eq(r.stopped, 0);
    ck_assert_str_eq(ask(&r, PROTO_RPC_SHUTDOWN, "{\"host_id\":\"NHOST\"}"), "shutting down");
    ck_assert_uint_eq(r.stopped, 1);
    sdk_stop(r.sdk, 100);
    loop_sim_advance(r.loop, 1000);
    ck_assert_uint_eq(r.stopped, 1);
    rig_close(&r);
}
END_TEST

/* ---- calls ---- */

static void on_served(void *user, struct wrpc_inv *inv)
{
    struct rig *r = user;
    struct err e = ERR_INIT;
    buf_printf(&r->seen, "%.*s>%.*s %.*s ", STR_ARG(wrpc_inv_header(inv, STR("source-id"))),
               STR_ARG(wrpc_inv_header(inv, STR("target-id"))),
               STR_ARG(wrpc_inv_header(inv, STR("traceparent"))));
    ck_assert(wrpc_inv_result(inv, str_span(STR("\x2a")), &e));
    wrpc_inv_free(inv);
}

static void on_bytes(void *user, const struct wit_path *p, struct span piece)
{
    struct rig *r = user;
    ck_assert_uint_eq(p->n, 0);
    for (size_t i = 0; i < piece.n; i++)
        buf_printf(&r->seen, "%02x ", piece.p[i]);
}

static void on_end(void *user, const struct err *why)
{
    struct rig *r = user;
    buf_printf(&r->seen, "%s ", why ? err_name(why->code) : "end");
}

START_TEST(serve_and_invoke)
{
    struct rig r;
    struct err e = ERR_INIT;
    struct wrpc_serve *serve;
    struct wrpc_call *call;
    static const struct wit_pendings none;
    const struct span nothing = {NULL, 0};
    const struct bus_header trace = {STR("traceparent"), STR("00-1")};
    const struct sdk_call to_me = {STR("me"), STR("a:b/c"), STR("f"), &trace, 1, 1000},
                          to_nobody = {STR("nobody"), STR("a:b/c"), STR("f"), NULL, 0, 1000};
    rig_open(&r, "", "");
    seen(&r);
    ck_assert_msg(sdk_serve(r.sdk, STR("a:b/c"), STR("f"), &none, on_served, &r, &serve, &e), "%s",
                  e.text);
    loop_sim_advance(r.loop, 10);
    ck_assert_msg(sdk_invoke(r.sdk, &to_me, nothing, &none, on_bytes, on_end, &r, &call, &e), "%s",
                  e.text);
    loop_sim_advance(r.loop, 10);
    ck_assert_str_eq(seen(&r), "me>me 00-1 2a end ");
    wrpc_call_free(call);
    ck_assert(sdk_invoke(r.sdk, &to_nobody, nothing, &none, on_bytes, on_end, &r, &call, &e));
    loop_sim_advance(r.loop, 10);
    ck_assert_str_eq(seen(&r), "ERR_NO_RESPONDERS ");
    wrpc_call_free(call);
    wrpc_serve_close(serve);
    rig_close(&r);
}
END_TEST

START_TEST(stopping_serves_what_was_sent)
{
    struct rig r;
    struct wrpc_call *call;
    struct err e = ERR_INIT;
    struct wit_pendings none = {0};
    struct span nothing = {NULL, 0};
    struct sdk_call to_me = {STR("me"), STR("a:b/c"), STR("f"), NULL, 0, 1000};
    rig_open(&r, "", "");
    ck_assert(sdk_serve(r.sdk, STR("a:b/c"), STR("f"), &none, on_served, &r, &r.serve, &e));
    loop_sim_advance(r.loop, 10);
    seen(&r);
    ck_assert(sdk_invoke(r.sdk, &to_me, nothing, &none, on_bytes, on_end, &r, &call, &e));
    sdk_stop(r.sdk, 1000); /* with the invocation on its way */
    loop_sim_advance(r.loop, 10);
    ck_assert_ptr_nonnull(strstr(seen(&r), "me>me  2a end "));
    ck_assert_uint_eq(r.stopped, 1);
    wrpc_call_free(call);
    rig_close(&r);
}
END_TEST

static void on_typed(void *user, struct sdk_typed *call)
{
    struct rig *r = user;
    ck_assert_uint_eq(r->stopped, 0);
    buf_printf(&r->seen, "%zu bytes ", wit_get_bytes(&sdk_args(call)[0]).n);
    sdk_answer(call, NULL, NULL);
}

/* More than fits into a message: the rest is asked for when the call is already ours. */
START_TEST(stopping_waits_for_parameters_on_their_way)
{
    enum { BYTES = 6 << 20 };
    struct rig r;
    struct wrpc_call *call;
    struct sdk_func *func;
    struct arena types;
    struct buf params = BUF_INIT;
    struct err e = ERR_INIT;
    struct wit_pendings none = {0};
    struct sdk_call to_me = {STR("me"), STR("a:b/c"), STR("f"), NULL, 0, 1000};
    arena_init(&types, 1 << 20);
    const struct wit_iface *iface =
        wit_parse(&types, STR("a:b/c"), STR("f: func(x: list<u8>);\n"), NULL, 0, &e);
    rig_open(&r, "", "");
    ck_assert(sdk_serve_typed(r.sdk, STR("a:b/c"), wit_iface_func(iface, STR("f")), on_typed, &r,
                              &func, &e));
    loop_sim_advance(r.loop, 10);
    seen(&r);
    const struct wit_type *type = wit_iface_func(iface, STR("f"))->params[0].type;
    AUTO_FREE uint8_t *bytes = xcalloc(BYTES, 1);
    struct wit_value value = wit_bytes((struct span){bytes, BYTES});
    ck_assert(wit_encode(&type, &value, 1, &params, NULL, &e));
    bus_sim_faults(r.net, 0, 20);
    ck_assert(sdk_invoke(r.sdk, &to_me, buf_span(&params), &none, on_bytes, on_end, &r, &call, &e));
    sdk_stop(r.sdk, 1000);
    loop_sim_advance(r.loop, 500);
    ck_assert_ptr_nonnull(strstr(seen(&r), "6291456 bytes end "));
    ck_assert_uint_eq(r.stopped, 1);
    wrpc_call_free(call);
    sdk_func_free(func);
    rig_close(&r);
    buf_fini(&params);
    arena_fini(&types);
}
END_TEST

/* ---- secrets ---- */

#define HOST_SEED "SXAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H74KM"
#define HOST_KEY "XCHUBRNNW2HSKYSK4WZBJ2TWPJXMSTMCTU6XWXQ22G5G6PRBHAUF76G7"
#define OUR_SEED "SXACAIJCEMSCKJRHFAUSUKZMFUXC6MBRGIZTINJWG44DSOR3HQ6T4PY4AQ"
#define OUR_KEY "XA2YA4WWGZMIBUNO5IZJVX4REE4DQUPNEGRI4O3V5FS5BUWNCZRFI2LE"
#define KEYS \
    "\"host_xkey_public_key\":\"" HOST_KEY "\",\"provider_xkey_private_key\":\"" OUR_SEED "\","

/* A link from b to us, with the text in a box for us as its target's secrets; NULL: none. */
static const char *sealed_link(const char *from_seed, const char *text)
{
    static char json[4096];
    struct err e = ERR_INIT;
    struct id_key from;
    uint8_t to[ID_RAW_BYTES];
    struct buf box = BUF_INIT, numbers = BUF_INIT;
    ck_assert(id_key_from_seed(str_of(from_seed), &from, &e) &&
              id_xkey_parse(STR(OUR_KEY), to, &e));
    ck_assert(id_seal(&from, to, str_span(str_of(text)), &box, &e));
    for (size_t i = 0; i < box.n; i++)
        buf_printf(&numbers, "%s%u", i ? "," : "", box.p[i]);
    snprintf(
        json, sizeof json,
        "{\"source_id\":\"b\",\"target\":\"me\",\"name\":\"default\",\"wit_namespace\":\"wasi\","
        "\"wit_package\":\"keyvalue\",\"interfaces\":[\"store\"],\"source_config\":{},"
        "\"target_config\":{\"k\":\"config\"},\"source_secrets\":[1,2,3],\"target_secrets\":[%.*s]"
        "}",
        (int)numbers.n, (const char *)numbers.p);
    buf_fini(&box);
    buf_fini(&numbers);
    return json;
}

START_TEST(secrets_of_a_link_win_over_configuration)
{
    struct rig r;
    const char *text = "{\"K\":{\"kind\":\"String\",\"value\":\"secret\"}}";
    rig_open(&r, KEYS, "");
    seen(&r);
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT, sealed_link(HOST_SEED, text));
    ck_assert_str_eq(seen(&r), "put:from:b:- "); /* k is gone, K is there */
    /* the same again is another box */
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT, sealed_link(HOST_SEED, text));
    ck_assert_str_eq(seen(&r), "");
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT,
         sealed_link(HOST_SEED, "{\"k\":{\"kind\":\"String\",\"value\":\"new\"}}"));
    ck_assert_str_eq(seen(&r), "del:from:b:- put:from:b:new ");
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT,
         sealed_link(HOST_SEED, "{\"k\":{\"kind\":\"Bytes\",\"value\":[1]}}"));
    ck_assert_str_eq(seen(&r), "del:from:b:new put:from:b:config "); /* bytes are no setting */
    rig_close(&r);
}
END_TEST

START_TEST(boxes_that_do_not_open_are_no_links)
{
    struct rig r;
    rig_open(&r, KEYS, "");
    seen(&r);
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT, sealed_link(OUR_SEED, "{}")); /* not the host's */
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT, sealed_link(HOST_SEED, "{\"k\":{\"kind\":\"Strin"));
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT, sealed_link(HOST_SEED, "{\"k\":7}"));
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT, sealed_link(HOST_SEED, ""));
    ck_assert_str_eq(seen(&r), "");
    tell(&r, OUR_KEY, PROTO_RPC_LINK_PUT, sealed_link(HOST_SEED, "{}"));
    ck_assert_str_eq(seen(&r), "put:from:b:config ");
    rig_close(&r);
    rig_open(&r, "", sealed_link(HOST_SEED, "{}")); /* a host that gave no keys */
    ck_assert_str_eq(seen(&r), "open ");
    rig_close(&r);
}
END_TEST

START_TEST(secrets_of_a_provider_win_and_stay)
{
    struct rig r;
    struct str v;
    rig_open(&r,
             "\"config\":{\"k\":\"config\",\"other\":\"o\"},"
             "\"secrets\":{\"k\":{\"kind\":\"String\",\"value\":\"secret\"}},",
             "");
    ck_assert(proto_map_get(&sdk_host_data(r.sdk)->config, STR("k"), &v) && str_eqz(v, "secret"));
    ck_assert(proto_map_get(&sdk_host_data(r.sdk)->config, STR("other"), &v) && str_eqz(v, "o"));
    seen(&r);
    tell(&r, "me", PROTO_RPC_CONFIG, "{\"k\":\"changed\",\"x\":\"1\"}");
    ck_assert_str_eq(seen(&r), "x=1 k=secret ");
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("provider sdk");
    TCase *t = tcase_create("sdk");
    log_open(LOG_ERROR, false, "test");
    tcase_add_test(t, host_data_lines);
    tcase_add_test(t, host_data_from_a_pipe);
    tcase_add_test(t, bad_host_data);
    tcase_add_test(t, links_from_host_data);
    tcase_add_test(t, links_come_and_go);
    tcase_add_test(t, links_by_key);
    tcase_add_test(t, config_and_health);
    tcase_add_test(t, shutdown);
    tcase_add_test(t, serve_and_invoke);
    tcase_add_test(t, stopping_serves_what_was_sent);
    tcase_add_test(t, stopping_waits_for_parameters_on_their_way);
    tcase_add_test(t, secrets_of_a_link_win_over_configuration);
    tcase_add_test(t, boxes_that_do_not_open_are_no_links);
    tcase_add_test(t, secrets_of_a_provider_win_and_stay);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
