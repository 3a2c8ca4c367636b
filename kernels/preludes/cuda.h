/* The kernels' vocabulary in CUDA C++. Intrinsics occur in preludes only. */
typedef unsigned int u32;
typedef unsigned long long u64;
typedef uint4 u32x4;

/* GROUPS_AT_ONCE: groups that must fit on a multiprocessor; fewer leave more registers each. */
#ifdef GROUPS_AT_ONCE
#define KERNEL extern "C" __global__ void __launch_bounds__(GROUP_SIZE, GROUPS_AT_ONCE)
#else
#define KERNEL extern "C" __global__ void __launch_bounds__(GROUP_SIZE)
#endif
#define INLINE static __device__ __forceinline__
#define GLOBAL
#define CONSTANT __constant__ const
#define RESTRICT __restrict__
#define SHARED
#define SHARED_ARRAY(type, name, count) __shared__ type name[count]

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

/* Behind the request of a dataset row: no instruction moves across it. */
#define ROW_REQUESTED()

/* Where registers are scarce: `variable` counts as changed. */
#define CHANGED(variable)

/* SHARE: set `out` to `value` of thread `source` among `peers` neighbouring threads. */
#define EXCHANGE(peers)
#define SHARE(out, value, source, peers)                                                        \
    out = __shfl_sync(0xffffffffu, (value), (int)(source), (peers))
