/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of a link and Ollama's JSON: what is asked for is what was set; what a server says is believed only where it
 * fits the interface. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "lattice/base/num.h"
#include "providers/ollama/provider.h"

static struct arena arena;
static struct err e;
static struct settings s;

static void set_up(void)
{
    arena_init(&arena, 1 << 20);
    e = (struct err)ERR_INIT;
    s = (struct settings){.model_name = STR("tiny")};
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static bool read_settings(const struct proto_pair *pairs, uint32_t n)
{
    const struct proto_map link = {pairs, n}, none = {NULL, 0};
    return settings_read(&link, &none, &arena, &s, &e);
}

/* ---- settings ---- */

static const struct {
    const char *key, *url, *scheme, *authority, *path;
} urls[] = {
    {"url", "http://127.0.0.1:11434", "http", "127.0.0.1:11434", "/api/generate"},
    {"url", "https://ai.example/base/", "https", "ai.example", "/base/api/generate"},
    {"host", "ai.example:1", "http", "ai.example:1", "/api/generate"},
    {"host", "http://ai.example/", "http", "ai.example", "/api/generate"},
};

START_TEST(addresses)
{
    const struct proto_pair pairs[] = {{STR("model_name"), STR("m")},
                                       {str_of(urls[_i].key), str_of(urls[_i].url)}};
    ck_assert_msg(read_settings(pairs, 2), "%s", e.text);
    ck_assert(str_eqz(s.scheme, urls[_i].scheme));
    ck_assert(str_eqz(s.authority, urls[_i].authority));
    ck_assert(str_eqz(s.path, urls[_i].path));
}
END_TEST

/* What a link says wins over what the provider was started with, under either name of the address. */
static const struct {
    struct proto_pair link, provider;
    const char *authority;
} precedence[] = {
    {{STR_INIT("host"), STR_INIT("link")}, {STR_INIT("url"), STR_INIT("provider")}, "link"},
    {{STR_INIT("URL"), STR_INIT("link")}, {STR_INIT("host"), STR_INIT("provider")}, "link"},
    {{STR_INIT("other"), STR_INIT("link")}, {STR_INIT("url"), STR_INIT("provider")}, "provider"},
};

START_TEST(a_link_wins_over_the_provider)
{
    const struct proto_map link = {&precedence[_i].link, 1},
                           provider = {&precedence[_i].provider, 1};
    ck_assert_msg(settings_read(&link, &provider, &arena, &s, &e), "%s", e.text);
    ck_assert(str_eqz(s.authority, precedence[_i].authority));
}
END_TEST

START_TEST(a_link_need_not_set_anything)
{
    ck_assert_msg(read_settings(NULL, 0), "%s", e.text);
    ck_assert(str_eqz(s.model_name, "llama3"));
    ck_assert(str_eqz(s.authority, "127.0.0.1:11434"));
    ck_assert_uint_eq(s.timeout_ms, 600000);
}
END_TEST

static const struct {
    struct proto_pair pairs[2];
    uint32_t n;
    const char *text;
} bad_settings[] = {
    {{{STR_INIT("model_name"), STR_INIT("")}}, 1, "model_name"},
    {{{STR_INIT("model_name"), STR_INIT("m")}, {STR_INIT("url"), STR_INIT("http://")}}, 2, "url"},
    {{{STR_INIT("model_name"), STR_INIT("m")}, {STR_INIT("url"), STR_INIT("http://a:b@c")}},
     2,
     "url"},
    {{{STR_INIT("model_name"), STR_INIT("m")}, {STR_INIT("timeout_ms"), STR_INIT("soon")}},
     2,
     "timeout_ms"},
    {{{STR_INIT("model_name"), STR_INIT("m")}, {STR_INIT("timeout_ms"), STR_INIT("0")}},
     2,
     "timeout_ms"},
};

START_TEST(settings_that_make_no_sense_are_named)
{
    ck_assert(!read_settings(bad_settings[_i].pairs, bad_settings[_i].n));
    ck_assert_msg(strstr(e.text, bad_settings[_i].text) != NULL, "%s", e.text);
}
END_TEST

/* ---- requests ---- */

static char *request_of(const char *prompt, const struct wit_value *images)
{
    struct wit_value fields[2] = {wit_str(str_of(prompt)), {.v = images, .n = images ? 1u : 0}};
    struct wit_value request = {.v = fields, .n = 2};
    return message_request(&s, &request, &e);
}

START_TEST(a_request_says_what_was_set)
{
    struct wit_value image = wit_str(STR("aGk=")), images = {.v = &image, .n = 1};
    s.options = STR("{\"seed\":7}");
    s.keep_alive = STR("5m");
    char *json = request_of("why \"so\"?", &images);
    ck_assert_str_eq(json, "{\"model\":\"tiny\",\"prompt\":\"why \\\"so\\\"?\",\"stream\":false,"
                           "\"images\":[\"aGk=\"],\"keep_alive\":\"5m\",\"options\":{\"seed\":7}}");
    free(json);
    struct wit_value none = wit_str(STR_NONE), bad = wit_str(STR("\xff"));
    s.options = STR_NONE;
    s.keep_alive = STR("300");
    images.v = &none;
    json = request_of("", &images);
    ck_assert_str_eq(json, "{\"model\":\"tiny\",\"prompt\":\"\",\"stream\":false,"
                           "\"images\":[\"\"],\"keep_alive\":300}");
    free(json);
    images.v = &bad;
    ck_assert_ptr_null(request_of("", &images));
    ck_assert_ptr_nonnull(strstr(e.text, "images"));
    json = request_of("", NULL);
    ck_assert_str_eq(json, "{\"model\":\"tiny\",\"prompt\":\"\",\"stream\":false,"
                           "\"keep_alive\":300}");
    free(json);
}
END_TEST

START_TEST(options_that_are_no_object_are_refused)
{
    s.options = STR("[1]");
    ck_assert_ptr_null(request_of("x", NULL));
    ck_assert_ptr_nonnull(strstr(e.text, "options"));
}
END_TEST

/* ---- responses ---- */

#define HEAD "{\"model\":\"m\",\"created_at\":\"t\",\"response\":\"r\",\"done\":true"

START_TEST(a_response_is_read_field_by_field)
{
    struct wit_value v;
    struct str json = STR(HEAD ",\"context\":[1,-1,128009],\"total_duration\":5000000000,"
                               "\"prompt_eval_count\":26,\"eval_count\":70000,\"new\":{}}");
    ck_assert_msg(message_response(str_span(json), &arena, &v, &e), "%s", e.text);
    ck_assert(str_eqz(wit_get_str(&v.v[2]), "r"));
    ck_assert_uint_eq(v.v[3].u64, 1);
    ck_assert_uint_eq(v.v[4].v->n, 3);
    ck_assert_int_eq(v.v[4].v->v[1].s64, -1);
    ck_assert_uint_eq(v.v[5].v->u64, 5000000000);
    ck_assert_uint_eq(v.v[6].n, 0);
    ck_assert_uint_eq(v.v[7].v->u64, 26);
    ck_assert_msg(v.v[9].n == 0, "a count beyond 16 bits has no value");
}
END_TEST

static const struct {
    const char *json, *text;
} bad_responses[] = {
    {"", "JSON"},
    {"[]", "JSON"},
    {HEAD, "JSON"},
    {"{\"model\":\"m\",\"created_at\":\"t\",\"done\":true}", "response: missing"},
    {"{\"model\":7,\"created_at\":\"t\",\"response\":\"r\",\"done\":true}", "model"},
    {"{\"model\":\"m\",\"created_at\":\"t\",\"response\":\"r\",\"done\":1}", "done"},
    {HEAD ",\"context\":[2147483648]}", "context"},
    {HEAD ",\"context\":{}}", "context"},
    {HEAD ",\"total_duration\":-1}", "total_duration"},
    {HEAD ",\"eval_count\":\"many\"}", "eval_count"},
};

START_TEST(a_response_that_does_not_fit_is_an_error_by_name)
{
    struct wit_value v;
    ck_assert(!message_response(str_span(str_of(bad_responses[_i].json)), &arena, &v, &e));
    ck_assert_msg(strstr(e.text, bad_responses[_i].text) != NULL, "%s", e.text);
}
END_TEST

START_TEST(an_error_answer_is_quoted_harmlessly)
{
    struct buf out = BUF_INIT;
    message_error(str_span(STR("{\"error\":\"model 'x'\\u001b[31m not found\"}")), &out);
    ck_assert(str_eqz(buf_view(&out), ": model 'x'\\x1b[31m not found"));
    buf_clear(&out);
    message_error(str_span(STR("<html>")), &out);
    ck_assert_uint_eq(out.n, 0);
    buf_fini(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ollama");
    TCase *t = tcase_create("messages");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, addresses, 0, ARRAY_LEN(urls));
    tcase_add_loop_test(t, a_link_wins_over_the_provider, 0, ARRAY_LEN(precedence));
    tcase_add_test(t, a_link_need_not_set_anything);
    tcase_add_loop_test(t, settings_that_make_no_sense_are_named, 0, ARRAY_LEN(bad_settings));
    tcase_add_test(t, a_request_says_what_was_set);
    tcase_add_test(t, options_that_are_no_object_are_refused);
    tcase_add_test(t, a_response_is_read_field_by_field);
    tcase_add_loop_test(t, a_response_that_does_not_fit_is_an_error_by_name, 0,
                        ARRAY_LEN(bad_responses));
    tcase_add_test(t, an_error_answer_is_quoted_harmlessly);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
