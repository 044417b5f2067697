/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects and keys from outside: whatever is understood must be built again to the same text. */
#include <assert.h>

#include "lattice/proto/subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proto_space space = {.lattice = STR("default")};
    struct str in = {(const char *)data, size}, arg;
    struct proto_subject out;
    struct err e = ERR_INIT;
    if (size >= PROTO_SUBJECT_MAX - 64) /* the default prefixes may be longer than what came */
        return 0;
    enum proto_op op = proto_ctl_parse(&space, in, &arg);
    if (op != PROTO_OP_UNKNOWN && proto_token_ok(arg))
        assert(proto_ctl_subject(&space, op, arg, &out, &e));
    enum proto_api_op api = proto_api_parse(&space, in, &arg);
    if (api != PROTO_API_UNKNOWN && proto_token_ok(arg)) {
        assert(proto_api_subject(&space, api, arg, &out, &e));
        assert(str_eq(proto_subject_str(&out), in));
    }
    if (proto_key_parse(in, &arg) == PROTO_KEY_SPEC && proto_key_spec(arg, &out, &e))
        assert(str_eq(proto_subject_str(&out), in));
    proto_lattice_ok(in);
    proto_is_secret(in);
    return 0;
}
