/* SPDX-License-Identifier: Apache-2.0 */
/* Events: the CloudEvents envelope and the data of each kind (lattice protocol 2). What a reader insists on is what
 * wadm insists on (9.1), so that both see the same events. */
#include <assert.h>

#include "lattice/base/clock.h"
#include "lattice/base/rand.h"
#include "lattice/proto/proto_int.h"

#define AT(member) offsetof(T, member)
#define TYPE_HEAD "com.wasmcloud.lattice."
#define DATA_TYPE "application/json"

/* ---- hosts ----------------------------------------------------------------------------------------- */

#define T struct proto_host_event
static const struct shape_member host_started_rows[] = {
    {"friendly_name", SHAPE_STR, NEED, AT(friendly_name)},
    {"labels", SHAPE_MAP, NEED, AT(labels)},
    {"uptime_seconds", SHAPE_U64, 0, AT(uptime_seconds)},
    {"version", SHAPE_STR, 0, AT(version)},
    {"probe_interval_ms", SHAPE_OPTU64, OMIT, AT(probe_interval_ms)},
};
static const struct shape_member host_stopped_rows[] = {
    {"labels", SHAPE_MAP, NEED, AT(labels)},
};
static const struct shape_member labels_changed_rows[] = {
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"labels", SHAPE_MAP, NEED, AT(labels)},
};
#undef T
static const struct shape host_started_shape = SHAPE(struct proto_host_event, host_started_rows);
static const struct shape host_stopped_shape = SHAPE(struct proto_host_event, host_stopped_rows);
static const struct shape labels_changed_shape =
    SHAPE(struct proto_host_event, labels_changed_rows);
const struct shape_member proto_root_host_started = {.kind = SHAPE_OBJECT,
                                                     .sub = &host_started_shape};
const struct shape_member proto_root_host_stopped = {.kind = SHAPE_OBJECT,
                                                     .sub = &host_stopped_shape};
const struct shape_member proto_root_labels_changed = {.kind = SHAPE_OBJECT,
                                                       .sub = &labels_changed_shape};

/* ---- components ------------------------------------------------------------------------------------ */

#define T struct proto_event_claims
static const struct shape_member component_claims_rows[] = {
    {"call_alias", SHAPE_STR, NULLS, AT(call_alias)},
    {"issuer", SHAPE_STR, NEED, AT(issuer)},
    {"tags", SHAPE_TAGS, NULLS, AT(tags)},
    {"name", SHAPE_STR, 0, AT(name)}, /* wadm drops the event when this is null */
    {"version", SHAPE_STR, NULLS, AT(version)},
    {"revision", SHAPE_OPTU64, NULLS, AT(revision)},
    {"not_before_human", SHAPE_STR, 0, AT(not_before_human)},
    {"expires_human", SHAPE_STR, 0, AT(expires_human)},
};
static const struct shape_member provider_claims_rows[] = {
    {"issuer", SHAPE_STR, NEED, AT(issuer)},
    {"tags", SHAPE_CONST, .preset = "null"},
    {"name", SHAPE_STR, 0, AT(name)}, /* "" rather than null, for wadm */
    {"version", SHAPE_STR, 0, AT(version)},
    {"not_before_human", SHAPE_STR, 0, AT(not_before_human)},
    {"expires_human", SHAPE_STR, 0, AT(expires_human)},
};
#undef T
static const struct shape component_claims_shape =
    SHAPE(struct proto_event_claims, component_claims_rows);
static const struct shape provider_claims_shape =
    SHAPE(struct proto_event_claims, provider_claims_rows);

