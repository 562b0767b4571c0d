"""ImagePG: image-guided pseudo-LiDAR generation for 3D object detection."""

__version__ = "0.1.0"
