"""The OpenCL backend, through pyopencl."""
