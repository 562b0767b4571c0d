"""Building blocks of the CPU kernels. Imported by the modules with kernels only, never at package import.

`njit` and `prange` are numba's; taken from here, their compilation is announced on the terminal.
"""

from numba import njit as njit
from numba import prange as prange

from sparseops._numba.progress import announce_compilation

announce_compilation()
