"""Gather the features of neighbours."""

from ._api import group

__all__ = ["group"]
