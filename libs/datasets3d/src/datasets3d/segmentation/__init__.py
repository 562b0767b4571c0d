"""Scans with a class for every point, of any data set: the typed scan, label tables, own scans."""

from datasets3d.segmentation.label_file import read_label_table
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import IGNORED, LabelledScan

__all__ = ["IGNORED", "LabelTable", "LabelledScan", "read_label_table"]
