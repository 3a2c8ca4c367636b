/* Runs the workgroups of one kernel, translated from AMD's assembly to TEXT, on the CPU.

   A wave runs until it ends or waits at a barrier; then the next one runs. Waves that wait at
   different barriers, or that end while others wait, are errors: on a card they would hang. */
#include <cstdint>
#include <cstdio>
#include <cstring>

typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;

#define CONSTANTS
#include TEXT
#undef CONSTANTS

constexpr u64 all_lanes = LANES == 64 ? ~0ull : (1ull << LANES) - 1;

struct Wave {
    u32 v[256][LANES];
    u32 s[128];
    u32 group;
    u64 exec, vcc;
    bool scc;
    int place; /* 0: the start; -1: ended; else the number of the barrier that it waits at */
};

static unsigned char lds[LDS_BYTES + 16];
static char problem_text[256];

static int fail(const char *what)
{
    snprintf(problem_text, sizeof problem_text, "%s", what);
    return 1;
}

/* Values of VALU instructions, by the public documents of the instruction sets. */
static inline u32 shifted(u32 a, u32 n) { return a << (n & 31); }
static inline u32 mul24(u32 a, u32 b) { return (a & 0xffffff) * (b & 0xffffff); }
static inline u32 mul_hi(u32 a, u32 b) { return (u64)a * b >> 32; }
static inline u32 align(u32 a, u32 b, u32 n) { return ((u64)a << 32 | b) >> (n & 31); }
static inline u32 leading(u32 a) { return a ? __builtin_clz(a) : ~0u; }
static inline u32 reversed(u32 a)
{
    u32 out = 0;
    for (int i = 0; i < 32; i++)
        out |= (a >> i & 1) << (31 - i);
    return out;
}
static inline u32 select_bytes(u32 a, u32 b, u32 chosen)
{
    const u64 both = (u64)a << 32 | b;
    u32 out = 0;
    for (int i = 0; i < 4; i++) {
        const u32 which = chosen >> 8 * i & 0xff;
        out |= (which < 8 ? (u32)(both >> 8 * which) & 0xff : which == 12 ? 0 : 0xff) << 8 * i;
    }
    return out;
}
/* Of a wave: the lanes that are not active give 0. */
static inline u32 permuted(const Wave &w, const u32 (&from)[LANES], u32 address)
{
    const u32 lane = address / 4 % LANES;
    return w.exec >> lane & 1 ? from[lane] : 0;
}
static inline u32 row_lane(int lane, u32 low, u32 high)
{
    const int in_row = lane & 15;
    return (lane & ~15) | ((in_row < 8 ? low : high) >> 4 * (in_row & 7) & 15);
}
template <class T> static inline T &at(u64 address) { return *(T *)address; }
template <class T> static inline T &shared(u32 address) { return *(T *)(lds + address); }

static int step(Wave &w);

#include TEXT

/* The number of the group before which a search is stopped. */
extern "C" unsigned stop_at = ~0u;
static u32 *stop_word, launch_number;

/* Arguments of a kernel. What lies behind those that were added is no argument. */
struct Arguments {
    u64 words[64];
    int count = 0;
    Arguments() { memset(words, 0xa5, sizeof words); }
    void add(u64 word) { words[count++] = word; }
};

static int run_groups(unsigned groups, const Arguments &given)
{
    const u64 *arguments = given.words;
    constexpr int waves = GROUP_SIZE / LANES;
    static Wave all[waves];
    for (unsigned g = 0; g < groups; g++) {
        if (g == stop_at)
            *stop_word = launch_number;
        memset(lds, 0xa5, sizeof lds);
        memset(all, 0xa5, sizeof all);
        for (int i = 0; i < waves; i++) {
            Wave &w = all[i];
            for (int l = 0; l < LANES; l++)
                w.v[0][l] = i * LANES + l;
            memcpy(&w.s[ARGUMENT_REGISTER], &arguments, 8);
            w.s[GROUP_REGISTER] = w.group = g;
            w.exec = all_lanes;
            w.place = 0;
        }
        for (int place = 0; place >= 0;) {
            for (Wave &w : all)
                if (step(w))
                    return 1;
            place = all[0].place;
            for (Wave &w : all)
                if (w.place != place)
                    return fail("a wave does not wait for the same barrier as its neighbour");
        }
    }
    return 0;
}

extern "C" const char *problem() { return problem_text; }

extern "C" int run_search(const void *const *datasets, const void *header, u64 first, u64 target,
                          void *results, u32 *stop, u32 launch, unsigned groups)
{
    Arguments arguments;
    for (int i = 0; i < BUFFERS; i++)
        arguments.add((u64)datasets[i]);
    arguments.add((u64)header);
    arguments.add(first);
    arguments.add(target);
    arguments.add((u64)results);
    arguments.add((u64)(stop_word = stop));
    arguments.add(launch_number = launch);
    return run_groups(groups, arguments);
}

extern "C" int run_dataset(const void *light, void *out, u32 first, u32 count, u32 out_first,
                           unsigned groups)
{
    Arguments arguments;
    arguments.add((u64)light);
    arguments.add((u64)out);
    arguments.add((u64)count << 32 | first);
    arguments.add(out_first);
    return run_groups(groups, arguments);
}
