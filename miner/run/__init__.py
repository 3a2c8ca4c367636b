"""A run: its settings are resolved, its parts are joined, started and stopped."""
