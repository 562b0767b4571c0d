"""Multi-scale deformable attention."""

from sparseops.ops.ms_deform_attn._api import ms_deform_attn

__all__ = ["ms_deform_attn"]
