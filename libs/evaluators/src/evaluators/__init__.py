"""Exact evaluation protocols for 3D perception: no GPU, no compiler.

Each protocol is a sub-package that is loaded at its first use, and no other: `from evaluators import kitti`,
or `import evaluators` and then `evaluators.kitti`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluators import depth, indoor, kitti, nuscenes, panoptic, semantickitti, state, waymo

__version__ = "0.1.0"
__all__ = ["depth", "indoor", "kitti", "nuscenes", "panoptic", "semantickitti", "state", "waymo"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"evaluators.{name}")
    raise AttributeError(f"evaluators has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
