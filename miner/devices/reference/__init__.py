"""The reference backend: the algorithm on the CPU, slow and exact."""
