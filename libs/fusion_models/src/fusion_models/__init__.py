"""Models and losses for LiDAR and camera perception, one package per system.

Import the system you need (`from fusion_models import imagepg`); the package itself imports nothing.
"""

__version__ = "0.1.0"
