"""Value noise: smooth random numbers in space that depend on nothing but position and seed."""

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit
from jaxtyping import Float32

# `no_type_check` keeps run-time checkers of annotations (used in tests) out of the compiled functions.


@njit(cache=True)
@no_type_check
def _hash01(x: int, y: int, z: int, seed: int) -> float:
    h = (x * 374761393 + y * 668265263 + z * 1440662683 + seed * 974634777) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return ((h ^ (h >> 15)) & 0xFFFFFF) / 16777216.0


@njit(cache=True)
@no_type_check
def _value_noise(points: np.ndarray, frequency: float, seed: int, out: np.ndarray) -> None:
    for i in range(points.shape[0]):
        x, y, z = points[i, 0] * frequency, points[i, 1] * frequency, points[i, 2] * frequency
        fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
        ix, iy, iz = int(fx), int(fy), int(fz)
        x, y, z = x - fx, y - fy, z - fz
        x, y, z = x * x * (3 - 2 * x), y * y * (3 - 2 * y), z * z * (3 - 2 * z)
        total = 0.0
        for corner in range(8):
            a, b, c = corner & 1, (corner >> 1) & 1, (corner >> 2) & 1
            weight = (x if a else 1 - x) * (y if b else 1 - y) * (z if c else 1 - z)
            total += weight * _hash01(ix + a, iy + b, iz + c, seed)
        out[i] = total


def value_noise(points: Float32[np.ndarray, "n 3"], *, cell_m: float, seed: int) -> Float32[np.ndarray, " n"]:
    """Noise in [0, 1) with features of `cell_m` metres; smooth, tricubic between random lattice values."""
    out = np.empty(len(points), dtype=np.float32)
    _value_noise(np.ascontiguousarray(points, dtype=np.float32), 1.0 / cell_m, seed, out)
    return out
