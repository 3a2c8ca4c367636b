/* Neighbouring threads exchange words through local memory, between barriers.
   SHARE: set `out` to `value` of thread `source` among `peers` neighbouring threads; all threads
   of a group have the same `source`. */
#ifndef SHARE
#define SUBGROUP
/* Two slots suffice: no thread is more than one exchange ahead of another. */
#define EXCHANGE(peers)                                                                         \
    __local u32 exchange[2][GROUP_SIZE / (peers)];                                              \
    u32 turn = 0u
#define SHARE(out, value, source, peers)                                                        \
    do {                                                                                        \
        if ((THREAD & ((peers) - 1u)) == (source))                                              \
            exchange[turn][THREAD / (peers)] = (value);                                         \
        BARRIER();                                                                              \
        out = exchange[turn][THREAD / (peers)];                                                 \
        turn ^= 1u;                                                                             \
    } while (0)
#endif
