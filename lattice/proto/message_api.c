/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of the manifest API and application status (wadm protocol 2.2 - 2.4). */
#include "lattice/base/num.h"
#include "lattice/proto/proto_int.h"

#define AT(member) offsetof(T, member)

/* ---- enumerations ---------------------------------------------------------------------------------- */

#define X(name, text) text,
static const char *const result_texts[] = {PROTO_RESULTS(X)};
static const char *const status_texts[] = {PROTO_STATUSES(X)};
#undef X
static const char *const status_aliases[][2] = {
    {"compensating", "reconciling"},
    {"ready", "deployed"},
    {NULL, NULL},
};
static const struct shape_names result_names = {result_texts, ARRAY_LEN(result_texts), NULL};
static const struct shape_names status_names = {status_texts, ARRAY_LEN(status_texts),
                                                status_aliases};

const char *proto_result_name(enum proto_result r)
{
    return r < ARRAY_LEN(result_texts) ? result_texts[r] : "unknown";
}

const char *proto_status_name(enum proto_status_type s)
{
    return s < ARRAY_LEN(status_texts) ? status_texts[s] : "unknown";
}

/* ---- status ---------------------------------------------------------------------------------------- */

#define T struct proto_status_info
static const struct shape_member status_info_rows[] = {
    {"type", SHAPE_ENUM, NEED, AT(type), .sub = &status_names},
    {"message", SHAPE_STR, BLANK, AT(message)},
};
#undef T
static const struct shape status_info_shape = SHAPE(struct proto_status_info, status_info_rows);

#define T struct proto_scaler_status
static const struct shape_member scaler_rows[] = {
    {"id", SHAPE_STR, NEED, AT(id)},
    {"kind", SHAPE_STR, NEED, AT(kind)},
    {"name", SHAPE_STR, 0, AT(name)},
    {"status", SHAPE_OBJECT, NEED, AT(status), .sub = &status_info_shape},
};
#undef T
static const struct shape scaler_shape = SHAPE(struct proto_scaler_status, scaler_rows);
static const struct shape_member scaler_elem = {.kind = SHAPE_OBJECT, .sub = &scaler_shape};

#define T struct proto_status
static const struct shape_member status_rows[] = {
    {"status", SHAPE_OBJECT, NEED, AT(status), .sub = &status_info_shape},
    {"scalers", SHAPE_LIST, BLANK, AT(scalers), .sub = &scaler_elem},
    {"version", SHAPE_CONST, .preset = "\"\""}, /* two relics that clients want to see */
    {"components", SHAPE_CONST, .preset = "[]"},
};
#undef T
static const struct shape status_shape = SHAPE(struct proto_status, status_rows);
const struct shape_member proto_root_status = {.kind = SHAPE_OBJECT, .sub = &status_shape};

/* ---- models ---------------------------------------------------------------------------------------- */

#define T struct proto_model
static const struct shape_member model_rows[] = {
    {"name", SHAPE_STR, NEED, AT(name)},
    {"version", SHAPE_STR, NEED, AT(version)},
    {"description", SHAPE_STR, NULLS, AT(description)},
    {"deployed_version", SHAPE_STR, NULLS, AT(deployed_version)},
    {"detailed_status", SHAPE_OBJECT, 0, AT(detailed_status), .sub = &status_shape},
    {"status", SHAPE_ENUM, 0, AT(status), .sub = &status_names},
    {"status_message", SHAPE_STR, 0, AT(status_message)},
};
#undef T
static const struct shape model_shape = SHAPE(struct proto_model, model_rows);
static const struct shape_member model_elem = {.kind = SHAPE_OBJECT, .sub = &model_shape};
const struct shape_member proto_root_model_list = {.kind = SHAPE_LIST, .sub = &model_elem};

#define T struct proto_model_version
static const struct shape_member model_version_rows[] = {
    {"version", SHAPE_STR, NEED, AT(version)},
    {"deployed", SHAPE_BOOL, NEED, AT(deployed)},
};
#undef T
static const struct shape model_version_shape =
    SHAPE(struct proto_model_version, model_version_rows);
static const struct shape_member model_version_elem = {.kind = SHAPE_OBJECT,
                                                       .sub = &model_version_shape};

/* ---- requests and replies -------------------------------------------------------------------------- */

#define T struct proto_api_request
static const struct shape_member api_request_rows[] = {
    {"version", SHAPE_STR, NULLS, AT(version)},
};
#undef T
static const struct shape api_request_shape = SHAPE(struct proto_api_request, api_request_rows);
const struct shape_member proto_root_api_request = {
    .kind = SHAPE_OBJECT, .flags = EMPTY, .sub = &api_request_shape};

/* Every reply object begins with these two. */
#define RESULT_ROWS                                                 \
    {"result", SHAPE_ENUM, NEED, AT(result), .sub = &result_names}, \
        {"message", SHAPE_STR, 0, AT(message)},

#define T struct proto_api_error
static const struct shape_member api_error_rows[] = {RESULT_ROWS};
#undef T
static const struct shape api_error_shape = SHAPE(struct proto_api_error, api_error_rows);
const struct shape_member proto_root_api_error = {.kind = SHAPE_OBJECT, .sub = &api_error_shape};