#define T struct proto_component_event
static const struct shape_member component_scaled_rows[] = {
    {"public_key", SHAPE_STR, OMIT, AT(public_key)},
    {"claims", SHAPE_POINTER, OMIT, AT(claims), .sub = &component_claims_shape},
    {"annotations", SHAPE_MAP, NEED, AT(annotations)},
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"image_ref", SHAPE_STR, NEED, AT(image_ref)},
    {"max_instances", SHAPE_U32, NEED, AT(max_instances)},
    {"component_id", SHAPE_STR, NEED, AT(component_id)},
};
static const struct shape_member component_scale_failed_rows[] = {
    {"public_key", SHAPE_STR, OMIT, AT(public_key)},
    {"annotations", SHAPE_MAP, NEED, AT(annotations)},
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"image_ref", SHAPE_STR, NEED, AT(image_ref)},
    {"max_instances", SHAPE_U32, NEED, AT(max_instances)},
    {"component_id", SHAPE_STR, NEED, AT(component_id)},
    {"error", SHAPE_STR, NEED, AT(error)},
};
#undef T
static const struct shape component_scaled_shape =
    SHAPE(struct proto_component_event, component_scaled_rows);
static const struct shape component_scale_failed_shape =
    SHAPE(struct proto_component_event, component_scale_failed_rows);
const struct shape_member proto_root_component_scaled = {.kind = SHAPE_OBJECT,
                                                         .sub = &component_scaled_shape};
const struct shape_member proto_root_component_scale_failed = {
    .kind = SHAPE_OBJECT, .sub = &component_scale_failed_shape};

/* ---- providers ------------------------------------------------------------------------------------- */

#define T struct proto_provider_event
static const struct shape_member provider_started_rows[] = {
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"image_ref", SHAPE_STR, NEED, AT(image_ref)},
    {"provider_id", SHAPE_STR, NEED, AT(provider_id)},
    {"annotations", SHAPE_MAP, NEED, AT(annotations)},
    {"claims", SHAPE_POINTER, OMIT, AT(claims), .sub = &provider_claims_shape},
    {"instance_id", SHAPE_STR, OMIT, AT(instance_id)},
    {"public_key", SHAPE_STR, OMIT, AT(public_key)},
    {"link_name", SHAPE_STR, OMIT, AT(link_name)},
};
static const struct shape_member provider_start_failed_rows[] = {
    {"provider_ref", SHAPE_STR, NEED, AT(provider_ref)},
    {"provider_id", SHAPE_STR, NEED, AT(provider_id)},
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"error", SHAPE_STR, NEED, AT(error)},
    {"link_name", SHAPE_STR, OMIT, AT(link_name)},
};
static const struct shape_member provider_stopped_rows[] = {
    {"host_id", SHAPE_STR, 0, AT(host_id)},
    {"provider_id", SHAPE_STR, NEED, AT(provider_id)},
    {"annotations", SHAPE_MAP, NEED, AT(annotations)},
    {"reason", SHAPE_STR, NEED, AT(reason)},
    {"instance_id", SHAPE_STR, OMIT, AT(instance_id)},
    {"public_key", SHAPE_STR, OMIT, AT(public_key)},
    {"link_name", SHAPE_STR, OMIT, AT(link_name)},
};
#undef T
static const struct shape provider_started_shape =
    SHAPE(struct proto_provider_event, provider_started_rows);
static const struct shape provider_start_failed_shape =
    SHAPE(struct proto_provider_event, provider_start_failed_rows);
static const struct shape provider_stopped_shape =
    SHAPE(struct proto_provider_event, provider_stopped_rows);
const struct shape_member proto_root_provider_started = {.kind = SHAPE_OBJECT,
                                                         .sub = &provider_started_shape};
const struct shape_member proto_root_provider_start_failed = {.kind = SHAPE_OBJECT,
                                                              .sub = &provider_start_failed_shape};
const struct shape_member proto_root_provider_stopped = {.kind = SHAPE_OBJECT,
                                                         .sub = &provider_stopped_shape};

#define T struct proto_health_event
static const struct shape_member health_rows[] = {
    {"host_id", SHAPE_STR, NEED, AT(host_id)},
    {"provider_id", SHAPE_STR, NEED, AT(provider_id)},
    {"message", SHAPE_STR, OMIT, AT(message)},
};
#undef T
static const struct shape health_shape = SHAPE(struct proto_health_event, health_rows);
const struct shape_member proto_root_health = {.kind = SHAPE_OBJECT, .sub = &health_shape};

