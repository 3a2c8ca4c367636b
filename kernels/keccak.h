/* Keccak-f[800] with 32-bit lanes, Keccak-f[1600] with 64-bit lanes; lane (x, y) is s[x + 5*y].
   The round loops are not unrolled: that triples compile time, and keccak is 3 % of the work. */
CONSTANT u64 KECCAK_ROUNDS[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

#define KECCAK_ROUND(word, rotl, s)                                                             \
    word c0 = s[0] ^ s[5] ^ s[10] ^ s[15] ^ s[20];                                              \
    word c1 = s[1] ^ s[6] ^ s[11] ^ s[16] ^ s[21];                                              \
    word c2 = s[2] ^ s[7] ^ s[12] ^ s[17] ^ s[22];                                              \
    word c3 = s[3] ^ s[8] ^ s[13] ^ s[18] ^ s[23];                                              \
    word c4 = s[4] ^ s[9] ^ s[14] ^ s[19] ^ s[24];                                              \
    word d0 = c4 ^ rotl(c1, 1);                                                                 \
    word d1 = c0 ^ rotl(c2, 1);                                                                 \
    word d2 = c1 ^ rotl(c3, 1);                                                                 \
    word d3 = c2 ^ rotl(c4, 1);                                                                 \
    word d4 = c3 ^ rotl(c0, 1);                                                                 \
    word b0 = s[0] ^ d0;                                                                        \
    word b10 = rotl(s[1] ^ d1, 1);                                                              \
    word b20 = rotl(s[2] ^ d2, 62);                                                             \
    word b5 = rotl(s[3] ^ d3, 28);                                                              \
    word b15 = rotl(s[4] ^ d4, 27);                                                             \
    word b16 = rotl(s[5] ^ d0, 36);                                                             \
    word b1 = rotl(s[6] ^ d1, 44);                                                              \
    word b11 = rotl(s[7] ^ d2, 6);                                                              \
    word b21 = rotl(s[8] ^ d3, 55);                                                             \
    word b6 = rotl(s[9] ^ d4, 20);                                                              \
    word b7 = rotl(s[10] ^ d0, 3);                                                              \
    word b17 = rotl(s[11] ^ d1, 10);                                                            \
    word b2 = rotl(s[12] ^ d2, 43);                                                             \
    word b12 = rotl(s[13] ^ d3, 25);                                                            \
    word b22 = rotl(s[14] ^ d4, 39);                                                            \
    word b23 = rotl(s[15] ^ d0, 41);                                                            \
    word b8 = rotl(s[16] ^ d1, 45);                                                             \
    word b18 = rotl(s[17] ^ d2, 15);                                                            \
    word b3 = rotl(s[18] ^ d3, 21);                                                             \
    word b13 = rotl(s[19] ^ d4, 8);                                                             \
    word b14 = rotl(s[20] ^ d0, 18);                                                            \
    word b24 = rotl(s[21] ^ d1, 2);                                                             \
    word b9 = rotl(s[22] ^ d2, 61);                                                             \
    word b19 = rotl(s[23] ^ d3, 56);                                                            \
    word b4 = rotl(s[24] ^ d4, 14);                                                             \
    s[0] = b0 ^ (~b1 & b2);                                                                     \
    s[1] = b1 ^ (~b2 & b3);                                                                     \
    s[2] = b2 ^ (~b3 & b4);                                                                     \
    s[3] = b3 ^ (~b4 & b0);                                                                     \
    s[4] = b4 ^ (~b0 & b1);                                                                     \
    s[5] = b5 ^ (~b6 & b7);                                                                     \
    s[6] = b6 ^ (~b7 & b8);                                                                     \
    s[7] = b7 ^ (~b8 & b9);                                                                     \
    s[8] = b8 ^ (~b9 & b5);                                                                     \
    s[9] = b9 ^ (~b5 & b6);                                                                     \
    s[10] = b10 ^ (~b11 & b12);                                                                 \
    s[11] = b11 ^ (~b12 & b13);                                                                 \
    s[12] = b12 ^ (~b13 & b14);                                                                 \
    s[13] = b13 ^ (~b14 & b10);                                                                 \
    s[14] = b14 ^ (~b10 & b11);                                                                 \
    s[15] = b15 ^ (~b16 & b17);                                                                 \
    s[16] = b16 ^ (~b17 & b18);                                                                 \
    s[17] = b17 ^ (~b18 & b19);                                                                 \
    s[18] = b18 ^ (~b19 & b15);                                                                 \
    s[19] = b19 ^ (~b15 & b16);                                                                 \
    s[20] = b20 ^ (~b21 & b22);                                                                 \
    s[21] = b21 ^ (~b22 & b23);                                                                 \
    s[22] = b22 ^ (~b23 & b24);                                                                 \
    s[23] = b23 ^ (~b24 & b20);                                                                 \
    s[24] = b24 ^ (~b20 & b21);                                                                 \

#define ROTL_LANE32(x, n) (((x) << ((n) % 32)) | ((x) >> ((32 - (n) % 32) % 32)))
#define ROTL_LANE64(x, n) rotl64((x), (n))

INLINE void keccak_f800(u32 *s)
{
#pragma unroll 1
    for (int r = 0; r < 22; r++) {
        KECCAK_ROUND(u32, ROTL_LANE32, s)
        s[0] ^= (u32)KECCAK_ROUNDS[r];
    }
}

/* Replace the 64 bytes of block by their keccak-512, with the original padding, not SHA-3's. */
INLINE void keccak_512(u64 *block)
{
    u64 s[25];
    for (int i = 0; i < 8; i++)
        s[i] = block[i];
    for (int i = 8; i < 25; i++)
        s[i] = 0;
    s[8] = 0x8000000000000001;
#pragma unroll 1
    for (int r = 0; r < 24; r++) {
        KECCAK_ROUND(u64, ROTL_LANE64, s)
        s[0] ^= KECCAK_ROUNDS[r];
    }
    for (int i = 0; i < 8; i++)
        block[i] = s[i];
}
