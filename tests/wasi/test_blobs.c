/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:blobstore: what its calls carry, what their results become, how objects and lists of names flow, and what is
 * left when the guest ends in between. */
#include "tests/wasi/fake.h"

#define TYPES "wasi:blobstore/types@0.2.0-draft"
#define CONTAINER "wasi:blobstore/container@0.2.0-draft"
#define STORE "wasi:blobstore/blobstore@0.2.0-draft"
#define BYTES(literal) ((struct span){(const uint8_t *)(literal), sizeof(literal) - 1})

static void expect_out(struct fake *f, const char *text)
{
    ck_assert_msg(str_eqz(buf_view(&f->fetched), text), "%.*s", STR_ARG(buf_view(&f->fetched)));
    buf_clear(&f->fetched);
}

/* The call waits, is answered, and its result is this text. */
static void expect(struct fake *f, uint32_t exchange, struct span root, const char *text,
                   const char *iface, const char *func, const struct wit_value *args, size_t n)
{
    ck_assert_int_eq(fake_try(f, iface, func, args, n), COMP_HOST_PENDING);
    ck_assert(!wasi_ready(f->ctx));
    wasi_call_result(f->ctx, exchange, root);
    ck_assert(wasi_ready(f->ctx));
    ck_assert_str_eq(fake_call(f, iface, func, args, n), text);
}

static void *new_container(struct fake *f)
{
    const struct wit_value name = TEXT("c");
    ck_assert_int_eq(fake_try(f, STORE, "create-container", &name, 1), COMP_HOST_PENDING);
    wasi_call_result(f->ctx, 1, BYTES("\0"));
    void *c = fake_make(f, STORE, "create-container", &name, 1);
    expect_out(f, "1 create-container 01 63|1 dropped|");
    return c;
}

static void done(struct fake *f, void *container)
{
    fake_drop(f, CONTAINER, "container", container);
    fake_free(f);
}

START_TEST(parameters_and_results_are_those_of_the_wire)
{
    struct fake *f = fake_new(NULL);
    void *c = new_container(f);
    const struct wit_value names[] = {TEXT("a"), TEXT("bc")};
    expect(f, 2, BYTES("\0\1"), "ok(true)", CONTAINER, "[method]container.has-object",
           ARGS(OBJ(c), TEXT("o")));
    expect(f, 3, BYTES("\0\xe2\x04\x80\x08"),
           "ok({name: \"o\", container: \"c\", created-at: 610, size: 1024})", CONTAINER,
           "[method]container.object-info", ARGS(OBJ(c), TEXT("o")));
    expect(f, 4, BYTES("\0\5"), "ok({name: \"c\", created-at: 5})", CONTAINER,
           "[method]container.info", ARGS(OBJ(c)));
    expect(f, 5, BYTES("\1\2no"), "err(\"no\")", CONTAINER, "[method]container.delete-object",
           ARGS(OBJ(c), TEXT("o")));
    expect(f, 6, BYTES("\0"), "ok", CONTAINER, "[method]container.delete-objects",
           ARGS(OBJ(c), ((struct wit_value){.v = names, .n = 2})));
    expect(f, 7, BYTES("\0\0"), "err(\"container does not exist\")", STORE, "get-container",
           ARGS(TEXT("d")));
    expect_out(f, "2 has-object 01 63 01 6f|2 dropped|3 get-object-info 01 63 01 6f|3 dropped|"
                  "4 get-container-info 01 63|4 dropped|5 delete-objects 01 63 01 01 6f|5 dropped|"
                  "6 delete-objects 01 63 02 01 61 02 62 63|6 dropped|"
                  "7 container-exists 01 64|7 dropped|");
    done(f, c);
}
END_TEST

START_TEST(a_broken_answer_is_an_error)
{
    struct fake *f = fake_new(NULL);
    void *c = new_container(f);
    expect(f, 2, BYTES(""), "err(\"at offset 0: unexpected end\")", CONTAINER,
           "[method]container.clear", ARGS(OBJ(c)));
    expect(f, 3, BYTES("\0\1"), "err(\"at offset 2: unexpected end\")", CONTAINER,
           "[method]container.object-info", ARGS(OBJ(c), TEXT("o")));
    expect(f, 4, BYTES("\1\5no"), "err(\"at offset 2: unexpected end\")", CONTAINER,
           "[method]container.clear", ARGS(OBJ(c)));
    done(f, c);
}
END_TEST

START_TEST(a_call_that_cannot_be_made_is_an_error)
{
    struct fake *f = fake_new(NULL);
    const struct wit_value name = TEXT("c");
    ck_assert_int_eq(fake_try(f, STORE, "container-exists", &name, 1), COMP_HOST_PENDING);
    wasi_call_fail(f->ctx, 1, STR("no link"));
    EXPECT("err(\"no link\")", f, STORE, "container-exists", &name, 1);
    fake_free(f);
}
END_TEST