/* ---- links and config ------------------------------------------------------------------------------ */

#define T struct proto_link_event
#define LINK_ROWS                                                   \
    {"source_id", SHAPE_STR, NEED, AT(link.source_id)},             \
        {"target", SHAPE_STR, NEED, AT(link.target)},               \
        {"name", SHAPE_STR, 0, AT(link.name), .preset = "default"}, \
        {"wit_namespace", SHAPE_STR, NEED, AT(link.wit_namespace)}, \
        {"wit_package", SHAPE_STR, NEED, AT(link.wit_package)},     \
        {"interfaces", SHAPE_STRS, NEED, AT(link.interfaces)},      \
        {"source_config", SHAPE_STRS, 0, AT(link.source_config)},   \
        {"target_config", SHAPE_STRS, 0, AT(link.target_config)},
static const struct shape_member link_set_rows[] = {LINK_ROWS};
static const struct shape_member link_set_failed_rows[] = {
    LINK_ROWS{"error", SHAPE_STR, NEED, AT(error)},
};
static const struct shape_member link_deleted_rows[] = {
    {"source_id", SHAPE_STR, NEED, AT(link.source_id)},
    {"target", SHAPE_STR, OMIT, AT(link.target)},
    {"name", SHAPE_STR, 0, AT(link.name), .preset = "default"},
    {"wit_namespace", SHAPE_STR, NEED, AT(link.wit_namespace)},
    {"wit_package", SHAPE_STR, NEED, AT(link.wit_package)},
    {"interfaces", SHAPE_STRS, OMIT, AT(link.interfaces)},
};
#undef LINK_ROWS
#undef T
static const struct shape link_set_shape = SHAPE(struct proto_link_event, link_set_rows);
static const struct shape link_set_failed_shape =
    SHAPE(struct proto_link_event, link_set_failed_rows);
static const struct shape link_deleted_shape = SHAPE(struct proto_link_event, link_deleted_rows);
const struct shape_member proto_root_link_set = {.kind = SHAPE_OBJECT, .sub = &link_set_shape};
const struct shape_member proto_root_link_set_failed = {.kind = SHAPE_OBJECT,
                                                        .sub = &link_set_failed_shape};
const struct shape_member proto_root_link_deleted = {.kind = SHAPE_OBJECT,
                                                     .sub = &link_deleted_shape};

#define T struct proto_config_event
static const struct shape_member config_event_rows[] = {
    {"config_name", SHAPE_STR, NEED, AT(config_name)},
};
#undef T
static const struct shape config_event_shape = SHAPE(struct proto_config_event, config_event_rows);
const struct shape_member proto_root_config_event = {.kind = SHAPE_OBJECT,
                                                     .sub = &config_event_shape};

/* ---- the envelope ---------------------------------------------------------------------------------- */

static const struct shape_member *const data_roots[PROTO_EVENT_COUNT] = {
#define X(name, text, shape) &proto_root_##shape,
    PROTO_EVENTS(X)
#undef X
};

struct envelope {
    struct str type;
    struct proto_event event;
};
#define T struct envelope
static const struct shape_member envelope_rows[] = {
    {"type", SHAPE_STR, NEED, AT(type)},
    {"source", SHAPE_STR, NEED, AT(event.source)},
    {"id", SHAPE_STR, 0, AT(event.id)},
    {"time", SHAPE_STR, 0, AT(event.time)},
};
#undef T
static const struct shape envelope_shape = SHAPE(struct envelope, envelope_rows);
static const struct shape_member envelope_root = {.kind = SHAPE_OBJECT, .sub = &envelope_shape};

