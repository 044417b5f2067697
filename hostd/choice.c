/* SPDX-License-Identifier: Apache-2.0 */
/* wasmcloud:bus/lattice. The question that travels to the loop is the name and the interfaces, as strings with their
 * length in front; the answer is the first interface that has no such link, empty when all have.
 * Keeps: choices change all at once or not at all. */
#include "hostd/choice.h"

#include <assert.h>
#include <pthread.h>
#include "hostd/guest.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/base/reader.h"

#define TYPES_BYTES_MAX (1u << 20)
#define QUESTION_BYTES_MAX (64u << 10)

/* ---- choices (worker) ---- */

struct choice {
    char *interface, *name;
};

void choices_fini(struct choices *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        free(c->v[i].interface);
        free(c->v[i].name);
    }
    free(c->v);
}

struct str choices_get(const struct choices *c, struct str interface)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (str_eqz(interface, c->v[i].interface))
            return str_of(c->v[i].name);
    return STR(CHOICE_DEFAULT);
}

static bool choices_set(struct choices *c, struct str interface, struct str name)
{
    uint32_t i = 0;
    while (i < c->n && !str_eqz(interface, c->v[i].interface))
        i++;
    if (i == CHOICES_MAX)
        return false;
    if (i == c->n) {
        c->v = xrealloc(c->v, (c->n + 1) * sizeof *c->v);
        c->v[c->n++] = (struct choice){.interface = str_dup(interface)};
    }
    free(c->v[i].name);
    c->v[i].name = str_dup(name);
    return true;
}

/* ---- call-target-interface (worker) ---- */

struct target {
    char *interface;
};

static void target_drop(void *user, void *obj)
{
    struct target *t = obj;
    (void)user;
    free(t->interface);
    free(t);
}
static const struct comp_class target_class = {"call-target-interface", target_drop};

static enum comp_host_status target_new(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    struct target *t = xnew(struct target);
    struct str ns = wit_get_str(&args[0]), package = wit_get_str(&args[1]),
               interface = wit_get_str(&args[2]);
    (void)hc;
    t->interface = xasprintf("%.*s:%.*s/%.*s", STR_ARG(ns), STR_ARG(package), STR_ARG(interface));
    *result = (struct wit_value){.obj = t};
    return COMP_HOST_DONE;
}

/* ---- set-link-name (worker) ---- */

static void put_text(struct buf *out, struct str s)
{
    buf_leb_u64(out, s.n);
    buf_str(out, s);
}

/* The targets are ours: gone when the question is written, for a parked call may never be gone on with. */
static enum comp_host_status ask(struct comp_host_call *hc, const struct wit_value *args)
{
    struct buf question = {.max = QUESTION_BYTES_MAX};
    put_text(&question, wit_get_str(&args[0]));
    for (uint32_t i = 0; i < args[1].n; i++) {
        struct target *t = args[1].v[i].obj;
        put_text(&question, str_of(t->interface));
        target_drop(hc->user, t);
    }
    bool ok = !question.full;
    if (ok)
        hc->state = guest_import_start(guest_of(hc), NULL, STR_NONE, buf_span(&question));
    buf_fini(&question);
    return ok ? COMP_HOST_PENDING
              : comp_trap(hc, "set-link-name: more than %u bytes of names", QUESTION_BYTES_MAX);
}

static bool choose_all(struct choices *c, struct span question)
{
    struct err e = ERR_INIT;
    struct reader r;
    rd_init(&r, question, &e);
    struct str name = rd_name(&r);
    bool ok = true;
    while (ok && rd_more(&r))
        ok = choices_set(c, rd_name(&r), name);
    return ok;
}

