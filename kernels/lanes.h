/* The words of a period's program where a thread has OWN_LANES lanes of a hash. */
#define WORD u32
#define L1 shared_t
#if SEVERAL_LANES
#define EACH_OWN_LANE UNROLLED for (u32 own = 0; own < OWN_LANES; own++)
#else
/* Not a loop of one iteration, for which Intel's compiler takes more registers. */
#define own 0u
#define EACH_OWN_LANE
#endif

/* Offsets in the L1 cache are in bytes; the words of the copies alternate. */
#if MULTIPLIED
/* (i & 4095) << 20 has the low 12 bits only; the upper half of its product shifts them down. */
#define READ_L1(l1, i) READ_SHARED(l1, mul_hi32((i) * L1_FACTORS[0], L1_FACTORS[1]))
#else
#define READ_L1(l1, i) READ_SHARED(l1, ((i) & (L1_WORDS - 1u)) * (4u * COPIES))
#endif
#define ROW_WORD_0(row) (row).x
#define ROW_WORD_1(row) (row).y
#define ROW_WORD_2(row) (row).z
#define ROW_WORD_3(row) (row).w
