// The host's hashing in plain C++, with which host.py compares the numba code.
//
// Written from the description of the algorithm: the light cache (as in ethash: a chain of
// keccak512, then three rounds of mixing) and dataset entries (four 64-byte nodes, each mixed
// from `parents` items of the light cache). `entries` fills the 64 entries that one light
// verification reads. The rest of a verification is not here: two keccak-f800 and the program of
// the period, about an eighth of the time of the numba code.

#include <cstddef>
#include <cstdint>

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u32 prime = 0x01000193;
constexpr int nodes = 4;  // of an entry

// A light cache item or a node. Rows are vectors by type (g++ and clang++ extension), so that
// host.py can switch off automatic vectorisation, which halves the speed of clang's keccak.
typedef u32 Row __attribute__((vector_size(64)));
union Block {
    Row row;
    u64 lane[8];
};

constexpr u64 round_constant[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

inline u64 rotl(u64 x, int n) { return x << n | x >> (64 - n); }

// Lane x + 5 y has the name a(x + 5 y): an array instead is an eighth slower.
inline void keccak_f1600(u64 *s)
{
    u64 a0 = s[0], a1 = s[1], a2 = s[2], a3 = s[3], a4 = s[4];
    u64 a5 = s[5], a6 = s[6], a7 = s[7], a8 = s[8], a9 = s[9];
    u64 a10 = s[10], a11 = s[11], a12 = s[12], a13 = s[13], a14 = s[14];
    u64 a15 = s[15], a16 = s[16], a17 = s[17], a18 = s[18], a19 = s[19];
    u64 a20 = s[20], a21 = s[21], a22 = s[22], a23 = s[23], a24 = s[24];
    for (u64 constant : round_constant) {
        const u64 c0 = a0 ^ a5 ^ a10 ^ a15 ^ a20;
        const u64 c1 = a1 ^ a6 ^ a11 ^ a16 ^ a21;
        const u64 c2 = a2 ^ a7 ^ a12 ^ a17 ^ a22;
        const u64 c3 = a3 ^ a8 ^ a13 ^ a18 ^ a23;
        const u64 c4 = a4 ^ a9 ^ a14 ^ a19 ^ a24;
        const u64 d0 = c4 ^ rotl(c1, 1);
        const u64 d1 = c0 ^ rotl(c2, 1);
        const u64 d2 = c1 ^ rotl(c3, 1);
        const u64 d3 = c2 ^ rotl(c4, 1);
        const u64 d4 = c3 ^ rotl(c0, 1);
        const u64 b0 = a0 ^ d0;
        const u64 b16 = rotl(a5 ^ d0, 36);
        const u64 b7 = rotl(a10 ^ d0, 3);
        const u64 b23 = rotl(a15 ^ d0, 41);
        const u64 b14 = rotl(a20 ^ d0, 18);
        const u64 b10 = rotl(a1 ^ d1, 1);
        const u64 b1 = rotl(a6 ^ d1, 44);
        const u64 b17 = rotl(a11 ^ d1, 10);
        const u64 b8 = rotl(a16 ^ d1, 45);
        const u64 b24 = rotl(a21 ^ d1, 2);
        const u64 b20 = rotl(a2 ^ d2, 62);
        const u64 b11 = rotl(a7 ^ d2, 6);
        const u64 b2 = rotl(a12 ^ d2, 43);
        const u64 b18 = rotl(a17 ^ d2, 15);
        const u64 b9 = rotl(a22 ^ d2, 61);
        const u64 b5 = rotl(a3 ^ d3, 28);
        const u64 b21 = rotl(a8 ^ d3, 55);
        const u64 b12 = rotl(a13 ^ d3, 25);
        const u64 b3 = rotl(a18 ^ d3, 21);
        const u64 b19 = rotl(a23 ^ d3, 56);
        const u64 b15 = rotl(a4 ^ d4, 27);
        const u64 b6 = rotl(a9 ^ d4, 20);
        const u64 b22 = rotl(a14 ^ d4, 39);
        const u64 b13 = rotl(a19 ^ d4, 8);
        const u64 b4 = rotl(a24 ^ d4, 14);
        a0 = b0 ^ (~b1 & b2) ^ constant;
        a1 = b1 ^ (~b2 & b3);
        a2 = b2 ^ (~b3 & b4);
        a3 = b3 ^ (~b4 & b0);
        a4 = b4 ^ (~b0 & b1);
        a5 = b5 ^ (~b6 & b7);
        a6 = b6 ^ (~b7 & b8);
        a7 = b7 ^ (~b8 & b9);
        a8 = b8 ^ (~b9 & b5);
        a9 = b9 ^ (~b5 & b6);
        a10 = b10 ^ (~b11 & b12);
        a11 = b11 ^ (~b12 & b13);
        a12 = b12 ^ (~b13 & b14);
        a13 = b13 ^ (~b14 & b10);
        a14 = b14 ^ (~b10 & b11);
        a15 = b15 ^ (~b16 & b17);
        a16 = b16 ^ (~b17 & b18);
        a17 = b17 ^ (~b18 & b19);
        a18 = b18 ^ (~b19 & b15);
        a19 = b19 ^ (~b15 & b16);
        a20 = b20 ^ (~b21 & b22);
        a21 = b21 ^ (~b22 & b23);
        a22 = b22 ^ (~b23 & b24);
        a23 = b23 ^ (~b24 & b20);
        a24 = b24 ^ (~b20 & b21);
    }
    s[0] = a0;
    s[1] = a1;
    s[2] = a2;
    s[3] = a3;
    s[4] = a4;
    s[5] = a5;
    s[6] = a6;
    s[7] = a7;
    s[8] = a8;
    s[9] = a9;
    s[10] = a10;
    s[11] = a11;
    s[12] = a12;
    s[13] = a13;
    s[14] = a14;
    s[15] = a15;
    s[16] = a16;
    s[17] = a17;
    s[18] = a18;
    s[19] = a19;
    s[20] = a20;
    s[21] = a21;
    s[22] = a22;
    s[23] = a23;
    s[24] = a24;
}

// One 64-byte block with the original padding, 0x01 … 0x80.
inline void keccak512(u64 *block)
{
    u64 s[25] = {};
    for (int i = 0; i < 8; i++)
        s[i] = block[i];
    s[8] = 0x8000000000000001;
    keccak_f1600(s);
    for (int i = 0; i < 8; i++)
        block[i] = s[i];
}

}  // namespace

