/* SPDX-License-Identifier: Apache-2.0 */
/* A secrets backend played by hand on a simulated bus, for the tests of who asks one. */
#ifndef HOSTD_TESTS_HOSTD_BACKEND_H
#define HOSTD_TESTS_HOSTD_BACKEND_H

#include <check.h>
#include <stdio.h>

#include "hostd/secrets.h"
#include "lattice/bus/bus.h"
#include "lattice/id/id.h"

#define BACKEND_TOPIC "top.ic"
#define BACKEND_NAME "vault"
#define BACKEND_VALUE "v3ry-secret" /* " of KEY" */

static struct backend {
    struct bus *bus;
    struct id_key key;
    /* what it does */
    bool silent;
    const char *key_text; /* NULL: its own */
    const char *answer;   /* JSON; NULL: a secret for each key */
    bool in_the_open, garbled;
    const char *answer_key; /* NULL: the right one */
    /* what it was asked */
    int keys_asked, gets;
    char last_request[4096];
} backend;
static struct err be;

static inline void backend_on_key(void *user, const struct bus_msg *msg)
{
    char text[ID_PUBLIC_LEN + 1];
    const char *key = backend.key_text ? backend.key_text : id_key_public(&backend.key, text);
    (void)user;
    backend.keys_asked++;
    if (!backend.silent)
        ck_assert(
            bus_publish(backend.bus, msg->reply, STR(""), NULL, 0, str_span(str_of(key)), &be));
}

/* Opens the question, and writes the answer to it. */
static inline void backend_reply(const struct bus_msg *msg, const uint8_t from[ID_RAW_BYTES],
                                 struct buf *json)
{
    struct buf plain = BUF_INIT;
    struct proto_secret_request q;
    struct arena a;
    arena_init(&a, 1 << 20);
    ck_assert_msg(id_open(&backend.key, from, msg->data, &plain, &be), "%s", be.text);
    snprintf(backend.last_request, sizeof backend.last_request, "%.*s", (int)plain.n,
             (const char *)plain.p);
    ck_assert(proto_secret_request_decode(buf_span(&plain), &a, &q, &be));
    if (backend.answer)
        buf_str(json, str_of(backend.answer));
    else
        buf_printf(json,
                   "{\"secret\":{\"version\":\"1\",\"string_secret\":\"" BACKEND_VALUE
                   " of %.*s\"}}",
                   STR_ARG(q.key));
    buf_fini(&plain);
    arena_fini(&a);
}

static inline void backend_on_get(void *user, const struct bus_msg *msg)
{
    struct buf json = BUF_INIT, box = BUF_INIT;
    uint8_t from[ID_RAW_BYTES];
    char text[ID_PUBLIC_LEN + 1];
    struct id_key key;
    (void)user;
    backend.gets++;
    ck_assert_uint_eq(msg->nheaders, 1);
    ck_assert(str_eqz(msg->headers[0].name, "WasmCloud-Host-Xkey"));
    ck_assert(id_xkey_parse(msg->headers[0].value, from, &be));
    backend_reply(msg, from, &json);
    id_key_generate(ID_CURVE, &key);
    ck_assert(id_seal(&key, from, buf_span(&json), &box, &be));
    if (backend.garbled)
        box.p[box.n - 1] ^= 1;
    struct bus_header h = {
        STR("Server-Response-Xkey"),
        str_of(backend.answer_key ? backend.answer_key : id_key_public(&key, text))};
    struct buf *body = backend.in_the_open ? &json : &box;
    ck_assert(bus_publish(backend.bus, msg->reply, STR(""), &h, backend.in_the_open ? 0 : 1,
                          buf_span(body), &be));
    buf_fini(&json);
    buf_fini(&box);
}

/* On a member of its own; the subscriptions go with that. */
static inline void backend_open(struct bus *bus)
{
    struct bus_sub *sub;
    backend = (struct backend){.bus = bus};
    be = (struct err)ERR_INIT;
    id_key_generate(ID_CURVE, &backend.key);
    ck_assert(bus_subscribe(bus, STR(BACKEND_TOPIC ".v1alpha1." BACKEND_NAME ".server_xkey"),
                            STR(""), backend_on_key, NULL, &sub, &be));
    ck_assert(bus_subscribe(bus, STR(BACKEND_TOPIC ".v1alpha1." BACKEND_NAME ".get"), STR(""),
                            backend_on_get, NULL, &sub, &be));
}

#endif
