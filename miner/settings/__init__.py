"""The user's settings: one model, loaded from a file, the environment and flags."""
