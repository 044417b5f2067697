/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the translator: one pass over a validated body with a symbolic operand stack.
 *
 * An operand is pending until an instruction needs it: a constant, a local not yet read, or the
 * value in the accumulator of its bank whose producer can still be told to store it. Every
 * operand has a home slot by its height, so that all paths to a label agree without merging: at
 * labels and calls everything pending goes home.
 *
 * Inside an innermost loop a local per bank is pinned: its slot is always up to date, and the
 * register equals the slot at every cell of the loop. So what cannot use the register takes the
 * slot, and leaving the loop takes nothing.
 *
 * Keeps: at most one operand per bank is in the accumulator; all entries below `low` are home; a
 * producer is changed in place only before the next label; `last` is the last cell, or NONE when
 * a label lies behind it. */
#ifndef HOSTD_WASM_TRANSLATE_H
#define HOSTD_WASM_TRANSLATE_H

#include "hostd/wasm/engine.h"
#include "hostd/wasm/ops.h"

#define NONE UINT32_MAX

enum place { AT_HOME, AT_LOCAL, AT_SUM, CONSTANT, IN_ACC };

struct value {
    enum place place;
    uint8_t type;
    uint8_t shift;  /* AT_SUM: (v << shift) + k, or other + (v << shift); i32, of locals */
    uint32_t home;  /* slot */
    uint32_t other; /* local, or NONE */
    uint32_t k;
    uint64_t v; /* local's index, constant; of a v128 the address of its bytes in the module */
};

/* An operand as an instruction takes it. */
struct operand {
    char class;    /* 'S', 'K', 'A', 'L' */
    uint32_t slot; /* of A and L: one that holds the same, or NONE */
    uint64_t k;
};

enum bank_id { BANK_INT, BANK_FLOAT, BANKS };

struct bank {
    uint32_t entry;       /* stack position of the operand that is in this accumulator */
    uint32_t producer;    /* its cell, which stores nothing yet; NONE when that is settled */
    enum handler handler; /* of the producer */
    uint32_t mirror;      /* slot known to hold the same as the accumulator */
    uint32_t slots;       /* that the value in it takes */
};

/* What the last cell, or the last two, leave in the int accumulator, where a cell that does more may
 * take their place (translate_fuse.c). All are of i32. */
enum made_kind {
    MADE_OTHER, /* nothing of the kind */
    MADE_LOAD,  /* what lies at x + offset */
    MADE_SUM,   /* the same plus k; the load's result is nowhere else */
    MADE_MASK,  /* x + k & mask */
    MADE_STORE  /* nothing: x + offset is where y has been stored; the accumulator is as it was */
};
struct made {
    enum made_kind kind;
    uint32_t cell;            /* the first of them */
    const struct op_row *row; /* of the load or store */
    struct operand x, y;
    uint32_t offset, k, mask;
    uint32_t slot; /* where the result is as well, and how; or NONE and RESULT_ACC */
    uint32_t form;
};

/* row of x and y; after a first operation with constant k on x if there is a step. */
struct tail {
    const struct op_row *row; /* NULL: nothing to fuse with */
    const struct op_row *first;
    struct operand x, y;
    uint64_t k;
    struct made made; /* x, if y is a constant */
};

/* A cell that has added a small constant to a slot: see fuse_increment. */
struct increment {
    uint32_t cell; /* NONE: none since the last label */
    uint32_t slot, k;
    char class;     /* 'L' when the slot is a pinned local's */
    uint32_t other; /* what the cell before it has added to, if it was one of these, else NONE */
    uint32_t other_k;
};

struct label {
    uint8_t op;      /* OP_BLOCK (also the function itself), OP_LOOP, OP_IF, OP_ELSE */
    bool dead_start; /* nothing reaches the block: set for blocks inside dead code */
    uint32_t height; /* of the operands below its parameters */
    uint32_t nparams, nresults;
    const uint8_t *params, *results;
    uint32_t start;            /* of a loop: its first cell */
    uint32_t fixes;            /* chain of forward branches to the end */
    uint32_t else_cell;        /* of an if: the branch to its else */
    uint32_t stub_table, stub; /* br_table: stub made for this label, and for which table */
    uint32_t region;           /* of a try_table; else NONE */
};

/* A branch distance still to be written: in the cell's imm32, or in a word of a branch table; or
 * where a catch clause goes on. */
