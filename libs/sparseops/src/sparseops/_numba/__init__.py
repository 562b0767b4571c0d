"""Building blocks of the CPU kernels. Imported by the `_cpu.py` modules only, never at package import."""

from sparseops._numba.progress import announce_compilation

announce_compilation()
