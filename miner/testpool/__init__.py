"""A test pool that proves every share, in every dialect, with faults on request."""
