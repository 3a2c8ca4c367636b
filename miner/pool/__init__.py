"""Stratum: a client, and a pool to try it against."""
