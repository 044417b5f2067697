/* SPDX-License-Identifier: Apache-2.0 */
/* Provider processes: real children (small shell scripts) on a real loop, with a simulated bus on which the test
 * plays the provider's part. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostd/image/image.h"
#include "hostd/process.h"
#include "hostd/sidecar.h"
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"

#define PATIENCE_MS 20000

static struct loop *loop;
static struct err e;
static char dir[64];

/* ---- waiting ---- */

static bool late;

static void on_late(void *user)
{
    (void)user;
    late = true;
    loop_stop(loop);
}

/* Runs the loop until *flag >= n; whoever changes a counter stops the loop. */
static void wait_for(const int *flag, int n, const char *what)
{
    struct loop_timer *t = loop_after(loop, PATIENCE_MS, on_late, NULL);
    late = false;
    while (*flag < n && !late)
        loop_run(loop);
    ck_assert_msg(!late, "waited in vain for %s", what);
    loop_timer_stop(&t);
}

static void bump(int *counter)
{
    ++*counter;
    loop_stop(loop);
}

/* ---- files ---- */

static const char *path_of(const char *name)
{
    static char path[2][400];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[0], "%s/%s", dir, name);
    return path[turn];
}

static const char *script(const char *name, const char *text)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    chmod(path, 0755);
    return path;
}

