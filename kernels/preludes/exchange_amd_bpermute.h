/* Neighbouring threads read each other's registers by ds_bpermute, which addresses the lanes of a
   wave in bytes and needs no local memory. Left out where the compiler does not have it. */
#if !defined(SHARE) && defined(__AMDGCN__)
#if __has_builtin(__builtin_amdgcn_ds_bpermute) && __has_builtin(__builtin_amdgcn_wavefrontsize)
#define SUBGROUP
#define EXCHANGE(peers)
#define FIRST_PEER(peers) (THREAD & ((u32)__builtin_amdgcn_wavefrontsize() - 1u) & ~((peers) - 1u))
#define SHARE(out, value, source, peers)                                                        \
    out = (u32)__builtin_amdgcn_ds_bpermute(                                                    \
        (int)((FIRST_PEER(peers) | (source)) << 2), (int)(value))
#endif
#endif