#define T struct proto_api_put
static const struct shape_member api_put_rows[] = {
    RESULT_ROWS //
    {"total_versions", SHAPE_U64, 0, AT(total_versions)},
    {"current_version", SHAPE_STR, 0, AT(current_version)},
    {"name", SHAPE_STR, 0, AT(name)},
};
#undef T
static const struct shape api_put_shape = SHAPE(struct proto_api_put, api_put_rows);
const struct shape_member proto_root_api_put = {.kind = SHAPE_OBJECT, .sub = &api_put_shape};

#define T struct proto_api_get
static const struct shape_member api_get_rows[] = {
    RESULT_ROWS //
    {"manifest", SHAPE_JSON, OMIT, AT(manifest)},
};
#undef T
static const struct shape api_get_shape = SHAPE(struct proto_api_get, api_get_rows);
const struct shape_member proto_root_api_get = {.kind = SHAPE_OBJECT, .sub = &api_get_shape};

#define T struct proto_api_models
static const struct shape_member api_models_rows[] = {
    RESULT_ROWS //
    {"models", SHAPE_LIST, 0, AT(models), .sub = &model_elem},
};
#undef T
static const struct shape api_models_shape = SHAPE(struct proto_api_models, api_models_rows);
const struct shape_member proto_root_api_models = {.kind = SHAPE_OBJECT, .sub = &api_models_shape};

#define T struct proto_api_versions
static const struct shape_member api_versions_rows[] = {
    RESULT_ROWS //
    {"versions", SHAPE_LIST, 0, AT(versions), .sub = &model_version_elem},
};
#undef T
static const struct shape api_versions_shape = SHAPE(struct proto_api_versions, api_versions_rows);
const struct shape_member proto_root_api_versions = {.kind = SHAPE_OBJECT,
                                                     .sub = &api_versions_shape};

#define T struct proto_api_delete
static const struct shape_member api_delete_rows[] = {
    RESULT_ROWS //
    {"undeploy", SHAPE_BOOL, 0, AT(undeploy)},
};
#undef T
static const struct shape api_delete_shape = SHAPE(struct proto_api_delete, api_delete_rows);
const struct shape_member proto_root_api_delete = {.kind = SHAPE_OBJECT, .sub = &api_delete_shape};

#define T struct proto_api_deploy
static const struct shape_member api_deploy_rows[] = {
    RESULT_ROWS //
    {"name", SHAPE_STR, 0, AT(name)},
    {"version", SHAPE_STR, NULLS, AT(version)},
};
#undef T
static const struct shape api_deploy_shape = SHAPE(struct proto_api_deploy, api_deploy_rows);
const struct shape_member proto_root_api_deploy = {.kind = SHAPE_OBJECT, .sub = &api_deploy_shape};

#define T struct proto_api_status
static const struct shape_member api_status_rows[] = {
    RESULT_ROWS //
    {"status", SHAPE_OBJECT, 0, AT(status), .sub = &status_shape},
};
#undef T
static const struct shape api_status_shape = SHAPE(struct proto_api_status, api_status_rows);
const struct shape_member proto_root_api_status = {.kind = SHAPE_OBJECT, .sub = &api_status_shape};

/* What a reply decodes to, by operation; a universal error has only result and message. */
static const struct shape_member *const reply_roots[PROTO_API_OP_COUNT] = {
    [PROTO_API_PUT] = &proto_root_api_put,       [PROTO_API_GET] = &proto_root_api_get,
    [PROTO_API_LIST] = &proto_root_model_list,   [PROTO_API_VERSIONS] = &proto_root_api_versions,
    [PROTO_API_HISTORY] = &proto_root_api_error, [PROTO_API_DEL] = &proto_root_api_delete,
    [PROTO_API_DEPLOY] = &proto_root_api_deploy, [PROTO_API_UNDEPLOY] = &proto_root_api_deploy,
    [PROTO_API_STATUS] = &proto_root_api_status,
};

static bool read_reply(json_t *v, struct arena *a, struct proto_api_reply *out, struct err *e)
{
    struct proto_api_error head = {.result = PROTO_RESULT_SUCCESS, .message = STR("")};
    const struct shape_member *root = reply_roots[out->op];
    struct proto_api_reply r = {.op = out->op};
    if (json_is_object(v) && !shape_read(&proto_root_api_error, v, a, &head, e))
        return false;
    r.result = head.result;
    r.message = head.message;
    if (head.result != PROTO_RESULT_ERROR) {
        void *at = arena_alloc(a, shape_size(root), alignof(max_align_t));
        if (!at)
            return arena_full(a, e);
        if (!shape_read(root, v, a, at, e))
            return false;
        r.body.any = at;
    }
    *out = r;
    return true;
}

bool proto_api_reply_decode(enum proto_api_op op, struct span json, struct arena *a,
                            struct proto_api_reply *out, struct err *e)
{
    struct proto_api_reply r = {.op = op};
    json_t *v = shape_parse(json, e);
    if (!v)
        return false;
    bool ok = read_reply(v, a, &r, e);
    json_decref(v);
    if (ok)
        *out = r;
    return ok;
}
