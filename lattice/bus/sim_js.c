/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated server's JetStream, as far as buckets need it: streams with a subject filter, last value and
 * history per subject, age limit, expected sequence, roll-up; direct gets; push consumers with heartbeats.
 * Any JetStream domain is answered as if it were ours. Messages live in order of their number. */
#include "lattice/bus/bus_int.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

struct stored {
    uint64_t seq, wall_ns, mono_ms;
    struct bus_copy *copy;
};

struct consumer {
    struct consumer *next;
    struct stream *stream;
    char name[NUID_LEN + 1];
    char *deliver, *filter;
    uint64_t seq;
    struct loop_timer *heartbeat;
};

struct stream {
    struct stream *next;
    struct sim_js *js;
    char *name;
    json_t *config;
    char *subjects;
    uint64_t history, max_age_ms, last_seq;
    struct stored *msgs;
    size_t nmsgs, cap;
    struct consumer *consumers;
};

struct sim_js {
    struct bus_sim *net;
    struct stream *streams;
};

#define NO_DATA ((struct span){NULL, 0})

/* ---- answers -------------------------------------------------------------------------------------- */

static void answer_json(struct sim_js *js, struct str reply, json_t *body)
{
    AUTO_FREE char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    struct bus_msg m = {.subject = reply, .data = str_span(str_of(text))};
    if (reply.n)
        sim_route(js->net, &m);
}

static void answer_error(struct sim_js *js, struct str reply, int code, int err_code,
                         const char *text)
{
    answer_json(js, reply,
                json_pack("{s:{s:i, s:i, s:s}}", "error", "code", code, "err_code", err_code,
                          "description", text));
}

/* ---- stored messages ------------------------------------------------------------------------------ */

static void remove_at(struct stream *s, size_t i)
{
    free(s->msgs[i].copy);
    s->nmsgs--;
    memmove(&s->msgs[i], &s->msgs[i + 1], (s->nmsgs - i) * sizeof *s->msgs);
}

static void expire(struct stream *s)
{
    uint64_t now = loop_now_ms(sim_loop(s->js->net));
    while (s->max_age_ms && s->nmsgs && s->msgs[0].mono_ms + s->max_age_ms <= now)
        remove_at(s, 0);
}

static const struct stored *last_of(const struct stream *s, struct str subject)
{
    for (size_t i = s->nmsgs; i-- > 0;)
        if (str_eq(s->msgs[i].copy->msg.subject, subject))
            return &s->msgs[i];
    return NULL;
}

/* Keeps the newest `keep` of the subject. */
static void trim(struct stream *s, struct str subject, uint64_t keep)
{
    for (size_t i = s->nmsgs; i-- > 0;) {
        if (!str_eq(s->msgs[i].copy->msg.subject, subject))
            continue;
        if (keep > 0)
            keep--;
        else
            remove_at(s, i);
    }
}

static void append(struct stream *s, const struct bus_msg *m, struct str subject)
{
    if (s->nmsgs == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->msgs = xrealloc(s->msgs, s->cap * sizeof *s->msgs);
    }
    struct bus_msg kept = *m;
    kept.subject = subject;
    kept.reply = STR_NONE;
    s->msgs[s->nmsgs++] = (struct stored){++s->last_seq, clock_wall_ns(),
                                          loop_now_ms(sim_loop(s->js->net)), bus_copy_new(&kept)};
    trim(s, subject, str_eqz(bus_header(m, "Nats-Rollup"), "sub") ? 1 : s->history);
}

/* ---- consumers ------------------------------------------------------------------------------------ */

static void consumer_free(struct consumer *c)
{
    struct consumer **at = &c->stream->consumers;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    loop_timer_stop(&c->heartbeat);
    free(c->deliver);
    free(c->filter);
    free(c);
}

static void consumer_send(struct consumer *c, const struct stored *st, size_t pending)
{
    char reply[BUS_SUBJECT_MAX];
    struct bus_msg m = st->copy->msg;
    struct bus_sim *net = c->stream->js->net;
    snprintf(reply, sizeof reply, "$JS.ACK.%s.%s.1.%" PRIu64 ".%" PRIu64 ".%" PRIu64 ".%zu",
             c->stream->name, c->name, st->seq, ++c->seq, st->wall_ns, pending);
    m.reply = str_of(reply);
    sim_route_as(net, str_of(c->deliver), &m);
}

static void on_heartbeat(void *user)
{
    struct consumer *c = user;
    char seq[24];
    snprintf(seq, sizeof seq, "%" PRIu64, c->seq);
    const struct bus_header headers[] = {{STR("Status"), STR("100")},
                                         {STR("Nats-Last-Consumer"), str_of(seq)}};
    struct bus_msg m = {
        .subject = str_of(c->deliver), .headers = headers, .nheaders = 2, .status = 100};
    if (sim_route(c->stream->js->net, &m) == 0)
        consumer_free(c); /* nobody listens any more */
}

