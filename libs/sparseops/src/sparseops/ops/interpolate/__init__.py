"""Features at points from the three nearest known points."""

from sparseops.ops.interpolate._api import (
    inverse_distance_weights,
    three_interpolate,
    three_interpolate_stacked,
    three_nn,
    three_nn_stacked,
)

__all__ = [
    "inverse_distance_weights",
    "three_interpolate",
    "three_interpolate_stacked",
    "three_nn",
    "three_nn_stacked",
]
