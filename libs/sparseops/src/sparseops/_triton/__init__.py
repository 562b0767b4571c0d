"""Building blocks shared by the Triton kernels."""
