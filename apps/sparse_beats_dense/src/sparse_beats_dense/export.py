"""`sparse_beats_dense export`: the inference path as one file that runs without this code."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusion3d_appkit.weights import add_weights_options, require_weights

if TYPE_CHECKING:
    from fusion_models.sparse_beats_dense.model import SparseBeatsDense
    from torch.export import ExportedProgram

SIZE_WH = (1600, 900)
"""nuScenes' pictures."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="sparse_beats_dense export",
        description="Write the model's inference path (no mask decoders, batch normalisation folded) with "
        "torch.export, for one size of picture and one picture at a time. The file is run with torch alone: "
        "torch.export.load(FILE).module()(image, radar, points, counts) gives the depth [1, 1, h, w] in "
        "metres, where image is [1, 3, h, w] BGR 0..255, radar [1, 1, h, w] metres, points [1, 200, 3] m "
        "in the camera's frame, zero padded, and counts [1] int64. The result is compared with the model's "
        "before it is kept.",
    )
    add_weights_options(options, app="sparse_beats_dense")
    options.add_argument("--out", type=Path, default=Path("depth.pt2"), help="file to write")
    options.add_argument(
        "--size", type=int, nargs=2, metavar=("W", "H"), default=SIZE_WH, help="of the pictures"
    )
    return options


def export_network(network: SparseBeatsDense, *, width: int, height: int) -> ExportedProgram:
    """Return the inference path for pictures of one size.

    Raises:
        RuntimeError: The exported program gives another depth than the model.
    """
    import torch
    from fusion_models.sparse_beats_dense.inference import DepthPredictor

    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, height, width), generator=generator) * 255
    radar = torch.zeros(1, 1, height, width)
    radar[..., :: max(1, width // 40)] = 30.0
    points = torch.rand((1, network.config.max_points, 3), generator=generator) * 50
    inputs = (image, radar, points, torch.tensor([40]))
    with torch.no_grad():
        program = torch.export.export(DepthPredictor(network), inputs)
        expected, found = network.predict(*inputs), program.module()(*inputs)
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-4):
        raise RuntimeError(
            f"export: the program differs from the model by up to {(found - expected).abs().max():.3g} m"
        )
    return program


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    width, height = chosen.size
    if min(width, height) < 1:
        raise ValueError(f"--size must be a width and a height in pixels, got {width} {height}")
    require_weights(chosen.ckpt, config=chosen.config)
    import torch

    from sparse_beats_dense.weights import WEIGHTS

    network = WEIGHTS.load_model(chosen.ckpt, config=chosen.config).model
    program = export_network(network, width=width, height=height)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    partial = chosen.out.with_name(f"partial.{chosen.out.name}")
    with warnings.catch_warnings():
        # Weights in channels-last order are saved as they are: that is meant, the loaded file gives the same.
        warnings.filterwarnings("ignore", message="No complete tensor found")
        torch.export.save(program, partial)
    partial.replace(chosen.out)
    sys.stdout.write(
        f"{chosen.out}: pictures of {width} x {height}; equal to the model on a random picture\n"
    )
    return 0
