"""Time and memory of segmentation networks on one full scan on the CPU, beside dense products and spconv.

    python benchmarks/segmentation_inference.py --scan path/to/000000.bin

writes `benchmarks/results/segmentation_inference.json`. The scan is x y z intensity in float32, voxels are of
5 cm; FUSION3D_REAL_DATA names a folder with a scan. Weights are random, which costs the same.

- `spvnas`: SPVNAS@10.8M, by stage and by kind of work; a map counts for the stage that first asks for it.
  The dense products have the same shapes: one for every convolution and offset, with the mean number of
  pairs, and one for every linear layer. Timed in the same process, they are what the arithmetic alone costs.
- `training`: one step of it (forward, backward, SGD) on 80 000 voxels.
- `minkunet`: MinkUNet cr 1.0, the same weights in sparseops and in spconv, if that can be imported. spconv's
  CPU wheel sums wrongly on more than one thread, so it has one; ours is timed on one and on all. They take
  turns, so that a load on the machine meets all alike; processor time is recorded, too.

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


def seconds(run: Callable[[], object]) -> float:
    """Return the time of a run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def median_ms(spent: list[float]) -> float:
    """Return the median in milliseconds."""
    return round(statistics.median(spent) * 1e3, 1)


def peak_mib() -> int:
    """Return the peak of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@torch.no_grad()
def spvnas(scan: Path) -> dict[str, Any]:
    """Return the figures of SPVNAS@10.8M; network and dense products take turns."""
    before = peak_mib()
    batch, net = batch_of(scan), net_of(SPVNAS_10M8)
    shapes = dense_shapes(net, batch)
    peak = peak_mib()
    operands = [
        (torch.randn(n, cin), torch.randn(cin, cout), torch.empty(n, cout), times)
        for n, cin, cout, times in shapes
    ]
    spent, stages = watched(net)
    whole, dense = [], []
    for _ in range(1 + REPEATS):
        whole.append(seconds(lambda: net.predict(batch)))
        dense.append(seconds(lambda: products(operands)))
    flop = sum(2 * n * cin * cout * times for n, cin, cout, times in shapes)
    parts = {name: median_ms(spent[name][1:]) for name in stages}
    return {
        "voxels": len(batch.features),
        "points": len(batch.inverse),
        "median_ms": median_ms(whole[1:]),
        "fastest_ms": round(min(whole) * 1e3, 1),
        "by_stage_ms": parts | {"rest": round(median_ms(whole[1:]) - sum(parts.values()), 1)},
        "by_kind_ms": by_kind(net, batch),
        "gflop": round(flop / 1e9, 1),
        "dense_products_ms": median_ms(dense[1:]),
        "dense_products_fastest_ms": round(min(dense) * 1e3, 1),
        "dense_gflop_per_s": round(flop / 1e9 / min(dense), 1),
        "times_the_dense_products": round(statistics.median(whole[1:]) / statistics.median(dense[1:]), 2),
        "times_the_dense_products_fastest": round(min(whole) / min(dense), 2),
        "peak_mib": peak,
        "of_which_before_the_network_mib": before,
    }


def watched(net: SegmentationNet) -> tuple[dict[str, list[float]], tuple[str, ...]]:
    """Return where every pass from now on will note the seconds of the parts, and their names."""
    parts: dict[str, nn.Module] = {"stem": net.stem}
    for name in ("downs", "points", "ups"):
        parts |= {f"{name}.{i}": part for i, part in enumerate(getattr(net, name))}
    parts["classifier"] = net.classifier
    started: dict[str, float] = {}
    spent: dict[str, list[float]] = defaultdict(list)

    def begin(name: str) -> None:
        started[name] = time.perf_counter()

    def end(name: str) -> None:
        spent[name].append(time.perf_counter() - started[name])

    for name, part in parts.items():
        part.register_forward_pre_hook(lambda *_, name=name: begin(name))
        part.register_forward_hook(lambda *_, name=name: end(name))
    return spent, tuple(parts)


def by_kind(net: SegmentationNet, batch: SegmentationBatch) -> dict[str, float]:
    """Return the milliseconds of every kind of work in the fastest profiled pass, its inner work included."""
    passes = []
    for _ in range(REPEATS):
        with profile(activities=[ProfilerActivity.CPU]) as found:
            net(batch)
        passes.append(found.key_averages())
    events = min(passes, key=lambda events: sum(event.self_cpu_time_total for event in events))
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


def products(operands: list[tuple[Tensor, Tensor, Tensor, int]]) -> None:
    """Take every matrix product as often as the network does, and nothing else."""
    for left, right, out, times in operands:
        for _ in range(times):
            torch.mm(left, right, out=out)


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
        "step_ms": median_ms([seconds(step) for _ in range(1 + REPEATS)][1:]),
        "peak_mib": peak_mib(),
        "of_which_before_the_network_mib": before,
    }


@torch.no_grad()
def agreement(scan: Path) -> dict[str, Any]:
    """Return how far the logits of MinkUNet cr 1.0 in spconv are from ours."""
    batch, net = batch_of(scan), net_of(minkunet(1.0))
    theirs, expected = SpconvMinkUNet(net)(batch), net(batch).logits
    return {
        "largest_difference": (theirs - expected).abs().max().item(),
        "largest_logit": expected.abs().max().item(),
        "equal_classes": (theirs.argmax(1) == expected.argmax(1)).float().mean().item(),
    }


@torch.no_grad()
def serve(side: str, scan: Path) -> None:
    """Run MinkUNet cr 1.0 once for every line that comes in, and answer with a line of figures."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not get among the answers
    batch, net = batch_of(scan), net_of(minkunet(1.0))
    network = SpconvMinkUNet(net) if side == "spconv" else net
    for _ in sys.stdin:
        started, started_cpu = time.perf_counter(), time.process_time()
        network(batch)
        spent = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - started_cpu}
        answers.write(json.dumps(spent | {"peak_mib": peak_mib()}) + "\n")


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
    "agreement": agreement,
}


