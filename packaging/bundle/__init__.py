"""Reproducible archives of the miner with their own Python."""
