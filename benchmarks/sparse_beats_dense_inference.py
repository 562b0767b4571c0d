"""Inference time and memory of Sparse Beats Dense on the CPU, beside the whole published graph.

    python benchmarks/sparse_beats_dense_inference.py

writes `benchmarks/results/sparse_beats_dense_inference.json`. One image of 900 x 1600, published widths, the
same random weights for all. Compared with `published`, the whole graph in plain PyTorch as the authors run
it: `predict`, which gives the same bits, and `DepthPredictor`, which rounds differently. Repetitions take
turns, so that a load on the machine meets all alike; the median of each counts. Memory is the peak of a
process that runs one of them alone; the model and the frame are part of it.

    --official PATH     also time the authors' own model.py (commit 8b87d53)
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from fusion3d_appkit.record import write_record
from fusion_models.sparse_beats_dense.inference import DepthPredictor
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results" / "sparse_beats_dense_inference.json"
HEIGHT, WIDTH = 900, 1600
REPEATS = 7
STAGES = (("g03", 3, 2), ("g3", 4, 2), ("g4", 7, 4), ("g5", 7, 8), ("g6", 7, 8))

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
Runner = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class PublishedGraph:
    """The whole published graph, every decoder included, from a state dict in the authors' names.

    One PyTorch call per layer of the released model.py, in its order, sharing no code with `fusion_models`.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def __call__(self, image: Tensor, radar: Tensor, points: Tensor, counts: Tensor) -> Tensor:
        """Return the depth of the finest level, cropped; the other five maps are computed, too."""
        height, width = image.shape[2:]
        down, right = ((side // 256 + 1) * 256 - side for side in (height, width))
        image, radar = (F.pad(x, (0, right, 0, down)) for x in (image, radar))
        embedding = self.embedding(points, counts)
        features, depths, masks = None, [], []
        for name, factor in (("G1", 4), ("G2", 2), ("G3", 1)):
            parts = [image if factor == 1 else F.interpolate(image, scale_factor=1 / factor, mode="bilinear")]
            parts.append(self.downsampled(radar, factor))
            if features is not None:
                parts.append(F.interpolate(features + embedding, scale_factor=4.0, mode="bilinear"))
            maps = self.encode(f"{name}.encoder.", torch.cat(parts, 1))
            features, depth = self.decode(f"{name}.", maps)
            depths.append(F.relu(depth))
            masks.append(self.decode(f"{name}.valid_", maps)[1].sigmoid())
        return depths[-1][:, :, :height, :width]

    def embedding(self, points: Tensor, counts: Tensor) -> Tensor:
        for i in range(6):
            name = f"calibrated_params_encoder.mlp.{i}.fully_connected"
            weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
            points = F.leaky_relu(F.linear(points, weight, bias), 0.1)
        means = [rows[:count].mean(0) for rows, count in zip(points, counts.tolist(), strict=True)]
        return torch.stack(means)[:, :, None, None]

    def downsampled(self, x: Tensor, factor: int) -> Tensor:
        out = x.new_zeros(*x.shape[:2], x.shape[2] // factor, x.shape[3] // factor)
        b, c, v, u = torch.nonzero(x, as_tuple=True)
        out[b, c, v // factor, u // factor] = x[b, c, v, u]
        return out

    def conv(self, name: str, x: Tensor, *, stride: int = 1, groups: int = 1, relu: bool = False) -> Tensor:
        weight = self.state[f"{name}.conv.weight"]
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        x = F.conv2d(x, weight, self.state[f"{name}.conv.bias"], stride, padding, groups=groups)
        x = self.norm(f"{name}.bn", x)
        return F.relu(x) if relu else x

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias)

    def encode(self, name: str, x: Tensor) -> list[Tensor]:
        x = self.conv(f"{name}conv00", x, stride=2, relu=True)
        maps = [x]
        for stage, blocks, groups in STAGES:
            for i in range(blocks):
                block, stride = f"{name}{stage}_{i}.", 2 if i == 0 else 1
                y = self.conv(f"{block}conv_1x1_shrink", x, relu=True)
                y = self.conv(f"{block}conv_3x3", y, stride=stride, groups=groups, relu=True)
                y = self.conv(f"{block}conv_1x1_expand", y)
                x = self.conv(f"{block}shortcut", F.avg_pool2d(x, 2)) if i == 0 else x
                x = F.relu(y + x)
            maps.append(x)
        pooled = [F.avg_pool2d(y, 2 ** (5 - i)) for i, y in enumerate(maps[:-1])]
        return [torch.cat([*pooled, x], 1), *maps[-2::-1]]

    def decode(self, name: str, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the features before the last step, and the map."""
        x = features = maps[0]
        for i, skip in enumerate(maps):
            features, score = x, f"{name}score{i}"
            if i < 3:
                flat = self.conv(f"{score}.conv01", self.conv(f"{score}.conv00", skip, relu=True))
                upright = self.conv(f"{score}.conv11", self.conv(f"{score}.conv10", skip, relu=True))
                y = flat + upright
            else:
                y = self.conv(score, skip)
            y = y + x if i > 0 else y
            refine, resize = f"{name}refine{i}", f"{name}resize{i}"
            y = y + self.conv(f"{refine}.refine1", self.conv(f"{refine}.refine0", y, relu=True))
            weight, bias = self.state[f"{resize}.deconv.weight"], self.state[f"{resize}.deconv.bias"]
            x = F.conv_transpose2d(y, weight, bias, stride=2)
            x = self.norm(f"{resize}.bn", x) if i < 5 else x
        return features, x


def official(path: Path, state: dict[str, Tensor]) -> Runner:
    """Return the authors' own model with these weights."""
    spec = importlib.util.spec_from_file_location("official_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Network().eval()
    network.load_state_dict(state)

    def run(image: Tensor, radar: Tensor, points: Tensor, counts: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it indexes with lists of tensors
            depths, _ = network(network.padding(image), network.padding(radar), points, counts)
        return depths[-1][:, :, : image.shape[2], : image.shape[3]]

    return run


def model_and_inputs() -> tuple[SparseBeatsDense, Inputs]:
    """Return a model whose every weight and statistic is random, and one frame."""
    torch.manual_seed(0)
    model = SparseBeatsDense(SparseBeatsDenseConfig()).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    image = torch.randint(0, 256, (1, 3, HEIGHT, WIDTH)).float()
    columns = torch.rand(1, 1, 1, WIDTH) * 80 * (torch.rand(1, 1, 1, WIDTH) < 0.04)
    radar = columns.expand(1, 1, HEIGHT, WIDTH).contiguous()
    points = torch.rand(1, 200, 3) * 50
    return model, (image, radar, points, torch.tensor([60]))


RUNNERS: dict[str, Callable[[SparseBeatsDense], Runner]] = {
    "published": lambda model: PublishedGraph(model.state_dict()),
    "predict": lambda model: model.predict,
    "depth_predictor": DepthPredictor,
}


def peak(name: str) -> dict:
    """Return the peak of a process of its own that runs one image."""
    words = [sys.executable, __file__, "--peak", name]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def print_peak(name: str) -> None:
    """Run one image in this process and print its peak of memory in MiB."""
    model, inputs = model_and_inputs()
    runner = RUNNERS[name](model)
    del model
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runner(*inputs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_mib": peak // 1024, "of_which_before_the_image_mib": before // 1024}))


def measure(official_model: Path | None) -> dict:
    """Return seconds, ratios and differences of all runners in this process."""
    model, inputs = model_and_inputs()
    runners = {name: make(model) for name, make in RUNNERS.items()}
    if official_model is not None:
        runners["official_code"] = official(official_model, model.state_dict())
    depths = {name: runner(*inputs) for name, runner in runners.items()}  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(REPEATS):
        for name, runner in runners.items():
            started = time.perf_counter()
            runner(*inputs)
            seconds[name].append(time.perf_counter() - started)
    expected = depths["published"]
    base = statistics.median(seconds["published"])
    return {
        name: {
            "median_s": round(statistics.median(spent), 3),
            "fastest_s": round(min(spent), 3),
            "times_faster": round(base / statistics.median(spent), 2),
            "largest_difference": (depths[name] - expected).abs().max().item(),
        }
        for name, spent in seconds.items()
    } | {"largest_depth": expected.max().item()}


@torch.no_grad()
def main() -> None:
    """Measure all and write the record."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--official", type=Path, help="model.py of the authors, timed beside the others")
    options.add_argument("--peak", choices=tuple(RUNNERS), help="print the MiB that this one takes")
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    if chosen.peak is not None:
        print_peak(chosen.peak)
        return
    # A process starts with the peak of the one that starts it: these come first, while that is small.
    peaks = {name: peak(name) for name in RUNNERS}
    report = measure(chosen.official)
    for name, figures in peaks.items():
        report[name] |= figures
    report |= {"image": [HEIGHT, WIDTH], "repeats": REPEATS, "threads": torch.get_num_threads()}
    print(write_record(chosen.out, report, packages=("torch", "numpy")))


if __name__ == "__main__":
    main()
