"""Sparse, neighbour and attention operators for 3D perception, on CPU and GPU, without a compiler."""
