/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a guest does, it can be stopped soon, by another thread or by its fuel; its place is known then. The
 * bound here is for crowded machines: tests/bench/deadline.c measures. */
#include <pthread.h>
#include <stdlib.h>
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "tests/wasm/endless.h"
#include "tests/wasm/guest.h"

#define BOUND_MS 1000
#define ROUNDS 3

static void *pause_soon(void *vm)
{
    struct timespec delay = {0, 2000000};
    nanosleep(&delay, NULL);
    wasm_vm_pause(vm);
    return NULL;
}

START_TEST(a_pause_is_heard)
{
    use_exec(_i % 2);
    struct guest g = guest_open(endless[_i / 2].bytes, NULL);
    guest_enter(&g, "e", NULL);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t other;
        ck_assert_int_eq(pthread_create(&other, NULL, pause_soon, g.vm), 0);
        uint64_t start = clock_mono_ms();
        ck_assert_int_eq(wasm_run(g.vm), WASM_PAUSED);
        ck_assert_uint_lt(clock_mono_ms() - start, BOUND_MS);
        pthread_join(other, NULL);
    }
    wasm_vm_trap_now(g.vm, WASM_TRAP_DEADLINE);
    struct buf text = BUF_INIT;
    wasm_vm_trap_report(g.vm, &text);
    ck_assert(memmem(text.p, text.n, "deadline passed at 0x", 21) != NULL);
    ck_assert(memmem(text.p, text.n, " in e (func 0)", 14) != NULL);
    buf_fini(&text);
    wasm_vm_reset(g.vm); /* and nothing of what was under way is left */
    wasm_vm_fuel(g.vm, UINT64_MAX, 3);
    ck_assert_int_eq(guest_trap(&g, "e", NULL), WASM_TRAP_FUEL);
    guest_close(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wasm deadline");
    TCase *t = tcase_create("deadline");
    tcase_add_loop_test(t, a_pause_is_heard, 0, 2 * ARRAY_LEN(endless));
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
