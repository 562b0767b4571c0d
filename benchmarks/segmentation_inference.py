"""Time and memory of segmentation networks on one full scan on the CPU, beside dense products and spconv.

    python benchmarks/segmentation_inference.py --scan path/to/000000.bin

writes `benchmarks/results/segmentation_inference.json`. The scan is x y z intensity in float32, voxels are of
5 cm; FUSION3D_REAL_DATA names a folder with a scan. Weights are random, which costs the same.

- `spvnas`: SPVNAS@10.8M, by stage and by kind of work; a map counts for the stage that first asks for it.
  The dense products have the same shapes: one for every convolution and offset, with the mean number of
  pairs, and one for every linear layer. Timed in the same process, they are what the arithmetic alone costs.
- `training`: one step of it (forward, backward, SGD) on 80 000 voxels.
- `minkunet`: MinkUNet cr 1.0, the same weights in sparseops and in spconv, if that can be imported. spconv's CPU
  wheel sums wrongly on more than one thread, so it has one; ours is timed on one and on all.

Each is measured in a process of its own, whose peak of memory is part of the record. Medians of repetitions.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets3d.segmentation import LabelledScan, SamplingConfig, make_sample
from fusion3d_appkit.record import write_record
from fusion_models.segmentation import (
    SPVNAS_10M8,
    SegmentationBatch,
    SegmentationNet,
    SegmentationNetConfig,
    collate_segmentation,
    minkunet,
)
from sparseops import KernelMap, SparseTensor, weight_to_spconv
from sparseops.nn import InverseConv3d, SparseConv3d, SubmanifoldConv3d
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

RESULTS = Path(__file__).parent / "results" / "segmentation_inference.json"
SCAN = "semantickitti/sequences/08/velodyne/000000.bin"
REPEATS = 5
CONVOLUTIONS = (SubmanifoldConv3d, SparseConv3d, InverseConv3d)
KINDS = {
    "maps": (
        "sparseops::site_order",
        "sparseops::pair_list",
        "sparseops::strided_plan",
        "sparseops::transpose",
    ),
    "convolutions": ("sparseops::sparse_conv",),
    "points and voxels": (
        *(
            "sparseops::trilinear",
            "sparseops::weighted_sum",
            "sparseops::scatter_sum",
            "sparseops::batch_column",
        ),
        "aten::searchsorted",
    ),
    "linear layers": ("aten::addmm", "aten::mm"),
    "batch norm": ("aten::native_batch_norm",),
}


def batch_of(scan: Path, *, max_voxels: int | None = None) -> SegmentationBatch:
    """Return the voxels of a scan, in training so many at most."""
    points = np.fromfile(scan, np.float32).reshape(-1, 4)
    rng = None if max_voxels is None else np.random.default_rng(0)
    config = SamplingConfig(max_voxels=max_voxels)
    return collate_segmentation([make_sample(LabelledScan(frame_id="0", points=points), config, rng=rng)])


def net_of(config: SegmentationNetConfig) -> SegmentationNet:
    """Return a network whose every weight and statistic is random."""
    torch.manual_seed(0)
    net = SegmentationNet(config).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def seconds(run: Callable[[], object], *, repeats: int = REPEATS) -> list[float]:
    """Return the times of repeated runs after one that warms up."""
    run()
    spent = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        spent.append(time.perf_counter() - started)
    return spent


def median_ms(spent: list[float]) -> float:
    """Return the median in milliseconds."""
    return round(statistics.median(spent) * 1e3, 1)


def peak_mib() -> int:
    """Return the peak of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@torch.no_grad()
def spvnas(scan: Path) -> dict[str, Any]:
    """Return the figures of SPVNAS@10.8M."""
    before = peak_mib()
    batch, net = batch_of(scan), net_of(SPVNAS_10M8)
    total = seconds(lambda: net.predict(batch))
    peak = peak_mib()
    stages, products = by_stage(net, batch), dense_shapes(net, batch)
    dense_s = sum(product_s(*shape) for shape in products)
    flop = sum(2 * rows * cin * cout * times for rows, cin, cout, times in products)
    median = statistics.median(total)
    return {
        "voxels": len(batch.features),
        "points": len(batch.inverse),
        "median_ms": median_ms(total),
        "fastest_ms": round(min(total) * 1e3, 1),
        "by_stage_ms": stages,
        "by_kind_ms": by_kind(net, batch),
        "gflop": round(flop / 1e9, 1),
        "dense_products_ms": round(dense_s * 1e3, 1),
        "dense_gflop_per_s": round(flop / 1e9 / dense_s, 1),
        "times_the_dense_products": round(median / dense_s, 2),
        "peak_mib": peak,
        "of_which_before_the_network_mib": before,
    }


