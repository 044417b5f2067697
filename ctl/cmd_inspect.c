/* SPDX-License-Identifier: Apache-2.0 */
/* inspect: what a component or a provider archive, from a file or a registry, says about itself: its claims, its token
 * alone, or its world. Members of the result are those of wash, with "None" for what claims leave out. */
#include "ctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "hostd/component/component.h"
#include "hostd/image/files.h"
#include "hostd/image/par.h"
#include "lattice/base/clock.h"
#include "lattice/id/id.h"

#define WORLD_TEXT_MAX ((size_t)16 << 20)
#define NS_PER_S 1000000000u

/* ---- claims ---- */

static const char *when(struct ctl *c, uint64_t s, uint64_t never, const char *word)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)s;
    if (s == never || !gmtime_r(&t, &tm))
        return word;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
    return arena_printf(&c->arena, "%s", text);
}

static struct str or_none(struct str s)
{
    return s.n ? s : STR("None");
}

/* One line of the text. */
static void show(struct ctl *c, const char *title, struct str value)
{
    char shown[512];
    buf_printf(&c->text, "%-14s %s\n", title, str_show(value, shown, sizeof shown));
}

/* And one member of the result. */
static void fact(struct ctl *c, const char *title, const char *key, struct str value)
{
    show(c, title, value);
    result_set(c, key, json_str(value));
}

static void heading(struct ctl *c, struct str name, const char *what)
{
    char shown[256];
    buf_printf(&c->text, "%s - %s\n", str_show(or_none(name), shown, sizeof shown), what);
    result_set(c, "name", json_str(or_none(name)));
}

static void show_tags(struct ctl *c, const struct id_claims *k)
{
    struct buf tags = BUF_INIT;
    for (size_t i = 0; i < k->ntags; i++)
        buf_printf(&tags, "%s%.*s", i ? "," : "", STR_ARG(k->tags[i]));
    fact(c, "Tags", "tags", or_none(buf_view(&tags)));
    buf_fini(&tags);
}

static bool show_component(struct ctl *c, struct span wasm, struct err *e)
{
    struct id_claims k;
    bool found,
        is_component = wasm.n >= 8 && wasm.p[6] != 0; /* its layer, as core modules have none */
    char version[128];
    if (!id_component_claims(wasm, clock_wall_ns() / NS_PER_S, &c->arena, &k, &found, e))
        return err_wrap(e, "'%s'", word(c, 0));
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "'%s' is not signed: it carries no claims", word(c, 0));
    heading(c, k.name, "Component");
    fact(c, "Account", "account", k.issuer);
    fact(c, "Component", "component", k.subject);
    fact(c, "Expires", "expires", str_of(when(c, k.expires_s, ID_NEVER, "never")));
    fact(c, "Can Be Used", "can_be_used", str_of(when(c, k.not_before_s, 0, "immediately")));
    snprintf(version, sizeof version, "%.*s (%" PRId32 ")", STR_ARG(or_none(k.version)),
             k.revision);
    show(c, "Version", str_of(version));
    result_set(c, "version", json_str(or_none(k.version)));
    result_set(c, "revision", json_integer(k.revision));
    show(c, "Embedded WIT", is_component ? STR("true") : STR("false"));
    show_tags(c, &k);
    return true;
}

static void show_targets(struct ctl *c, const struct par *par)
{
    json_t *targets = json_array();
    for (size_t i = 0; i < par->nbinaries; i++) {
        show(c, i ? "" : "Targets", par->binaries[i].target);
        json_array_append_new(targets, json_str(par->binaries[i].target));
    }
    result_set(c, "targets", targets);
}

/* Only in the result: it may be long. */
static void show_schema(struct ctl *c, struct str schema)
{
    json_t *json = schema.n ? json_loadb(schema.p, schema.n, 0, NULL) : NULL;
    if (!json)
        return;
    show(c, "Schema", STR("there is one: --output json shows it"));
    result_set(c, "schema", json);
}