START_TEST(a_guest_that_ends_while_it_waits_leaves_nothing)
{
    struct fake *f = fake_new(NULL);
    void *c = new_container(f);
    ck_assert_int_eq(fake_try(f, CONTAINER, "[method]container.clear", ARGS(OBJ(c))),
                     COMP_HOST_PENDING);
    wasi_guest_gone(f->ctx);
    fake_drop(f, CONTAINER, "container", c);
    wasi_ctx_free(f->ctx);
    f->ctx = NULL;
    expect_out(f, "2 clear-container 01 63|2 dropped|");
    fake_free(f);
}
END_TEST

/* ---- names ---- */

static void *new_names(struct fake *f, void *c, uint32_t exchange)
{
    ck_assert_int_eq(fake_try(f, CONTAINER, "[method]container.list-objects", ARGS(OBJ(c))),
                     COMP_HOST_PENDING);
    wasi_call_result(f->ctx, exchange, BYTES("\0\0\0"));
    return fake_make(f, CONTAINER, "[method]container.list-objects", ARGS(OBJ(c)));
}

#define READ "[method]stream-object-names.read-stream-object-names"

START_TEST(names_come_out_however_they_were_cut)
{
    static const char raw[] = "\2\1a\2bc\1\0\3\1d\1e\1f\0"; /* a, bc; an empty one; d, e, f */
    struct fake *f = fake_new(NULL);
    void *c = new_container(f), *names = new_names(f, c, 2);
    ck_assert_int_eq(fake_try(f, CONTAINER, READ, ARGS(OBJ(names), wit_u64(4))), COMP_HOST_PENDING);
    for (size_t i = 0; i < sizeof raw - 1; i++)
        ck_assert(fake_push(f, 2, (struct span){(const uint8_t *)raw + i, 1}));
    EXPECT("ok(([\"a\", \"bc\", \"\", \"d\"], false))", f, CONTAINER, READ,
           ARGS(OBJ(names), wit_u64(4)));
    EXPECT("ok((1, false))", f, CONTAINER, "[method]stream-object-names.skip-stream-object-names",
           ARGS(OBJ(names), wit_u64(1)));
    EXPECT("ok(([\"f\"], true))", f, CONTAINER, READ, ARGS(OBJ(names), wit_u64(9)));
    EXPECT("ok(([], true))", f, CONTAINER, READ, ARGS(OBJ(names), wit_u64(9)));
    fake_drop(f, CONTAINER, "stream-object-names", names);
    done(f, c);
}
END_TEST

START_TEST(skipping_many_names_lets_others_run)
{
    enum { N = 300000 };
    struct fake *f = fake_new(&(struct wasi_opts){.buffered_bytes_max = 8u << 20});
    void *c = new_container(f), *names = new_names(f, c, 2);
    const struct wit_value args[] = {OBJ(names), wit_u64(UINT64_MAX)};
    struct buf raw = BUF_INIT;
    for (int i = 0; i < N; i++)
        buf_str(&raw, STR("\1\5abcde"));
    buf_byte(&raw, 0);
    ck_assert(fake_push(f, 2, buf_span(&raw)));
    buf_fini(&raw);
    const char *skip = "[method]stream-object-names.skip-stream-object-names";
    ck_assert_int_eq(fake_try(f, CONTAINER, skip, args, 2), COMP_HOST_PENDING);
    ck_assert(wasi_ready(f->ctx) && wasi_wake_at(f->ctx) <= f->now_ns); /* just for a turn */
    while (fake_try(f, CONTAINER, skip, args, 2) == COMP_HOST_PENDING)
        continue;
    ck_assert_uint_eq(f->result.v->v[0].u64, N);
    ck_assert_uint_eq(f->result.v->v[1].u64, 1);
    fake_drop(f, CONTAINER, "stream-object-names", names);
    done(f, c);
}
END_TEST

static void expect_broken(struct span raw, const char *why, const char *text)
{
    struct fake *f = fake_new(NULL);
    void *c = new_container(f), *names = new_names(f, c, 2);
    ck_assert(fake_push(f, 2, raw));
    wasi_call_end(f->ctx, 2, str_of(why));
    ck_assert_str_eq(fake_call(f, CONTAINER, READ, ARGS(OBJ(names), wit_u64(9))), text);
    fake_drop(f, CONTAINER, "stream-object-names", names);
    done(f, c);
}

