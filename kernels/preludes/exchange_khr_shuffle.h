/* Neighbouring threads exchange words by sub-group shuffles, as Khronos defines them. The size of
   a sub-group is the compiler's choice; the host checks that it is a multiple of `peers`. */
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable
#define SUBGROUP
#define EXCHANGE(peers)
#define SHARE(out, value, source, peers)                                                        \
    out = sub_group_shuffle((value), (get_sub_group_local_id() & ~((peers) - 1u)) | (source))
