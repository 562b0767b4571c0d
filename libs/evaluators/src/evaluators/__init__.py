"""Exact evaluation protocols for 3D perception: no GPU, no compiler.

Each protocol is a sub-package that is imported by name, so that nothing else is loaded:
`from evaluators import kitti`.
"""

__version__ = "0.1.0"
