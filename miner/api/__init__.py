"""What the miner answers over HTTP and to the tools that its users already run."""