START_TEST(broken_lists_of_names_are_errors)
{
    expect_broken(BYTES("\1\5ab"), "", "err(\"the list of names is broken\")"); /* cut short */
    expect_broken(BYTES("\xff\xff\xff\xff\xff\xff"), "", "err(\"the list of names is broken\")");
    expect_broken(BYTES("\1\xff\xff\xff\xff\x0f"), "", "err(\"the list of names is broken\")");
    expect_broken(BYTES("\1\1a"), "the disk is on fire", "err(\"the disk is on fire\")");
}
END_TEST

/* ---- objects ---- */

static void *new_value(struct fake *f, void **stream)
{
    void *value = fake_make(f, TYPES, "[static]outgoing-value.new-outgoing-value", NO_ARGS);
    *stream =
        fake_make(f, TYPES, "[method]outgoing-value.outgoing-value-write-body", ARGS(OBJ(value)));
    return value;
}

static void write_some(struct fake *f, void *stream, const char *text)
{
    fake_call(f, STREAMS, "[method]output-stream.check-write", ARGS(OBJ(stream)));
    EXPECT("ok", f, STREAMS, "[method]output-stream.write", ARGS(OBJ(stream), TEXT(text)));
}

/* write-data answered by exchange 2, whose data may flow. */
static void begin_write(struct fake *f, void *c, void *value)
{
    expect(f, 2, BYTES("\0\0"), "ok", CONTAINER, "[method]container.write-data",
           ARGS(OBJ(c), TEXT("o"), OBJ(value)));
    wasi_body_credit(f->ctx, 2, 100);
}

#define FINISH "[static]outgoing-value.finish"

START_TEST(an_object_is_written_when_its_target_says_so)
{
    struct fake *f = fake_new(NULL);
    void *stream, *c = new_container(f), *value = new_value(f, &stream);
    write_some(f, stream, "early ");
    begin_write(f, c, value);
    write_some(f, stream, "late");
    fake_drop(f, STREAMS, "output-stream", stream);
    expect_out(f, "2 write-container-data 01 63 01 6f 00 body|2 data early |2 data late|"
                  "2 finished|");
    ck_assert_int_eq(fake_try(f, TYPES, FINISH, ARGS(OBJ(value))), COMP_HOST_PENDING);
    wasi_call_end(f->ctx, 2, STR(""));
    EXPECT("ok", f, TYPES, FINISH, ARGS(OBJ(value)));
    expect_out(f, "2 dropped|");
    done(f, c);
}
END_TEST

START_TEST(a_target_that_fails_late_is_heard_by_finish)
{
    struct fake *f = fake_new(NULL);
    void *stream, *c = new_container(f), *value = new_value(f, &stream);
    begin_write(f, c, value);
    fake_drop(f, STREAMS, "output-stream", stream);
    wasi_call_end(f->ctx, 2, STR("the disk is full"));
    EXPECT("err(\"the disk is full\")", f, TYPES, FINISH, ARGS(OBJ(value)));
    done(f, c);
}
END_TEST

START_TEST(a_write_that_is_refused_is_over)
{
    struct fake *f = fake_new(NULL);
    void *stream, *c = new_container(f), *value = new_value(f, &stream);
    expect(f, 2, BYTES("\1\11read-only"), "err(\"read-only\")", CONTAINER,
           "[method]container.write-data", ARGS(OBJ(c), TEXT("o"), OBJ(value)));
    fake_drop(f, STREAMS, "output-stream", stream);
    EXPECT("err(\"read-only\")", f, TYPES, FINISH, ARGS(OBJ(value)));
    done(f, c);
}
END_TEST

START_TEST(what_its_guest_did_not_end_is_cut_short)
{
    struct fake *f = fake_new(NULL);
    void *stream, *c = new_container(f), *value = new_value(f, &stream);
    begin_write(f, c, value);
    write_some(f, stream, "half");
    wasi_guest_gone(f->ctx);
    fake_drop(f, STREAMS, "output-stream", stream);
    fake_drop(f, TYPES, "outgoing-value", value);
    expect_out(f, "2 write-container-data 01 63 01 6f 00 body|2 data half|2 aborted|2 dropped|");
    done(f, c);
}
END_TEST

START_TEST(a_value_is_written_once_and_finished_without_its_stream)
{
    struct fake *f = fake_new(NULL);
    void *stream, *c = new_container(f), *value = new_value(f, &stream);
    begin_write(f, c, value);
    ck_assert_int_eq(
        fake_try(f, CONTAINER, "[method]container.write-data", ARGS(OBJ(c), TEXT("o"), OBJ(value))),
        COMP_HOST_TRAP);
    ck_assert_int_eq(fake_try(f, TYPES, FINISH, ARGS(OBJ(value))), COMP_HOST_TRAP);
    fake_drop(f, STREAMS, "output-stream", stream);
    done(f, c);
}
END_TEST

