"""A period's program, rendered as kernel source."""
