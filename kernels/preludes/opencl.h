/* The kernels' vocabulary in OpenCL C 1.2 (sub-groups: the KHR extension). */
typedef uint u32;
typedef ulong u64;
typedef uint4 u32x4;

#define KERNEL __kernel __attribute__((reqd_work_group_size(GROUP_SIZE, 1, 1))) void
#define INLINE static inline
#define GLOBAL __global
#define CONSTANT __constant
#define RESTRICT restrict
#define SHARED __local
#define SHARED_ARRAY(type, name, count) __local type name[count]

#define THREAD ((u32)get_local_id(0))
#define GROUP ((u32)get_group_id(0))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define ATOMIC_INCREMENT(pointer) atomic_inc(pointer)

#define rotl32(x, n) rotate((x), (WORD)(n))
#define rotr32(x, n) rotate((x), (WORD)(32u) - (WORD)(n))
#define rotl64(x, n) rotate((x), (u64)(n))
#define mul_hi32(a, b) mul_hi((a), (b))
#define min32(a, b) min((a), (b))
#define clz32(a) clz(a)
#define popcount32(a) popcount(a)

/* SHARE: set `out` to `value` of thread `source` among `peers` neighbouring threads. */
#if SUBGROUPS
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable
#define EXCHANGE(peers)
#define SHARE(out, value, source, peers)                                                        \
    out = sub_group_shuffle((value), (get_sub_group_local_id() & ~((peers) - 1u)) | (source))
#else
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
