/* Search for CPUs. A thread has HASHES nonces, each hashed in vectors of 16 lanes. The hashes are
   interleaved statement by statement, so that one computes while another waits for memory. */
typedef struct {
    u32 state[25];
    WORD mix[REGISTERS];
    u32 index[16];
} hash_t;

static inline void start_hash(hash_t *hash, GLOBAL const u32 *header, u64 nonce)
{
    absorb_header(hash->state, header, nonce);
    const WORD lane = (WORD)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    u32 z = FNV1A(FNV_BASIS, SEED_LOW(hash->state));
    u32 w = FNV1A(z, SEED_HIGH(hash->state));
    WORD jsr = FNV1A((WORD)(w), lane);
    WORD jcong = FNV1A(jsr, lane);
#define FILL(r)                                                                                 \
    KISS99_STEP();                                                                              \
    hash->mix[r] = ((WORD)((z << 16) + w) ^ jcong) + jsr;
    EACH_REGISTER(FILL)
#if ABSORBS_NONCE
    put_nonce(hash->state, nonce);
#endif
}

static inline void finish_hash(hash_t *hash, GLOBAL const u32 *header, u64 target, u32 offset,
                               GLOBAL u32 *results)
{
    WORD lane_hash = (WORD)(FNV_BASIS);
#define REDUCE(r) lane_hash = FNV1A(lane_hash, hash->mix[r]);
    EACH_REGISTER(REDUCE)
    u32 mix_hash[8], words[16];
    vstore16(lane_hash, 0, words);
    for (int i = 0; i < 8; i++)
        mix_hash[i] = FNV1A(FNV1A(FNV_BASIS, words[i]), words[i + 8]);
    absorb_mix(hash->state, header, mix_hash);
    report(results, target, offset, hash->state, mix_hash[0]);
}

#define FIND_ENTRY(n)                                                                           \
    vstore16(hash##n.mix[0], 0, hash##n.index);                                                 \
    const u32 index##n = ENTRY_INDEX(hash##n.index[ENTRY_LANE(loop)], loop);                    \
    GLOBAL const u32x4 *entry##n = ENTRY(index##n % ENTRIES);                                   \
    PREFETCH(entry##n)

KERNEL search(DATASET, GLOBAL const u32 *RESTRICT header, u64 first, u64 target,
              GLOBAL u32 *results, GLOBAL const volatile u32 *stop, u32 launch)
{
    if (!begin_group(stop, launch, results))
        return;
    GLOBAL const u32 *l1 = (GLOBAL const u32 *)dataset0;
    const u32 offset = (GROUP * GROUP_SIZE + THREAD) * HASHES;
    hash_t hash0;
    start_hash(&hash0, header, first + offset);
#if HASHES == 2
    hash_t hash1;
    start_hash(&hash1, header, first + offset + 1);
#endif
    for (u32 loop = 0; loop < DAG_LOOPS; loop++) {
        FIND_ENTRY(0);
#if HASHES == 2
        FIND_ENTRY(1);
#if READS_POSITION_OR_SEED
        run_period(hash0.mix, hash1.mix, l1, entry0, entry1, loop, SELECTORS(hash0.state),
                   SELECTORS(hash1.state));
#else
        run_period(hash0.mix, hash1.mix, l1, entry0, entry1, loop);
#endif
#else
#if READS_POSITION_OR_SEED
        run_period(hash0.mix, l1, entry0, loop, SELECTORS(hash0.state));
#else
        run_period(hash0.mix, l1, entry0, loop);
#endif
#endif
    }
    finish_hash(&hash0, header, target, offset, results);
#if HASHES == 2
    finish_hash(&hash1, header, target, offset + 1, results);
#endif
}
