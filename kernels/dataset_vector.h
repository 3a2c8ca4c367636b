/* Dataset nodes on CPUs: a thread computes NODES of them side by side, each in one vector. */
#define WORD uint16
#define PRIME 0x01000193u

static inline uint16 hash_node(uint16 node)
{
    u64 block[8];
    vstore8(as_ulong8(node), 0, block);
    keccak_512(block);
    return as_uint16(vload8(0, block));
}

KERNEL dataset(GLOBAL const uint16 *RESTRICT light, GLOBAL uint16 *out, u32 first, u32 count,
               u32 out_first)
{
    const u32 number = (GROUP * GROUP_SIZE + THREAD) * NODES;
    uint16 node[NODES];
    for (u32 t = 0; t < NODES; t++) {
        node[t] = light[(first + number + t) % LIGHT_ITEMS];
        node[t].s0 ^= first + number + t;
        node[t] = hash_node(node[t]);
    }
#define PARENT(word, k)                                                                         \
    for (u32 t = 0; t < NODES; t++) {                                                           \
        const u32 i = first + number + t;                                                       \
        const u32 parent = (((i ^ (j + (k))) * PRIME) ^ node[t].word) % LIGHT_ITEMS;            \
        node[t] = (node[t] * PRIME) ^ light[parent];                                            \
    }
    for (u32 j = 0; j < PARENTS; j += 16u) {
        PARENT(s0, 0)
        PARENT(s1, 1)
        PARENT(s2, 2)
        PARENT(s3, 3)
        PARENT(s4, 4)
        PARENT(s5, 5)
        PARENT(s6, 6)
        PARENT(s7, 7)
        PARENT(s8, 8)
        PARENT(s9, 9)
        PARENT(sa, 10)
        PARENT(sb, 11)
        PARENT(sc, 12)
        PARENT(sd, 13)
        PARENT(se, 14)
        PARENT(sf, 15)
    }
    for (u32 t = 0; t < NODES; t++)
        if (number + t < count)
            out[first + number + t - out_first] = hash_node(node[t]);
}
