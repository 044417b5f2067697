/* SPDX-License-Identifier: Apache-2.0 */
/* From a verified token to the two forms in which the lattice sees claims. */
#include "hostd/claims.h"

#include <inttypes.h>

#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define CLAIMS_BYTES_MAX (1u << 20)
#define NS_PER_S 1000000000u

static struct str number(struct arena *a, int64_t n)
{
    return str_of(arena_printf(a, "%" PRId64, n));
}

static struct str date(struct arena *a, uint64_t seconds, uint64_t never)
{
    return seconds == never ? STR("never") : str_of(arena_printf(a, "%" PRIu64, seconds));
}

/* The members that both kinds have. */
static void set_common(struct claims *c, const struct id_claims *from)
{
    c->public_key = from->subject;
    c->token = from->token;
    c->policy = (struct proto_policy_claims){
        .public_key = from->subject,
        .issuer = from->issuer,
        .issued_at = number(&c->arena, (int64_t)from->issued_s),
        .expires_at = {from->expires_s, from->expires_s != ID_NEVER},
    };
    c->revision = from->has_revision ? from->revision : 0;
    c->event = (struct proto_event_claims){
        .issuer = from->issuer,
        .name = from->name,
        .version = from->version,
        .not_before_human = date(&c->arena, from->not_before_s, 0),
        .expires_human = date(&c->arena, from->expires_s, ID_NEVER),
        .revision = {(uint64_t)MAX(c->revision, 0), from->has_revision},
    };
    c->stored = (struct proto_claims){.subject = from->subject,
                                      .issuer = from->issuer,
                                      .name = from->name,
                                      .version = from->version,
                                      .revision = number(&c->arena, c->revision)};
}

static struct claims *claims_new(void)
{
    struct claims *c = xnew(struct claims);
    arena_init(&c->arena, CLAIMS_BYTES_MAX);
    return c;
}

bool claims_of_component(struct span wasm, struct claims **out, struct err *e)
{
    struct claims *c = claims_new();
    struct id_claims from;
    bool found;
    if (!id_component_claims(wasm, clock_wall_ns() / NS_PER_S, &c->arena, &from, &found, e)) {
        claims_free(c);
        return false;
    }
    if (!found) {
        claims_free(c);
        *out = NULL;
        return true;
    }
    set_common(c, &from);
    c->event.call_alias = from.call_alias;
    c->event.tags = (struct proto_strs){from.tags, (uint32_t)from.ntags};
    /* these two tell a component from a provider in the lattice data: always there */
    c->stored.call_alias = from.call_alias.p ? from.call_alias : STR("");
    c->stored.tags = from.tags ? c->event.tags : (struct proto_strs){&c->public_key, 0};
    *out = c;
    return true;
}

bool claims_of_provider(struct str token, struct claims **out, struct err *e)
{
    struct id_claims from;
    if (token.n == 0) {
        *out = NULL;
        return true;
    }
    struct claims *c = claims_new();
    if (!id_claims_decode(token, &c->arena, &from, e) ||
        !id_claims_check(&from, clock_wall_ns() / NS_PER_S, e)) {
        claims_free(c);
        return false;
    }
    set_common(c, &from);
    c->stored.config_schema = from.config_schema;
    *out = c;
    return true;
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    arena_fini(&c->arena);
    free(c);
}

struct secrets_who claims_who(const struct claims *c, const struct proto_map *annotations)
{
    struct secrets_who who = {.token = c ? c->token : STR_NONE};
    proto_map_get(annotations, STR(PROTO_ANNOTATION_APP), &who.application);
    return who;
}

bool claims_of_host(struct str host_id, struct str name, struct buf *out, struct err *e)
{
    struct id_key account;
    char issuer[ID_PUBLIC_LEN + 1], nuid[NUID_LEN + 1];
    struct buf json = BUF_INIT;
    rand_nuid(nuid);
    id_key_generate(ID_ACCOUNT, &account);
    buf_printf(&json,
               "{\"jti\":\"%s\",\"iat\":%" PRIu64 ",\"iss\":\"%s\",\"sub\":\"%.*s\","
               "\"wascap\":{\"name\":\"%.*s\",\"labels\":{\"self_signed\":\"true\"}},"
               "\"wascap_revision\":%d}",
               nuid, clock_wall_ns() / NS_PER_S, id_key_public(&account, issuer), STR_ARG(host_id),
               STR_ARG(name), ID_WASCAP_REVISION);
    id_token_sign(&account, buf_view(&json), out);
    id_key_fini(&account);
    buf_fini(&json);
    return buf_ok(out, e);
}
