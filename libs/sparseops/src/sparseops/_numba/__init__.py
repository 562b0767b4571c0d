"""Building blocks of the CPU kernels. Imported by the `_cpu.py` modules only, never at package import."""