static enum proto_event_kind kind_of(struct str type)
{
    struct str head = STR(TYPE_HEAD);
    if (!str_starts(type, head))
        return PROTO_EVENT_UNKNOWN;
    struct str name = str_sub(type, head.n, type.n);
    for (uint32_t k = 0; k < PROTO_EVENT_COUNT; k++) {
        if (str_eqz(name, proto_event_name((enum proto_event_kind)k)))
            return (enum proto_event_kind)k;
    }
    return PROTO_EVENT_UNKNOWN;
}

static bool read_event(json_t *v, struct arena *a, struct proto_event *out, struct err *e)
{
    struct envelope env = {.event.kind = PROTO_EVENT_UNKNOWN};
    if (!shape_read(&envelope_root, v, a, &env, e))
        return false;
    env.event.kind = kind_of(env.type);
    if (env.event.kind != PROTO_EVENT_UNKNOWN) {
        const struct shape_member *root = data_roots[env.event.kind];
        json_t *data = json_object_get(v, "data");
        void *at = arena_alloc(a, shape_size(root), alignof(max_align_t));
        if (!at)
            return arena_full(a, e);
        if (!data)
            return err_set(e, ERR_INVALID, "member \"data\" is missing");
        if (!shape_read(root, data, a, at, e))
            return err_wrap(e, "\"data\"");
        env.event.data.any = at;
    }
    *out = env.event;
    return true;
}

bool proto_event_decode(struct span json, struct arena *a, struct proto_event *out, struct err *e)
{
    json_t *v = shape_parse(json, e);
    if (!v)
        return false;
    bool ok = read_event(v, a, out, e);
    json_decref(v);
    return ok;
}

/* Everything up to and including `"data":`; id and time are made up when none. */
static void write_head(struct str id, struct str time, const char *type_head, const char *type,
                       struct str source, struct buf *out)
{
    char uuid[UUID_LEN + 1], now[CLOCK_TEXT_MAX];
    if (!id.p) {
        rand_uuid(uuid);
        id = str_of(uuid);
    }
    if (!time.p)
        time = str_of(clock_text(clock_wall_ns(), now));
    buf_str(out, STR("{\"specversion\":\"1.0\",\"id\":"));
    shape_text(id, out);
    buf_printf(out, ",\"type\":\"%s%s\",\"source\":", type_head, type);
    shape_text(source, out);
    buf_str(out, STR(",\"datacontenttype\":\"" DATA_TYPE "\",\"time\":"));
    shape_text(time, out);
    buf_str(out, STR(",\"data\":"));
}

bool proto_event_encode(const struct proto_event *ev, struct buf *out, struct err *e)
{
    assert(ev->kind < PROTO_EVENT_COUNT);
    assert(ev->data.any);
    write_head(ev->id, ev->time, TYPE_HEAD, proto_event_name(ev->kind), ev->source, out);
    shape_encode(data_roots[ev->kind], ev->data.any, out);
    buf_byte(out, '}');
    return buf_ok(out, e);
}

bool proto_event_publish(struct bus *bus, struct str lattice, const struct proto_event *ev,
                         struct err *e)
{
    struct proto_subject subject;
    struct buf out = BUF_INIT;
    bool ok = proto_event_subject(lattice, ev->kind, &subject, e) &&
              proto_event_encode(ev, &out, e) &&
              bus_publish(bus, proto_subject_str(&subject), STR(""), NULL, 0, buf_span(&out), e);
    buf_fini(&out);
    return ok;
}

bool proto_api_event_encode(enum proto_api_event what, struct str manifest_json_or_name,
                            struct buf *out, struct err *e)
{
    bool published = what == PROTO_API_PUBLISHED;
    write_head(STR_NONE, STR_NONE, "com.wadm.",
               published ? "manifest_published" : "manifest_unpublished", STR("wadm"), out);
    if (published) {
        buf_str(out, manifest_json_or_name);
    } else {
        buf_str(out, STR("{\"name\":"));
        shape_text(manifest_json_or_name, out);
        buf_byte(out, '}');
    }
    buf_byte(out, '}');
    return buf_ok(out, e);
}
