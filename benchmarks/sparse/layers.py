"""Single layers: 3^3 submanifold, 3^3 strided by two, and its inverse.

Cold makes the kernel map too, warm has it; train is forward and backward: warm for submanifold layers, cold
for strided ones, whose maps spconv does not reuse.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sparse.adapters import Adapter, Ours, adapter
from sparse.case import Case, rows_digest
from sparse.clouds import cloud

WIDTHS = {"street 16k": (16, 32, 64, 128), "street 40k": (16, 32, 64, 128), "room 80k": (16, 32, 64)}


def cases(side: str, *, quick: bool) -> dict[str, Callable[[], Case]]:
    """Everything to measure, by name: cloud, layer, width, mode."""
    library = adapter(side)
    clouds = {"street 16k": (64,)} if quick else WIDTHS
    found = {}
    for name, widths in clouds.items():
        for width in widths:
            for kind in ("submanifold", "strided"):
                for mode in ("cold", "warm", "train"):
                    if (side, kind, mode) == ("spconv", "strided", "warm"):
                        continue
                    make = partial(_case, library, name, kind, width, mode)
                    found[f"{name}, {kind} C{width}, {mode}"] = make
        found[f"{name}, inverse C32, warm"] = partial(_case, library, name, "inverse", 32, "warm")
    return found


def _case(library: Adapter, name: str, kind: str, width: int, mode: str) -> Case:
    torch.manual_seed(0)
    voxels = cloud(name)
    coords = torch.from_numpy(voxels.coords_bzyx)
    features = torch.randn(len(coords), width)
    weight = torch.randn(3, 3, 3, width, width) * (27 * width) ** -0.5
    if kind == "submanifold":
        layer = library.submanifold(weight, "map")
    else:
        layer = library.strided(weight, "map", (2, 2, 2), (1, 1, 1))

    def fresh() -> tuple[object]:
        return (library.tensor(features, coords, voxels.spatial_shape, voxels.batch_size),)

    (start,) = fresh()
    with torch.no_grad():
        out = layer(start)
        start = library.know_maps(start, out)
        pairs = Ours.pairs(layer, start, out) if isinstance(library, Ours) else 0
        facts = {"voxels": len(coords), "rows_out": len(library.features(out)), "pairs": pairs}
        if kind == "inverse":
            layer, start = library.inverse(weight, "map"), library.know_maps(out, out)
    facts["gflop"] = 2e-9 * pairs * width**2 * (3 if mode == "train" else 1)

    def digest(tensor: object) -> list[float]:
        return rows_digest(library.features(tensor), library.coords_bzyx(tensor))

    forward = torch.no_grad()(layer)
    if mode == "cold":
        return Case(lambda make: forward(*make()), lambda: (fresh,), digest, facts)
    if mode == "warm":
        return Case(forward, lambda: (start,), digest, facts)
    leaf = features.clone().requires_grad_()
    known = library.replace(start, leaf)
    upstream = torch.ones_like(library.features(out)) + torch.arange(width) / width

    def train() -> tuple[Tensor, Tensor]:
        given = known
        if kind == "strided":
            given = library.tensor(leaf, coords, voxels.spatial_shape, voxels.batch_size)
        result = library.features(layer(given))
        return torch.autograd.grad(result, (leaf, layer.weight), upstream)

    def of_gradients(gradients: tuple[Tensor, Tensor]) -> list[float]:
        by_row = rows_digest(gradients[0], coords)
        return [*by_row, float(gradients[1].double().abs().sum())]

    return Case(train, tuple, of_gradients, facts)
