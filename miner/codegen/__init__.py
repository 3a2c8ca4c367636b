"""Source text of GPU kernels, generated for a variant, a period and an epoch."""
