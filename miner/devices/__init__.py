"""The ways to reach a device, under one contract."""