def words(scan: Path, *more: str) -> list[str]:
    """Return the command line of a process that does a part of the work."""
    return [sys.executable, __file__, "--scan", str(scan), *more]


def limited(threads: int) -> dict[str, str]:
    """Return the environment of a process that has so many threads."""
    return os.environ | {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}


def measured(name: str, scan: Path, *, threads: int) -> dict[str, Any]:
    """Return the figures of one piece of work, done in a process of its own."""
    command = words(scan, "--work", name)
    done = subprocess.run(command, env=limited(threads), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"threads": threads}


def beside_spconv(scan: Path, *, threads: int) -> dict[str, Any]:
    """Return the figures of MinkUNet, ours and spconv's; the processes take turns."""
    sides = {"one_thread": ("ours", 1), "all_threads": ("ours", threads), "spconv": ("spconv", 1)}
    if importlib.util.find_spec("spconv") is None:
        del sides["spconv"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    processes = {
        name: subprocess.Popen(words(scan, "--serve", side), env=limited(count), **pipes)
        for name, (side, count) in sides.items()
    }
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(1 + REPEATS):
        for name, process in processes.items():
            process.stdin.write("\n")
            answers[name].append(json.loads(process.stdout.readline()))
    for process in processes.values():
        process.communicate()
    # The first run warms up.
    report = {name: summary(given[1:]) | {"threads": sides[name][1]} for name, given in answers.items()}
    if "spconv" in report:
        theirs = report["spconv"]["median_ms"]
        for name in ("one_thread", "all_threads"):
            report[name]["times_faster_than_spconv"] = round(theirs / report[name]["median_ms"], 2)
        report["spconv"] |= measured("agreement", scan, threads=1)
    return report


def summary(answers: list[dict[str, float]]) -> dict[str, Any]:
    """Return medians and the fastest run in milliseconds, and the peak of memory."""
    wall = [answer["wall_s"] for answer in answers]
    return {
        "median_ms": median_ms(wall),
        "fastest_ms": round(min(wall) * 1e3, 1),
        "processor_ms": median_ms([answer["cpu_s"] for answer in answers]),
        "peak_mib": answers[-1]["peak_mib"],
    }


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
    options.add_argument("--serve", choices=("ours", "spconv"), help="run MinkUNet once for every line")
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    if chosen.scan is None:
        options.error("name a scan with --scan, or a folder that holds one with FUSION3D_REAL_DATA")
    if chosen.serve is not None:
        serve(chosen.serve, chosen.scan)
    elif chosen.work is not None:
        print(json.dumps(WORK[chosen.work](chosen.scan)))
    else:
        report = {
            name: measured(name, chosen.scan, threads=chosen.threads) for name in ("spvnas", "training")
        }
        report["minkunet"] = beside_spconv(chosen.scan, threads=chosen.threads)
        report |= {"repeats": REPEATS, "scan": chosen.scan.name}
        print(write_record(chosen.out, report, packages=("torch", "numpy", "numba", "sparseops", "spconv")))


if __name__ == "__main__":
    main()
