"""ImagePG: image-guided pseudo-LiDAR generation for 3D object detection."""
