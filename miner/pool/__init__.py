"""Which pool is mined on, and what becomes of each share."""
