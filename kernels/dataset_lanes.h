/* Dataset nodes on GPUs: four threads compute one 64-byte node, each 4 of its 16 words. */
#define WORD u32
#define PRIME 0x01000193u

KERNEL dataset(GLOBAL const u32x4 *RESTRICT light, GLOBAL u32x4 *out, u32 first, u32 count,
               u32 out_first)
{
    SHARED_ARRAY(u32x4, words, GROUP_SIZE);
    EXCHANGE(4);
    const u32 part = THREAD & 3u;
    const u32 number = (GROUP * GROUP_SIZE + THREAD) >> 2;
    /* Threads past the end repeat the last node, so that barriers stay uniform. */
    const u32 node = first + (number < count ? number : count - 1u);
    u32x4 own = light[(u64)(node % LIGHT_ITEMS) * 4 + part];
    if (part == 0u)
        own.x ^= node;

#define HASH_NODE()                                                                             \
    do {                                                                                        \
        u64 block[8];                                                                           \
        words[THREAD] = own;                                                                    \
        BARRIER();                                                                              \
        for (u32 i = 0; i < 4u; i++) {                                                          \
            const u32x4 other = words[(THREAD & ~3u) + i];                                      \
            block[2 * i] = (u64)other.x | (u64)other.y << 32;                                   \
            block[2 * i + 1] = (u64)other.z | (u64)other.w << 32;                               \
        }                                                                                       \
        keccak_512(block);                                                                      \
        BARRIER();                                                                              \
        for (u32 i = 0; i < 4u; i++)                                                            \
            if (i == part) {                                                                    \
                own.x = (u32)block[2 * i];                                                      \
                own.y = (u32)(block[2 * i] >> 32);                                              \
                own.z = (u32)block[2 * i + 1];                                                  \
                own.w = (u32)(block[2 * i + 1] >> 32);                                          \
            }                                                                                   \
    } while (0)

    HASH_NODE();
#define PARENT(word, k)                                                                         \
    do {                                                                                        \
        u32 chosen;                                                                             \
        SHARE(chosen, word, (u32)(k) / 4u, 4);                                                  \
        const u32 parent = (((node ^ (j + (k))) * PRIME) ^ chosen) % LIGHT_ITEMS;               \
        const u32x4 other = light[(u64)parent * 4 + part];                                      \
        own.x = (own.x * PRIME) ^ other.x;                                                      \
        own.y = (own.y * PRIME) ^ other.y;                                                      \
        own.z = (own.z * PRIME) ^ other.z;                                                      \
        own.w = (own.w * PRIME) ^ other.w;                                                      \
    } while (0)
#pragma unroll 1
    for (u32 j = 0; j < PARENTS; j += 16u) {
        PARENT(own.x, 0);
        PARENT(own.y, 1);
        PARENT(own.z, 2);
        PARENT(own.w, 3);
        PARENT(own.x, 4);
        PARENT(own.y, 5);
        PARENT(own.z, 6);
        PARENT(own.w, 7);
        PARENT(own.x, 8);
        PARENT(own.y, 9);
        PARENT(own.z, 10);
        PARENT(own.w, 11);
        PARENT(own.x, 12);
        PARENT(own.y, 13);
        PARENT(own.z, 14);
        PARENT(own.w, 15);
    }
    HASH_NODE();
    if (number < count)
        out[(u64)(node - out_first) * 4 + part] = own;
}