/* Waits for the answer; *missing is empty when the choice was made. */
static enum comp_host_status select_link(struct comp_host_call *hc, const struct wit_value *args,
                                         struct str *missing)
{
    struct span answer;
    const struct err *why;
    if (!hc->state)
        return ask(hc, args);
    struct guest_import *question = hc->state;
    if (!guest_import_done(question, &answer, &why))
        return COMP_HOST_PENDING;
    assert(!why); /* choice_answer has none */
    struct str copy = arena_str(hc->arena, span_str(answer));
    bool ok = copy.p && (answer.n > 0 || choose_all(guest_choices(guest_of(hc)), question->params));
    guest_import_free(question);
    hc->state = NULL;
    *missing = copy;
    return ok ? COMP_HOST_DONE
              : comp_trap(hc, "set-link-name: more than %u interfaces", CHOICES_MAX);
}

/* 1.0.0 has no way to say that it failed. */
static enum comp_host_status set_v1(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    struct str missing;
    (void)result;
    return select_link(hc, args, &missing);
}

static enum comp_host_status set_v2(struct comp_host_call *hc, const struct wit_value *args,
                                    struct wit_value *result)
{
    struct str missing = STR_NONE, name = wit_get_str(&args[0]);
    enum comp_host_status status = select_link(hc, args, &missing);
    if (status != COMP_HOST_DONE || missing.n == 0) {
        *result = (struct wit_value){.n = 0};
        return status;
    }
    char *text =
        arena_printf(hc->arena, "interface `%.*s` does not have an existing link with name `%.*s`",
                     STR_ARG(missing), STR_ARG(name));
    struct wit_value *payload = arena_new(hc->arena, struct wit_value);
    if (!text || !payload)
        return comp_trap(hc, "set-link-name: out of call memory");
    *payload = wit_str(str_of(text));
    *result = (struct wit_value){.v = payload, .n = 1};
    return COMP_HOST_DONE;
}

/* ---- the question (loop) ---- */

void choice_answer(struct grants *grants, struct str source_id, struct guest_import *question)
{
    struct err e = ERR_INIT;
    struct reader r;
    struct str target, missing = STR_NONE;
    rd_init(&r, question->params, &e);
    struct str name = rd_name(&r);
    while (!missing.n && rd_more(&r)) {
        struct str interface = rd_name(&r);
        if (!grant_target(grants, source_id, interface, name, &target))
            missing = interface;
    }
    guest_import_answer(question, str_span(missing), NULL);
}

/* ---- linking ---- */

#define TARGET_WIT                                                              \
    "resource call-target-interface {\n"                                        \
    "  constructor(namespace: string, %package: string, %interface: string);\n" \
    "}\n"                                                                       \
    "set-link-name: func(name: string, interfaces: list<call-target-interface>)"

static const struct row {
    const char *name, *text;
    struct comp_host_func funcs[2];
} rows[] = {
    {"wasmcloud:bus/lattice@1.0.0",
     TARGET_WIT ";\n",
     {{"[constructor]call-target-interface", target_new}, {"set-link-name", set_v1}}},
    {"wasmcloud:bus/lattice@2.0.1",
     TARGET_WIT " -> result<_, string>;\n",
     {{"[constructor]call-target-interface", target_new}, {"set-link-name", set_v2}}},
};
static struct comp_host_iface ifaces[ARRAY_LEN(rows)];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    static struct arena types; /* lives as long as the process */
    arena_init(&types, TYPES_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = ERR_INIT;
        const struct wit_iface *t =
            wit_parse(&types, str_of(rows[i].name), str_of(rows[i].text), NULL, 0, &e);
        assert(t && t->nfuncs == ARRAY_LEN(rows[i].funcs)); /* the texts are ours */
        ifaces[i] = (struct comp_host_iface){t, rows[i].funcs, ARRAY_LEN(rows[i].funcs)};
    }
}

const struct comp_host_iface *choice_find(struct str import)
{
    pthread_once(&once, init);
    for (size_t i = 0; i < ARRAY_LEN(ifaces); i++)
        if (str_eq(ifaces[i].types->name, import) ||
            wit_name_compatible(ifaces[i].types->name, import))
            return &ifaces[i];
    return NULL;
}

const struct comp_class *choice_find_class(struct str import, struct str resource)
{
    return choice_find(import) && str_eqz(resource, target_class.name) ? &target_class : NULL;
}
