/* Search for GPUs. A thread has one nonce; PEERS neighbouring threads hash their nonces one after
   the other. Each of them computes OWN_LANES of the 16 lanes of a hash: `lane`, `lane` + PEERS and
   so on. */
#define PEERS (16u / OWN_LANES)

KERNEL search(DATASET, GLOBAL const u32 *RESTRICT header, u64 first, u64 target,
              GLOBAL u32 *results, GLOBAL const volatile u32 *stop, u32 launch)
{
    SHARED_ARRAY(u32, shared, SHARED_WORDS);
    EXCHANGE(PEERS);
    const u32 lane = THREAD & (PEERS - 1u);
    const u32 offset = GROUP * GROUP_SIZE + THREAD;

    /* All threads of a group meet at barriers, so one decides for all. */
    if (THREAD == 0u)
        shared[0] = begin_group(stop, launch, results);
    BARRIER();
    const u32 begun = shared[0];
    BARRIER();
    if (!begun)
        return;
    /* Copy c of the L1 cache lies in the banks whose number mod COPIES is c. */
    for (u32 i = THREAD; i < L1_WORDS * COPIES; i += GROUP_SIZE)
        shared[i] = ((GLOBAL const u32 *)dataset0)[i / COPIES];
    const L1 l1 = SHARED_ADDRESS(shared, THREAD % COPIES);

    u32 state[25];
    absorb_header(state, header, first + offset);
#if PARKED
    /* Word i of all threads, one after the other: 0 to 7 are the digest, 8 to 15 the mix hash. */
    SHARED u32 *const parked = shared + L1_WORDS * COPIES;
    for (u32 i = 0; i < 8u; i++)
        parked[i * GROUP_SIZE + THREAD] = state[i];
#else
    const u32 seed_low = SEED_LOW(state), seed_high = SEED_HIGH(state);
#if READS_POSITION_OR_SEED
    const u32 own_selectors = SELECTORS(state);
#endif
    u32 mix_hash[8];
    for (int i = 0; i < 8; i++)
        mix_hash[i] = 0;
#endif
    BARRIER();

#pragma unroll 1
    for (u32 turn_of = 0; turn_of < PEERS; turn_of++) {
#if PARKED
        u32 digest[4];
        for (u32 i = 0; i < 4u; i++)
            digest[i] = parked[i * GROUP_SIZE + THREAD - lane + turn_of];
        const u32 low = SEED_LOW(digest), high = SEED_HIGH(digest);
#else
        u32 low, high;
        SHARE(low, seed_low, turn_of, PEERS);
        SHARE(high, seed_high, turn_of, PEERS);
#endif
        u32 mix[OWN_LANES][REGISTERS];
        EACH_OWN_LANE {
            u32 z = FNV1A(FNV_BASIS, low);
            u32 w = FNV1A(z, high);
            u32 jsr = FNV1A(w, lane + own * PEERS);
            u32 jcong = FNV1A(jsr, lane + own * PEERS);
#define FILL(r)                                                                                 \
    KISS99_STEP();                                                                              \
    mix[own][r] = (((z << 16) + w) ^ jcong) + jsr;
            EACH_REGISTER(FILL)
        }
#if READS_POSITION_OR_SEED
#if PARKED
        const u32 selectors = SELECTORS(digest);
#else
        u32 selectors;
        SHARE(selectors, own_selectors, turn_of, PEERS);
#endif
#endif

#pragma unroll 1
        for (u32 loop = 0; loop < DAG_LOOPS; loop++) {
            u32 index;
#if SEVERAL_LANES
            u32 own_index = 0; /* masked: with a choice, compilers would put mix into memory */
            EACH_OWN_LANE
                own_index |= mix[own][0] & (0u - (u32)(ENTRY_LANE(loop) / PEERS == own));
            SHARE(index, own_index, ENTRY_LANE(loop) % PEERS, PEERS);
#else
            SHARE(index, mix[0][0], ENTRY_LANE(loop), PEERS);
#endif
            GLOBAL const u32x4 *entry = ENTRY(ENTRY_INDEX(index, loop) % ENTRIES);
            u32x4 row[OWN_LANES];
            EACH_OWN_LANE
                row[own] = entry[(lane + own * PEERS) ^ (loop & 15u)];
            ROW_REQUESTED();
#define MIX_CHANGED(r) CHANGED(mix[own][r]);
            EACH_OWN_LANE {
                EACH_REGISTER(MIX_CHANGED)
            }
#if READS_POSITION_OR_SEED
            run_period(mix, l1, row, lane + loop * 16u, selectors);
#else
            run_period(mix, l1, row);
#endif
        }

        u32 lane_hash[OWN_LANES];
        EACH_OWN_LANE {
            lane_hash[own] = FNV_BASIS;
#define REDUCE(r) lane_hash[own] = FNV1A(lane_hash[own], mix[own][r]);
            EACH_REGISTER(REDUCE)
        }
        for (u32 i = 0; i < 8u; i++) {
            u32 a, b;
            SHARE(a, lane_hash[i / PEERS], i % PEERS, PEERS);
            SHARE(b, lane_hash[(i + 8u) / PEERS], (i + 8u) % PEERS, PEERS);
            if (lane == turn_of)
#if PARKED
                parked[(8u + i) * GROUP_SIZE + THREAD] = FNV1A(FNV1A(FNV_BASIS, a), b);
#else
                mix_hash[i] = FNV1A(FNV1A(FNV_BASIS, a), b);
#endif
        }
    }
#if PARKED
    u32 mix_hash[8];
    for (u32 i = 0; i < 8u; i++) {
        state[i] = parked[i * GROUP_SIZE + THREAD];
        mix_hash[i] = parked[(8u + i) * GROUP_SIZE + THREAD];
    }
#endif
#if ABSORBS_NONCE
    put_nonce(state, first + offset); /* only now: it need not stay in registers */
#endif
    absorb_mix(state, header, mix_hash);
    report(results, target, offset, state, mix_hash[0]);
}
