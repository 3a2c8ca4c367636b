"""Temperatures, power, clocks and fans of the devices: read, and never set."""
