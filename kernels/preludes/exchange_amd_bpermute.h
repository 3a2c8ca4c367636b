/* Neighbouring threads read each other's registers by ds_bpermute, which addresses the lanes of a
   wave in bytes and needs no local memory. Left out where the compiler does not have it. */
#if !defined(SHARE) && defined(__AMDGCN__)
#if __has_builtin(__builtin_amdgcn_ds_bpermute) && __has_builtin(__builtin_amdgcn_wavefrontsize)
#define SUBGROUP
#define IN_WAVE (THREAD & ((u32)__builtin_amdgcn_wavefrontsize() - 1u))
#define EXCHANGE(peers) const u32 first_peer = (IN_WAVE & ~((peers) - 1u)) << 2
/* A constant lane is part of the instruction, unless LLVM keeps the sum in a register. */
#define SHARE(out, value, source, peers)                                                        \
    do {                                                                                        \
        u32 base = first_peer;                                                                  \
        CHANGED(base);                                                                          \
        out = (u32)__builtin_amdgcn_ds_bpermute((int)(base + ((source) << 2)), (int)(value));   \
    } while (0)
#endif
#endif
