/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, layers and uploads: what is asked of a registry, and whether to believe the answer. */
#include "hostd/image/oci.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include "hostd/image/cache.h"
#include "hostd/image/oci_http.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define MANIFEST_MAX (4u << 20)
#define ANSWER_MAX 65536u
#define NAME_MAX_BYTES 1024

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define DOCKER_MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_INDEX_TYPE "application/vnd.docker.distribution.manifest.list.v2+json"
#define ACCEPT MANIFEST_TYPE ", " INDEX_TYPE ", " DOCKER_MANIFEST_TYPE ", " DOCKER_INDEX_TYPE

static const struct {
    const char *type;
    bool component, provider;
} layer_types[] = {
    {"application/wasm", true, false},
    {"application/vnd.module.wasm.content.layer.v1+wasm", true, false},
    {"application/vnd.wasmcloud.provider.archive.layer.v1+par", false, true},
    {"application/vnd.oci.image.layer.v1.tar", true, true},
};

/* What we push, by enum oci_what. */
static const struct {
    const char *layer, *config, *artifact;
} pushed[] = {
    [OCI_COMPONENT] = {"application/wasm", "application/vnd.wasm.config.v0+json",
                       "application/vnd.wasm.config.v0+json"},
    [OCI_PROVIDER] = {"application/vnd.wasmcloud.provider.archive.layer.v1+par",
                      "application/vnd.wasmcloud.provider.archive.config",
                      "application/vnd.wasmcloud.provider.archive.config"},
};

#if defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "amd64"
#endif

/* ---- names ---- */

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1, 1);
    for (size_t i = 0; p && i < s.n; i++)
        p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
    return (struct str){p, p ? s.n : 0};
}

/* "localhost", or with a dot or a port: else it belongs to the name, as in "acme/echo". */
static bool is_authority(struct str s)
{
    return str_eqz(s, "localhost") || str_find(s, '.') < s.n || str_find(s, ':') < s.n;
}

bool oci_name_parse(struct str normal, struct arena *a, struct oci_name *out, struct err *e)
{
    struct str s = lower(a, normal);
    struct oci_name n = {.authority = STR("docker.io"), .tag = STR("latest")};
    if (!s.p)
        return arena_full(a, e);
    size_t slash = str_find(s, '/');
    if (slash < s.n && is_authority(str_sub(s, 0, slash))) {
        n.authority = str_sub(s, 0, slash);
        s = str_sub(s, slash + 1, s.n);
    }
    size_t at = str_find(s, '@');
    n.digest = str_sub(s, at + 1, s.n);
    s = str_sub(s, 0, at);
    size_t colon = str_rfind(s, ':');
    if (colon < s.n) {
        n.said_tag = true;
        n.tag = str_sub(s, colon + 1, s.n);
        s = str_sub(s, 0, colon);
    }
    n.repository = s;
    if (str_eqz(n.authority, "docker.io") && s.n && str_find(s, '/') == s.n)
        n.repository = str_of(arena_printf(a, "library/%.*s", STR_ARG(s)));
    if (n.repository.n == 0 || n.tag.n == 0 || str_starts(n.repository, STR("/")) ||
        str_find(n.repository, ':') < n.repository.n || n.repository.n > NAME_MAX_BYTES)
        return err_set(e, ERR_INVALID, "image '%.*s': not a name in a registry", STR_ARG(normal));
    if (n.digest.n && !digest_valid(n.digest))
        return err_set(e, ERR_INVALID, "image '%.*s': only sha256 digests are understood",
                       STR_ARG(normal));
    *out = n;
    return true;
}

/* ---- manifests ---- */

static struct str text(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? (struct str){json_string_value(v), json_string_length(v)} : STR_NONE;
}

