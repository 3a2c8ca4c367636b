"""Stratum dialects without I/O, with the session that runs one over a stream."""
