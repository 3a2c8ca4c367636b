/* Neighbouring threads exchange words by sub-group shuffles of Intel's extensions, in sub-groups
   of 16. */
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#pragma OPENCL EXTENSION cl_intel_required_subgroup_size : enable
#define SUBGROUP __attribute__((intel_reqd_sub_group_size(16)))
#define EXCHANGE(peers)
#define SHARE(out, value, source, peers)                                                        \
    out = intel_sub_group_shuffle(                                                              \
        (value), (get_sub_group_local_id() & ~((peers) - 1u)) | (source))
