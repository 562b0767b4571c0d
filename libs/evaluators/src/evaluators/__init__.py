"""Exact evaluation protocols for 3D perception: no GPU, no compiler."""
