"""Peak memory of one layer on the room at 64 channels, beside the size of what it cannot do without."""

import gc
import resource
from pathlib import Path
from typing import Any

WIDTH = 64
SMALL = 4000
"""Voxels of the call before, which loads whatever a library loads only once."""


def measure(side: str, kind: str) -> dict[str, Any]:
    """Return peak and sizes in MiB; for a fresh process.

    What it cannot do without: features in and out, two int32 rows per pair, int32 coordinates of both.
    """
    import torch

    from sparse.adapters import Ours, adapter
    from sparse.clouds import cloud

    library, voxels = adapter(side), cloud("room 80k")
    weight = torch.randn(3, 3, 3, WIDTH, WIDTH)

    def run(rows: int) -> tuple[Any, Any, Any]:
        layer = (
            library.submanifold(weight, "map")
            if kind == "submanifold"
            else library.strided(weight, "map", (2, 2, 2), (1, 1, 1))
        )
        coords = torch.from_numpy(voxels.coords_bzyx[:rows].copy())
        tensor = library.tensor(torch.ones(rows, WIDTH), coords, voxels.spatial_shape, voxels.batch_size)
        return layer, tensor, layer(tensor)

    with torch.no_grad():
        run(SMALL)
        gc.collect()
        before = _status("VmRSS")
        _forget_peak()
        layer, tensor, out = run(len(voxels.coords_bzyx))
        peak = _status("VmHWM") - before
    rows = len(library.features(tensor)) + len(library.features(out))
    answer = {"peak_mib": round(peak / 2**20, 1), "features_mib": round(rows * WIDTH * 4 / 2**20, 1)}
    if isinstance(library, Ours):
        pairs = Ours.pairs(layer, tensor, out)
        answer |= {"pairs": pairs, "maps_mib": round((8 * pairs + 16 * rows) / 2**20, 1)}
    return answer


def _forget_peak() -> None:
    """Let the kernel count the peak anew, where it can."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5", encoding="ascii")


def _status(field: str) -> int:
    """Bytes of a field of this process' status; elsewhere than on Linux the peak since the start."""
    path = Path("/proc/self/status")
    if not path.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = (line for line in path.read_text(encoding="ascii").splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024
