/* Dataset nodes on CPUs: a thread computes NODES of them side by side, a multiple of 8. They wait
   in memory, not in registers: so the word that names a parent is read at a variable index, and
   the loop over the words stays small. */
#define FNV(a, b) (((a) * 0x01000193u) ^ (b))

typedef union {
    uint16 vector[NODES];
    u32 word[NODES][16];
    u64 block[NODES][8];
} nodes_t;

/* Keccak-512 of each node, 8 nodes at a time: a vector has the same lane of each. */
static inline void hash_nodes(nodes_t *node)
{
#define ROTL_LANES(x, n) rotate((x), (ulong8)(n))
    for (u32 t = 0; t < NODES; t += 8) {
        ulong8 s[25];
        u64 lane[8];
        for (u32 i = 0; i < 8; i++) {
            for (u32 k = 0; k < 8; k++)
                lane[k] = node->block[t + k][i];
            s[i] = vload8(0, lane);
        }
        for (u32 i = 8; i < 25; i++)
            s[i] = 0;
        s[8] = 0x8000000000000001; /* the padding, as in keccak_512 */
#pragma unroll 1
        for (u32 r = 0; r < 24; r++) {
            KECCAK_ROUND(ulong8, ROTL_LANES, s)
            s[0] ^= KECCAK_ROUNDS[r];
        }
        for (u32 i = 0; i < 8; i++) {
            vstore8(s[i], 0, lane);
            for (u32 k = 0; k < 8; k++)
                node->block[t + k][i] = lane[k];
        }
    }
}

KERNEL dataset(GLOBAL const uint16 *RESTRICT light, GLOBAL uint16 *out, u32 first, u32 count,
               u32 out_first)
{
    const u32 number = (GROUP * GROUP_SIZE + THREAD) * NODES;
    const u32 base = first + number;
    nodes_t node;
    for (u32 t = 0; t < NODES; t++) {
        node.vector[t] = light[(base + t) % LIGHT_ITEMS];
        node.word[t][0] ^= base + t;
    }
    hash_nodes(&node);
#pragma unroll 1
    for (u32 j = 0; j < PARENTS; j++) {
        u32 parent[NODES];
#pragma unroll NODES
        for (u32 t = 0; t < NODES; t++) {
            parent[t] = FNV((base + t) ^ j, node.word[t][j & 15u]) % LIGHT_ITEMS;
            PREFETCH_UNIT(light + parent[t]);
        }
#pragma unroll NODES
        for (u32 t = 0; t < NODES; t++)
            node.vector[t] = FNV(node.vector[t], light[parent[t]]);
    }
    hash_nodes(&node);
    for (u32 t = 0; t < NODES; t++)
        if (number + t < count)
            out[base + t - out_first] = node.vector[t];
}
