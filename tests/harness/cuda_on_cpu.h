/* CUDA's built-ins for one block of threads on one CPU thread.

   Each thread of the block is a fiber. A fiber runs until it waits for the others (a barrier, a
   shuffle); then the next fiber runs, in a ring. So when a fiber resumes, all others are at the
   same wait. A fiber is at most one wait ahead of the slowest one, hence two alternating sets of
   slots. Neighbours with different waits, and a thread that ends while others wait, are errors:
   on a card they would hang or read garbage. */
#pragma once
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
/* With DYNAMIC_BYTES, the runner defines the one array. */
#ifdef DYNAMIC_BYTES
#define __shared__
#else
#define __shared__ static
#define DYNAMIC_BYTES 0
#endif

struct uint4 {
    unsigned int x, y, z, w;
};

struct index3 {
    unsigned int x, y, z;
};
static index3 threadIdx, blockIdx;

namespace block {
constexpr unsigned max_threads = 1024, warp = 32;
constexpr size_t stack_bytes = 32 * 1024;

alignas(64) static char stacks[max_threads][stack_bytes];
static ucontext_t start, never;
static unsigned threads, current, waits[max_threads];
static unsigned value[2][max_threads], kind[2][max_threads];
static bool ended[max_threads];
static jmp_buf place[max_threads], outside;
static char problem[256];
static void (*body)();

[[noreturn]] static void fail(const char *what)
{
    snprintf(problem, sizeof problem, "block %u thread %u wait %u: %s", blockIdx.x, current,
                  waits[current], what);
    _longjmp(outside, 1);
}

[[noreturn]] static void go_on_with(unsigned thread)
{
    current = threadIdx.x = thread;
    _longjmp(place[thread], 1);
}

/* Waits until all threads are here with the same `what`; returns the number of the slots. */
static unsigned wait(unsigned what, unsigned given)
{
    const unsigned self = current, next = (self + 1) % threads, turn = waits[self]++ & 1;
    kind[turn][self] = what;
    value[turn][self] = given;
    if (ended[next])
        fail("waits, its neighbour has ended");
    if (_setjmp(place[self]) == 0)
        go_on_with(next);
    /* The first fiber is already at its next wait; every other neighbour is still at this one. */
    if (kind[turn][next] != what || (next && waits[next] != waits[self]))
        fail("waits, its neighbour does not wait for the same");
    return turn;
}

static void run_thread()
{
    if (_setjmp(place[current]) == 0)
        _longjmp(outside, 2);
    body();
    ended[current] = true;
    if (current + 1 < threads)
        go_on_with(current + 1);
    for (unsigned t = 0; t < threads; t++)
        if (!ended[t])
            fail("has ended, another one waits");
    _longjmp(outside, 3);
}

/* Runs one block; returns 0, or 1 with `problem` filled. */
static int run(unsigned count, unsigned number, void (*kernel)())
{
    threads = count;
    body = kernel;
    blockIdx.x = number;
    for (volatile unsigned t = 0; t < count; t = t + 1) {
        current = threadIdx.x = t;
        waits[t] = 0;
        ended[t] = false;
        if (_setjmp(outside) == 0) {
            getcontext(&start);
            start.uc_stack.ss_sp = stacks[t];
            start.uc_stack.ss_size = stack_bytes;
            start.uc_link = &never;
            makecontext(&start, run_thread, 0);
            setcontext(&start);
        }
    }
    const int how = _setjmp(outside);
    if (how == 0)
        go_on_with(0);
    return how == 3 ? 0 : 1;
}
} // namespace block

enum : unsigned { waits_at_barrier = 1, waits_at_shuffle = 2 };

static void __syncthreads()
{
    block::wait(waits_at_barrier, 0);
}

static unsigned __shfl_sync(unsigned mask, unsigned value, int source, int width)
{
    if (mask != 0xffffffffu || width < 1 || width > 32 || (width & (width - 1)))
        block::fail("shuffles with a mask or a width that no card takes");
    const unsigned self = block::current, first = self & ~(static_cast<unsigned>(width) - 1u);
    const unsigned from = first + (static_cast<unsigned>(source) & (width - 1u));
    const unsigned turn = block::wait(waits_at_shuffle + (static_cast<unsigned>(width) << 8), value);
    return block::value[turn][from];
}

[[maybe_unused]] static void __threadfence_block()
{
    block::fail("waits at a fence that only orders instructions");
}

[[maybe_unused]] static void __trap()
{
    block::fail("traps");
}

static unsigned atomicAdd(unsigned *pointer, unsigned more)
{
    const unsigned before = *pointer;
    *pointer = before + more;
    return before;
}

static unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n)
{
    const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
    return static_cast<unsigned>(both << (n & 31u) >> 32);
}

static unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n)
{
    const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
    return static_cast<unsigned>(both >> (n & 31u));
}

static unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}

static unsigned min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int __clz(int a)
{
    return a ? __builtin_clz(static_cast<unsigned>(a)) : 32;
}

static int __popc(unsigned a)
{
    return __builtin_popcount(a);
}
