/* SPDX-License-Identifier: Apache-2.0 */
/* A watcher of a key-value bucket that writes down what it is told, in the bucket that it is handed: for a key that was
 * set "=VALUE;" is added to the value of "seen/KEY", for one that was deleted "-;". A value "trap" makes it trap.
 * Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

#define STORE "wasi:keyvalue/store@0.2.0-draft"
#define WATCHER "wasi:keyvalue/watcher@0.2.0-draft"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

typedef int32_t handle_t;

IMPORT(STORE, "[method]bucket.get") void bucket_get(handle_t bucket, const char *key, size_t key_n, void *ret);
IMPORT(STORE, "[method]bucket.set")
void bucket_set(handle_t bucket, const char *key, size_t key_n, const char *value, size_t value_n, void *ret);
IMPORT(STORE, "[resource-drop]bucket") void bucket_drop(handle_t bucket);

static _Alignas(8) char heap[256 << 10];
static size_t used;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_n, size_t align, size_t n)
{
    size_t at = (used + align - 1) & ~(align - 1);
    if (old_n || n > sizeof heap - at)
        __builtin_trap();
    (void)old;
    used = at + n;
    return heap + at;
}

struct text {
    char bytes[64 << 10];
    size_t n;
};
static struct text name, story;

static void add(struct text *t, const char *p, size_t n)
{
    if (n > sizeof t->bytes - t->n)
        __builtin_trap();
    for (size_t i = 0; i < n; i++)
        t->bytes[t->n++] = p[i];
}

/* Adds what happened to the story of the key. */
static void note(handle_t bucket, const char *key, size_t key_n, const char *sign, const char *value, size_t value_n)
{
    _Alignas(8) uint8_t ret[16]; /* result<option<list<u8>>, error>, result<_, error> */
    add(&name, "seen/", 5);
    add(&name, key, key_n);
    bucket_get(bucket, name.bytes, name.n, ret);
    if (ret[0])
        __builtin_trap();
    if (ret[4])
        add(&story, *(const char **)(ret + 8), *(size_t *)(ret + 12));
    add(&story, sign, 1);
    add(&story, value, value_n);
    add(&story, ";", 1);
    bucket_set(bucket, name.bytes, name.n, story.bytes, story.n, ret);
    if (ret[0])
        __builtin_trap();
    bucket_drop(bucket);
}

EXPORT(WATCHER "#on-set")
void on_set(handle_t bucket, const char *key, size_t key_n, const char *value, size_t value_n)
{
    if (value_n == 4 && value[0] == 't' && value[1] == 'r' && value[2] == 'a' && value[3] == 'p')
        __builtin_trap();
    note(bucket, key, key_n, "=", value, value_n);
}

EXPORT(WATCHER "#on-delete") void on_delete(handle_t bucket, const char *key, size_t key_n)
{
    note(bucket, key, key_n, "-", 0, 0);
}