static bool show_provider(struct ctl *c, struct span file, struct err *e)
{
    struct par par;
    struct id_claims k;
    char revision[16];
    bool ok = par_read(file, ARTIFACT_BYTES_MAX, PAR_NONE, &par, e) &&
              id_claims_decode(par.token, &c->arena, &k, e);
    if (ok) {
        snprintf(revision, sizeof revision, "%" PRId32, k.revision);
        heading(c, k.name, "Capability Provider");
        fact(c, "Account", "issuer", k.issuer);
        fact(c, "Service", "service", k.subject);
        fact(c, "Vendor", "vendor", k.vendor);
        fact(c, "Version", "version", or_none(k.version));
        fact(c, "Revision", "revision", k.has_revision ? str_of(revision) : STR("None"));
        show_targets(c, &par);
        show_schema(c, k.config_schema);
    }
    par_fini(&par);
    return ok || err_wrap(e, "'%s'", word(c, 0));
}

static bool show_claims(struct ctl *c, struct span content, struct err *e)
{
    return par_looks_like(content) ? show_provider(c, content, e) : show_component(c, content, e);
}

/* ---- the token alone, the world ---- */

static bool show_token(struct ctl *c, struct span content, struct err *e)
{
    struct par par = {.token = STR_NONE};
    struct str token = STR_NONE;
    bool archive = par_looks_like(content);
    bool ok = archive ? par_read(content, ARTIFACT_BYTES_MAX, PAR_NONE, &par, e)
                      : id_component_token(content, &token, e);
    token = archive ? par.token : token;
    if (ok && !token.n)
        ok = err_set(e, ERR_NOT_FOUND, "'%s' is not signed: it carries no claims", word(c, 0));
    if (ok) {
        buf_printf(&c->text, "%.*s\n", STR_ARG(token));
        result_set(c, "token", json_str(token));
    }
    par_fini(&par);
    return ok;
}

static bool show_wit(struct ctl *c, struct span wasm, struct err *e)
{
    struct buf text = {.max = WORLD_TEXT_MAX};
    struct comp *comp = comp_load(wasm, NULL, e);
    bool ok = comp && comp_world_text(comp, &text, e);
    comp_unref(comp);
    if (ok) {
        buf_str(&c->text, buf_view(&text));
        result_set(c, "wit", json_str(buf_view(&text)));
    }
    buf_fini(&text);
    return ok;
}

/* An archive may carry the provider's package. */
static bool show_world(struct ctl *c, struct span content, struct err *e)
{
    struct par par = {.token = STR_NONE};
    bool archive = par_looks_like(content);
    bool ok = !archive || par_read(content, ARTIFACT_BYTES_MAX, PAR_NONE, &par, e);
    if (ok && archive && !par.world.n)
        ok = err_set(e, ERR_NOT_FOUND, "this provider archive carries no WIT package");
    ok = ok && show_wit(c, archive ? par.world : content, e);
    par_fini(&par);
    return ok || err_wrap(e, "'%s'", word(c, 0));
}

/* ---- the command ---- */

bool cmd_inspect(struct ctl *c, struct err *e)
{
    const char *target = word(c, 0), *reference;
    struct span content;
    if (option_flag(c, "wit") && option_flag(c, "jwt-only"))
        return err_set(e, ERR_INVALID, "--wit and --jwt-only: only one of them");
    if (str_starts(str_of(target), STR("file://")))
        target += 7;
    bool is_path = *target == '/' || *target == '.' || access(target, F_OK) == 0;
    if (is_path ? !file_read(target, ARTIFACT_BYTES_MAX, &content, e)
                : !registry_fetch(c, target, &reference, &content, e))
        return false;
    bool ok = option_flag(c, "wit")        ? show_world(c, content, e)
              : option_flag(c, "jwt-only") ? show_token(c, content, e)
                                           : show_claims(c, content, e);
    free((void *)content.p);
    return ok;
}
