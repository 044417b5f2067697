/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies checked by several threads, and bodies not checked again because an earlier load knew them. */
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define FUNCS_N 4000
#define NOPS 300 /* a body's size: with it, the module is worth several threads */
#define EXPORTED 7
#define NONE UINT32_MAX

static void put_section(struct buf *out, uint8_t id, struct buf *content)
{
    buf_byte(out, id);
    buf_leb_u64(out, content->n);
    buf_put(out, content->p, content->n);
    buf_fini(content);
}

/* x + 1, with locals of which one is a reference to the type; an i64 instead of the 1 makes it invalid. */
static void put_body(struct buf *code, bool good)
{
    struct buf body = BUF_INIT;
    buf_put(&body, (uint8_t[]){2, 1, I64, 1, 0x63, 0}, 6);
    memset(buf_grow(&body, NOPS), 0x01, NOPS);
    buf_put(&body, (uint8_t[]){0x20, 0, good ? 0x41 : 0x42, 1, 0x6a, END}, 6);
    buf_leb_u64(code, body.n);
    buf_put(code, body.p, body.n);
    buf_fini(&body);
}

/* FUNCS_N functions, all the same but for the two bad ones; one of them is exported as "f". */
static struct buf module_with(uint32_t bad, uint32_t also_bad)
{
    static const uint8_t head[] = {HEADER, TYPES(1, 0x60, 1, I32, 1, I32)};
    static const uint8_t exports[] = {EXPORTS(1, 1, 'f', 0, EXPORTED)};
    struct buf b = BUF_INIT, funcs = BUF_INIT, code = BUF_INIT;
    buf_put(&b, head, sizeof head);
    buf_leb_u64(&funcs, FUNCS_N);
    memset(buf_grow(&funcs, FUNCS_N), 0, FUNCS_N);
    put_section(&b, 3, &funcs);
    buf_put(&b, exports, sizeof exports);
    buf_leb_u64(&code, FUNCS_N);
    for (uint32_t i = 0; i < FUNCS_N; i++)
        put_body(&code, i != bad && i != also_bad);
    put_section(&b, 10, &code);
    return b;
}

static const uint32_t threads[] = {1, 2, 3, 16};

START_TEST(threads_agree_on_a_valid_module)
{
    struct buf bytes = module_with(NONE, NONE);
    struct err e = ERR_INIT;
    struct wasm_limits limits = {.threads = threads[_i]};
    struct wasm_module *m = wasm_module_load(buf_span(&bytes), false, &limits, &e);
    ck_assert_msg(m, "%s", e.text);
    for (uint32_t i = 0; i < FUNCS_N; i++)
        ck_assert(m->funcs[i].checked && m->funcs[i].nlocals == 3 && m->funcs[i].frame_slots == 5);
    ck_assert_uint_eq(m->type_refs.n, 1); /* although every body names it */
    struct guest g = guest_of(m, NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(41)), 42);
    guest_close(&g);
    buf_fini(&bytes);
}
END_TEST

START_TEST(threads_name_the_first_bad_body)
{
    struct buf bytes = module_with(3001, 2999);
    struct err one = ERR_INIT, many = ERR_INIT;
    ck_assert_ptr_null(
        wasm_module_load(buf_span(&bytes), false, &(struct wasm_limits){.threads = 1}, &one));
    ck_assert_ptr_null(wasm_module_load(buf_span(&bytes), false,
                                        &(struct wasm_limits){.threads = threads[_i]}, &many));
    ck_assert_msg(strstr(one.text, "function 2999: at offset "), "%s", one.text);
    ck_assert_str_eq(many.text, one.text);
    buf_fini(&bytes);
}
END_TEST

/* Frames as a load of the good module found them. */
static struct buf frames_of_good(void)
{
    struct buf bytes = module_with(NONE, NONE), frames = BUF_INIT;
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(buf_span(&bytes), false, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    wasm_module_frames(m, &frames);
    wasm_module_unref(m);
    buf_fini(&bytes);
    return frames;
}

static struct wasm_module *load_knowing(const struct buf *bytes, struct span frames, struct err *e)
{
    return wasm_module_load(buf_span(bytes), false, &(struct wasm_limits){.known_frames = frames},
                            e);
}

START_TEST(known_bodies_are_checked_at_their_first_call)
{
    use_exec(_i);
    struct buf bytes = module_with(NONE, NONE), frames = frames_of_good();
    struct err e = ERR_INIT;
    struct wasm_module *m = load_knowing(&bytes, buf_span(&frames), &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert(!m->funcs[EXPORTED].checked);
    struct guest g = guest_of(m, NULL);
    ck_assert_uint_eq(guest_call(&g, "f", ARGS(41)), 42);
    ck_assert(m->funcs[EXPORTED].checked && !m->funcs[EXPORTED + 1].checked);
    guest_close(&g);
    buf_fini(&frames);
    buf_fini(&bytes);
}
END_TEST

START_TEST(a_wrong_verdict_is_a_trap)
{
    use_exec(_i);
    struct buf bytes = module_with(EXPORTED, NONE), frames = frames_of_good();
    struct err e = ERR_INIT;
    struct wasm_module *m = load_knowing(&bytes, buf_span(&frames), &e);
    ck_assert_msg(m, "%s", e.text);
    struct guest g = guest_of(m, NULL);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(41)), WASM_TRAP_HOST);
    guest_close(&g);
    buf_fini(&frames);
    buf_fini(&bytes);
}
END_TEST

START_TEST(a_wrong_frame_is_a_trap)
{
    use_exec(_i);
    struct buf bytes = module_with(NONE, NONE), frames = frames_of_good();
    frames.p[4 * EXPORTED]--;
    struct err e = ERR_INIT;
    struct wasm_module *m = load_knowing(&bytes, buf_span(&frames), &e);
    ck_assert_msg(m, "%s", e.text);
    struct guest g = guest_of(m, NULL);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(41)), WASM_TRAP_HOST);
    guest_close(&g);
    buf_fini(&frames);
    buf_fini(&bytes);
}
END_TEST

START_TEST(frames_that_cannot_be_are_ignored)
{
    struct buf bytes = module_with(EXPORTED, NONE), frames = frames_of_good();
    struct err e = ERR_INIT;
    const struct span cut = {frames.p, frames.n - 4};
    ck_assert_ptr_null(load_knowing(&bytes, cut, &e));
    frames.p[0] = 0; /* too small for the parameter */
    ck_assert_ptr_null(load_knowing(&bytes, buf_span(&frames), &e));
    frames.p[0] = 5;
    frames.p[3] = 1; /* no frame is that large */
    ck_assert_ptr_null(load_knowing(&bytes, buf_span(&frames), &e));
    ck_assert_msg(strstr(e.text, "function 7 (f)"), "%s", e.text);
    buf_fini(&frames);
    buf_fini(&bytes);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("bodies");
    tcase_add_loop_test(c, threads_agree_on_a_valid_module, 0, ARRAY_LEN(threads));
    tcase_add_loop_test(c, threads_name_the_first_bad_body, 0, ARRAY_LEN(threads));
    tcase_add_loop_test(c, known_bodies_are_checked_at_their_first_call, 0, EXEC_KINDS);
    tcase_add_loop_test(c, a_wrong_verdict_is_a_trap, 0, EXEC_KINDS);
    tcase_add_loop_test(c, a_wrong_frame_is_a_trap, 0, EXEC_KINDS);
    tcase_add_test(c, frames_that_cannot_be_are_ignored);
    Suite *s = suite_create("wasm/bodies");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
