/* The kernels' vocabulary in CUDA C++. Intrinsics occur in preludes only. */
typedef unsigned int u32;
typedef unsigned long long u64;
typedef uint4 u32x4;

/* GROUPS_AT_ONCE: groups that must fit on a multiprocessor; fewer leave more registers each. */
#if defined(ROOMIER) && !defined(GROUPS_AT_ONCE)
#define GROUPS_AT_ONCE 3
#endif
#ifdef GROUPS_AT_ONCE
#define KERNEL extern "C" __global__ void __launch_bounds__(GROUP_SIZE, GROUPS_AT_ONCE)
#else
#define KERNEL extern "C" __global__ void __launch_bounds__(GROUP_SIZE)
#endif
#define INLINE static __device__ __forceinline__
#define GLOBAL
#define CONSTANT __constant__ const
#define RESTRICT __restrict__
#define UNROLLED _Pragma("unroll")
#define SHARED
#if DYNAMIC_SHARED
#define SHARED_ARRAY(type, name, count) extern __shared__ type name[]
#else
#define SHARED_ARRAY(type, name, count) __shared__ type name[count]
#endif

/* READ_SHARED reads the word `offset` bytes after a SHARED_ADDRESS, which is word `copy` of `base`.
   Addresses have 32 bits here; for pointers, the compiler computes 64, on sm_120 at each read. */
#ifdef __CUDA_ARCH__
typedef struct {
    u32 base, copy;
} shared_t;
INLINE shared_t shared_address(const u32 *base, u32 copy)
{
    shared_t address = {(u32)__cvta_generic_to_shared(base), copy * 4u};
#if MULTIPLIED
    address.copy += address.base;
#endif
    asm volatile("mov.u32 %0, %0;" : "+r"(address.copy)); /* computed once, not at each read */
    return address;
}
INLINE u32 read_shared(u32 address)
{
    u32 word;
    asm("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address));
    return word;
}
#define SHARED_ADDRESS(base, copy) shared_address(base, copy)
#if MULTIPLIED
#define READ_SHARED(address, offset) read_shared((address).copy + (offset))
#else
/* Mask and copy are one instruction; the base, a constant, is part of the load. */
#define READ_SHARED(address, offset) read_shared((address).base + ((offset) | (address).copy))
#endif
#else
typedef const u32 *shared_t;
#define SHARED_ADDRESS(base, copy) ((base) + (copy))
#define READ_SHARED(pointer, offset) (pointer)[(offset) / 4u]
#endif

/* The host could write these words, so the compiler cannot compute with them. */
#if MULTIPLIED
__constant__ u32 L1_FACTORS[2] = {1u << 20, COPIES << 14};
#endif
#if ORDERED
__constant__ u32 NEVER = 0u;
#endif

#define THREAD (threadIdx.x)
#define GROUP (blockIdx.x)
#define BARRIER() __syncthreads()
#define ATOMIC_INCREMENT(pointer) atomicAdd((pointer), 1u)

/* Funnel shifts reduce the amount mod 32. */
#define rotl32(x, n) __funnelshift_l((x), (x), (n))
#define rotr32(x, n) __funnelshift_r((x), (x), (n))
#define rotl64(x, n) (((x) << (n)) | ((x) >> (64 - (n))))
#define mul_hi32(a, b) __umulhi((a), (b))
#define min32(a, b) min((a), (b))
#define clz32(a) ((u32)__clz((int)(a)))
#define popcount32(a) ((u32)__popc(a))
#define mad33(a, b) ((a) * 33u + (b))

/* Barriers for the compiler, after the request of a dataset row and before the row's use. */
#if ORDERED
#define ROW_REQUESTED()                                                                         \
    if (NEVER)                                                                              \
    __threadfence_block()
#define ROW_USED() ROW_REQUESTED()
#else
#define ROW_REQUESTED()
#define ROW_USED()
#endif

/* Only where registers are scarce: the compiler must assume that `variable` has changed. */
#define CHANGED(variable)

/* SHARE: set `out` to `value` of thread `source` among `peers` neighbouring threads. */
#define EXCHANGE(peers)
#define SHARE(out, value, source, peers)                                                        \
    out = __shfl_sync(0xffffffffu, (value), (int)(source), (peers))
