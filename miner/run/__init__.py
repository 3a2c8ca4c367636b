"""A run: settings resolved to its parts, the parts joined, watched and ended."""
