/* SPDX-License-Identifier: Apache-2.0 */
/* struct manifest back to text: the canonical JSON that travels and is stored (member order and omissions as
 * upstream writes them, but annotations and requirements always), JSON shown as YAML, and image paths made
 * absolute for the way to the server. */
#include "manifests/manifests_int.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* ---- canonical JSON -------------------------------------------------------------------------------- */

static json_t *text_json(struct str s)
{
    return json_stringn(s.p ? s.p : "", s.n);
}

static void put_text(json_t *o, const char *key, struct str s)
{
    if (s.p)
        json_object_set_new(o, key, text_json(s));
}

static json_t *map_json(const struct manifest_map *m)
{
    json_t *o = json_object();
    for (size_t i = 0; i < m->n; i++)
        json_object_setn_new(o, m->list[i].key.p, m->list[i].key.n, text_json(m->list[i].value));
    return o;
}

static void put_configs(json_t *o, const struct manifest_inputs *in)
{
    if (in->nconfigs == 0)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < in->nconfigs; i++) {
        json_t *c = json_object();
        put_text(c, "name", in->configs[i].name);
        if (in->configs[i].owned)
            json_object_set_new(c, "properties", map_json(&in->configs[i].properties));
        json_array_append_new(list, c);
    }
    json_object_set_new(o, "config", list);
}

static void put_secrets(json_t *o, const struct manifest_inputs *in)
{
    if (in->nsecrets == 0)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < in->nsecrets; i++) {
        const struct manifest_secret *s = &in->secrets[i];
        json_t *item = json_object(), *properties = json_object();
        put_text(item, "name", s->name);
        put_text(properties, "policy", s->policy);
        put_text(properties, "key", s->key);
        put_text(properties, "field", s->field);
        put_text(properties, "version", s->version);
        json_object_set_new(item, "properties", properties);
        json_array_append_new(list, item);
    }
    json_object_set_new(o, "secrets", list);
}

static json_t *scaler_json(const struct manifest_scaler *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "instances", json_integer(s->instances));
    if (s->nspread == 0)
        return o;
    json_t *list = json_array();
    for (size_t i = 0; i < s->nspread; i++) {
        json_t *entry = json_object();
        put_text(entry, "name", s->spread[i].name);
        json_object_set_new(entry, "requirements", map_json(&s->spread[i].requirements));
        if (s->spread[i].has_weight)
            json_object_set_new(entry, "weight", json_integer(s->spread[i].weight));
        json_array_append_new(list, entry);
    }
    json_object_set_new(o, "spread", list);
    return o;
}

static json_t *link_json(const struct manifest_link *l)
{
    json_t *o = json_object(), *list = json_array(), *target = json_object();
    put_text(o, "namespace", l->wit_namespace);
    put_text(o, "package", l->wit_package);
    for (size_t i = 0; i < l->ninterfaces; i++)
        json_array_append_new(list, text_json(l->interfaces[i]));
    json_object_set_new(o, "interfaces", list);
    if (l->has_source) {
        json_t *source = json_object();
        put_configs(source, &l->source_inputs);
        put_secrets(source, &l->source_inputs);
        json_object_set_new(o, "source", source);
    }
    put_text(target, "name", l->target);
    put_configs(target, &l->target_inputs);
    put_secrets(target, &l->target_inputs);
    json_object_set_new(o, "target", target);
    if (l->has_name)
        put_text(o, "name", l->name);
    return o;
}

static json_t *trait_json(const struct manifest_trait *t)
{
    json_t *o = json_object(), *properties;
    put_text(o, "type", t->type);
    if (t->kind == TRAIT_LINK)
        properties = link_json(&t->link);
    else if (t->kind == TRAIT_OTHER)
        properties = json_loadb(t->json.p, t->json.n, JSON_DECODE_ANY, NULL);
    else
        properties = scaler_json(&t->scaler);
    json_object_set_new(o, "properties", properties);
    return o;
}

