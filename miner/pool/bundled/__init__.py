"""A pool of our own, which proves every share."""
