/* SPDX-License-Identifier: Apache-2.0 */
/* A component that other components call over a link: repeats the question backwards; refuses an empty one; traps at
 * "trap", never ends at "loop". No libc. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))

extern unsigned char __heap_base;
static uintptr_t top;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_n, size_t align, size_t n)
{
    if (!top)
        top = (uintptr_t)&__heap_base;
    uintptr_t at = (top + align - 1) & ~(uintptr_t)(align - 1);
    size_t pages = (at + n + 65535) >> 16, have = __builtin_wasm_memory_size(0);
    if (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (size_t)-1)
        __builtin_trap();
    top = at + n;
    for (size_t i = 0; i < old_n && i < n; i++)
        ((char *)at)[i] = ((char *)old)[i];
    return (void *)at;
}

static struct {
    uint32_t is_err;
    const char *p;
    size_t n;
} reply;

static int is(const char *question, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (n != 4 || question[i] != word[i])
            return 0;
    return n == 4;
}

EXPORT("hostd:tests/oracle#ask") void *ask(char *question, size_t n)
{
    static const char empty[] = "an empty question";
    if (is(question, n, "trap"))
        __builtin_trap();
    if (is(question, n, "loop"))
        for (volatile uint32_t i = 0;; i++) {
        }
    reply.is_err = n == 0;
    reply.p = n ? question : empty;
    reply.n = n ? n : sizeof empty - 1;
    for (size_t i = 0; i < n / 2; i++) {
        char c = question[i];
        question[i] = question[n - 1 - i];
        question[n - 1 - i] = c;
    }
    return &reply;
}
