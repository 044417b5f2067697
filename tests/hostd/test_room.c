/* SPDX-License-Identifier: Apache-2.0 */
/* The warning about memory mappings: before they are used up, and once each time. */
#include <check.h>
#include "hostd/room.h"

START_TEST(told_once_until_there_is_room_again)
{
    struct room r = {false};
    ck_assert(!room_is_short(&r, 0, 65530));
    ck_assert(!room_is_short(&r, 52000, 65530));
    ck_assert(room_is_short(&r, 53000, 65530));
    ck_assert(!room_is_short(&r, 60000, 65530));
    ck_assert(!room_is_short(&r, 50000, 65530)); /* still near */
    ck_assert(!room_is_short(&r, 53000, 65530));
    ck_assert(!room_is_short(&r, 40000, 65530));
    ck_assert(room_is_short(&r, 70000, 65530));
    ck_assert(!room_is_short(&r, 70000, 1000000)); /* the system was told to allow more */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hostd/room");
    TCase *t = tcase_create("room");
    tcase_add_test(t, told_once_until_there_is_room_again);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
