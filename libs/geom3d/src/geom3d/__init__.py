"""Boxes, cameras, calibrations, rigid transforms and overlap for 3D perception."""