static void *new_incoming(struct fake *f, void *c)
{
    const struct wit_value args[] = {OBJ(c), TEXT("o"), wit_u64(0), wit_u64(300)};
    ck_assert_int_eq(fake_try(f, CONTAINER, "[method]container.get-data", args, 4),
                     COMP_HOST_PENDING);
    wasi_call_result(f->ctx, 2, BYTES("\0\0\0"));
    void *value = fake_make(f, CONTAINER, "[method]container.get-data", args, 4);
    expect_out(f, "2 get-container-data 01 63 01 6f 00 ac 02|");
    return value;
}

#define SYNC "[static]incoming-value.incoming-value-consume-sync"

START_TEST(an_object_is_read_in_one_piece)
{
    struct fake *f = fake_new(NULL);
    void *c = new_container(f), *value = new_incoming(f, c);
    ck_assert(fake_push(f, 2, BYTES("ab")));
    ck_assert_int_eq(fake_try(f, TYPES, SYNC, ARGS(OBJ(value))), COMP_HOST_PENDING);
    ck_assert(fake_push(f, 2, BYTES("c")));
    wasi_call_end(f->ctx, 2, STR(""));
    EXPECT("ok([97, 98, 99])", f, TYPES, SYNC, ARGS(OBJ(value)));
    expect_out(f, "2 consumed 2|2 consumed 1|2 dropped|"); /* as it comes: the target is paced */
    done(f, c);
}
END_TEST

START_TEST(an_object_that_is_too_large_for_one_piece_is_not_read_to_its_end)
{
    struct fake *f = fake_new(&(struct wasi_opts){.buffered_bytes_max = 64u << 20});
    void *c = new_container(f), *value = new_incoming(f, c);
    static const uint8_t block[1 << 20];
    for (int i = 0; i < 40; i++)
        ck_assert(fake_push(f, 2, (struct span){block, sizeof block}));
    EXPECT("err(\"the object is larger than consume-sync may return\")", f, TYPES, SYNC,
           ARGS(OBJ(value)));
    done(f, c);
}
END_TEST

START_TEST(an_object_is_streamed_and_says_why_it_ends)
{
    struct fake *f = fake_new(NULL);
    void *c = new_container(f), *value = new_incoming(f, c);
    void *in = fake_make(f, TYPES, "[static]incoming-value.incoming-value-consume-async",
                         ARGS(OBJ(value)));
    ck_assert(fake_push(f, 2, BYTES("a")));
    wasi_call_end(f->ctx, 2, STR("the disk is on fire"));
    EXPECT("ok([97])", f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(9)));
    fake_call(f, STREAMS, "[method]input-stream.read", ARGS(OBJ(in), wit_u64(9)));
    void *error = f->result.v->v->obj;
    fake_drop(f, STREAMS, "input-stream", in); /* the error outlives it */
    EXPECT("\"the disk is on fire\"", f, "wasi:io/error@0.2.0", "[method]error.to-debug-string",
           ARGS(OBJ(error)));
    fake_drop(f, "wasi:io/error@0.2.0", "error", error);
    done(f, c);
}
END_TEST

START_TEST(an_object_nobody_reads_is_given_up)
{
    struct fake *f = fake_new(NULL);
    void *c = new_container(f), *value = new_incoming(f, c);
    ck_assert(fake_push(f, 2, BYTES("abc")));
    fake_drop(f, TYPES, "incoming-value", value);
    expect_out(f, "2 consumed 3|2 dropped|");
    ck_assert(fake_push(f, 2, BYTES("late")));
    done(f, c);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("blobs");
    tcase_add_test(c, parameters_and_results_are_those_of_the_wire);
    tcase_add_test(c, a_broken_answer_is_an_error);
    tcase_add_test(c, a_call_that_cannot_be_made_is_an_error);
    tcase_add_test(c, a_guest_that_ends_while_it_waits_leaves_nothing);
    tcase_add_test(c, names_come_out_however_they_were_cut);
    tcase_add_test(c, skipping_many_names_lets_others_run);
    tcase_add_test(c, broken_lists_of_names_are_errors);
    tcase_add_test(c, an_object_is_written_when_its_target_says_so);
    tcase_add_test(c, a_target_that_fails_late_is_heard_by_finish);
    tcase_add_test(c, a_write_that_is_refused_is_over);
    tcase_add_test(c, what_its_guest_did_not_end_is_cut_short);
    tcase_add_test(c, a_value_is_written_once_and_finished_without_its_stream);
    tcase_add_test(c, an_object_nobody_reads_is_given_up);
    tcase_add_test(c, an_object_is_read_in_one_piece);
    tcase_add_test(c, an_object_that_is_too_large_for_one_piece_is_not_read_to_its_end);
    tcase_add_test(c, an_object_is_streamed_and_says_why_it_ends);
    return fake_run("wasi/blobs", c);
}
