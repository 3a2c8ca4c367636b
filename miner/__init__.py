"""A GPU miner for the ProgPoW family of proofs of work."""

__version__ = "0.1.0"

USER_AGENT = f"progpow-miner/{__version__}"
"""Name and version that the miner states to pools and nodes."""
