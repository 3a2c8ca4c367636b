/* Merges that depend on words known at run time only: the rotation on the operand, or kind and
   rotation on a word of the seed digest, which is the same in all lanes of a hash. */
#define OPERAND_ROTATION(b) (((b) >> 16 & 31u) + 1u)

INLINE WORD rotl_xor_by_operand(WORD a, WORD b)
{
    return rotl32(a, OPERAND_ROTATION(b)) ^ b;
}

INLINE WORD rotr_xor_by_operand(WORD a, WORD b)
{
    return rotr32(a, OPERAND_ROTATION(b)) ^ b;
}

INLINE WORD merge_of_kind(u32 kind, WORD a, WORD b, WORD rotation)
{
    if (kind == 0u)
        return a * 33u + b;
    if (kind == 1u)
        return (a ^ b) * 33u;
    return (kind == 2u ? rotl32(a, rotation) : rotr32(a, rotation)) ^ b;
}

INLINE WORD seed_merge_by_operand(WORD a, WORD b, u32 selector)
{
    return merge_of_kind(selector & 3u, a, b, OPERAND_ROTATION(b));
}

INLINE WORD seed_merge(WORD a, WORD b, u32 selector)
{
    return merge_of_kind(selector & 3u, a, b, (WORD)((selector >> 16) % 31u + 1u));
}
