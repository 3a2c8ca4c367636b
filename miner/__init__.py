"""A GPU miner for the ProgPoW family of proofs of work."""

__version__ = "0.1.0"