static bool consumer_wants(const struct consumer *c, const struct stored *st)
{
    return bus_subject_match(str_of(c->filter), st->copy->msg.subject);
}

static void api_consumer_create(struct stream *s, const struct bus_msg *m, struct str rest,
                                json_t *body)
{
    json_t *config = json_object_get(body, "config");
    const char *deliver = json_string_value(json_object_get(config, "deliver_subject"));
    const char *filter = json_string_value(json_object_get(config, "filter_subject"));
    const char *policy = json_string_value(json_object_get(config, "deliver_policy"));
    json_int_t heartbeat_ns = json_integer_value(json_object_get(config, "idle_heartbeat"));
    (void)rest;
    if (!deliver || !filter || !policy || heartbeat_ns <= 0) {
        answer_error(s->js, m->reply, 400, 10025, "not simulated: this kind of consumer");
        return;
    }
    struct consumer *c = xnew(struct consumer);
    rand_nuid(c->name);
    c->stream = s;
    c->deliver = str_dup(str_of(deliver));
    c->filter = str_dup(str_of(filter));
    c->next = s->consumers;
    s->consumers = c;
    c->heartbeat =
        loop_every(sim_loop(s->js->net), (uint64_t)heartbeat_ns / 1000000 + 1, on_heartbeat, c);
    uint64_t from = strcmp(policy, "new") == 0
                        ? s->last_seq + 1
                        : (uint64_t)json_integer_value(json_object_get(config, "opt_start_seq"));
    bool newest = strcmp(policy, "last_per_subject") == 0;
    size_t pending = 0;
    for (int pass = 0; pass < 2; pass++) { /* count, answer, send */
        for (size_t i = 0; i < s->nmsgs; i++) {
            const struct stored *st = &s->msgs[i];
            if (st->seq < from || !consumer_wants(c, st) ||
                (newest && last_of(s, st->copy->msg.subject) != st))
                continue;
            if (pass == 0)
                pending++;
            else
                consumer_send(c, st, --pending);
        }
        if (pass == 0)
            answer_json(s->js, m->reply,
                        json_pack("{s:s, s:I, s:{s:I}}", "name", c->name, "num_pending",
                                  (json_int_t)pending, "delivered", "stream_seq",
                                  from ? (json_int_t)from - 1 : 0));
    }
}

static void api_consumer_delete(struct stream *s, const struct bus_msg *m, struct str rest,
                                json_t *body)
{
    (void)body;
    for (struct consumer *c = s->consumers; c; c = c->next) {
        if (!str_eqz(rest, c->name))
            continue;
        consumer_free(c);
        answer_json(s->js, m->reply, json_pack("{s:b}", "success", 1));
        return;
    }
    answer_error(s->js, m->reply, 404, 10014, "consumer not found");
}

/* ---- streams -------------------------------------------------------------------------------------- */

static struct stream *stream_find(const struct sim_js *js, struct str name)
{
    struct stream *s = js->streams;
    while (s && !str_eqz(name, s->name))
        s = s->next;
    return s;
}

static void stream_free(struct stream *s)
{
    struct stream **at = &s->js->streams;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    while (s->consumers)
        consumer_free(s->consumers);
    while (s->nmsgs)
        remove_at(s, s->nmsgs - 1);
    free(s->msgs);
    json_decref(s->config);
    free(s->subjects);
    free(s->name);
    free(s);
}

static void api_stream_info(struct stream *s, const struct bus_msg *m, struct str rest,
                            json_t *body)
{
    (void)rest;
    (void)body;
    answer_json(s->js, m->reply,
                json_pack("{s:O, s:{s:I, s:I}}", "config", s->config, "state", "messages",
                          (json_int_t)s->nmsgs, "last_seq", (json_int_t)s->last_seq));
}

static void api_stream_delete(struct stream *s, const struct bus_msg *m, struct str rest,
                              json_t *body)
{
    (void)rest;
    (void)body;
    answer_json(s->js, m->reply, json_pack("{s:b}", "success", 1));
    stream_free(s);
}

static void stream_create(struct sim_js *js, struct str name, const struct bus_msg *m,
                          json_t *config)
{
    struct stream *s = stream_find(js, name);
    if (s && !json_equal(s->config, config)) {
        answer_error(js, m->reply, 400, 10058,
                     "stream name already in use with a different configuration");
        return;
    }
    const char *subjects =
        json_string_value(json_array_get(json_object_get(config, "subjects"), 0));
    if (!s && !subjects) {
        answer_error(js, m->reply, 400, 10025, "not simulated: a stream without subjects");
        return;
    }
    if (!s) {
        s = xnew(struct stream);
        s->js = js;
        s->name = str_dup(name);
        s->config = json_incref(config);
        s->subjects = str_dup(str_of(subjects));
        json_int_t history = json_integer_value(json_object_get(config, "max_msgs_per_subject"));
        s->history = history > 0 ? (uint64_t)history : UINT64_MAX;
        s->max_age_ms = (uint64_t)json_integer_value(json_object_get(config, "max_age")) / 1000000;
        s->next = js->streams;
        js->streams = s;
    }
    api_stream_info(s, m, STR_NONE, NULL);
}

