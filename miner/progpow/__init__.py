"""The ProgPoW family: pure functions of their arguments.

Reading order: `variant` (one fork's numbers), `epoch` (sizes), `program` (a period's
instructions), `keccak`, `light` (light cache and dataset items), `hashing` (the hash).
"""
