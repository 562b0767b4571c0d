"""Scans with a class for every point, of any data set: the typed scan, tables, own scans, samples, mixing."""

from datasets3d._ply import write_ply
from datasets3d._scan_columns import SUFFIXES as SCAN_SUFFIXES
from datasets3d.segmentation.augment import SegmentationAugmentation, augment
from datasets3d.segmentation.cutting import InstanceCutter
from datasets3d.segmentation.folder import ScanFolder, ScanReading, read_scan
from datasets3d.segmentation.instances import InstanceStore, PasteConfig, paste
from datasets3d.segmentation.label_file import read_label_table
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.laser_mix import LaserMixConfig, laser_mix
from datasets3d.segmentation.mix import MixConfig, mix
from datasets3d.segmentation.plausibility import ScanMistake, find_mistakes, repair
from datasets3d.segmentation.polar_mix import PolarMixConfig, polar_mix
from datasets3d.segmentation.sample import SamplingConfig, SegmentationSample, make_sample
from datasets3d.segmentation.scan import IGNORED, LabelledScan
from datasets3d.segmentation.votes import VIEWS, View, apply_view

__all__ = [
    "IGNORED",
    "SCAN_SUFFIXES",
    "VIEWS",
    "InstanceCutter",
    "InstanceStore",
    "LabelTable",
    "LabelledScan",
    "LaserMixConfig",
    "MixConfig",
    "PasteConfig",
    "PolarMixConfig",
    "SamplingConfig",
    "ScanFolder",
    "ScanMistake",
    "ScanReading",
    "SegmentationAugmentation",
    "SegmentationSample",
    "View",
    "apply_view",
    "augment",
    "find_mistakes",
    "laser_mix",
    "make_sample",
    "mix",
    "paste",
    "polar_mix",
    "read_label_table",
    "read_scan",
    "repair",
    "write_ply",
]