extern "C" {

// Fill `n` items; `seed` is 32 bytes.
void light_cache(Block *cache, u32 n, const u64 *seed)
{
    u64 s[25] = {};
    for (int i = 0; i < 4; i++)
        s[i] = seed[i];
    s[4] = 1;
    s[8] = 0x8000000000000000;
    keccak_f1600(s);
    for (int i = 0; i < 8; i++)
        cache[0].lane[i] = s[i];
    for (u32 i = 1; i < n; i++) {
        cache[i] = cache[i - 1];
        keccak512(cache[i].lane);
    }
    for (int turn = 0; turn < 3; turn++)
        for (u32 i = 0; i < n; i++) {
            const Block &before = cache[i ? i - 1 : n - 1], &other = cache[cache[i].row[0] % n];
            Block mixed;
            for (int k = 0; k < 8; k++)
                mixed.lane[k] = before.lane[k] ^ other.lane[k];
            keccak512(mixed.lane);
            cache[i] = mixed;
        }
}

// Fill `count` entries of four nodes, those that `index` names; the four of an entry advance
// side by side, as in the numba code.
void entries(const Block *cache, u32 n, u32 parents, const u32 *index, std::size_t count,
             Block *out)
{
    for (std::size_t e = 0; e < count; e++) {
        const u32 first = index[e] * nodes;
        Block mix[nodes];
        for (u32 t = 0; t < nodes; t++) {
            mix[t] = cache[(first + t) % n];
            mix[t].row[0] ^= first + t;
            keccak512(mix[t].lane);
        }
        for (u32 j = 0; j < parents; j++)
            for (u32 t = 0; t < nodes; t++) {
                const u32 chosen = mix[t].row[j % 16];
                const Block &parent = cache[(((first + t) ^ j) * prime ^ chosen) % n];
                mix[t].row = mix[t].row * prime ^ parent.row;
            }
        for (u32 t = 0; t < nodes; t++) {
            keccak512(mix[t].lane);
            out[e * nodes + t] = mix[t];
        }
    }
}
}
