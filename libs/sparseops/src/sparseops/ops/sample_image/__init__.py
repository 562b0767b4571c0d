"""Features of image maps at projected points, bilinear."""

from sparseops.ops.sample_image._api import sample_image

__all__ = ["sample_image"]
