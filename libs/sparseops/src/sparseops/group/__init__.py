"""Gather the features of neighbours."""

from sparseops.group._api import group

__all__ = ["group"]
