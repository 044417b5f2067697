/* SPDX-License-Identifier: Apache-2.0 */
/* Real guests from public toolchains, on a host that answers every import with the plainest value. The files are not
 * in the tree: $HOSTD_DATA/guests, else ../shared/data/guests; without them the tests say that they are skipped. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "tests/component/fake_host.h"

static uint8_t bytes[1 << 20];

/* NULL: not there. */
static struct comp *guest(const char *name)
{
    const char *data = getenv("HOSTD_DATA");
    struct err e = ERR_INIT;
    char path[512];
    snprintf(path, sizeof path, "%s/guests/%s/%s.wasm", data ? data : "../shared/data", name, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("skipped: no guest %s\n", path);
        return NULL;
    }
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    struct comp *c = comp_load((struct span){bytes, n}, NULL, &e);
    ck_assert_msg(c != NULL, "%s: %s", name, e.text);
    return c;
}

static const struct {
    const char *name;
    const char *calls; /* the import that must have been called */
} guests[] = {
    {"hello-c", "[static]response-outparam.set\n"},
    {"hello-rust", "[static]response-outparam.set\n"},
    {"smartcms-c", "[static]response-outparam.set\n"},
};

/* One request; every outcome but DONE is repeated. */
static void request(struct comp_inst *g, struct comp_linked *l, struct fake_host *h)
{
    const struct comp_func *f =
        comp_find(l, STR("wasi:http/incoming-handler@0.2.0"), STR("handle"));
    struct wit_value args[2] = {{.obj = fake_object(h)}, {.obj = fake_object(h)}};
    struct err e = ERR_INIT;
    enum comp_outcome o;
    ck_assert_ptr_nonnull(f);
    ck_assert_msg(comp_call(g, f, args, &e), "%s", e.text);
    while ((o = comp_run(g)) == COMP_PARKED || o == COMP_PAUSED)
        ;
    ck_assert_msg(o == COMP_DONE, "outcome %d: %s", o, comp_trap_text(g));
}

START_TEST(test_answers)
{
    struct err e = ERR_INIT;
    struct fake_host h = {0};
    struct comp *c = guest(guests[_i].name);
    if (!c)
        return;
    struct comp_linked *l = comp_link(c, &fake_linker, &e);
    ck_assert_msg(l != NULL, "%s", e.text);
    struct comp_inst *g = comp_inst_new(l, &h, &e);
    ck_assert_msg(g != NULL, "%s", e.text);
    request(g, l, &h);
    ck_assert_msg(strstr(h.calls, guests[_i].calls) != NULL, "%s called:\n%s", guests[_i].name,
                  h.calls);
    comp_inst_free(g);
    ck_assert_int_eq(h.objects, 0);
    comp_linked_unref(l);
    comp_unref(c);
}
END_TEST

START_TEST(test_parks_and_pauses)
{
    struct err e = ERR_INIT;
    struct fake_host h = {.park = 3};
    struct comp *c = guest("hello-c");
    if (!c)
        return;
    struct comp_linked *l = comp_link(c, &fake_linker, &e);
    struct comp_inst *g = comp_inst_new(l, &h, &e);
    comp_fuel(g, 5, UINT64_MAX); /* a very short slice */
    request(g, l, &h);
    ck_assert_int_eq(h.park, 0);
    ck_assert(h.pending_seen);
    comp_inst_free(g);
    ck_assert_int_eq(h.objects, 0);
    comp_linked_unref(l);
    comp_unref(c);
}
END_TEST

START_TEST(test_reset_serves_again)
{
    struct err e = ERR_INIT;
    struct fake_host h = {0};
    struct comp *c = guest(guests[_i].name);
    if (!c)
        return;
    struct comp_linked *l = comp_link(c, &fake_linker, &e);
    struct comp_inst *g = comp_inst_new(l, &h, &e);
    char first[sizeof h.calls] = "";
    for (int k = 0; k < 5; k++) {
        h.calls[0] = '\0';
        request(g, l, &h);
        if (k == 0)
            memcpy(first, h.calls, sizeof first);
        ck_assert_str_eq(h.calls, first);
        if (!comp_inst_reset(g, &h)) {
            printf("%s makes host calls when it starts: no image\n", guests[_i].name);
            break;
        }
        ck_assert_int_eq(h.objects, 0);
    }
    comp_inst_free(g);
    comp_linked_unref(l);
    comp_unref(c);
}
END_TEST

START_TEST(test_fuel_ends_it)
{
    struct err e = ERR_INIT;
    struct fake_host h = {0};
    struct comp *c = guest("hello-c");
    if (!c)
        return;
    struct comp_linked *l = comp_link(c, &fake_linker, &e);
    struct comp_inst *g = comp_inst_new(l, &h, &e);
    const struct comp_func *f =
        comp_find(l, STR("wasi:http/incoming-handler@0.2.2"), STR("handle"));
    struct wit_value args[2] = {{.obj = fake_object(&h)}, {.obj = fake_object(&h)}};
    comp_fuel(g, UINT64_MAX, 2);
    ck_assert(comp_call(g, f, args, &e));
    ck_assert_int_eq(comp_run(g), COMP_TRAPPED);
    ck_assert_int_eq(comp_trap_kind(g), WASM_TRAP_FUEL);
    ck_assert(!comp_call(g, f, args, &e));
    ck_assert(!comp_inst_reset(g, &h));
    comp_inst_free(g);
    ck_assert_int_eq(h.objects, 0);
    comp_linked_unref(l);
    comp_unref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("guests");
    TCase *t = tcase_create("real");
    tcase_add_loop_test(t, test_answers, 0, 3);
    tcase_add_loop_test(t, test_reset_serves_again, 0, 3);
    tcase_add_test(t, test_parks_and_pauses);
    tcase_add_test(t, test_fuel_ends_it);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    wasm_init();
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
