"""Scans with a class for every point, of any data set: the typed scan, and what is done with it."""

from datasets3d.segmentation.scan import IGNORED, LabelledScan

__all__ = ["IGNORED", "LabelledScan"]
