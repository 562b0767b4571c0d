"""Yaw arithmetic: counter-clockwise from +x, radians."""

from __future__ import annotations

import math

from jaxtyping import Float

from geom3d._arrays import ArrayT, namespace, untyped


def wrap_angle(
    yaw_rad: Float[ArrayT, "*n"], *, period: float = 2 * math.pi, offset: float = 0.5
) -> Float[ArrayT, "*n"]:
    """Add whole periods until each angle lies in [-offset * period, (1 - offset) * period).

    The defaults give [-pi, pi). The lower end belongs to the range, the upper end does not, also after
    rounding. NaN stays NaN. Differentiable: the derivative is 1.

    Args:
        period: Length of the range in radians; pi treats opposite headings as equal.
        offset: Share of the range that lies below zero.

    Raises:
        ValueError: `period` is not positive.

    Example:
        >>> import numpy as np
        >>> wrap_angle(np.array([0.0, np.pi, 1.5 * np.pi])) / np.pi
        array([ 0. , -1. , -0.5])
    """
    if not period > 0:
        raise ValueError(f"angles.wrap_angle: period must be positive, got {period}")
    xp, angle = namespace(yaw_rad), untyped(yaw_rad)
    low, high = -offset * period, (1 - offset) * period
    wrapped = angle - xp.floor(angle / period + offset) * period
    # Rounding may put a value onto the excluded end or a hair below the included one.
    wrapped = xp.where(wrapped >= high, wrapped - period, wrapped)
    return xp.where(wrapped < low, xp.full_like(wrapped, low), wrapped)


def angle_difference(a_rad: Float[ArrayT, "*n"], b_rad: Float[ArrayT, "*n"]) -> Float[ArrayT, "*n"]:
    """Return the signed turn from b to a, in [-pi, pi).

    Example:
        >>> import numpy as np
        >>> round(float(angle_difference(np.array(3.1), np.array(-3.1))), 4)
        -0.0832
    """
    return wrap_angle(untyped(a_rad) - untyped(b_rad))
