"""`sparse_beats_dense masks`: segment the pictures of a tree, which gives the masks that training needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparse_beats_dense.segmenters import Segment


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="sparse_beats_dense masks",
        description="Write a picture of class ids for every camera picture: `<out>/<image base name>.png`, "
        "8 bits, ADE20K's 150 classes numbered from 0 (wall) to 149 (flag), in the picture's size. The "
        "authors' masks come from a model they do not name; any good ADE20K model does. Masks that are there "
        "are kept, so an interrupted run goes on when it is repeated.",
        epilog="examples:\n"
        "  --model transformers:FOLDER_OR_HUB_NAME            trained on ADE20K; its classes are checked\n"
        "  --model torchvision:deeplabv3_resnet50 --weights mine.pt     trained by you on ADE20K\n"
        "  --model python:mypackage.mymodule:make_model       your own: [1, 3, h, w] to [1, 150, h', w']\n"
        "The authors' own masks: datasets3d.depth.unpack_masks unpacks their seg_mask.tar.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--root", type=Path, required=True, help="folder of the data set, with samples/")
    options.add_argument(
        "--model", required=True, help="transformers:, torchvision:, timm: or python: and a name"
    )
    options.add_argument("--weights", type=Path, help="state dict of the model, .safetensors or .pt")
    options.add_argument("--camera", default="CAM_FRONT", help="channel (default %(default)s)")
    options.add_argument("--out", type=Path, help="folder of the masks (default ROOT/seg_mask)")
    options.add_argument(
        "--side", type=int, default=512, help="shorter side the model sees, pixels (default %(default)s)"
    )
    options.add_argument("--device", default="cpu", help="of torch, such as cuda (default %(default)s)")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    out = chosen.root / "seg_mask" if chosen.out is None else chosen.out
    folder = chosen.root / "samples" / chosen.camera
    pictures = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not pictures:
        raise FileNotFoundError(f"no pictures in {folder}; is {chosen.root} the root of a nuScenes tree?")
    if chosen.side < 1:
        raise ValueError(f"--side must be at least 1 pixel, got {chosen.side}")
    missing = [path for path in pictures if not (out / f"{path.stem}.png").is_file()]
    if missing:
        from sparse_beats_dense.segmenters import load_segmenter

        try:
            segment = load_segmenter(
                chosen.model, weights=chosen.weights, side_px=chosen.side, device=chosen.device
            )
        except ImportError as error:
            raise ValueError(str(error)) from error
        write_masks(missing, out, segment)
    sys.stdout.write(f"{len(missing)} masks written, {len(pictures) - len(missing)} were there; {out}\n")
    return 0


def write_masks(pictures: Sequence[Path], out: Path, segment: Segment) -> None:
    """Write the class ids of pictures as PNG, each whole or not at all, with a progress bar."""
    import numpy as np
    import torch
    from datasets3d.nuscenes import read_image
    from PIL import Image
    from tqdm import tqdm

    out.mkdir(parents=True, exist_ok=True)
    for path in tqdm(pictures, desc="masks", unit="picture"):
        ids = segment(torch.from_numpy(read_image(path)))
        partial = out / f".{path.stem}.partial"
        Image.fromarray(np.asarray(ids)).save(partial, format="PNG")
        partial.replace(out / f"{path.stem}.png")
