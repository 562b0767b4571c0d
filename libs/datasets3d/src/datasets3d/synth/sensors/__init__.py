"""Simulated sensors: what LiDAR, camera and radar record of a scene, and where they stand on a car."""
