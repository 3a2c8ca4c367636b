/* The kernels' vocabulary in OpenCL C 1.2. Words of single compilers occur in preludes only. */
typedef uint u32;
typedef ulong u64;
typedef uint4 u32x4;

#define KERNEL __kernel WAVES SUBGROUP __attribute__((reqd_work_group_size(GROUP_SIZE, 1, 1))) void
#define INLINE static inline
#define GLOBAL __global
#define CONSTANT __constant
#define RESTRICT restrict
#define UNROLLED _Pragma("unroll")
#define SHARED __local
#define SHARED_ARRAY(type, name, count) __local type name[count]
typedef __local const u32 *shared_t;
#define SHARED_ADDRESS(base, copy) ((base) + (copy))
#define READ_SHARED(pointer, offset) (pointer)[(offset) / 4u]
#if MULTIPLIED
__constant u32 L1_FACTORS[2] = {1u << 20, COPIES << 14};
#endif

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
#define mad33(a, b) ((a) * 33u + (b))

/* Fetch a unit of up to 64 bytes, or an entry of 256 bytes, into a CPU's caches. The `prefetch` of
   PoCL, which compiles for the CPU itself, does nothing. Rusticl, which compiles for SPIR-V, ends
   the process at a builtin that is not OpenCL's. */
#if defined(__x86_64__) || defined(__aarch64__)
#define PREFETCH_UNIT(unit) __builtin_prefetch((GLOBAL const void *)(unit))
#define PREFETCH(entry)                                                                         \
    PREFETCH_UNIT(entry);                                                                       \
    PREFETCH_UNIT((entry) + 4);                                                                 \
    PREFETCH_UNIT((entry) + 8);                                                                 \
    PREFETCH_UNIT((entry) + 12)
#else
#define PREFETCH_UNIT(unit) prefetch((unit), 1)
#define PREFETCH(entry) prefetch((entry), 16)
#endif

/* Barriers for the compiler, after the request of a dataset row and before the row's use. */
#define ROW_REQUESTED()
#define ROW_USED()

/* Only where registers are scarce: the compiler must assume that `variable` has changed, so that no
   register keeps a value computed from it from one loop to the next. */
#define CHANGED(variable)

/* Waves per SIMD that AMD's compiler leaves registers for. */
#define WAVES
#ifdef __AMDGCN__
#if __has_builtin(__builtin_amdgcn_sched_barrier)
#undef ROW_REQUESTED
#undef ROW_USED
#define ROW_REQUESTED() __builtin_amdgcn_sched_barrier(0)
#define ROW_USED() __builtin_amdgcn_sched_barrier(0)
#endif
#ifdef AMD_WAVES
#undef WAVES
#define WAVES __attribute__((amdgpu_waves_per_eu(AMD_WAVES, AMD_WAVES)))
#undef CHANGED
#define CHANGED(variable) __asm__ volatile("" : "+v"(variable))
#endif
/* LLVM would make this one multiplication of 64 bits, which has a quarter of the rate and takes
   pairs of registers. The empty statement prevents that. On RDNA 3 and 4, which have enough
   registers, it would cost more of them. */
#if !defined(__GFX11__) && !defined(__GFX12__)
#undef mad33
#define mad33(a, b)                                                                             \
    ({                                                                                          \
        __typeof__((a) << 5) times33 = ((a) << 5) + (a);                                        \
        __asm__("" : "+v"(times33));                                                            \
        times33 + (b);                                                                          \
    })
#endif
#endif
