"""Add up rows of features by weight: the arithmetic of every interpolation."""

from sparseops.ops.weighted_sum._api import weighted_sum

__all__ = ["weighted_sum"]
