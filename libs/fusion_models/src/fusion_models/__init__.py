"""Models and losses for LiDAR and camera perception."""
