/* SPDX-License-Identifier: Apache-2.0 */
/* Real guests from public toolchains, on a host that answers every import with the plainest value: our own of
 * tests/guests, and some that are not in the tree: $HOSTD_DATA/guests, else ../shared/data/guests; without them the
 * tests say that they are skipped. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "tests/component/data.h"
#include "tests/component/fake_host.h"

static uint8_t bytes[1 << 20];

/* Empty: not there. */
static struct span read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return (struct span){0};
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return (struct span){bytes, n};
}

/* NULL: not there. */
static struct comp *guest(const char *name)
{
    const char *data = getenv("HOSTD_DATA");
    struct err e = ERR_INIT;
    char path[512];
    snprintf(path, sizeof path, "%s/guests/%s/%s.wasm", data ? data : "../shared/data", name, name);
    struct span file = read_file(path);
    if (file.n == 0) {
        printf("skipped: no guest %s\n", path);
        return NULL;
    }
    struct comp *c = comp_load(file, NULL, &e);
    ck_assert_msg(c != NULL, "%s: %s", name, e.text);
    return c;
}

/* Of tests/guests. */
static struct guest own_guest(const char *name, struct fake_host *h)
{
    char path[512];
    snprintf(path, sizeof path, "tests/guests/%s/%s.wasm", name, name);
    struct span file = read_file(path);
    ck_assert_msg(file.n > 0, "%s: tests run from the top of the tree", path);
    return guest_of(file, &fake_linker, h);
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

/* ---- strings in UTF-16 ---- */

START_TEST(test_utf16_guest)
{
    static const struct {
        const char *in, *out;
        uint32_t units;
    } rows[] = {
        {"", "!", 0},
        {"abc", "ABC!", 3},
        {"gr\303\274n", "GR\303\234N!", 4},
        {"\360\237\245\212 a", "\360\237\245\212 A!", 4}, /* a surrogate pair on the way */
        {"\342\202\254\357\277\275", "\342\202\254\357\277\275!", 2},
    };
    struct fake_host h = {0};
    struct guest g = own_guest("as-text", &h);
    struct wit_value arg = wit_str(str_of(rows[_i].in));
    ck_assert_done(&g, "shout", &arg);
    struct str said = wit_get_str(comp_result(g.inst));
    ck_assert_msg(str_eqz(said, rows[_i].out), "%.*s", STR_ARG(said));
    ck_assert_done(&g, "units", &arg);
    ck_assert_uint_eq(comp_result(g.inst)->u64, rows[_i].units);
    guest_free(&g);
}
END_TEST

/* ---- resources that live in the guest ---- */

static struct wit_value ledger(struct guest *g, const char *func, const struct wit_value *args)
{
    struct err e = ERR_INIT;
    const struct comp_func *f = comp_find(g->linked, STR("hostd:tests/ledger"), str_of(func));
    ck_assert_msg(f != NULL, "no export %s", func);
    ck_assert_msg(comp_call(g->inst, f, args, &e), "%s: %s", func, e.text);
    ck_assert_msg(comp_run(g->inst) == COMP_DONE, "%s: %s", func, comp_trap_text(g->inst));
    return *comp_result(g->inst);
}

START_TEST(test_guest_with_resources)
{
    struct fake_host h = {0};
    struct guest g = own_guest("c-resources", &h);
    struct wit_value ann =
        ledger(&g, "[constructor]account", (struct wit_value[]){wit_str(STR("ann"))});
    struct wit_value bob =
        ledger(&g, "[constructor]account", (struct wit_value[]){wit_str(STR("bob"))});
    ck_assert_uint_eq(ledger(&g, "open-accounts", NULL).u64, 2);

    struct wit_value got = ledger(&g, "[method]account.owner", &bob);
    ck_assert(str_eqz(wit_get_str(&got), "bob"));
    got = ledger(&g, "[method]account.deposit", (struct wit_value[]){bob, {.s64 = 70}});
    ck_assert_uint_eq(got.n, 0);
    ck_assert_int_eq(got.v->s64, 70);
    got = ledger(&g, "[method]account.deposit", (struct wit_value[]){bob, {.s64 = -71}});
    ck_assert_uint_eq(got.n, 1);
    ck_assert(str_eqz(wit_get_str(got.v), "bob has only 70"));

    ck_assert_int_eq(ledger(&g, "[static]account.absorb", (struct wit_value[]){ann, bob}).s64, 70);
    ck_assert_uint_eq(ledger(&g, "open-accounts", NULL).u64, 1);
    guest_free(&g);
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
    tcase_add_loop_test(t, test_utf16_guest, 0, 5);
    tcase_add_test(t, test_guest_with_resources);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    wasm_init();
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
