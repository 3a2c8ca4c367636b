"""Devices: found, opened and searched on, each through one of several backends."""
