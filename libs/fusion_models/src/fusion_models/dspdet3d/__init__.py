"""DSPDet3D (arXiv 2305.03716): small objects in rooms, from points, by dynamic spatial pruning."""
