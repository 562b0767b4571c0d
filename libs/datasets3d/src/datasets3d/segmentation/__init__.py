"""Scans with a class for every point, of any data set: typed scan, label tables, samples, mixing."""

from datasets3d.segmentation.augment import SegmentationAugmentation, augment
from datasets3d.segmentation.label_file import read_label_table
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.laser_mix import LaserMixConfig, laser_mix
from datasets3d.segmentation.mix import MixConfig, mix
from datasets3d.segmentation.polar_mix import PolarMixConfig, polar_mix
from datasets3d.segmentation.sample import SamplingConfig, SegmentationSample, make_sample
from datasets3d.segmentation.scan import IGNORED, LabelledScan
from datasets3d.segmentation.votes import VIEWS, View, apply_view

__all__ = [
    "IGNORED",
    "VIEWS",
    "LabelTable",
    "LabelledScan",
    "LaserMixConfig",
    "MixConfig",
    "PolarMixConfig",
    "SamplingConfig",
    "SegmentationAugmentation",
    "SegmentationSample",
    "View",
    "apply_view",
    "augment",
    "laser_mix",
    "make_sample",
    "mix",
    "polar_mix",
    "read_label_table",
]
