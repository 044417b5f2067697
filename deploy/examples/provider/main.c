/* SPDX-License-Identifier: Apache-2.0 */
/* A provider of its own, explained in docs/writing-providers.md. It serves
 *   hostd:tests/oracle   ask: func(question: string) -> result<string, string>
 * and answers with the question and the word that the link's configuration sets as `suffix`. */
#include <stdlib.h>
#include "providers/sdk/sdk.h"

#define INSTANCE "hostd:tests/oracle"

struct oracle {
    struct arena types;
    const struct wit_func *ask;
    struct sdk_func *served;
    const struct sdk_link *link; /* this one serves one component at a time */
};

static void on_ask(void *user, struct sdk_typed *call)
{
    struct oracle *o = user;
    struct str question = wit_get_str(&sdk_args(call)[0]), suffix = STR("?");
    if (o->link)
        proto_map_get(o->link->config, STR("suffix"), &suffix);
    char *text = arena_printf(sdk_arena(call), "%.*s%.*s", STR_ARG(question), STR_ARG(suffix));
    struct wit_value answer = wit_str(str_of(text)), result = {.n = 0 /* ok */, .v = &answer};
    sdk_answer(call, o->ask->result, &result);
}

static void oracle_close(void *self)
{
    struct oracle *o = self;
    sdk_func_free(o->served);
    arena_fini(&o->types);
    free(o);
}

static void *oracle_open(struct sdk *sdk, struct err *e)
{
    struct oracle *o = calloc(1, sizeof *o);
    arena_init(&o->types, 65536);
    const struct wit_iface *iface =
        wit_parse(&o->types, STR(INSTANCE),
                  STR("ask: func(question: string) -> result<string, string>;"), NULL, 0, e);
    o->ask = iface ? wit_iface_func(iface, STR("ask")) : NULL;
    if (o->ask && sdk_serve_typed(sdk, STR(INSTANCE), o->ask, on_ask, o, &o->served, e))
        return o;
    oracle_close(o);
    return NULL;
}

static void link_put(void *self, struct sdk_link *link)
{
    ((struct oracle *)self)->link = link;
}

static void link_del(void *self, struct sdk_link *link)
{
    struct oracle *o = self;
    if (o->link == link)
        o->link = NULL;
}

int main(void)
{
    static const struct sdk_provider oracle = {.name = "oracle",
                                               .open = oracle_open,
                                               .close = oracle_close,
                                               .link_put = link_put,
                                               .link_del = link_del};
    return sdk_run(&oracle);
}
