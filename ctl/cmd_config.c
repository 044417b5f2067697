/* SPDX-License-Identifier: Apache-2.0 */
/* Named configuration of a lattice; and references to secrets, which are kept as configurations of certain names. The
 * secrets themselves never come here. */
#include "ctl/table.h"

#include <stdlib.h>

/* What the first word names: a configuration, or the reference to a secret; the noun of the command says which. */
struct thing {
    const char *noun;
    struct str key; /* of the stored configuration */
};

static bool begin(struct ctl *c, struct thing *out, struct err *e)
{
    struct str name = str_of(word(c, 0));
    bool secret = strcmp(c->command->noun, "secrets") == 0;
    if (!secret && proto_is_secret(name))
        return err_set(e, ERR_INVALID,
                       "'%s' is the name of a secret reference, not of a configuration", name.p);
    *out = (struct thing){secret ? "Secret reference" : "Configuration", name};
    if (secret && !proto_is_secret(name))
        out->key = str_of(arena_printf(&c->arena, PROTO_SECRET_HEAD "%s", name.p));
    if (!proto_token_ok(out->key))
        return err_set(e, ERR_INVALID, "'%s' is no good name: no dots, blanks, '*' or '>'", name.p);
    return session_open(c, e);
}

static void say(struct ctl *c, const struct thing *thing, const char *verb)
{
    char *text = arena_printf(&c->arena, "%s '%s' %s successfully.", thing->noun, word(c, 0), verb);
    buf_printf(&c->text, "%s\n", text);
    result_set(c, "message", json_str(str_of(text)));
}

static void on_ack(void *user, const struct proto_reply *r, const struct err *e)
{
    (void)r;
    session_answer(user, e);
}

static bool failed(struct ctl *c, const struct thing *thing, struct err *e)
{
    return err_wrap(e, "%s '%s'", thing->noun, word(c, 0));
}

static void on_config(void *user, const struct proto_reply *r, const struct err *e)
{
    struct ctl *c = user;
    const struct proto_map *m = r ? r->response.config : NULL;
    struct err none = ERR_INIT;
    c->bare = strcmp(c->command->noun, "config") == 0; /* as wash has it */
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
    struct thing thing;
    if (!begin(c, &thing, e))
        return false;
    bool sent = proto_config_get(c->client, thing.key, on_config, c, NULL, e);
    return session_await_any(c, sent, e) || failed(c, &thing, e);
}

static bool put(struct ctl *c, const struct proto_map *m, struct err *e)
{
    struct thing thing;
    if (!begin(c, &thing, e))
        return false;
    bool sent = proto_config_put(c->client, thing.key, m, on_ack, c, NULL, e);
    if (!session_await_any(c, sent, e))
        return failed(c, &thing, e);
    say(c, &thing, "put");
    return true;
}

bool cmd_config_del(struct ctl *c, struct err *e)
{
    struct thing thing;
    if (!begin(c, &thing, e))
        return false;
    bool sent = proto_config_del(c->client, thing.key, on_ack, c, NULL, e);
    if (!session_await_any(c, sent, e))
        return failed(c, &thing, e);
    say(c, &thing, "deleted");
    return true;
}

bool cmd_config_put(struct ctl *c, struct err *e)
{
    struct proto_map m;
    return read_pairs(c, c->words + 1, c->nwords - 1, &m, e) && put(c, &m, e);
}

bool cmd_secrets_put(struct ctl *c, struct err *e)
{
    struct proto_map properties;
    struct proto_pair v[7];
    struct proto_map m = {v, 0};
    struct buf policy = BUF_INIT;
    const char *field = option_text(c, "field"), *version = option_text(c, "version");
    if (!option_pairs(c, "property", &properties, e))
        return false;
    buf_printf(&policy, "{\"type\":\"%s\",\"properties\":", PROTO_SECRET_PROPERTIES_TYPE);
    bool ok = proto_config_encode(&properties, &policy, e);
    buf_byte(&policy, '}');
    v[m.n++] = (struct proto_pair){STR("type"), STR(PROTO_SECRET_TYPE)};
    v[m.n++] = (struct proto_pair){STR("name"), str_of(word(c, 0))};
    v[m.n++] = (struct proto_pair){STR("backend"), str_of(word(c, 1))};
    v[m.n++] = (struct proto_pair){STR("key"), str_of(word(c, 2))};
    if (field)
        v[m.n++] = (struct proto_pair){STR("field"), str_of(field)};
    if (version)
        v[m.n++] = (struct proto_pair){STR("version"), str_of(version)};
    v[m.n++] = (struct proto_pair){STR("policy"), buf_view(&policy)};
    ok = ok && put(c, &m, e);
    buf_fini(&policy);
    return ok;
}
