/* Runs the blocks of one kernel's CUDA text, given as TEXT, on the CPU. */
#include "cuda_on_cpu.h"

#include <utility>

#include TEXT

#if DYNAMIC_BYTES
alignas(16) u32 shared[DYNAMIC_BYTES / 4];
#endif

namespace {
constexpr unsigned group_size = GROUP_SIZE;

int run_groups(unsigned groups, void (*kernel)(), void (*before)(unsigned) = nullptr)
{
    for (unsigned g = 0; g < groups; g++) {
        if (before)
            before(g);
        if (int failed = block::run(group_size, g, kernel))
            return failed;
    }
    return 0;
}
} // namespace

extern "C" const char *problem()
{
    return block::problem;
}

/* Threads of a block, as the text defines them. */
extern "C" unsigned threads()
{
    return group_size;
}

/* Shared memory that a launch must give. */
extern "C" unsigned dynamic_bytes()
{
    return DYNAMIC_BYTES;
}

#ifdef RUN_SEARCH
namespace {
struct {
    const u32x4 *datasets[BUFFERS];
    const u32 *header;
    u64 first, target;
    u32 *results, *stop, launch;
} search_call;

template <size_t... I> void search_thread(std::index_sequence<I...>)
{
    auto &c = search_call;
    search(c.datasets[I]..., c.header, c.first, c.target, c.results, c.stop, c.launch);
}

void search_thread()
{
    search_thread(std::make_index_sequence<BUFFERS>());
}
} // namespace

/* The number of the group before which a search is stopped. */
extern "C" unsigned stop_at = ~0u;

extern "C" int run_search(const u32x4 *const *datasets, const u32 *header, u64 first, u64 target,
                          u32 *results, u32 *stop, u32 launch, unsigned groups)
{
    for (int i = 0; i < BUFFERS; i++)
        search_call.datasets[i] = datasets[i];
    search_call.header = header;
    search_call.first = first;
    search_call.target = target;
    search_call.results = results;
    search_call.stop = stop;
    search_call.launch = launch;
    return run_groups(groups, search_thread, [](unsigned group) {
        if (group == stop_at)
            *search_call.stop = search_call.launch;
    });
}
#else
namespace {
struct {
    const u32x4 *light;
    u32x4 *out;
    u32 first, count, out_first;
} dataset_call;

void dataset_thread()
{
    auto &c = dataset_call;
    dataset(c.light, c.out, c.first, c.count, c.out_first);
}
} // namespace

extern "C" int run_dataset(const u32x4 *light, u32x4 *out, u32 first, u32 count, u32 out_first,
                           unsigned groups)
{
    dataset_call = {light, out, first, count, out_first};
    return run_groups(groups, dataset_thread);
}
#endif
