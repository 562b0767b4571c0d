"""How long the first calls of a process take: with compiled kernels at hand, and with none."""

import sys
import time
from typing import Any


def measure(side: str) -> dict[str, Any]:
    """Seconds from after `import torch` to the first forward pass of the backbone; for a fresh process."""
    import torch

    from sparse.clouds import cloud

    voxels = cloud("street 16k")
    coords, features = torch.from_numpy(voxels.coords_bzyx), torch.from_numpy(voxels.features)
    start = time.perf_counter()
    from sparse.adapters import adapter
    from sparse.backbone import backbone

    library = adapter(side)
    network = backbone(library).eval()
    imported = time.perf_counter()
    taken = []
    with torch.no_grad():
        for _ in range(3):
            begin = time.perf_counter()
            network(library.tensor(features, coords, voxels.spatial_shape, voxels.batch_size))
            taken.append(time.perf_counter() - begin)
    return {
        "import_s": round(imported - start, 2),
        "first_s": round(taken[0], 2),
        "later_s": round(min(taken[1:]), 2),
        "total_s": round(imported - start + taken[0], 2),
    }


def compile_all() -> dict[str, Any]:
    """Seconds to compile the CPU kernels of every operator, one after the other; with an empty cache.

    float32, forward and backward. `not_compiled` names kernels that none of the calls reached.
    """
    import torch

    from sparse.every_operator import calls

    torch.manual_seed(0)
    seconds = {}
    for name, call in calls().items():
        start = time.perf_counter()
        call()
        seconds[name] = round(time.perf_counter() - start, 2)
    longest = dict(sorted(seconds.items(), key=lambda item: -item[1])[:8])
    return {"total_s": round(sum(seconds.values()), 1), "longest_s": longest, "not_compiled": _not_compiled()}


def _not_compiled() -> list[str]:
    found = []
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("sparseops."):
            continue
        for attribute, value in vars(module).items():
            if getattr(value, "__module__", "") == name and hasattr(value, "nopython_signatures"):
                found += (
                    [] if value.nopython_signatures else [f"{name.removeprefix('sparseops.')}.{attribute}"]
                )
    return found
