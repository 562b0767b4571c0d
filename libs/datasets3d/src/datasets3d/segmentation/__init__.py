"""Scans with a class for every point, of any data set: the typed scan, label tables, own scans."""

from datasets3d._ply import write_ply
from datasets3d._scan_columns import SUFFIXES as SCAN_SUFFIXES
from datasets3d.segmentation.cutting import InstanceCutter
from datasets3d.segmentation.folder import ScanFolder, ScanReading, read_scan
from datasets3d.segmentation.instances import InstanceStore, PasteConfig, paste
from datasets3d.segmentation.label_file import read_label_table
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.plausibility import ScanMistake, find_mistakes, repair
from datasets3d.segmentation.scan import IGNORED, LabelledScan

__all__ = [
    "IGNORED",
    "SCAN_SUFFIXES",
    "InstanceCutter",
    "InstanceStore",
    "LabelTable",
    "LabelledScan",
    "PasteConfig",
    "ScanFolder",
    "ScanMistake",
    "ScanReading",
    "find_mistakes",
    "paste",
    "read_label_table",
    "read_scan",
    "repair",
    "write_ply",
]