def by_stage(net: SegmentationNet, batch: SegmentationBatch) -> dict[str, float]:
    """Return the median milliseconds of the parts of a network; `rest` is what belongs to none."""
    parts = {"stem": net.stem, "classifier": net.classifier}
    for name in ("downs", "ups", "points"):
        parts |= {f"{name}.{i}": part for i, part in enumerate(getattr(net, name))}
    started: dict[str, float] = {}
    spent: dict[str, list[float]] = defaultdict(list)
    handles = []
    for name, part in parts.items():
        begin = lambda *_, name=name: started.update({name: time.perf_counter()})  # noqa: E731
        end = lambda *_, name=name: spent[name].append(time.perf_counter() - started[name])  # noqa: E731
        handles += [part.register_forward_pre_hook(begin), part.register_forward_hook(end)]
    whole = seconds(lambda: net(batch))
    for handle in handles:
        handle.remove()
    found = {name: median_ms(spent[name][1:]) for name in parts}
    return found | {"rest": round(median_ms(whole) - sum(found.values()), 1), "whole": median_ms(whole)}


def by_kind(net: SegmentationNet, batch: SegmentationBatch) -> dict[str, float]:
    """Return the milliseconds of every kind of work in one profiled pass, with what it calls itself."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        net(batch)
    events = found.key_averages()
    spent = {
        kind: sum(event.cpu_time_total for event in events if event.key.startswith(names))
        for kind, names in KINDS.items()
    }
    spent["rest"] = sum(event.self_cpu_time_total for event in events) - sum(spent.values())
    return {kind: round(microseconds / 1e3, 1) for kind, microseconds in spent.items()}


Product = tuple[int, int, int, int]
"""Rows, channels in, channels out of a matrix product, and how often it is taken."""


def dense_shapes(net: SegmentationNet, batch: SegmentationBatch) -> list[Product]:
    """Return the products that the layers of a network amount to on a batch."""
    products: list[Product] = []

    def note(layer: nn.Module, inputs: tuple[Any, ...], out: Any) -> None:
        if isinstance(layer, nn.Linear):
            products.append((len(inputs[0]), layer.in_features, layer.out_features, 1))
        elif isinstance(layer, CONVOLUTIONS):
            pairs = int(map_of(layer, inputs[0], out).pairs_per_offset.sum())
            volume = int(np.prod(layer.kernel_size))
            products.append((max(pairs // volume, 1), layer.in_channels, layer.out_channels, volume))

    handles = [layer.register_forward_hook(note) for layer in net.modules()]
    net(batch)
    for handle in handles:
        handle.remove()
    return products


def map_of(layer: nn.Module, tensor: SparseTensor, out: SparseTensor) -> KernelMap:
    """Return the map that took a convolution from one tensor to the other."""
    if isinstance(layer, InverseConv3d):
        return tensor.cache.named[layer.of][tensor.sites]
    fits = (m for m in out.cache.maps.values() if m.sites_in is tensor.sites and m.sites_out is out.sites)
    return next(m for m in fits if m.window.kernel_size == layer.kernel_size)


def product_s(rows: int, cin: int, cout: int, times: int) -> float:
    """Return the median seconds that so many matrix products take, and nothing else."""
    left, right, out = torch.randn(rows, cin), torch.randn(cin, cout), torch.empty(rows, cout)
    return statistics.median(seconds(lambda: [torch.mm(left, right, out=out) for _ in range(times)]))


def training(scan: Path) -> dict[str, Any]:
    """Return the figures of one training step of SPVNAS@10.8M."""
    before = peak_mib()
    batch, net = batch_of(scan, max_voxels=80_000), net_of(SPVNAS_10M8).train()
    classes = torch.randint(0, 19, (len(batch.features),))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, nesterov=True)

    def step() -> None:
        outputs = net(batch)
        optimizer.zero_grad()
        (F.cross_entropy(outputs.logits, classes) + outputs.embedding.mean()).backward()
        optimizer.step()

    return {
        "voxels": len(batch.features),
        "step_ms": median_ms(seconds(step, repeats=3)),
        "peak_mib": peak_mib(),
        "of_which_before_the_network_mib": before,
    }


@torch.no_grad()
def ours(scan: Path) -> dict[str, Any]:
    """Return the figures of MinkUNet cr 1.0."""
    batch, net = batch_of(scan), net_of(minkunet(1.0))
    spent = seconds(lambda: net(batch))
    return {"median_ms": median_ms(spent), "fastest_ms": round(min(spent) * 1e3, 1), "peak_mib": peak_mib()}


@torch.no_grad()
def peer(scan: Path) -> dict[str, Any]:
    """Return the figures of the same MinkUNet in spconv, and how far its logits are from ours."""
    batch, net = batch_of(scan), net_of(minkunet(1.0))
    network = SpconvMinkUNet(net).eval()
    spent = seconds(lambda: network(batch), repeats=3)
    peak = peak_mib()
    theirs, expected = network(batch), net(batch).logits
    return {
        "median_ms": median_ms(spent),
        "fastest_ms": round(min(spent) * 1e3, 1),
        "peak_mib": peak,
        "largest_difference": (theirs - expected).abs().max().item(),
        "largest_logit": expected.abs().max().item(),
        "equal_classes": (theirs.argmax(1) == expected.argmax(1)).float().mean().item(),
    }


class SpconvMinkUNet(nn.Module):
    """A MinkUNet of ours with every convolution done by spconv; norms, ReLU and linear layers are torch's."""

    def __init__(self, net: SegmentationNet) -> None:
        super().__init__()
        import spconv.pytorch

        self.lib, self.net = spconv.pytorch, net
        self.layers = nn.ModuleDict()
        for name, layer in net.named_modules():
            if isinstance(layer, CONVOLUTIONS):
                self.layers[name.replace(".", "_")] = self.twin(name, layer)

    def twin(self, name: str, layer: nn.Module) -> nn.Module:
        """Return the layer of spconv with the same weight; maps are shared as ours are."""
        way, place, part, *_ = [*name.split("."), "", ""]
        level = 0 if way == "stem" else int(place) + 1 if way == "downs" else 3 - int(place)
        channels = layer.in_channels, layer.out_channels
        if part != "transition":
            made = self.lib.SubMConv3d(*channels, 3, bias=False, indice_key=f"same{level}")
        elif way == "downs":
            made = self.lib.SparseConv3d(*channels, 2, stride=2, bias=False, indice_key=f"down{level}")
        else:
            made = self.lib.SparseInverseConv3d(*channels, 2, bias=False, indice_key=f"down{level + 1}")
        made.weight.data.copy_(weight_to_spconv(layer.weight))
        return made

    def sequence(self, name: str, tensor: Any) -> Any:
        """Run convolutions, norms and ReLU in their order."""
        for place, layer in self.net.get_submodule(name).named_children():
            if isinstance(layer, CONVOLUTIONS):
                tensor = self.layers[f"{name}.{place}".replace(".", "_")](tensor)
            else:
                tensor = tensor.replace_feature(layer(tensor.features))
        return tensor

    def blocks(self, name: str, tensor: Any) -> Any:
        """Run the residual blocks of a stage."""
        for place, block in self.net.get_submodule(f"{name}.blocks").named_children():
            around = tensor.features if block.shortcut is None else block.shortcut(tensor.features)
            through = self.sequence(f"{name}.blocks.{place}.body", tensor)
            tensor = through.replace_feature(torch.relu(through.features + around))
        return tensor

    def forward(self, batch: SegmentationBatch) -> Tensor:
        """Return the logits of every voxel."""
        highest = batch.coords_bzyx[:, 1:].amax(0).tolist()
        shape = [(int(cell) // 16 + 1) * 16 for cell in highest]
        tensor = self.lib.SparseConvTensor(batch.features, batch.coords_bzyx, shape, len(batch))
        skips = [self.sequence("stem", tensor)]
        for i in range(4):
            skips.append(self.blocks(f"downs.{i}", self.sequence(f"downs.{i}.transition", skips[-1])))
        tensor = skips.pop()
        for i in range(4):
            tensor, skip = self.sequence(f"ups.{i}.transition", tensor), skips.pop()
            joined = torch.cat([tensor.features, skip.features], dim=1)
            tensor = self.blocks(f"ups.{i}", tensor.replace_feature(joined))
        return self.net.classifier(tensor.features)


WORK: dict[str, Callable[[Path], dict[str, Any]]] = {
    "spvnas": spvnas,
    "training": training,
    "ours": ours,
    "peer": peer,
}


def measured(name: str, scan: Path, *, threads: int) -> dict[str, Any]:
    """Return the figures of one piece of work, done in a process of its own."""
    words = [sys.executable, __file__, "--work", name, "--scan", str(scan)]
    counts = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(words, env=os.environ | counts, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"threads": threads}


def default_scan() -> Path | None:
    """Return the scan in the folder of real data, if there is such a folder."""
    root = os.environ.get("FUSION3D_REAL_DATA")
    return Path(root) / SCAN if root else None


def main() -> None:
    """Measure all and write the record."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--scan", type=Path, default=default_scan(), help=".bin file of x y z intensity")
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="of all but spconv")
    options.add_argument("--work", choices=tuple(WORK), help="do this alone, here, and print its figures")
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    if chosen.scan is None:
        options.error("name a scan with --scan, or a folder that holds one with FUSION3D_REAL_DATA")
    if chosen.work is not None:
        print(json.dumps(WORK[chosen.work](chosen.scan)))
        return
    report = {name: measured(name, chosen.scan, threads=chosen.threads) for name in ("spvnas", "training")}
    network = {"one_thread": measured("ours", chosen.scan, threads=1)}
    network["all_threads"] = measured("ours", chosen.scan, threads=chosen.threads)
    if importlib.util.find_spec("spconv") is not None:
        network["spconv"] = measured("peer", chosen.scan, threads=1)
        for side in ("one_thread", "all_threads"):
            network[side]["times_faster_than_spconv"] = round(
                network["spconv"]["median_ms"] / network[side]["median_ms"], 2
            )
    report["minkunet"] = network
    report |= {"repeats": REPEATS, "scan": chosen.scan.name}
    print(write_record(chosen.out, report, packages=("torch", "numpy", "numba", "sparseops", "spconv")))


if __name__ == "__main__":
    main()