struct fix {
    uint32_t cell, word; /* word 0: the imm32; FIX_CLAUSE: cell is the clause's number */
    uint32_t next;
};

#define FIX_CLAUSE UINT32_MAX

struct translation {
    struct wasm_module *m;
    const struct func_decl *decl;
    const struct wasm_functype *type;
    struct func_code *fc;
    enum exec_kind kind;
    const struct exec *exec;
    const uint8_t *p, *end;

    uint64_t *code;
    uint32_t n, cap;
    uint32_t last;
    struct tail tail; /* the last cell, as long as its result is in the accumulator only */
    struct made made;
    struct increment increment;
    bool negate; /* the condition on top is to be negated by the branch that follows */

    struct value *stack; /* of the first free entry only the home is set */
    uint32_t sp, low;
    uint32_t *local_slots; /* by local */
    struct bank banks[BANKS];
    uint32_t pins[BANKS]; /* the local of this bank that is in its register, in an innermost loop */
    uint64_t *uses;       /* per local: epoch << 32 | how often the loop at hand reads it */
    uint32_t uses_epoch;
    bool dead;

    struct label *labels;
    uint32_t nlabels, labels_cap;
    struct fix *fixes;
    uint32_t nfixes, fixes_cap;

    struct try_region *regions;
    uint32_t nregions, regions_cap;
    uint32_t region; /* innermost open one; NO_REGION */
    struct catch_clause *clauses;
    uint32_t nclauses, clauses_cap;

    uint32_t want_cell; /* code_offset: whose instruction is asked for; else NONE */
    const uint8_t *want_at;
};

static inline enum bank_id bank_of(uint8_t type)
{
    return type == WASM_F32 || type == WASM_F64 || type == WASM_V128 ? BANK_FLOAT : BANK_INT;
}

bool uses(enum technique technique); /* translate.c */

/* ---- translate_stack.c ---- */

uint32_t emit(struct translation *t, enum handler h, uint32_t words);
void unemit(struct translation *t); /* takes the last cell back */
void seal(
    struct translation *t); /* what is there now stays: none of it is folded into what follows */
bool is_last(const struct translation *t, enum handler h);
void set_field(struct translation *t, uint32_t cell, uint32_t field, uint32_t v);
void put_vector(struct translation *t, uint32_t cell, uint64_t bytes); /* words 2, 3 */
void set_imm32(struct translation *t, uint32_t cell, uint32_t v);

uint32_t home(const struct translation *t, uint32_t pos); /* of the free entry too */
uint32_t local_slot(const struct translation *t, uint32_t local);
void push(struct translation *t, enum place place, uint8_t type, uint64_t v);
void trim(struct translation *t); /* between instructions */
void push_home(struct translation *t, const uint8_t *types, uint32_t n);
struct value pop(struct translation *t);
void shrink(struct translation *t, uint32_t sp); /* forgets the operands from sp on */

/* Bits a constant may have to be taken as K; 0: never. */
struct operand operand(struct translation *t, uint32_t pos, uint32_t k_bits);
/* The same of a local, without a cell. */
struct operand local_operand(const struct translation *t, uint32_t local);
/* A sum goes into the accumulator; before any operand of the same instruction is asked for. */
void compute(struct translation *t, uint32_t pos);
/* The value at pos is what the cell leaves in the accumulator. */
void in_accumulator(struct translation *t, uint32_t pos, uint32_t cell, enum handler h);
uint32_t force_slot(struct translation *t, uint32_t pos);         /* in some slot */
uint32_t force_home(struct translation *t, uint32_t pos);         /* in its own */
void move_to(struct translation *t, uint32_t pos, uint32_t slot); /* a copy */
void flush(struct translation *t, uint32_t from_top); /* all but the topmost from_top go home */
void wrote_slots(struct translation *t, uint32_t slot, uint32_t n);
void forget(struct translation *t); /* accumulators hold nothing known: after labels and calls */

/* Before and after a cell that leaves a value of this type in the accumulator; operands are
 * popped by then. */
void begin_result(struct translation *t, uint8_t type);
void end_result(struct translation *t, uint32_t cell, enum handler h, uint8_t type);
void set_local(struct translation *t, uint32_t local, bool keep);

/* Place in the list for these operands; one that is in a register but has a slot as well is taken
 * from there when the list wants it so. */
int settle(enum class_list list, struct operand *x);
int settle_pair(enum class_list list, struct operand *x, struct operand *y);

