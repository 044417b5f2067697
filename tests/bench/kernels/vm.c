/* SPDX-License-Identifier: Apache-2.0 */
/* An interpreter inside the guest: br_table, loads, stores. */
typedef unsigned char u8;
static u8 code[256];
static int stk[64];

__attribute__((noinline)) static int exec(int n)
{
    int sp = 0, pc = 0;
    int loc[4] = {0, n, 1, 0};
    for (;;) {
        switch (code[pc++]) {
        case 0:
            stk[sp++] = loc[code[pc++]];
            break;
        case 1:
            loc[code[pc++]] = stk[--sp];
            break;
        case 2:
            sp--;
            stk[sp - 1] += stk[sp];
            break;
        case 3:
            sp--;
            stk[sp - 1] ^= stk[sp];
            break;
        case 4:
            sp--;
            stk[sp - 1] *= stk[sp];
            break;
        case 5:
            stk[sp++] = (signed char)code[pc++];
            break;
        case 6:
            if (stk[--sp])
                pc = code[pc];
            else
                pc++;
            break;
        case 7:
            sp--;
            stk[sp - 1] = stk[sp - 1] < stk[sp];
            break;
        case 8:
            return loc[0];
        case 9:
            sp--;
            stk[sp - 1] &= stk[sp];
            break;
        case 10:
            stk[sp - 1] = ~stk[sp - 1];
            break;
        }
    }
}

static const u8 prog[] = {0, 0, 0, 3, 2, 5, 3, 4, 0, 3, 3, 5, 127, 9, 0, 0, 2,
                          1, 0, 0, 3, 0, 2, 2, 1, 3, 0, 3, 0, 1,   7, 6, 0, 8};

__attribute__((export_name("run"))) int run(int n)
{
    for (unsigned i = 0; i < sizeof prog; i++)
        code[i] = prog[i];
    return exec(n);
}