static json_t *component_json(const struct manifest_component *c)
{
    json_t *o = json_object(), *properties = json_object();
    put_text(o, "name", c->name);
    put_text(o, "type", c->capability ? STR("capability") : STR("component"));
    put_text(properties, "image", c->image);
    if (c->shared_app.p) {
        json_t *shared = json_object();
        put_text(shared, "name", c->shared_app);
        put_text(shared, "component", c->shared_component);
        json_object_set_new(properties, "application", shared);
    }
    put_text(properties, "id", c->id);
    put_configs(properties, &c->inputs);
    put_secrets(properties, &c->inputs);
    json_object_set_new(o, "properties", properties);
    if (c->ntraits > 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < c->ntraits; i++)
            json_array_append_new(list, trait_json(&c->traits[i]));
        json_object_set_new(o, "traits", list);
    }
    return o;
}

static json_t *policies_json(const struct manifest *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->npolicies; i++) {
        json_t *p = json_object();
        put_text(p, "name", m->policies[i].name);
        put_text(p, "type", m->policies[i].type);
        json_object_set_new(p, "properties", map_json(&m->policies[i].properties));
        json_array_append_new(list, p);
    }
    return list;
}

json_t *manifest_to_json(const struct manifest *m)
{
    json_t *o = json_object(), *metadata = json_object(), *spec = json_object();
    json_t *components = json_array();
    put_text(o, "apiVersion", m->api_version);
    put_text(o, "kind", m->kind);
    put_text(metadata, "name", m->name);
    json_object_set_new(metadata, "annotations", map_json(&m->annotations));
    if (m->labels.n > 0)
        json_object_set_new(metadata, "labels", map_json(&m->labels));
    for (size_t i = 0; i < m->ncomponents; i++)
        json_array_append_new(components, component_json(&m->components[i]));
    json_object_set_new(spec, "components", components);
    if (m->npolicies > 0)
        json_object_set_new(spec, "policies", policies_json(m));
    json_object_set_new(o, "metadata", metadata);
    json_object_set_new(o, "spec", spec);
    return o;
}

static bool json_write(json_t *v, struct buf *out, struct err *e)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return err_set(e, ERR_INVALID, "a value without a JSON form");
    buf_str(out, str_of(text));
    free(text);
    return buf_ok(out, e);
}

bool manifest_json(const struct manifest *m, struct buf *out, struct err *e)
{
    json_t *v = manifest_to_json(m);
    bool ok = json_write(v, out, e);
    json_decref(v);
    return ok;
}

/* ---- JSON as YAML ---------------------------------------------------------------------------------- */

/* Not allowed, or taken for a line break, between YAML's quotes. */
static bool yaml_escapes(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           code == 0xfeff || code == 0xfffe || code == 0xffff;
}

/* s is UTF-8: jansson saw to that. */
static void yaml_quoted(struct buf *out, struct str s)
{
    buf_byte(out, '"');
    for (size_t i = 0, n; i < s.n; i += n) {
        uint8_t c = (uint8_t)s.p[i];
        uint32_t code = c;
        n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (n > 1)
            code = c & (0xffu >> (n + 1));
        for (size_t k = 1; k < n; k++)
            code = code << 6 | ((uint8_t)s.p[i + k] & 0x3fu);
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_str(out, STR("\\n"));
        else if (yaml_escapes(code))
            buf_printf(out, "\\u%04X", code);
        else
            buf_put(out, s.p + i, n);
    }
    buf_byte(out, '"');
}

/* Quoted, unless the text is plainly harmless: starts with a letter or '/', has no character with a meaning, and reads
 * as nothing but a string. */
static void yaml_text(struct buf *out, struct str s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    bool plain = s.n > 0 && (s.p[0] == '/' || ((s.p[0] | 32) >= 'a' && (s.p[0] | 32) <= 'z'));
    for (size_t i = 0; plain && i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                  strchr("-_./", c) || (c == ':' && i + 1 < s.n && s.p[i + 1] != ' ');
        plain = ok && c != '\0';
    }
    for (size_t i = 0; plain && i < ARRAY_LEN(words); i++)
        plain = !str_ieq(s, str_of(words[i]));
    if (plain)
        buf_str(out, s);
    else
        yaml_quoted(out, s);
}

