"""Files to typed frames and back: data set adapters, augmentation, synthetic sensors."""

from datasets3d.frame import Frame, Objects

__version__ = "0.1.0"

__all__ = ["Frame", "Objects"]
