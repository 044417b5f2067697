/* SPDX-License-Identifier: Apache-2.0 */
/* How much address space there is: what the memories of guests are chosen by. */
#include "lattice/base/space.h"

#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

START_TEST(pages_are_pages)
{
    size_t page = space_page_bytes();
    ck_assert_uint_ge(page, 4096);
    ck_assert_uint_eq(page & (page - 1), 0);
    void *p = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(p != MAP_FAILED);
    ck_assert_int_eq(munmap(p, page), 0);
}
END_TEST

START_TEST(no_more_than_the_machine_has)
{
    uint64_t limit = space_limit_bytes(), local;
    ck_assert_uint_ge(limit, (uint64_t)1 << 36);
    ck_assert_uint_le(limit, (uint64_t)1 << 47);
    if (limit < (uint64_t)1 << 47) /* the stack is in the upper half of it */
        ck_assert_uint_lt((uintptr_t)&local, limit);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need terabytes */
START_TEST(no_more_than_the_process_may)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)1 << 35;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert_uint_eq(space_limit_bytes(), (uint64_t)1 << 35);
}
END_TEST
#endif

int main(void)
{
    Suite *s = suite_create("base space");
    TCase *t = tcase_create("space");
    tcase_add_test(t, pages_are_pages);
    tcase_add_test(t, no_more_than_the_machine_has);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(t, no_more_than_the_process_may);
#endif
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
