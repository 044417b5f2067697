/* SPDX-License-Identifier: Apache-2.0 */
/* Exports a resource, with wasi-libc's allocator behind it. A handle of ours reaches our methods as the pointer that we
 * gave for it; an own handle that is passed in is ours to drop. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define I "hostd:tests/ledger"
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

struct account {
    char *owner;
    size_t owner_len;
    int64_t balance;
};

struct text {
    const char *p;
    size_t n;
};

IMPORT("[export]" I, "[resource-new]account") int32_t account_new(struct account *rep);
IMPORT("[export]" I, "[resource-rep]account") struct account *account_rep(int32_t handle);
IMPORT("[export]" I, "[resource-drop]account") void account_drop(int32_t handle);

static uint32_t open_accounts;

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    (void)old_size;
    if (size == 0)
        return (void *)align;
    void *p = realloc(old_size ? old : NULL, size);
    if (!p)
        abort();
    return p;
}

EXPORT(I "#[constructor]account") int32_t make(char *owner, size_t n)
{
    struct account *a = calloc(1, sizeof *a);
    a->owner = owner; /* ours: it came from cabi_realloc */
    a->owner_len = n;
    open_accounts++;
    return account_new(a);
}

EXPORT(I "#[dtor]account") void destroy(struct account *a)
{
    open_accounts--;
    if (a->owner_len)
        free(a->owner);
    free(a);
}

EXPORT(I "#[method]account.owner") const struct text *owner(struct account *a)
{
    static struct text result;
    result = (struct text){a->owner, a->owner_len};
    return &result;
}

static struct {
    uint8_t failed;
    union {
        int64_t balance;
        struct text why;
    };
} deposited;

EXPORT(I "#[method]account.deposit") const void *deposit(struct account *a, int64_t amount)
{
    if (amount < 0 && a->balance + amount < 0) {
        char *why = malloc(80);
        int n = snprintf(why, 80, "%.*s has only %lld", (int)a->owner_len, a->owner,
                         (long long)a->balance);
        deposited.failed = 1;
        deposited.why = (struct text){why, (size_t)n};
    } else {
        a->balance += amount;
        deposited.failed = 0;
        deposited.balance = a->balance;
    }
    return &deposited;
}

EXPORT("cabi_post_" I "#[method]account.deposit") void deposit_done(const void *result)
{
    (void)result;
    if (deposited.failed)
        free((void *)deposited.why.p);
}

EXPORT(I "#[static]account.absorb") int64_t absorb(struct account *into, int32_t other)
{
    into->balance += account_rep(other)->balance;
    account_drop(other);
    return into->balance;
}

EXPORT(I "#open-accounts") uint32_t count(void)
{
    return open_accounts;
}
