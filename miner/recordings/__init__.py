"""Recordings of pool sessions, and their replay."""
