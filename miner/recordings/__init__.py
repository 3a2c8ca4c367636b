"""Recordings of pool sessions."""
