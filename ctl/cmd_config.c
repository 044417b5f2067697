/* SPDX-License-Identifier: Apache-2.0 */
/* Named configuration of a lattice. */
#include "ctl/table.h"

#include <stdlib.h>

static bool name_ok(const char *name, struct err *e)
{
    if (proto_is_secret(str_of(name)))
        return err_set(e, ERR_INVALID,
                       "'%s' is the name of a secret reference, not of a configuration", name);
    return proto_token_ok(str_of(name)) ||
           err_set(e, ERR_INVALID,
                   "'%s' is not a name of a configuration: no dots, blanks, '*' or '>'", name);
}

static bool begin(struct ctl *c, struct err *e)
{
    return name_ok(word(c, 0), e) && session_open(c, e);
}

static void say(struct ctl *c, const char *verb)
{
    char *text = arena_printf(&c->arena, "Configuration '%s' %s successfully.", word(c, 0), verb);
    buf_printf(&c->text, "%s\n", text);
    result_set(c, "message", json_str(str_of(text)));
}

static void on_ack(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

static bool failed(struct ctl *c, struct err *e)
{
    if (e->code == ERR_NO_RESPONDERS)
        err_set(e, ERR_NO_RESPONDERS, "no host answers on lattice '%.*s'; `hostctl up` starts one",
                STR_ARG(session_lattice(c)));
    return err_wrap(e, "configuration '%s'", word(c, 0));
}

static void on_config(void *user, const struct proto_reply *r, const struct err *e)
{
    struct ctl *c = user;
    const struct proto_map *m = r ? r->response.config : NULL;
    struct err none = ERR_INIT;
    c->bare = true;
    for (uint32_t i = 0; m && i < m->n; i++) {
        char *key = str_dup(m->v[i].key);
        result_set(c, key, json_str(m->v[i].value));
        free(key);
        buf_printf(&c->text, "%.*s=%.*s\n", STR_ARG(m->v[i].key), STR_ARG(m->v[i].value));
    }
    if (r && !m)
        err_set(&none, ERR_NOT_FOUND, "there is none of that name");
    session_answer(c, r ? &none : e);
}

bool cmd_config_get(struct ctl *c, struct err *e)
{
    if (!begin(c, e))
        return false;
    bool sent = proto_config_get(c->client, str_of(word(c, 0)), on_config, c, NULL, e);
    return session_await(c, sent, e) || failed(c, e);
}

bool cmd_config_put(struct ctl *c, struct err *e)
{
    struct proto_map m;
    if (!read_pairs(c, c->words + 1, c->nwords - 1, &m, e) || !begin(c, e))
        return false;
    bool sent = proto_config_put(c->client, str_of(word(c, 0)), &m, on_ack, c, NULL, e);
    if (!session_await(c, sent, e))
        return failed(c, e);
    say(c, "put");
    return true;
}

bool cmd_config_del(struct ctl *c, struct err *e)
{
    if (!begin(c, e))
        return false;
    bool sent = proto_config_del(c->client, str_of(word(c, 0)), on_ack, c, NULL, e);
    if (!session_await(c, sent, e))
        return failed(c, e);
    say(c, "deleted");
    return true;
}
