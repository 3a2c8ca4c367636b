/* Shared by both families of search kernels: FNV-1a, KISS99, the first and last keccak. */
#define FNV_PRIME 0x01000193u
#define FNV_BASIS 0x811c9dc5u
#define FNV1A(h, d) (((h) ^ (d)) * FNV_PRIME)

#define SWAP32(x)                                                                               \
    (((x) << 24) | (((x) & 0xff00u) << 8) | (((x) >> 8) & 0xff00u) | ((x) >> 24))

/* One KISS99 step; z and w are equal in all lanes of a hash, jsr and jcong differ. */
#define KISS99_STEP()                                                                           \
    z = 36969u * (z & 65535u) + (z >> 16);                                                      \
    w = 18000u * (w & 65535u) + (w >> 16);                                                      \
    jsr ^= jsr << 17;                                                                           \
    jsr ^= jsr >> 13;                                                                           \
    jsr ^= jsr << 5;                                                                            \
    jcong = 69069u * jcong + 1234567u

/* The first keccak; its digest is left in state[0..7]. */
INLINE void absorb_header(u32 *state, GLOBAL const u32 *header, u64 nonce)
{
    for (int i = 0; i < 8; i++)
        state[i] = header[i];
    state[8] = (u32)nonce;
    state[9] = (u32)(nonce >> 32);
    INITIAL_PADDING(state)
    keccak_f800(state);
}

#if ABSORBS_NONCE
#define SEED_LOW(digest) (digest)[0]
#define SEED_HIGH(digest) (digest)[1]

INLINE void put_nonce(u32 *state, u64 nonce)
{
    state[8] = (u32)nonce;
    state[9] = (u32)(nonce >> 32);
}

/* The last keccak: takes the nonce in state[8..9], leaves the final hash in state[0..7]. */
INLINE void absorb_mix(u32 *state, GLOBAL const u32 *header, const u32 *mix_hash)
{
    for (int i = 0; i < 8; i++) {
        state[i] = header[i];
        state[10 + i] = mix_hash[i];
    }
    FINAL_PADDING(state)
    keccak_f800(state);
}
#else
#if ABSORBS_DIGEST
#define SEED_LOW(digest) (digest)[0]
#define SEED_HIGH(digest) (digest)[1]
#else
#define SEED_LOW(digest) SWAP32((digest)[1])
#define SEED_HIGH(digest) SWAP32((digest)[0])
#endif

/* The last keccak: takes the digest in `state`, leaves the final hash in state[0..7]. */
INLINE void absorb_mix(u32 *state, GLOBAL const u32 *header, const u32 *mix_hash)
{
#if ABSORBS_DIGEST
    for (int i = 0; i < 8; i++)
        state[8 + i] = mix_hash[i];
#else
    u32 low = SEED_LOW(state), high = SEED_HIGH(state);
    for (int i = 0; i < 8; i++)
        state[i] = header[i];
    state[8] = low;
    state[9] = high;
    for (int i = 0; i < 8; i++)
        state[10 + i] = mix_hash[i];
#endif
    FINAL_PADDING(state)
    keccak_f800(state);
}
#endif

/* results[0] counts the hits, also those beyond RESULT_SLOTS; results[1] counts the groups that
   search. Slot i, from word 4 + 4*i on: offset from the first nonce, words 0 and 1 of the final
   hash, word 0 of the mix hash. */

/* Called by one thread of a group: counts the group and returns 1, or 0 if it must not search.
   The host may write the number of a launch to `stop` at any time, also while the launch runs. */
INLINE u32 begin_group(GLOBAL const volatile u32 *stop, u32 launch, GLOBAL u32 *results)
{
    if (*stop == launch)
        return 0u;
    ATOMIC_INCREMENT(results + 1);
    return 1u;
}

INLINE void report(GLOBAL u32 *results, u64 target, u32 offset, const u32 *state, u32 mix_word)
{
#if BIG_ENDIAN_HASH
    /* The bytes of big-endian words, read as little-endian ones. */
    const u32 final_hash[2] = {SWAP32(state[0]), SWAP32(state[1])};
    state = final_hash;
#endif
    u64 value = ((u64)SWAP32(state[0]) << 32) | SWAP32(state[1]);
    if (value <= target) {
        u32 slot = ATOMIC_INCREMENT(results);
        if (slot < RESULT_SLOTS) {
            results[4 + 4 * slot] = offset;
            results[5 + 4 * slot] = state[0];
            results[6 + 4 * slot] = state[1];
            results[7 + 4 * slot] = mix_word;
        }
    }
}

/* An entry is 256 bytes. Each buffer but the last holds the same power of two of entries. */
#define DATASET_BUFFER(number) GLOBAL const u32x4 *RESTRICT dataset##number
#if BUFFERS == 1
#define ENTRY(index) (dataset0 + (u64)(index) * 16)
#else
#define ENTRY(index)                                                                            \
    (BUFFER((index) >> BUFFER_SHIFT) + (u64)((index) & BUFFER_MASK) * 16)
#endif
