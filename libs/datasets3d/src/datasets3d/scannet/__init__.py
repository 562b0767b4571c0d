"""ScanNet v2 (arXiv 1702.04405): scans of rooms as downloaded, and as arrays that others prepared."""

from datasets3d.scannet.arrays import read_arrays
from datasets3d.scannet.dataset import ScanNetDataset, ScanNetForm
from datasets3d.scannet.raw import read_categories, read_raw

__all__ = ["ScanNetDataset", "ScanNetForm", "read_arrays", "read_categories", "read_raw"]