static json_t *parse(struct span bytes, struct err *e)
{
    json_error_t why;
    json_t *json = json_loadb((const char *)bytes.p, bytes.n, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        err_set(e, ERR_PROTOCOL, "the manifest is no JSON: %s", why.text);
    return json;
}

/* One manifest by tag or digest; what a digest names must have it. */
static bool get_manifest(struct oci *o, struct str repository, struct str reference,
                         struct arena *a, struct span *out, struct err *e)
{
    struct oci_answer answer;
    char found[DIGEST_LEN + 1];
    AUTO_FREE char *url =
        xasprintf("/v2/%.*s/manifests/%.*s", STR_ARG(repository), STR_ARG(reference));
    struct oci_request request = {
        .method = "GET", .url = url, .accept = ACCEPT, .bytes_max = MANIFEST_MAX};
    bool ok = oci_ask(o, &request, &answer, e);
    if (ok && digest_valid(reference) &&
        !str_eqz(reference, digest_of(buf_span(&answer.body), found)))
        ok = err_set(e, ERR_PROTOCOL, "the registry sent another manifest than %.*s",
                     STR_ARG(reference));
    if (ok) {
        *out = arena_span(a, buf_span(&answer.body));
        ok = out->p || arena_full(a, e);
    }
    oci_answer_fini(&answer);
    return ok;
}

/* Of an index: this machine's, one for WebAssembly, or the only one. */
static struct str choose(const json_t *manifests)
{
    struct str best = STR_NONE;
    int best_rank = 0;
    size_t i;
    json_t *m;
    json_array_foreach(manifests, i, m)
    {
        const json_t *platform = json_object_get(m, "platform");
        struct str os = text(platform, "os"), architecture = text(platform, "architecture");
        int rank = json_array_size(manifests) == 1 ? 1 : 0;
        if (str_eqz(architecture, "wasm"))
            rank = 2;
        if (str_eqz(os, "linux") && str_eqz(architecture, ARCHITECTURE))
            rank = 3;
        if (rank > best_rank) {
            best_rank = rank;
            best = text(m, "digest");
        }
    }
    return best;
}

bool oci_manifest(struct oci *o, const struct oci_name *name, struct arena *a, struct span *out,
                  struct err *e)
{
    struct str reference = name->digest.n ? name->digest : name->tag;
    if (!get_manifest(o, name->repository, reference, a, out, e))
        return false;
    json_t *json = parse(*out, e);
    if (!json)
        return false;
    bool ok = true;
    const json_t *manifests = json_object_get(json, "manifests");
    if (json_is_array(manifests)) {
        struct str digest = choose(manifests);
        if (!digest_valid(digest))
            ok =
                err_set(e, ERR_NOT_FOUND, "the image index has nothing for linux/%s", ARCHITECTURE);
        else
            ok = get_manifest(o, name->repository, digest, a, out, e);
    }
    json_decref(json);
    return ok;
}

static bool type_allowed(struct str type, enum oci_what what)
{
    for (size_t i = 0; i < ARRAY_LEN(layer_types); i++)
        if (str_eqz(type, layer_types[i].type))
            return what == OCI_ANY ||
                   (what == OCI_COMPONENT ? layer_types[i].component : layer_types[i].provider);
    return false;
}

static bool read_layer(const json_t *json, enum oci_what what, uint64_t *bytes_left,
                       struct arena *a, struct oci_layer *out, struct err *e)
{
    char shown[128];
    json_int_t size = json_integer_value(json_object_get(json, "size"));
    struct str type = text(json, "mediaType"), digest = text(json, "digest");
    if (!type_allowed(type, what))
        return err_set(e, ERR_UNSUPPORTED, "a layer of type '%s' is no %s",
                       str_escape(type, shown, sizeof shown),
                       what == OCI_PROVIDER ? "provider archive" : "component");
    if (!digest_valid(digest) || size < 0)
        return err_set(e, ERR_PROTOCOL, "a layer of the manifest has no sound digest or size");
    if ((uint64_t)size > *bytes_left)
        return err_set(e, ERR_LIMIT, "a layer has %" PRIu64 " bytes, an image may have %" PRIu64,
                       (uint64_t)size, *bytes_left);
    *bytes_left -= (uint64_t)size;
    *out = (struct oci_layer){
        .digest = arena_str(a, digest), .type = arena_str(a, type), .bytes = (uint64_t)size};
    return (out->digest.p && out->type.p) || arena_full(a, e);
}

static bool read_layers(const json_t *json, enum oci_what what, uint64_t bytes_max, struct arena *a,
                        struct oci_manifest *out, struct err *e)
{
    const json_t *layers = json_object_get(json, "layers");
    size_t n = json_array_size(layers);
    if (n == 0)
        return err_set(e, ERR_INVALID, "the manifest names no layer");
    if (n > OCI_LAYERS_MAX || (n > 1 && str_eqz(text(json, "mediaType"), MANIFEST_TYPE)))
        return err_set(e, ERR_UNSUPPORTED, "an artifact of %zu layers, one is expected", n);
    for (size_t i = 0; i < n; i++)
        if (!read_layer(json_array_get(layers, i), what, &bytes_max, a, &out->layers[i], e))
            return false;
    out->nlayers = n;
    return true;
}

bool oci_manifest_read(struct span bytes, enum oci_what what, uint64_t bytes_max, struct arena *a,
                       struct oci_manifest *out, struct err *e)
{
    char digest[DIGEST_LEN + 1];
    json_t *json = parse(bytes, e);
    if (!json)
        return false;
    *out = (struct oci_manifest){.digest = arena_str(a, str_of(digest_of(bytes, digest)))};
    bool ok = out->digest.p ? read_layers(json, what, bytes_max, a, out, e) : arena_full(a, e);
    json_decref(json);
    return ok;
}

/* ---- layers ---- */

bool oci_blob(struct oci *o, struct str repository, const struct oci_layer *layer, struct buf *out,
              struct err *e)
{
    struct oci_answer answer;
    char found[DIGEST_LEN + 1];
    AUTO_FREE char *url =
        xasprintf("/v2/%.*s/blobs/%.*s", STR_ARG(repository), STR_ARG(layer->digest));
    struct oci_request request = {.method = "GET", .url = url, .bytes_max = layer->bytes + 1};
    bool ok = oci_ask(o, &request, &answer, e);
    if (ok && (answer.body.n != layer->bytes ||
               !str_eqz(layer->digest, digest_of(buf_span(&answer.body), found))))
        ok = err_set(e, ERR_PROTOCOL, "the registry sent other bytes than those of %.*s",
                     STR_ARG(layer->digest));
    if (ok) {
        buf_put(out, answer.body.p, answer.body.n);
        ok = buf_ok(out, e);
    }
    oci_answer_fini(&answer);
    return ok;
}

/* ---- pushing ---- */

static bool has_blob(struct oci *o, struct str repository, const char *digest, bool *has,
                     struct err *e)
{
    struct oci_answer answer;
    AUTO_FREE char *url = xasprintf("/v2/%.*s/blobs/%s", STR_ARG(repository), digest);
    struct oci_request request = {.method = "HEAD", .url = url, .bytes_max = ANSWER_MAX};
    bool ok = oci_ask(o, &request, &answer, e);
    *has = ok && answer.status == 200;
    oci_answer_fini(&answer);
    return ok;
}

/* Opens an upload, and sends everything to where it says. */
static bool put_blob(struct oci *o, struct str repository, struct span bytes,
                     char digest[DIGEST_LEN + 1], struct err *e)
{
    bool has;
    if (!has_blob(o, repository, digest_of(bytes, digest), &has, e) || has)
        return has;
    struct oci_answer opened, done = {0};
    AUTO_FREE char *url = xasprintf("/v2/%.*s/blobs/uploads/", STR_ARG(repository));
    struct oci_request begin = {.method = "POST", .url = url, .bytes_max = ANSWER_MAX};
    bool ok = oci_ask(o, &begin, &opened, e) &&
              (opened.location ||
               err_set(e, ERR_PROTOCOL, "the registry opened an upload without a place for it"));
    if (ok) {
        bool query = strchr(opened.location, '?') != NULL;
        AUTO_FREE char *to = xasprintf("%s%cdigest=%s", opened.location, query ? '&' : '?', digest);
        struct oci_request upload = {
            .method = "PUT", .url = to, .body = bytes, .bytes_max = ANSWER_MAX};
        ok = oci_ask(o, &upload, &done, e);
    }
    oci_answer_fini(&opened);
    oci_answer_fini(&done);
    return ok;
}

static json_t *descriptor(const char *type, const char *digest, size_t bytes)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size",
                     (json_int_t)bytes);
}

