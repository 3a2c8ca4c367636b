"""`python -m miner` is the command `progpow-miner`."""

from miner.cli import main

main()
