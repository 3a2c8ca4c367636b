/* Merges that depend on words known at run time only: the rotation on the operand, or kind and
   rotation on a word of the seed digest, which is the same in all lanes of a hash. */

/* Rotations take their amount mod 32. */
#define OPERAND_ROTATION(b) (((b) >> 16) + 1u)

/* The selectors in words 0 to 3 of the digest, 7 bits each: the kind, and the rotation << 2. */
#define SELECTOR(word) (((word) & 3u) | (((word) >> 16) % 31u + 1u) << 2)
#define SELECTORS(digest)                                                                       \
    (SELECTOR((digest)[0]) | SELECTOR((digest)[1]) << 7 | SELECTOR((digest)[2]) << 14 |         \
     SELECTOR((digest)[3]) << 21)

INLINE WORD rotl_xor_by_operand(WORD a, WORD b)
{
    return rotl32(a, OPERAND_ROTATION(b)) ^ b;
}

INLINE WORD rotr_xor_by_operand(WORD a, WORD b)
{
    return rotr32(a, OPERAND_ROTATION(b)) ^ b;
}

/* Without branches: they would take more registers, and neighbouring hashes differ in kind. */
INLINE WORD merge_of_kind(u32 kind, WORD a, WORD b, WORD rotation)
{
    const u32 odd = kind & 1u;
    const WORD factor = odd ? a ^ b : a;
    const WORD multiplied = mad33(factor, odd ? (WORD)(0u) : b);
    const WORD rotated = rotl32(a, odd ? 0u - rotation : rotation) ^ b;
    return kind & 2u ? rotated : multiplied;
}

INLINE WORD seed_merge_by_operand(WORD a, WORD b, u32 selector)
{
    return merge_of_kind(selector, a, b, OPERAND_ROTATION(b));
}

INLINE WORD seed_merge(WORD a, WORD b, u32 selector)
{
    return merge_of_kind(selector, a, b, (WORD)(selector >> 2 & 31u));
}