static json_t *annotations_of(const char *const *pairs)
{
    json_t *out = json_object();
    for (; pairs && *pairs; pairs++) {
        struct str s = str_of(*pairs);
        size_t equals = str_find(s, '=');
        AUTO_FREE char *key = str_dup(str_sub(s, 0, equals));
        json_object_set_new(out, key, json_string(equals < s.n ? *pairs + equals + 1 : ""));
    }
    return out;
}

bool oci_push(struct oci *o, const struct oci_name *name, const struct oci_artifact *artifact,
              struct arena *a, struct str *digest, struct err *e)
{
    static const struct span config = {(const uint8_t *)"{}", 2};
    char layer_digest[DIGEST_LEN + 1], config_digest[DIGEST_LEN + 1], own[DIGEST_LEN + 1];
    enum oci_what what = artifact->what;
    if (!put_blob(o, name->repository, config, config_digest, e) ||
        !put_blob(o, name->repository, artifact->content, layer_digest, e))
        return false;
    json_t *manifest =
        json_pack("{s:i, s:s, s:s, s:o, s:[o], s:o}", "schemaVersion", 2, "mediaType",
                  MANIFEST_TYPE, "artifactType", pushed[what].artifact, "config",
                  descriptor(pushed[what].config, config_digest, config.n), "layers",
                  descriptor(pushed[what].layer, layer_digest, artifact->content.n), "annotations",
                  annotations_of(artifact->annotations));
    AUTO_FREE char *bytes = json_dumps(manifest, JSON_COMPACT);
    json_decref(manifest);
    if (!bytes)
        return err_set(e, ERR_INVALID, "an annotation is not UTF-8");
    struct oci_answer answer;
    AUTO_FREE char *url =
        xasprintf("/v2/%.*s/manifests/%.*s", STR_ARG(name->repository), STR_ARG(name->tag));
    struct oci_request put = {.method = "PUT",
                              .url = url,
                              .content_type = MANIFEST_TYPE,
                              .body = str_span(str_of(bytes)),
                              .bytes_max = ANSWER_MAX};
    bool ok = oci_ask(o, &put, &answer, e);
    oci_answer_fini(&answer);
    if (!ok)
        return false;
    *digest = arena_str(a, str_of(digest_of(str_span(str_of(bytes)), own)));
    return digest->p || arena_full(a, e);
}
