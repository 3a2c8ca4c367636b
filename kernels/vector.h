/* What a period's program uses if a thread has all 16 lanes of a hash; OpenCL only. */
#define WORD uint16
#define L1 GLOBAL const u32 *

static inline uint16 gather(GLOBAL const u32 *l1, uint16 i)
{
    return (uint16)(l1[i.s0], l1[i.s1], l1[i.s2], l1[i.s3], l1[i.s4], l1[i.s5], l1[i.s6],
                    l1[i.s7], l1[i.s8], l1[i.s9], l1[i.sa], l1[i.sb], l1[i.sc], l1[i.sd],
                    l1[i.se], l1[i.sf]);
}
#define READ_L1(l1, i) gather((l1), (i) & (WORD)(L1_WORDS - 1u))

/* A row is a dataset entry with its 16-byte units in the order of the lanes. */
#define ROW_OF(row, c)                                                                          \
    (uint16)(row[0].c, row[1].c, row[2].c, row[3].c, row[4].c, row[5].c, row[6].c, row[7].c,    \
             row[8].c, row[9].c, row[10].c, row[11].c, row[12].c, row[13].c, row[14].c,         \
             row[15].c)
#define ROW_WORD_0(row) ROW_OF(row, x)
#define ROW_WORD_1(row) ROW_OF(row, y)
#define ROW_WORD_2(row) ROW_OF(row, z)
#define ROW_WORD_3(row) ROW_OF(row, w)

#define LOAD_ROW(row, entry, loop)                                                              \
    u32x4 row[16];                                                                              \
    for (u32 unit = 0; unit < 16u; unit++)                                                      \
    row[unit] = entry[unit ^ ((loop) & 15u)]
