"""The sparse backbone of voxel detectors: four resolutions with residual blocks, forward and in training.

Source of the shape: the residual 8x backbone of CenterPoint and Voxel R-CNN, with 16 to 128 channels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sparse.adapters import Adapter, Ours, Triple, adapter
from sparse.case import Case, rows_digest
from sparse.clouds import cloud

STAGES = ((16, 32, (1, 1, 1)), (32, 64, (1, 1, 1)), (64, 128, (0, 1, 1)))
"""Channels in and out, and padding z y x, of the halvings."""


class ConvNorm(nn.Module):
    """A convolution, a norm, and unless it ends a residual block, a ReLU."""

    def __init__(self, library: Adapter, layer: nn.Module, channels: int) -> None:
        super().__init__()
        self.library, self.layer, self.norm = (
            library,
            layer,
            nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01),
        )

    def forward(self, tensor: Any, add: Tensor | None = None) -> Any:
        tensor = self.layer(tensor)
        rows = self.norm(self.library.features(tensor))
        return self.library.replace(tensor, torch.relu(rows if add is None else rows + add))


class Residual(nn.Module):
    """Two submanifold convolutions and a shortcut."""

    def __init__(self, library: Adapter, channels: int, key: str, draw: torch.Generator) -> None:
        super().__init__()
        self.library = library
        first, second = (
            library.submanifold(_weight((3, 3, 3), channels, channels, draw), key) for _ in range(2)
        )
        self.first, self.second = ConvNorm(library, first, channels), ConvNorm(library, second, channels)

    def forward(self, tensor: Any) -> Any:
        return self.second(self.first(tensor), self.library.features(tensor))


def backbone(library: Adapter | None = None) -> nn.Sequential:
    """Stem 4-16, two residual blocks at each of 16, 32, 64, 128 channels, three halvings, a flat end.

    The weights are the same for every library.
    """
    draw = torch.Generator().manual_seed(0)
    library = library or Ours()
    stem = library.submanifold(_weight((3, 3, 3), 4, 16, draw), "stage 1")
    layers: list[nn.Module] = [ConvNorm(library, stem, 16)]
    layers += [Residual(library, 16, "stage 1", draw) for _ in range(2)]
    for stage, (cin, cout, padding) in enumerate(STAGES, 2):
        halve = library.strided(_weight((3, 3, 3), cin, cout, draw), f"halve {stage}", (2, 2, 2), padding)
        layers += [ConvNorm(library, halve, cout)]
        layers += [Residual(library, cout, f"stage {stage}", draw) for _ in range(2)]
    flat = library.strided(_weight((3, 1, 1), 128, 128, draw), "flat", (2, 1, 1), (0, 0, 0))
    return nn.Sequential(*layers, ConvNorm(library, flat, 128))


def _weight(kernel: Triple, cin: int, cout: int, draw: torch.Generator) -> Tensor:
    return (
        torch.randn(*kernel, cin, cout, generator=draw)
        * (2 / (cin * kernel[0] * kernel[1] * kernel[2])) ** 0.5
    )


def cases(side: str, *, quick: bool) -> dict[str, Callable[[], Case]]:
    """Everything to measure, by name: cloud, mode. Maps are made anew in every run."""
    library = adapter(side)
    names = ("street 16k",) if quick else ("street 16k", "street 16k x 2", "street 40k")
    return {
        f"{name}, {mode}": partial(_case, library, name, mode)
        for name in names
        for mode in ("predict", "train")
    }


def _case(library: Adapter, name: str, mode: str) -> Case:
    torch.manual_seed(0)
    voxels = cloud(name)
    coords, features = torch.from_numpy(voxels.coords_bzyx), torch.from_numpy(voxels.features)
    network = backbone(library).train(mode == "train")

    def forward() -> Any:
        with torch.profiler.record_function("sparseops::sites"):
            tensor = library.tensor(features, coords, voxels.spatial_shape, voxels.batch_size)
        return network(tensor)

    def train() -> Any:
        network.zero_grad(set_to_none=True)
        out = forward()
        library.features(out).square().mean().backward()
        return out

    def digest(out: Any) -> list[float]:
        gradients = [float(p.grad.double().abs().sum()) for p in network.parameters() if p.grad is not None]
        return rows_digest(library.features(out), library.coords_bzyx(out)) + gradients[:1]

    run = train if mode == "train" else torch.no_grad()(forward)
    facts: dict[str, Any] = {"voxels": len(coords)}
    if isinstance(library, Ours):
        facts["gflop"] = _gflop(network, forward) * (3 if mode == "train" else 1)
    return Case(run, tuple, digest, facts)


def _gflop(network: nn.Module, forward: Callable[[], Any]) -> float:
    """Operations of one forward pass."""
    total = 0

    def count(layer: Any, given: tuple[Any, ...], out: Any) -> None:
        nonlocal total
        total += 2 * Ours.pairs(layer, given[0], out) * layer.in_channels * layer.out_channels

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if hasattr(layer, "cin")]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    return total * 1e-9


def profile(name: str) -> dict[str, float]:
    """Milliseconds by kind of work, in the fastest of some runs of a case of ours, by torch's profiler.

    The gradient to the features is the same operator as the forward pass, called by the autograd engine.
    For a process of its own: what runs after a profiler runs slower.
    """
    run = cases("ours", quick=False)[name]().run
    run()
    return min((_profile_once(run) for _ in range(4)), key=lambda parts: sum(parts.values()))


def _profile_once(run: Callable[[], object]) -> dict[str, float]:
    cpu = [torch.profiler.ProfilerActivity.CPU]
    # What no operator accounts for is the own time of "run".
    with torch.profiler.profile(activities=cpu) as profiler, torch.profiler.record_function("run"):
        run()
    spent = dict.fromkeys(("maps", "forward", "gradient to features", "gradient to weights", "rest"), 0.0)
    for event in profiler.events():
        spent[_kind(event)] += event.self_cpu_time_total / 1e3
    return {kind: round(ms, 2) for kind, ms in spent.items()}


def _kind(event: Any) -> str:
    """Which part of the work an event of the profiler belongs to, by the outermost operator of ours."""
    chain = [event]
    while chain[-1].cpu_parent is not None:
        chain.append(chain[-1].cpu_parent)
    names = [link.name for link in chain if link.name.startswith("sparseops::")]
    backward = any(link.name.startswith("autograd::engine") for link in chain)
    match names[-1:]:
        case ["sparseops::sparse_conv_weight_grad"]:
            return "gradient to weights"
        case ["sparseops::sparse_conv"]:
            return "gradient to features" if backward else "forward"
        case [_]:
            return "maps"
    return "rest"
