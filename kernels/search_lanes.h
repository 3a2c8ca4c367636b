/* Search for GPUs. A thread has one nonce; 16 neighbouring threads hash their 16 nonces one
   after the other, each thread being one lane of the hash. */
KERNEL search(DATASET, GLOBAL const u32 *RESTRICT header, u64 first, u64 target,
              GLOBAL u32 *results, GLOBAL const volatile u32 *stop, u32 launch)
{
    SHARED_ARRAY(u32, l1, L1_WORDS);
    EXCHANGE(16);
    const u32 lane = THREAD & 15u;
    const u32 offset = GROUP * GROUP_SIZE + THREAD;

    /* All threads of a group meet at barriers, so one decides for all. */
    if (THREAD == 0u)
        l1[0] = begin_group(stop, launch, results);
    BARRIER();
    const u32 begun = l1[0];
    BARRIER();
    if (!begun)
        return;
    for (u32 i = THREAD; i < L1_WORDS; i += GROUP_SIZE)
        l1[i] = ((GLOBAL const u32 *)dataset0)[i];

    u32 state[25];
    absorb_header(state, header, first + offset);
    const u32 seed_low = SEED_LOW(state), seed_high = SEED_HIGH(state);
#if READS_POSITION_OR_SEED
    const u32 own_selectors = SELECTORS(state);
#endif
    u32 mix_hash[8];
    for (int i = 0; i < 8; i++)
        mix_hash[i] = 0;
    BARRIER();

#pragma unroll 1
    for (u32 turn_of = 0; turn_of < 16u; turn_of++) {
        u32 low, high;
        SHARE(low, seed_low, turn_of, 16);
        SHARE(high, seed_high, turn_of, 16);
        u32 z = FNV1A(FNV_BASIS, low);
        u32 w = FNV1A(z, high);
        u32 jsr = FNV1A(w, lane);
        u32 jcong = FNV1A(jsr, lane);
        u32 mix[REGISTERS];
#define FILL(r)                                                                                 \
    KISS99_STEP();                                                                              \
    mix[r] = (((z << 16) + w) ^ jcong) + jsr;
        EACH_REGISTER(FILL)
#if READS_POSITION_OR_SEED
        u32 selectors;
        SHARE(selectors, own_selectors, turn_of, 16);
#endif

#pragma unroll 1
        for (u32 loop = 0; loop < DAG_LOOPS; loop++) {
            u32 index;
#if ENTRY_DRAWN_OR_MIXED
            SHARE(index, mix[0], ENTRY_LANE(loop), 16);
            const u32x4 row = ENTRY(ENTRY_INDEX(index, loop) % ENTRIES)[lane ^ (loop & 15u)];
#else
            SHARE(index, mix[0], loop & 15u, 16);
            const u32x4 row = ENTRY(index % ENTRIES)[lane ^ (loop & 15u)];
#endif
            ROW_REQUESTED();
#define MIX_CHANGED(r) CHANGED(mix[r]);
            EACH_REGISTER(MIX_CHANGED)
#if READS_POSITION_OR_SEED
            run_period(mix, l1, row, lane + loop * 16u, selectors);
#else
            run_period(mix, l1, row);
#endif
        }

        u32 lane_hash = FNV_BASIS;
#define REDUCE(r) lane_hash = FNV1A(lane_hash, mix[r]);
        EACH_REGISTER(REDUCE)
        for (u32 i = 0; i < 8u; i++) {
            u32 a, b;
            SHARE(a, lane_hash, i, 16);
            SHARE(b, lane_hash, i + 8u, 16);
            if (lane == turn_of)
                mix_hash[i] = FNV1A(FNV1A(FNV_BASIS, a), b);
        }
    }
#if ABSORBS_NONCE
    put_nonce(state, first + offset); /* only now: it need not stay in registers */
#endif
    absorb_mix(state, header, mix_hash);
    report(results, target, offset, state, mix_hash[0]);
}
