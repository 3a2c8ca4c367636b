/* Neighbouring threads exchange words by sub-group shuffles of Intel's extensions. The search has
   sub-groups of 16. With these the dataset kernel would have too few registers: there the compiler
   chooses the size, and the host checks that it is a multiple of `peers`. */
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#pragma OPENCL EXTENSION cl_intel_required_subgroup_size : enable
#ifdef LIGHT_ITEMS
#define SUBGROUP
#else
#define SUBGROUP __attribute__((intel_reqd_sub_group_size(16)))
#endif
#define EXCHANGE(peers)
/* With 16 peers, all threads read the same one, so no thread needs a register for its address. */
#define FIRST_PEER(peers) ((peers) == 16 ? 0u : get_sub_group_local_id() & ~((peers) - 1u))
#define SHARE(out, value, source, peers)                                                        \
    out = intel_sub_group_shuffle((value), FIRST_PEER(peers) | (source))
/* The compiler for GPUs, which has this extension, has 64 registers for each of 16 threads. */
#ifdef cl_intel_spirv_subgroups
#undef CHANGED
#define CHANGED(variable) __asm__ volatile("" : "+rw"(variable))
#endif