static void yaml_indent(struct buf *out, uint32_t level)
{
    for (uint32_t i = 0; i < level; i++)
        buf_str(out, STR("  "));
}

/* first: the value starts behind "- ", on the line that is already indented. */
static void yaml_value(struct buf *out, json_t *v, uint32_t level, bool first);

static void yaml_child(struct buf *out, json_t *v, uint32_t level)
{
    bool empty = json_object_size(v) == 0 && json_array_size(v) == 0;
    if (empty || !(json_is_object(v) || json_is_array(v))) {
        buf_byte(out, ' ');
        yaml_value(out, v, level, false);
    } else {
        buf_byte(out, '\n');
        yaml_value(out, v, level, false);
    }
}

static void yaml_value(struct buf *out, json_t *v, uint32_t level, bool first)
{
    if (json_is_object(v) && json_object_size(v) > 0) {
        for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it)) {
            const char *key = json_object_iter_key(it);
            yaml_indent(out, first ? 0 : level);
            first = false;
            yaml_text(out, (struct str){key, json_object_iter_key_len(it)});
            buf_byte(out, ':');
            yaml_child(out, json_object_iter_value(it), level + 1);
        }
    } else if (json_is_array(v) && json_array_size(v) > 0) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            yaml_indent(out, first ? 0 : level);
            first = false;
            buf_str(out, STR("- "));
            yaml_value(out, json_array_get(v, i), level + 1, true);
        }
    } else {
        struct str text = {json_string_value(v), json_string_length(v)};
        char *other = text.p ? NULL : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text.p)
            yaml_text(out, text);
        else
            buf_str(out, str_of(other));
        free(other);
        buf_byte(out, '\n');
    }
}

bool manifest_yaml_from_json(struct str json, struct buf *out, struct err *e)
{
    json_error_t why;
    json_t *v = json_loadb(json.p, json.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
    if (!v)
        return err_set(e, ERR_INVALID, "JSON: %s", why.text);
    yaml_value(out, v, 0, false);
    json_decref(v);
    return buf_ok(out, e);
}

/* ---- images ---------------------------------------------------------------------------------------- */

/* Percent-encodes what RFC 3986 does not allow in a path. */
static void url_path(struct buf *out, struct str path)
{
    for (size_t i = 0; i < path.n; i++) {
        uint8_t c = (uint8_t)path.p[i];
        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
            (c && strchr("-._~/!$&'()*+,;=:@", c)))
            buf_byte(out, c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static bool image_absolute(struct manifest *m, struct manifest_component *c, struct str base_dir,
                           struct err *e)
{
    struct shown shown_path;
    struct str relative = str_sub(c->image, strlen("file://"), c->image.n);
    char real[PATH_MAX];
    AUTO_FREE char *path = xasprintf("%.*s/%.*s", STR_ARG(base_dir), STR_ARG(relative));
    if (!realpath(path, real))
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(e, ERR_NOT_FOUND, "image 'file://%s': there is no such file",
                             show(&shown_path, relative))
                   : err_errno(e, errno, "image 'file://%s'", show(&shown_path, relative));
    struct buf url = BUF_INIT;
    buf_str(&url, STR("file://"));
    url_path(&url, str_of(real));
    struct str image = arena_str(&m->arena, buf_view(&url));
    buf_fini(&url);
    if (!image.p)
        return arena_full(&m->arena, e);
    c->image = image;
    return true;
}

bool manifest_images_absolute(struct manifest *m, struct str base_dir, struct str file_name,
                              struct err *e)
{
    for (size_t i = 0; i < m->ncomponents; i++) {
        struct manifest_component *c = &m->components[i];
        struct shown name;
        if (!c->image.p || !str_starts(c->image, STR("file://")) ||
            str_starts(c->image, STR("file:///")))
            continue;
        if (!image_absolute(m, c, base_dir.n > 0 ? base_dir : STR("."), e)) {
            err_wrap(e, "%.*s%s%u:%u: component '%s'", STR_ARG(file_name), file_name.n ? ":" : "",
                     c->image_pos.line, c->image_pos.column, show(&name, c->name));
            return false;
        }
    }
    return true;
}
