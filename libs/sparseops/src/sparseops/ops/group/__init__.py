"""Gather the features of neighbours."""

from sparseops.ops.group._api import group

__all__ = ["group"]