static void api_direct_get(struct stream *s, const struct bus_msg *m, struct str rest, json_t *body)
{
    (void)body;
    const struct stored *st = last_of(s, rest);
    char seq[24];
    struct bus_header headers[BUS_HEADERS_MAX + 1];
    struct bus_msg out = {.subject = m->reply, .headers = headers};
    if (!st) {
        headers[0] = (struct bus_header){STR("Status"), STR("404")};
        out.nheaders = 1;
        out.status = 404;
    } else {
        snprintf(seq, sizeof seq, "%" PRIu64, st->seq);
        out.data = st->copy->msg.data;
        out.nheaders = st->copy->msg.nheaders;
        memcpy(headers, st->copy->msg.headers, out.nheaders * sizeof *headers);
        headers[out.nheaders++] = (struct bus_header){STR("Nats-Sequence"), str_of(seq)};
    }
    sim_route(s->js->net, &out);
}

/* ---- the door ------------------------------------------------------------------------------------- */

static const struct {
    struct str verb;
    void (*fn)(struct stream *s, const struct bus_msg *m, struct str rest, json_t *body);
} api[] = {
    {STR_INIT("STREAM.INFO."), api_stream_info},
    {STR_INIT("STREAM.DELETE."), api_stream_delete},
    {STR_INIT("DIRECT.GET."), api_direct_get},
    {STR_INIT("CONSUMER.CREATE."), api_consumer_create},
    {STR_INIT("CONSUMER.DELETE."), api_consumer_delete},
};

static void api_call(struct sim_js *js, const struct bus_msg *m, struct str verb)
{
    json_t *body = json_loadb((const char *)m->data.p, m->data.n, 0, NULL);
    struct str create = STR("STREAM.CREATE.");
    if (str_starts(verb, create)) {
        stream_create(js, str_sub(verb, create.n, verb.n), m, body);
        json_decref(body);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(api); i++) {
        if (!str_starts(verb, api[i].verb))
            continue;
        struct str rest = str_sub(verb, api[i].verb.n, verb.n), name = rest;
        str_cut(&rest, '.', &name);
        struct stream *s = stream_find(js, name);
        if (s) {
            expire(s);
            api[i].fn(s, m, rest, body);
        } else {
            answer_error(js, m->reply, 404, 10059, "stream not found");
        }
        json_decref(body);
        return;
    }
    json_decref(body);
    answer_error(js, m->reply, 404, 10000, "not simulated: this part of the JetStream API");
}

static void store(struct stream *s, const struct bus_msg *m, struct str subject)
{
    uint64_t want;
    expire(s);
    const struct stored *last = last_of(s, subject);
    if (str_u64(bus_header(m, "Nats-Expected-Last-Subject-Sequence"), &want) &&
        want != (last ? last->seq : 0)) {
        char text[64];
        snprintf(text, sizeof text, "wrong last sequence: %" PRIu64, last ? last->seq : 0);
        answer_error(s->js, m->reply, 400, 10071, text);
        return;
    }
    append(s, m, subject);
    answer_json(s->js, m->reply,
                json_pack("{s:s, s:I}", "stream", s->name, "seq", (json_int_t)s->last_seq));
    const struct stored newest = s->msgs[s->nmsgs - 1];
    for (struct consumer *c = s->consumers; c; c = c->next)
        if (consumer_wants(c, &newest))
            consumer_send(c, &newest, 0);
}

bool sim_js_handle(struct sim_js *js, const struct bus_msg *m, bool *stored)
{
    struct str subject = m->subject, rest = subject, js_token, second, third;
    bool is_api = str_cut(&rest, '.', &js_token) && str_eqz(js_token, "$JS") &&
                  str_cut(&rest, '.', &second) && !str_eqz(second, "ACK") && !str_eqz(second, "FC");
    if (is_api && !str_eqz(second, "API")) /* $JS.{domain}.API. */
        is_api = str_cut(&rest, '.', &third) && str_eqz(third, "API");
    if (is_api && !str_starts(rest, STR("$KV."))) {
        api_call(js, m, rest);
        return true;
    }
    if (is_api)
        subject = rest;
    for (struct stream *s = js->streams; s; s = s->next) {
        if (!bus_subject_match(str_of(s->subjects), subject))
            continue;
        store(s, m, subject);
        *stored = true;
    }
    return false;
}

struct sim_js *sim_js_new(struct bus_sim *net)
{
    struct sim_js *js = xnew(struct sim_js);
    js->net = net;
    return js;
}

void sim_js_free(struct sim_js *js)
{
    while (js->streams)
        stream_free(js->streams);
    free(js);
}
