/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated bus: what it shares with the real one, its faults, and that a seed repeats everything. */
#include "kv_cases.h"

START_TEST(cut_members_hear_nothing)
{
    struct bus *a = env_open(), *b = env_open();
    struct heard h = {0};
    struct answer answer = {0};
    subscribe(b, "t", NULL, on_heard, &h);
    publish(a, "t", NULL, "on its way");
    bus_sim_cut(env.net, b, true);
    publish(a, "t", NULL, "lost");
    env_wait(env_down, b, "DOWN");
    publish(b, "t", NULL, "lost too");
    request(a, "t", 1000, &answer, NULL);
    WAIT_FLAG(answer.done);
    ck_assert_int_eq(answer.code, ERR_NO_RESPONDERS);
    bus_sim_cut(env.net, b, false);
    env_wait(env_up, b, "UP");
    publish(a, "t", NULL, "back");
    wait_heard(&h, 1);
    ck_assert_str_eq(h.text, "t>=back;");
    bus_close(a);
    bus_close(b);
}
END_TEST

/* Sends numbers through a faulty net; returns how many arrived and hashes which and when. */
static uint64_t faulty_run(uint64_t seed, int *arrived)
{
    uint64_t hash = 0;
    struct heard h = {0};
    env = (struct env){.loop = loop_sim_new()};
    env.net = bus_sim_new(env.loop, seed);
    struct bus *a = env_open(), *b = env_open();
    subscribe(b, "t", NULL, on_heard, &h);
    bus_sim_faults(env.net, 300, 20);
    for (int i = 0; i < 200; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        publish(a, "t", NULL, text);
        loop_sim_advance(env.loop, 1);
        hash = hash * 31 + (uint64_t)h.count[0];
    }
    loop_sim_advance(env.loop, 100);
    *arrived = h.count[0];
    int before = -1;
    for (char *p = h.text; *p; p = strchr(p, ';') + 1) { /* in order, whatever the latency */
        int n = atoi(strchr(p, '=') + 1);
        ck_assert_int_gt(n, before);
        before = n;
    }
    bus_close(a);
    bus_close(b);
    bus_sim_free(env.net);
    loop_free(env.loop);
    return hash;
}

START_TEST(a_seed_repeats)
{
    int first, again, other;
    uint64_t h1 = faulty_run(7, &first), h2 = faulty_run(7, &again), h3 = faulty_run(8, &other);
    ck_assert_uint_eq(h1, h2);
    ck_assert_uint_ne(h1, h3);
    ck_assert_int_eq(first, again);
    ck_assert_int_gt(first, 100);
    ck_assert_int_lt(first, 180);
}
END_TEST

/* Writes and watches through a bad net: whatever got lost, in the end the watcher knows what is stored. */
START_TEST(a_watch_recovers)
{
    struct bus *a = env_open(), *b = env_open();
    struct kv *writer = open_kv(a, "bad"), *reader = open_kv(b, "bad");
    struct watched w = {0};
    watch(reader, ">", false, &w);
    bus_sim_faults(env.net, 200, 30);
    for (int i = 0; i < 30; i++) {
        char value[8];
        snprintf(value, sizeof value, "v%d", i);
        put(writer, "k", value); /* may time out: the answer got lost */
        if (i == 10)
            bus_sim_cut(env.net, b, true);
        if (i == 15)
            bus_sim_cut(env.net, b, false);
        if (i % 5 == 4)
            w.text[0] = '\0';
    }
    w.text[0] = '\0';
    bus_sim_faults(env.net, 0, 0);
    struct result last = put(writer, "k", "last");
    ck_assert_int_eq(last.code, ERR_NONE);
    char want[64];
    snprintf(want, sizeof want, "k=last@%d;", (int)last.revision);
    for (int i = 0; i < 60 && !strstr(w.text, want); i++)
        loop_sim_advance(env.loop, 1000);
    ck_assert_msg(strstr(w.text, want) != NULL, "%s", w.text);
    kv_close(writer);
    kv_close(reader);
    bus_close(a);
    bus_close(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("simulated bus");
    TCase *core = tcase_create("core"), *alone = tcase_create("own environment");
    tcase_add_checked_fixture(core, env_start_sim, env_stop);
    core_cases(core);
    kv_cases(core);
    tcase_add_test(core, a_watch_recovers);
    tcase_add_test(core, cut_members_hear_nothing);
    tcase_add_test(alone, a_seed_repeats);
    suite_add_tcase(s, core);
    suite_add_tcase(s, alone);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