static char *slurp(const char *name)
{
    static char text[65536];
    FILE *f = fopen(path_of(name), "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f)
        fclose(f);
    return text;
}

static void setup_loop(void)
{
    e = (struct err)ERR_INIT;
    snprintf(dir, sizeof dir, P_tmpdir "/test-sidecar-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    loop = loop_new();
}

static void remove_dir(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; (entry = readdir(d));)
        unlink(path_of(entry->d_name));
    closedir(d);
    rmdir(dir);
}

static void teardown_loop(void)
{
    loop_free(loop);
    remove_dir();
}

/* ---- a process by itself ---- */

static struct child {
    struct process *p;
    int started, failed, exited;
    char how[64];
    bool free_when_started;
} child;

static void on_started(void *user, const struct err *why)
{
    struct child *c = user;
    if (c->free_when_started) {
        process_free(c->p);
        c->p = NULL;
    }
    bump(why ? &c->failed : &c->started);
}

static void on_exit_(void *user, const char *how)
{
    struct child *c = user;
    snprintf(c->how, sizeof c->how, "%s", how);
    process_free(c->p);
    c->p = NULL;
    bump(&c->exited);
}

static void start(const char *path, const char *input)
{
    static const char *const env[] = {"RUST_LOG=x", NULL};
    struct process_opts o = {.path = path,
                             .env = env,
                             .input = str_span(str_of(input)),
                             .on_started = on_started,
                             .on_exit = on_exit_,
                             .user = &child};
    child.started = child.failed = child.exited = 0;
    ck_assert_msg(process_start(loop, &o, &child.p, &e), "%s", e.text);
}

START_TEST(process_reads_its_input_and_ends)
{
    char text[1024];
    snprintf(text, sizeof text, "#!/bin/sh\nset > %s\nread a\necho \"$a\" > %s\nexit 3\n",
             path_of("env"), path_of("in"));
    child = (struct child){.p = NULL};
    start(script("p", text), "hello\r\n");
    wait_for(&child.exited, 1, "the end");
    ck_assert_int_eq(child.started, 1);
    ck_assert_str_eq(child.how, "exited with status 3");
    ck_assert_str_eq(slurp("in"), "hello\r\n");
    ck_assert(strstr(slurp("env"), "RUST_LOG='x'"));
    ck_assert(!strstr(slurp("env"), "HOME="));
}
END_TEST

START_TEST(process_large_input)
{
    char text[1024];
    static char big[300000];
    memset(big, 'x', sizeof big - 1);
    snprintf(text, sizeof text, "#!/bin/sh\ncat | wc -c > %s\n", path_of("n"));
    child = (struct child){.p = NULL};
    start(script("p", text), big);
    wait_for(&child.exited, 1, "the end");
    ck_assert_int_eq(atoi(slurp("n")), sizeof big - 1);
}
END_TEST

START_TEST(process_that_cannot_be_executed)
{
    child = (struct child){.p = NULL};
    start(script("p", "no program"), "");
    wait_for(&child.failed, 1, "the failure");
    process_free(child.p);
    start(path_of("absent"), "");
    child.free_when_started = true;
    wait_for(&child.failed, 1, "the failure");
    ck_assert_int_eq(child.exited, 0);
}
END_TEST

START_TEST(process_killed_and_freed)
{
    child = (struct child){.p = NULL};
    const char *path = script("p", "#!/bin/sh\nsleep 100 & wait\n");
    start(path, "");
    wait_for(&child.started, 1, "the start");
    process_kill(child.p);
    wait_for(&child.exited, 1, "the end");
    ck_assert_str_eq(child.how, "killed by signal 9");
    start(path, "");
    wait_for(&child.started, 1, "the start");
    pid_t pid = process_pid(child.p);
    process_free(child.p);
    ck_assert(kill(pid, 0) != 0 && errno == ESRCH);
    start(path, "");
    process_free(child.p); /* before it even began */
}
END_TEST

/* ---- sidecars ---- */

static struct bus_sim *net;
static struct bus *rpc, *theirs;
static struct grants *grants;
static struct sidecars *ss;
static struct images *images;
static struct id_key host_key;
static int ready, news[SIDECAR_HEALTH_STATUS + 1], stopped, all_gone, shutdowns, links, configs;
static char last_error[ERR_TEXT_MAX], last_link[4096], link_subject[256];
static const char *health_text; /* NULL: no answer */

static void on_news(void *user, enum sidecar_news what, const struct sidecar_info *info,
                    const struct err *why)
{
    (void)user;
    ck_assert(str_eqz(info->id, "p"));
    snprintf(last_error, sizeof last_error, "%s", why ? why->text : "");
    bump(&news[what]);
}

static void on_grants(void *user, const struct err *why)
{
    (void)user;
    ck_assert_msg(!why, "%s", why ? why->text : "");
    bump(&ready);
}

static void on_link(void *user, const struct proto_link *link)
{
    (void)user;
    if (ss)
        sidecars_link_added(ss, link);
}

static void answer(const struct bus_msg *msg, const char *text)
{
    ck_assert(bus_publish(theirs, msg->reply, STR(""), NULL, 0, str_span(str_of(text)), &e));
}

/* The provider's ear. */
static void on_rpc(void *user, const struct bus_msg *msg)
{
    (void)user;
    if (str_ends(msg->subject, STR(".p.health"))) {
        if (health_text)
            answer(msg, health_text);
    } else if (str_ends(msg->subject, STR(".p.default.shutdown"))) {
        bump(&shutdowns);
    } else if (str_ends(msg->subject, STR(".linkdefs.put"))) {
        snprintf(link_subject, sizeof link_subject, "%.*s", STR_ARG(msg->subject));
        snprintf(last_link, sizeof last_link, "%.*s", (int)msg->data.n, (const char *)msg->data.p);
        bump(&links);
    } else if (str_ends(msg->subject, STR(".p.config.update"))) {
        bump(&configs);
    }
}

static struct bus_sub *listener;

static struct bus *member(void)
{
    struct bus *b;
    struct bus_opts o = {.name = "test"};
    ck_assert(bus_sim_open(net, &o, &b, &e));
    return b;
}

static void setup(void)
{
    setup_loop();
    memset(news, 0, sizeof news);
    ready = stopped = all_gone = shutdowns = links = configs = 0;
    health_text = "{\"healthy\":true}";
    ss = NULL;
    net = bus_sim_new(loop, 3);
    rpc = member();
    theirs = member();
    ck_assert(bus_subscribe(theirs, STR("wasmbus.rpc.>"), STR(""), on_rpc, NULL, &listener, &e));
    struct grant_opts go = {
        .ctl = rpc, .lattice = STR("default"), .ready = on_grants, .link_added = on_link};
    ck_assert_msg(grants_open(&go, &grants, &e), "%s", e.text);
    wait_for(&ready, 1, "the lattice data");
    id_key_generate(ID_CURVE, &host_key);
    struct image_opts io = {.loop = bus_loop(rpc), .allow_file = true, .bytes_max = 1u << 20};
    images = images_open(&io, &e);
    ck_assert_msg(images != NULL, "%s", e.text);
    struct sidecar_opts so = {.rpc = rpc,
                              .grants = grants,
                              .lattice = STR("default"),
                              .host_id = STR("NHOST"),
                              .host_xkey = &host_key,
                              .rpc_url = STR("nats://127.0.0.1:1"),
                              .rpc_timeout_ms = 500,
                              .shutdown_ms = 200,
                              .log_level = STR("warn"),
                              .images = images,
                              .news = on_news};
    ss = sidecars_open(&so);
}

static void teardown(void)
{
    sidecars_close(ss);
    images_close(images);
    grants_close(grants);
    bus_close(rpc);
    bus_close(theirs);
    bus_sim_free(net);
    teardown_loop();
}

static int done;

static void on_put(void *user, const struct err *why)
{
    (void)user;
    ck_assert_msg(!why, "%s", why ? why->text : "");
    bump(&done);
}

static void put_named(const char *name, const char *json)
{
    done = 0;
    ck_assert(grant_config_put(grants, str_of(name), str_span(str_of(json)), on_put, NULL, &e));
    wait_for(&done, 1, "the config");
}

static void put_config(const char *json)
{
    put_named("c", json);
}

static void put_link_with(const char *target, const char *config)
{
    struct str iface = STR("incoming-handler"), name = str_of(config);
    struct proto_link link = {.source_id = STR("p"),
                              .target = str_of(target),
                              .name = str_of(target),
                              .wit_namespace = STR("wasi"),
                              .wit_package = STR("http"),
                              .interfaces = {&iface, 1},
                              .source_config = {&name, 1}};
    done = 0;
    ck_assert(grant_link_put(grants, &link, on_put, NULL, &e));
    wait_for(&done, 1, "the link");
}

static void put_link(const char *target)
{
    put_link_with(target, "c");
}

static void start_provider(const char *path)
{
    char ref[512];
    struct str name = STR("c");
    snprintf(ref, sizeof ref, "file://%s", path);
    struct sidecar_spec spec = {.id = STR("p"), .ref = str_of(ref), .config = {&name, 1}};
    ck_assert_msg(sidecar_start(ss, &spec, &e), "%s", e.text);
    ck_assert_int_eq(sidecar_state(ss, STR("p")), SIDECAR_STARTING);
}

/* Writes its host data and stays. */
static const char *good_provider(void)
{
    char text[1024];
    snprintf(text, sizeof text,
             "#!/bin/sh\nread line\necho \"$line\" | tr -d '\\r' | base64 -d > %s/data.new\n"
             "mv %s/data.new %s/data\nexec sleep 1000\n",
             dir, dir, dir);
    return script("provider", text);
}

static void on_poll(void *user)
{
    int *seen = user;
    if (access(path_of("data"), F_OK) == 0)
        bump(seen);
}

/* What the child wrote; it takes its time. */
static struct proto_host_data host_data(struct arena *a)
{
    struct proto_host_data d;
    int seen = 0;
    struct loop_timer *t = loop_every(loop, 2, on_poll, &seen);
    wait_for(&seen, 1, "the host data");
    loop_timer_stop(&t);
    char *text = slurp("data");
    unlink(path_of("data"));
    ck_assert_msg(proto_host_data_decode(str_span(str_of(text)), a, &d, &e), "%s: %s", e.text,
                  text);
    return d;
}

static void on_stopped(void *user)
{
    (void)user;
    bump(&stopped);
}

START_TEST(life_of_a_provider)
{
    struct arena a;
    arena_init(&a, 1u << 20);
    put_config("{\"k\":\"1\"}");
    put_link("one");
    start_provider(good_provider());
    wait_for(&news[SIDECAR_STARTED], 1, "the start");
    ck_assert_int_eq(sidecar_state(ss, STR("p")), SIDECAR_RUNNING);
    struct proto_host_data d = host_data(&a);
    struct str v;
    ck_assert(str_eqz(d.host_id, "NHOST") && str_eqz(d.provider_key, "p"));
    ck_assert(str_eqz(d.lattice_rpc_prefix, "default") && str_eqz(d.link_name, "default"));
    ck_assert(proto_map_get(&d.config, STR("k"), &v) && str_eqz(v, "1"));
    ck_assert_uint_eq(d.link_definitions.n, 1);
    ck_assert(proto_map_get(&d.link_definitions.v[0].source_config, STR("k"), &v));
    struct id_key xkey;
    char public_key[ID_PUBLIC_LEN + 1];
    ck_assert(id_key_from_seed(d.provider_xkey_private_key, &xkey, &e));
    wait_for(&news[SIDECAR_HEALTH_PASSED], 1, "a health check");

    put_link("two");
    wait_for(&links, 1, "the link");
    ck_assert(strstr(link_subject, id_key_public(&xkey, public_key)));
    ck_assert(strstr(last_link, "\"target\":\"two\"") && strstr(last_link, "\"k\":\"1\""));
    put_config("{\"k\":\"2\"}");
    wait_for(&configs, 1, "the config update");

    ck_assert(sidecar_stop(ss, STR("p"), on_stopped, NULL));
    wait_for(&stopped, 1, "the stop");
    ck_assert_int_eq(shutdowns, 1);
    ck_assert_int_eq(news[SIDECAR_STOPPED], 1);
    ck_assert_int_eq(sidecar_state(ss, STR("p")), SIDECAR_NONE);
    ck_assert(!sidecar_stop(ss, STR("p"), on_stopped, NULL));
    arena_fini(&a);
}
END_TEST

static void on_pause(void *user)
{
    bump(user);
}

/* Providers of one id on several hosts share the subject of health checks: that one of them answers says nothing of the
 * process that is still connecting. */
START_TEST(a_link_is_sent_until_its_process_listens)
{
    struct bus_sub *twin;
    int paused = 0;
    put_config("{}");
    bus_unsubscribe(&listener);
    ck_assert(bus_subscribe(theirs, STR("wasmbus.rpc.default.p.health"), STR(""), on_rpc, NULL,
                            &twin, &e));
    start_provider(good_provider());
    wait_for(&news[SIDECAR_HEALTH_PASSED], 1, "a health check");
    put_link("one");
    loop_after(loop, 200, on_pause, &paused);
    wait_for(&paused, 1, "some attempts");
    ck_assert_int_eq(links, 0);
    bus_unsubscribe(&twin);
    ck_assert(bus_subscribe(theirs, STR("wasmbus.rpc.>"), STR(""), on_rpc, NULL, &listener, &e));
    wait_for(&links, 1, "the link");
    put_link("two");
    wait_for(&links, 2, "the second link");
    ck_assert(strstr(last_link, "\"target\":\"two\""));
}
END_TEST

static void on_tapped(void *user, const struct bus_msg *msg)
{
    (void)msg;
    bump(user);
}

/* Who listens to everything, to look what passes, keeps NATS from saying that nobody does. */
START_TEST(a_link_that_only_a_tap_heard_is_sent_again)
{
    struct bus_sub *tap;
    int tapped = 0;
    put_config("{}");
    bus_unsubscribe(&listener);
    ck_assert(bus_subscribe(theirs, STR("wasmbus.rpc.*.*.linkdefs.put"), STR(""), on_tapped,
                            &tapped, &tap, &e));
    start_provider(good_provider());
    wait_for(&news[SIDECAR_STARTED], 1, "the start");
    put_link("one");
    wait_for(&tapped, 1, "the link");
    ck_assert_int_eq(links, 0);
    ck_assert(bus_subscribe(theirs, STR("wasmbus.rpc.>"), STR(""), on_rpc, NULL, &listener, &e));
    wait_for(&links, 1, "the link again");
    ck_assert(strstr(last_link, "\"target\":\"one\""));
}
END_TEST

/* Its configuration, or its secrets, are not there at the start. */
START_TEST(a_link_that_was_left_out_follows)
{
    struct arena a;
    arena_init(&a, 1u << 20);
    put_config("{}");
    put_named("late", "{}");
    put_link_with("one", "late");
    done = 0;
    ck_assert(grant_config_del(grants, STR("late"), on_put, NULL, &e));
    wait_for(&done, 1, "the config to go");
    start_provider(good_provider());
    ck_assert_uint_eq(host_data(&a).link_definitions.n, 0);
    wait_for(&news[SIDECAR_HEALTH_PASSED], 1,
             "a health check"); /* upon which it is tried in vain */
    put_named("late", "{\"k\":\"there\"}");
    wait_for(&links, 1, "the link");
    ck_assert(strstr(last_link, "\"target\":\"one\"") && strstr(last_link, "\"k\":\"there\""));
    arena_fini(&a);
}
END_TEST

static void kill_child(const char *file)
{
    pid_t pid = atoi(slurp(file));
    ck_assert_int_gt(pid, 0);
    kill(pid, SIGKILL);
}

START_TEST(comes_back_with_fresh_host_data)
{
    struct arena a;
    char text[1024];
    arena_init(&a, 1u << 20);
    put_config("{}");
    snprintf(text, sizeof text,
             "#!/bin/sh\necho $$ > %s/pid\nread line\n"
             "echo \"$line\" | tr -d '\\r' | base64 -d > %s/data.new\nmv %s/data.new %s/data\n"
             "exec sleep 1000\n",
             dir, dir, dir, dir);
    start_provider(script("provider", text));
    struct proto_host_data first = host_data(&a);
    put_link("one");
    kill_child("pid");
    struct proto_host_data second = host_data(&a);
    ck_assert(!str_eq(first.instance_id, second.instance_id));
    ck_assert(str_eq(first.provider_xkey_private_key, second.provider_xkey_private_key));
    ck_assert_uint_eq(second.link_definitions.n, 1);
    ck_assert_int_eq(news[SIDECAR_STARTED], 1);
    ck_assert_int_eq(news[SIDECAR_LOST] + news[SIDECAR_STOPPED], 0);
    arena_fini(&a);
}
END_TEST

START_TEST(lost_when_its_program_is_gone)
{
    char text[1024];
    put_config("{}");
    snprintf(text, sizeof text, "#!/bin/sh\nrm -f %s/provider\nexit 1\n", dir);
    start_provider(script("provider", text));
    wait_for(&news[SIDECAR_STARTED], 1, "the start");
    wait_for(&news[SIDECAR_LOST], 1, "the loss");
    ck_assert_msg(strstr(last_error, "execute the program"), "%s", last_error);
    ck_assert_int_eq(sidecar_state(ss, STR("p")), SIDECAR_NONE);
}
END_TEST

START_TEST(failed_starts)
{
    put_config("{}");
    start_provider(path_of("absent"));
    wait_for(&news[SIDECAR_START_FAILED], 1, "the failure");
    start_provider(script("provider", "#!/no/such/interpreter\n"));
    wait_for(&news[SIDECAR_START_FAILED], 2, "the failure");
    ck_assert_msg(strstr(last_error, "start the provider's process"), "%s", last_error);
    struct str none = STR("none");
    struct sidecar_spec spec = {.id = STR("p"), .config = {&none, 1}};
    char ref[512];
    snprintf(ref, sizeof ref, "file://%s", good_provider());
    spec.ref = str_of(ref);
    ck_assert(sidecar_start(ss, &spec, &e));
    wait_for(&news[SIDECAR_START_FAILED], 3, "the failure");
    ck_assert_msg(strstr(last_error, "\"none\""), "%s", last_error);
    ck_assert_int_eq(news[SIDECAR_STARTED], 0);
}
END_TEST

static void on_moment(void *user)
{
    bump(user);
}

START_TEST(stopped_while_starting)
{
    put_config("{}");
    start_provider(good_provider());
    ck_assert(sidecar_stop(ss, STR("p"), on_stopped, NULL));
    wait_for(&stopped, 1, "the stop");
    ck_assert_int_eq(news[SIDECAR_START_FAILED], 1);
    ck_assert_int_eq(sidecar_state(ss, STR("p")), SIDECAR_NONE);
}
END_TEST

/* Wherever the start has come to, nothing of it stays behind (the sanitizer build sees to that). */
START_TEST(closed_while_starting)
{
    int passed = 0;
    put_config("{}");
    start_provider(good_provider());
    loop_after(loop, (uint64_t)_i, on_moment, &passed);
    wait_for(&passed, 1, "the moment");
    sidecars_close(ss);
    ss = NULL;
}
END_TEST

START_TEST(health_turns)
{
    put_config("{}");
    health_text = "{\"healthy\":false,\"message\":\"not yet\"}";
    start_provider(good_provider());
    wait_for(&news[SIDECAR_HEALTH_STATUS], 1, "a health check");
    ck_assert_int_eq(news[SIDECAR_HEALTH_PASSED] + news[SIDECAR_HEALTH_FAILED], 0);
}
END_TEST

static void on_all_gone(void *user)
{
    (void)user;
    bump(&all_gone);
}

START_TEST(all_stop_together)
{
    put_config("{}");
    start_provider(good_provider());
    wait_for(&news[SIDECAR_STARTED], 1, "the start");
    sidecars_stop_all(ss, on_all_gone, NULL);
    wait_for(&all_gone, 1, "all to go");
    ck_assert_int_eq(news[SIDECAR_STOPPED], 0); /* the host's own event says it */
}
END_TEST

int main(int argc, char **argv)
{
    process_launch_main(argc, argv);
    Suite *suite = suite_create("sidecar");
    TCase *alone = tcase_create("process"), *tc = tcase_create("sidecar");
    tcase_set_timeout(alone, 60);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(alone, setup_loop, teardown_loop);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(alone, process_reads_its_input_and_ends);
    tcase_add_test(alone, process_large_input);
    tcase_add_test(alone, process_that_cannot_be_executed);
    tcase_add_test(alone, process_killed_and_freed);
    tcase_add_test(tc, life_of_a_provider);
    tcase_add_test(tc, a_link_is_sent_until_its_process_listens);
    tcase_add_test(tc, a_link_that_only_a_tap_heard_is_sent_again);
    tcase_add_test(tc, a_link_that_was_left_out_follows);
    tcase_add_test(tc, comes_back_with_fresh_host_data);
    tcase_add_test(tc, lost_when_its_program_is_gone);
    tcase_add_test(tc, failed_starts);
    tcase_add_test(tc, stopped_while_starting);
    tcase_add_loop_test(tc, closed_while_starting, 0, 12);
    tcase_add_test(tc, health_turns);
    tcase_add_test(tc, all_stop_together);
    suite_add_tcase(suite, alone);
    suite_add_tcase(suite, tc);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
