/* Micro-benchmarks, one kernel each: random rows of a dataset, random words of the cache,
   arithmetic. ASKED selects the kernel to compile. */
typedef unsigned int u32;
typedef unsigned long long u64;

#define FILL 0
#define ROWS 1
#define CACHE 2
#define ARITHMETIC 3

#if ASKED == FILL
/* Pseudo-random words, which memory cannot compress. */
extern "C" __global__ void fill(uint4 *data, u64 count)
{
    const u64 stride = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        u32 x = (u32)(i ^ (i >> 32)) * 0x9e3779b1u;
        x ^= x >> 16;
        x *= 0x85ebca6bu;
        data[i] = make_uint4(x, x * 0xc2b2ae35u, x ^ 0xdeadbeefu, x * 0x27d4eb2fu);
    }
}
#elif ASKED == ROWS
/* As in a hash: 16 threads read 256 bytes, and the words decide the next row. */
extern "C" __global__ void rows(const uint4 *data, u32 count, u32 steps, u32 *out)
{
    const u32 lane = threadIdx.x & 15u;
    u32 x = (blockIdx.x * blockDim.x + threadIdx.x) * 0x9e3779b1u, kept = 0u;
    for (u32 i = 0; i < steps; i++) {
        const u32 row = __shfl_sync(0xffffffffu, x, i & 15u, 16) % count;
        const uint4 words = data[(u64)row * 16 + (lane ^ (i & 15u))];
        x = x * 33u + words.x;
        kept ^= words.y + words.z + words.w;
    }
    if (x + kept == 1u)
        out[0] = x;
}
#elif ASKED == CACHE
/* 32 threads read 32 random words of a cache of 4,096 words; each bank group has a copy. */
extern "C" __global__ void cache(u32 steps, u32 *out, u64 *cycles)
{
    extern __shared__ u32 words[];
    for (u32 i = threadIdx.x; i < 4096u * COPIES; i += blockDim.x)
        words[i] = i / COPIES * 0x9e3779b1u;
    __syncthreads();
    const u32 copy = threadIdx.x % COPIES;
    u32 x[4];
    for (u32 j = 0; j < 4u; j++)
        x[j] = (threadIdx.x * 4u + j) * 0x85ebca6bu;
    const u64 began = clock64();
    for (u32 i = 0; i < steps; i++)
#pragma unroll
        for (u32 j = 0; j < 4u; j++)
            x[j] = x[j] * 33u + words[(x[j] >> 7 & 4095u) * COPIES + copy];
    __syncthreads();
    if (threadIdx.x == 0u)
        cycles[blockIdx.x] = clock64() - began;
    if ((x[0] ^ x[1] ^ x[2] ^ x[3]) == 1u)
        out[0] = 1u;
}
#else
/* Eight independent chains per thread, so that latency does not limit the rate. */
extern "C" __global__ void arithmetic(u32 steps, u32 *out, u64 *cycles, u32 m)
{
    u32 x[8];
    for (u32 j = 0; j < 8u; j++)
        x[j] = threadIdx.x * j + 1u;
    __syncthreads();
    const u64 began = clock64();
    for (u32 i = 0; i < steps; i++)
#pragma unroll
        for (u32 j = 0; j < 8u; j++)
            x[j] = OPERATION(x[j], x[(j + 1u) % 8u]);
    __syncthreads();
    if (threadIdx.x == 0u)
        cycles[blockIdx.x] = clock64() - began;
    u32 all = 0u;
    for (u32 j = 0; j < 8u; j++)
        all ^= x[j];
    if (all == 1u)
        out[0] = all;
}
#endif
