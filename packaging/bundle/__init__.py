"""Archives of the miner that bring their own Python and give the same bytes each time."""
