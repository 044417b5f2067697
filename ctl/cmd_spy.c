/* SPDX-License-Identifier: Apache-2.0 */
/* spy: shows the calls of a component, or provider, and of those it is linked with, as they begin: who calls whom,
 * which function, the parameters' first bytes. */
#include "ctl/table.h"

#include <signal.h>
#include "lattice/base/clock.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "wrpc/wrpc.h"

#define MEMBERS_MAX 256u
#define SHOWN_BYTES_MAX 1024

struct spy {
    struct ctl *c;
    struct str id;
    struct str members[MEMBERS_MAX]; /* whose calls are seen */
    struct bus_sub *subs[MEMBERS_MAX];
    size_t n;
    uint64_t seen, count; /* count 0: until interrupted */
};

static struct str header(const struct bus_msg *m, const char *name)
{
    for (size_t i = 0; i < m->nheaders; i++)
        if (str_ieq(m->headers[i].name, str_of(name)))
            return m->headers[i].value;
    return STR_NONE;
}

/* "{lattice}.{to}.wrpc.0.0.1.{operation}" */
static void take_apart(struct str subject, struct str *to, struct str *operation)
{
    struct str part;
    *operation = subject;
    str_cut(operation, '.', &part);
    str_cut(operation, '.', to);
    for (int i = 0; i < 4; i++)
        str_cut(operation, '.', &part);
}

static void show(struct spy *s, const struct bus_msg *m)
{
    char time[CLOCK_TEXT_MAX], from_text[128], to_text[128], what[256], bytes[SHOWN_BYTES_MAX];
    struct str to, operation, from = header(m, "source-id");
    if (!from.n)
        from = STR("linked component");
    take_apart(m->subject, &to, &operation);
    clock_text(clock_wall_ns(), time);
    struct str data = {(const char *)m->data.p, m->data.n};
    if (s->c->json) {
        json_t *v = json_pack("{s:s, s:o, s:o, s:o, s:o}", "time", time, "from", json_str(from),
                              "to", json_str(to), "operation", json_str(operation), "message",
                              json_str(str_sub(data, 0, SHOWN_BYTES_MAX)));
        json_dumpf(v, stdout, JSON_COMPACT);
        json_decref(v);
    } else {
        printf("[%s] %-25s %-25s %s\n    %s", time, str_show(from, from_text, sizeof from_text),
               str_show(to, to_text, sizeof to_text), str_show(operation, what, sizeof what),
               str_show(data, bytes, sizeof bytes));
    }
    putchar('\n');
    fflush(stdout);
}

static void on_message(void *user, const struct bus_msg *m)
{
    struct spy *s = user;
    if (s->count && s->seen == s->count)
        return;
    show(s, m);
    if (++s->seen == s->count)
        session_answer(s->c, NULL);
}

static void on_signal(void *user)
{
    session_answer(user, NULL);
}

static void add_member(struct spy *s, struct str id)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->members[i], id))
            return;
    if (s->n < MEMBERS_MAX)
        s->members[s->n++] = id;
    else
        notice(s->c, "more than %u members are linked: %.*s is left out", MEMBERS_MAX, STR_ARG(id));
}

static bool find_members(struct spy *s, struct err *e)
{
    struct link_list links;
    add_member(s, s->id);
    if (!links_collect(s->c, &links, e))
        return false;
    for (uint32_t i = 0; i < links.n; i++) {
        if (str_eq(links.v[i].source_id, s->id))
            add_member(s, links.v[i].target);
        else if (str_eq(links.v[i].target, s->id))
            add_member(s, links.v[i].source_id);
    }
    return true;
}

static bool listen_to(struct spy *s, size_t i, struct err *e)
{
    struct buf subject = BUF_INIT;
    char *prefix = arena_printf(&s->c->arena, "%.*s.%.*s", STR_ARG(session_lattice(s->c)),
                                STR_ARG(s->members[i]));
    bool ok = prefix ? wrpc_subject_all(str_of(prefix), &subject, e) : arena_full(&s->c->arena, e);
    ok =
        ok && bus_subscribe(s->c->bus, buf_view(&subject), STR_NONE, on_message, s, &s->subs[i], e);
    buf_fini(&subject);
    return ok;
}

bool cmd_spy(struct ctl *c, struct err *e)
{
    struct spy *s = arena_new(&c->arena, struct spy);
    if (!s)
        return arena_full(&c->arena, e);
    *s = (struct spy){.c = c, .id = str_of(word(c, 0)), .count = option_number(c, "count")};
    bool ok = session_open(c, e) && find_members(s, e);
    for (size_t i = 0; ok && i < s->n; i++)
        ok = listen_to(s, i, e);
    ok = ok && loop_signal(c->loop, SIGINT, on_signal, c, e) &&
         loop_signal(c->loop, SIGTERM, on_signal, c, e);
    if (ok)
        notice(c, "Spying on %.*s and %zu linked with it; Ctrl+C ends it", STR_ARG(s->id),
               s->n - 1);
    ok = ok && session_await(c, true, e);
    for (size_t i = 0; i < s->n; i++)
        if (s->subs[i])
            bus_unsubscribe(&s->subs[i]);
    c->status = ok ? 0 : -1; /* everything is shown */
    return ok;
}
