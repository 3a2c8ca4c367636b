"""What was said with a pool, written down and held again."""
