"""Building blocks of the CPU kernels. Imported by the modules with kernels only, never at package import.

`prange` is numba's, `njit` finds a place for what is compiled; taken from here, compilation is announced on
the terminal.
"""

from geom3d.compiled import njit as njit
from numba import prange as prange

from sparseops._numba.progress import announce_compilation

announce_compilation()
