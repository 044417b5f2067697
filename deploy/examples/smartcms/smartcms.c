/* SPDX-License-Identifier: Apache-2.0 */
/* SmartCMS: keeps stories in a key-value bucket and lets a language model write new ones.
 *   GET  /               a page to use it by
 *   POST /api/create     first line: a name, the rest: its story
 *   POST /api/retrieve   a name; answers its story, or 404
 *   POST /api/generate   the story's beginning, or nothing; answers the name it got, and on the next lines the story
 * Links: wasi:keyvalue and thomastaylor312:ollama, both named default. Built by tests/guests/build. */
#include "../guest.h"

IMPORT("thomastaylor312:ollama/generate", "generate")
void ollama_generate(const char *prompt, size_t prompt_n, int32_t has_images, const void *images, size_t images_n,
                     void *ret);

/* result<response, string>; the response's first three fields are all that we want of it. */
struct generated {
    uint64_t is_err;
    union {
        struct {
            struct text model, created_at, response;
        } ok;
        struct text error;
        uint8_t room[128];
    };
};

__asm__(".section .rodata.page,\"\",@\n"
        ".globl page\npage:\n.incbin \"page.html\"\n.type page,@object\n"
        ".globl page_end\npage_end:\n.size page, page_end - page\n.byte 0\n"
        ".type page_end,@object\n.size page_end, 1\n");
extern const char page[], page_end[];

#define FIRST_WORDS TEXT("Once upon a time")

static struct text trim(struct text s)
{
    while (s.n && (uint8_t)s.p[s.n - 1] <= ' ')
        s.n--;
    while (s.n && (uint8_t)s.p[0] <= ' ')
        s = (struct text){s.p + 1, s.n - 1};
    return s;
}

/* What a model says goes on where the first words end: with a blank when neither has one and a word begins. */
static struct text go_on(struct text first_words, struct text said)
{
    static const char marks[] = ".,;:!?)";
    for (size_t i = 0; said.n && i < sizeof marks - 1; i++)
        if (said.p[0] == marks[i])
            return join(first_words, said);
    if (!said.n || (uint8_t)said.p[0] <= ' ')
        return join(first_words, said);
    return join(join(first_words, TEXT(" ")), said);
}

static void create(handle_t bucket, struct text body, handle_t out)
{
    struct result r;
    size_t line = 0;
    while (line < body.n && body.p[line] != '\n')
        line++;
    struct text name = trim((struct text){body.p, line});
    struct text story = {body.p + line, body.n - line};
    if (story.n)
        story = (struct text){story.p + 1, story.n - 1};
    if (!name.n) {
        answer(out, 400, TEXT("the first line must be a name\n"));
        return;
    }
    bucket_set(bucket, name.p, name.n, story.p, story.n, &r);
    if (r.is_err & 1)
        answer_error(out, &r.error);
    else
        answer(out, 200, join(join(TEXT("Stored "), name), TEXT("\n")));
}

static void retrieve(handle_t bucket, struct text body, handle_t out)
{
    struct result r;
    struct text name = trim(body);
    bucket_get(bucket, name.p, name.n, &r);
    if (r.is_err & 1)
        answer_error(out, &r.error);
    else if (r.value.some & 1)
        answer(out, 200, join(r.value.bytes, TEXT("\n")));
    else
        answer(out, 404, TEXT("Story not found\n"));
}

static void generate(handle_t bucket, struct text body, handle_t out)
{
    struct generated g;
    struct count_result number;
    struct result r;
    struct text prompt = trim(body);
    if (!prompt.n)
        prompt = FIRST_WORDS;
    ollama_generate(prompt.p, prompt.n, 0, 0, 0, &g);
    if (g.is_err & 1) {
        answer(out, 502, join(g.error, TEXT("\n")));
        return;
    }
    struct text story = go_on(prompt, g.ok.response);
    bucket_increment(bucket, "generated", 9, 1, &number);
    if (number.is_err & 1) {
        answer_error(out, &number.error);
        return;
    }
    struct text name = join(TEXT("generated"), decimal(number.count));
    bucket_set(bucket, name.p, name.n, story.p, story.n, &r);
    if (r.is_err & 1)
        answer_error(out, &r.error);
    else
        answer(out, 200, join(join(join(name, TEXT("\n")), story), TEXT("\n")));
}

static const struct {
    struct text path;
    void (*run)(handle_t bucket, struct text body, handle_t out);
} routes[] = {
    {{"/api/create", 11}, create},
    {{"/api/retrieve", 13}, retrieve},
    {{"/api/generate", 13}, generate},
};

static void api(size_t route, handle_t request, handle_t out)
{
    struct result r;
    struct text body = read_body(request);
    store_open("default", 7, &r);
    if (r.is_err & 1) {
        answer_error(out, &r.error);
        return;
    }
    handle_t bucket = r.bucket;
    routes[route].run(bucket, body, out);
    bucket_drop(bucket);
}

EXPORT("wasi:http/incoming-handler@0.2.2#handle") void handle(handle_t request, handle_t out)
{
    struct request head = request_head(request);
    size_t route = 0, n = sizeof routes / sizeof routes[0];
    while (route < n && !(head.path.n == routes[route].path.n && starts(head.path, routes[route].path)))
        route++;
    if (route < n && head.method == METHOD_POST)
        api(route, request, out);
    else if (route < n)
        answer(out, 405, TEXT("POST it\n"));
    else if (head.path.n == 1 && head.method == METHOD_GET)
        answer_as(out, 200, TEXT("text/html; charset=utf-8"), (struct text){page, (size_t)(page_end - page)});
    else
        answer(out, 404, TEXT("Invalid route!\n"));
    request_drop(request);
}
