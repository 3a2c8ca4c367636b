"""The CUDA backend, through PyCUDA and NVRTC."""
