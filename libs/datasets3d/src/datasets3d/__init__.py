"""Files to typed frames and back: data set adapters, augmentation, synthetic sensors."""

from datasets3d.frame import Frame, Objects

__all__ = ["Frame", "Objects"]
