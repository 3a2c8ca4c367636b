/* What a period's program uses if a thread is one lane. */
#define WORD u32
#define L1 SHARED const u32 *
#define READ_L1(l1, i) (l1)[(i) & (L1_WORDS - 1u)]
#define ROW_WORD_0(row) (row).x
#define ROW_WORD_1(row) (row).y
#define ROW_WORD_2(row) (row).z
#define ROW_WORD_3(row) (row).w
