/* SPDX-License-Identifier: Apache-2.0 */
/* One half of a composition: an HTTP handler whose ledger is another component (c-resources) within the same file.
 * Answers with what became of the accounts of two people, the path being the name of the first.
 * No libc; imports are the canonical ABI's flattened forms. */
#include <stddef.h>
#include <stdint.h>

#define HTTP "wasi:http/types@0.2.12"
#define STREAMS "wasi:io/streams@0.2.12"
#define LEDGER "hostd:tests/ledger"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

struct text {
    const char *p;
    size_t n;
};
struct deposited {
    uint8_t failed;
    union {
        int64_t balance;
        struct text why;
    };
};

IMPORT(HTTP, "[constructor]fields") handle_t fields_new(void);
IMPORT(HTTP, "[method]incoming-request.path-with-query") void request_path(handle_t request, void *ret);
IMPORT(HTTP, "[resource-drop]incoming-request") void request_drop(handle_t request);
IMPORT(HTTP, "[constructor]outgoing-response") handle_t response_new(handle_t fields);
IMPORT(HTTP, "[method]outgoing-response.body") void response_body(handle_t response, void *ret);
IMPORT(HTTP, "[static]response-outparam.set")
void outparam_set(handle_t out, int32_t err, handle_t response, int32_t, int64_t, int32_t, int32_t, int32_t,
                  int32_t);
IMPORT(HTTP, "[method]outgoing-body.write") void body_write(handle_t body, void *ret);
IMPORT(HTTP, "[static]outgoing-body.finish")
void body_finish(handle_t body, int32_t some, handle_t trailers, void *ret);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const void *p, size_t n, void *ret);
IMPORT(STREAMS, "[resource-drop]output-stream") void stream_drop(handle_t stream);

IMPORT(LEDGER, "[constructor]account") handle_t account_new(const char *owner, size_t n);
IMPORT(LEDGER, "[method]account.owner") void account_owner(handle_t account, struct text *ret);
IMPORT(LEDGER, "[method]account.deposit")
void account_deposit(handle_t account, int64_t amount, struct deposited *ret);
IMPORT(LEDGER, "[static]account.absorb") int64_t account_absorb(handle_t into, handle_t other);
IMPORT(LEDGER, "[resource-drop]account") void account_drop(handle_t account);
IMPORT(LEDGER, "open-accounts") int32_t open_accounts(void);

static _Alignas(16) uint8_t heap[32 << 10];
static size_t used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    uint8_t *from = old;
    size_t at = (used + align - 1) & ~(align - 1);
    if (size > sizeof heap - at)
        __builtin_trap();
    for (size_t i = 0; i < old_size && i < size; i++)
        heap[at + i] = from[i];
    used = at + size;
    return heap + at;
}

static char page[8 << 10];
static size_t page_len;

static void put(struct text t)
{
    for (size_t i = 0; i < t.n && page_len < sizeof page; i++)
        page[page_len++] = t.p[i];
}

static void put_z(const char *s)
{
    for (; *s; s++)
        put((struct text){s, 1});
}

static void put_number(int64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    put((struct text){digits + at, sizeof digits - at});
}

static void tell_story(struct text name)
{
    struct deposited d;
    struct text owner;
    handle_t first = account_new(name.p, name.n), second = account_new("the other", 9);
    account_owner(first, &owner);
    put_z("owner ");
    put(owner);
    account_deposit(first, 70, &d);
    put_z("\ndeposited 70: ");
    put_number(d.balance);
    account_deposit(second, 5, &d);
    account_deposit(second, -9, &d);
    put_z("\nwithdrawn 9: ");
    if (d.failed)
        put(d.why);
    put_z("\nopen ");
    put_number(open_accounts());
    put_z("\nabsorbed: ");
    put_number(account_absorb(first, second));
    put_z("\nopen ");
    put_number(open_accounts());
    account_drop(first);
    put_z("\nopen ");
    put_number(open_accounts());
    put_z("\n");
}

EXPORT("wasi:http/incoming-handler@0.2.12#handle") void handle(handle_t request, handle_t out)
{
    struct {
        uint32_t some;
        struct text path;
    } target;
    struct {
        uint8_t failed;
        handle_t handle;
        uint32_t more[8];
    } r;
    used = page_len = 0;
    request_path(request, &target);
    tell_story(target.path);
    handle_t response = response_new(fields_new());
    response_body(response, &r);
    handle_t body = r.handle;
    outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);
    body_write(body, &r);
    handle_t stream = r.handle;
    stream_write(stream, page, page_len, &r);
    stream_drop(stream);
    body_finish(body, 0, 0, &r);
    request_drop(request);
}
