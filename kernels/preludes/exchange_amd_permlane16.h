/* Neighbouring threads read each other's registers by v_permlane16, which RDNA has: each nibble of
   the two selectors names the lane, in its row of 16, that one lane reads. Left out where the
   compiler does not have it. */
#if !defined(SHARE) && (defined(__GFX10__) || defined(__GFX11__) || defined(__GFX12__))
#if __has_builtin(__builtin_amdgcn_permlane16)
#define SUBGROUP
#define EXCHANGE(peers)
/* Nibbles: the first peer of each lane. */
#define FIRST_PEERS_LOW(peers) ((peers) == 4 ? 0x44440000u : 0u)
#define FIRST_PEERS_HIGH(peers) ((peers) == 4 ? 0xcccc8888u : (peers) == 8 ? 0x88888888u : 0u)
/* LLVM 19 moves the instruction into a branch that only some lanes take, where the others have
   nothing to read: the empty statement behind it keeps it where all lanes are active. */
#define SHARE(out, value, source, peers)                                                        \
    do {                                                                                        \
        out = __builtin_amdgcn_permlane16(                                                      \
            0u, (value), FIRST_PEERS_LOW(peers) + (source) * 0x11111111u,                       \
            FIRST_PEERS_HIGH(peers) + (source) * 0x11111111u, true, false);                     \
        __asm__ volatile("" : "+v"(out));                                                       \
    } while (0)
#endif
#endif
