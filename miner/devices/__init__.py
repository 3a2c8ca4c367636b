"""Devices: how they are found, opened and searched on, through one backend or another."""
