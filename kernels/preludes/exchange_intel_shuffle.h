/* Neighbouring threads exchange words by sub-group shuffles of Intel's extensions. The search has
   sub-groups of 16, whose registers do not suffice for the dataset kernel: there the compiler
   chooses, and the host checks that it is a multiple of `peers`. */
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#pragma OPENCL EXTENSION cl_intel_required_subgroup_size : enable
#ifdef LIGHT_ITEMS
#define SUBGROUP
#else
#define SUBGROUP __attribute__((intel_reqd_sub_group_size(16)))
#endif
#define EXCHANGE(peers)
/* Of 16 peers all threads read the same one, which needs no register with an address for each. */
#define FIRST_PEER(peers) ((peers) == 16 ? 0u : get_sub_group_local_id() & ~((peers) - 1u))
#define SHARE(out, value, source, peers)                                                        \
    out = intel_sub_group_shuffle((value), FIRST_PEER(peers) | (source))
/* The compiler for GPUs, which has this extension, has 64 registers for each of the 16. */
#ifdef cl_intel_spirv_subgroups
#undef CHANGED
#define CHANGED(variable) __asm__ volatile("" : "+rw"(variable))
#endif
