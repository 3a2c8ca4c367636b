"""Stratum: its dialects without I/O, and the session that drives one over a stream."""