/* ---- translate_pin.c ---- */
/* t->p is behind the block type of a loop: gives its most used locals the registers if it is an
 * innermost one. */
void pin_locals(struct translation *t);
void load_pins(struct translation *t); /* after whatever may have changed the registers */
bool is_pinned(const struct translation *t, uint32_t local);

/* ---- translate_sum.c ---- */
/* Adds, subtracts or shifts what is on top without a cell, when that makes a sum of locals. */
bool make_sum(struct translation *t, const struct op_row *row);

/* ---- translate_memory.c ---- */
void load(struct translation *t, const struct op_row *row);
void store(struct translation *t, const struct op_row *row);

/* ---- translate_ops.c ---- */
/* A cell of the row for these operands, whose classes may change; sets *h and the tail. */
uint32_t emit_binary(struct translation *t, const struct op_row *row, struct operand *x,
                     struct operand *y, enum handler *h);
uint32_t emit_step(struct translation *t, const struct tail *steps, enum handler *h);
void simple(struct translation *t, const struct op_row *row);
/* The last cell has left x in the int accumulator, and nowhere else. */
bool is_tail(const struct translation *t, uint32_t pos);
bool other(struct translation *t,
           uint32_t op); /* variables, memories, tables; false: not one of these */
/* The operand is about to be an index into the table: handlers look at 32 bits of it. */
void tell_apart(struct operand *x, struct operand *y);
void table_index(struct translation *t, uint32_t pos, uint32_t table);

struct memarg {
    uint32_t memory;
    uint64_t offset;
};
struct memarg read_memarg(struct translation *t);

/* ---- translate_fuse.c ---- */
/* Pops the condition and branches if it is sense, or not; the caller aims the cell. */
uint32_t branch_on_top(struct translation *t, bool sense, bool back);
uint32_t branch(struct translation *t, bool back); /* likewise, always */
/* The operand at pos is what the cells `made` describes have left. */
bool is_made(struct translation *t, uint32_t pos, enum made_kind kind);
void note_load(struct translation *t, uint32_t cell, const struct op_row *row,
               const struct operand *x, uint32_t offset);
void note_store(struct translation *t, uint32_t cell, const struct op_row *row,
                const struct operand operands[2], uint32_t offset);
/* The last cell is row of x and a constant y; `before` is what was made when it began. */
void note_binary(struct translation *t, uint32_t cell, const struct made *before);
/* A load whose address a load has made; a store of a sum to where its first term was read. False:
 * not so. */
bool fuse_pointer(struct translation *t, const struct op_row *row, uint32_t offset);
bool fuse_bump(struct translation *t, const struct op_row *row, uint32_t offset);

/* ---- translate_simd.c ---- */
void vector(struct translation *t, const struct op_row *row);
bool vector_other(struct translation *t, uint32_t op); /* false: not one of these */

/* ---- translate_flow.c ---- */
void flow(struct translation *t, uint32_t op);
void open_function(struct translation *t);
struct label *label_at(struct translation *t, uint32_t depth);
struct label *push_label(struct translation *t, uint8_t op);
void read_block_type(struct translation *t, struct label *l);
/* Points the cell (or the word of a branch table, or a clause) at l, now or when its end is reached. */
void aim(struct translation *t, struct label *l, uint32_t cell, uint32_t word);

/* ---- translate_try.c ---- */
void try_table(struct translation *t);
void close_region(struct translation *t, uint32_t region);
void write_throw(struct translation *t, uint32_t op); /* OP_THROW or OP_THROW_REF */
/* Copies what was noted into the module's code arena; *out is NULL when there is nothing. False: no room. */
bool keep_catches(const struct translation *t, const struct catch_table **out);

/* ---- verify.c ---- */

/* What translation has made of a function, for one exec. */
struct translated {
    enum exec_kind kind;
    const uint64_t *cells;
    uint32_t n, nregions, nclauses;
    const struct try_region *regions;
    const struct catch_clause *clauses;
};
/* False: e names the cell and what is wrong with it. */
bool verify_code(const struct func_code *fc, const struct translated *code, struct err *e);

/* ---- immediates ---- trusted: validation has read them */
uint32_t leb_u32(struct translation *t);
uint64_t leb_u64(struct translation *t);
int64_t leb_s64(struct translation *t);
uint8_t skip_valtype(struct translation *t); /* any reference is a funcref */
uint32_t read_op(struct translation *t);
void skip_immediates(struct translation *t, uint32_t op);

#endif
