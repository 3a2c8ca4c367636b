"""The ProgPoW hash of one nonce, as pure functions of their arguments.

1. `variant`: the numbers and choices in which the forks of ProgPoW differ. A height gives a period
   (whose number seeds the random program) and an `epoch` (which decides the sizes of the dataset).
2. `light`: the light cache, a chain of `keccak` hashes from the epoch's seed; from it any item of
   the dataset (DAG). The first 16 KiB of the dataset are the L1 cache.
3. `program`: the period's random program of `instructions`, drawn by the generator `kiss99`.
4. `hashing`: header and nonce go through keccak-f800; its output seeds the mix, 16 lanes of
   registers. Each loop reads a dataset entry and runs the program on every lane. The reduced mix
   goes through keccak-f800 again: the final hash, which a share compares with its target.

Words are unsigned, 32 bits and little-endian unless stated otherwise. `jit` compiles the
functions marked `@compiled` by numba; the GPU kernels of `codegen` compute the same hash.

Sources: github.com/ifdefelse/ProgPOW (README), EIP-1057, github.com/chfast/ethash.
"""
