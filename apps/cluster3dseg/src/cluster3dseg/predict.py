"""`cluster3dseg predict`: a class for every point of any scan, or of a folder of them, by a checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusion3d_appkit.weights import add_weights_options, require_weights

if TYPE_CHECKING:
    import numpy as np
    from datasets3d.segmentation import LabelledScan, LabelTable


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="cluster3dseg predict",
        description="Give every point of a scan its class: writes a .label file (a uint32 a point: the raw "
        "id), a coloured .ply, and pictures. Scans whose results are there are passed over, so an "
        "interrupted run goes on when it is repeated. A scan with other units, axes or intensities than the "
        "network was trained with is told, and repaired by --fix.",
    )
    add_weights_options(options, app="cluster3dseg")
    options.add_argument(
        "--scans", type=Path, required=True, help=".bin, .npy, .ply, .pcd, .las or .laz, or a folder of them"
    )
    options.add_argument(
        "--columns",
        nargs="+",
        default=["x", "y", "z", "intensity"],
        metavar="NAME",
        help="of files that do not name theirs, such as: x y z intensity ring",
    )
    options.add_argument(
        "--intensity", type=float, metavar="VALUE", help="taken for scans that have none, 0 to 1"
    )
    options.add_argument("--fix", action="store_true", help="repair what seems wrong with a scan")
    options.add_argument("--out", type=Path, default=Path("runs/predict"), help="folder for the results")
    options.add_argument(
        "--votes", type=int, default=1, choices=(1, 4, 12), help="views of a scan (default 1)"
    )
    options.add_argument("--device", default="cpu", help="of torch, such as cuda (default %(default)s)")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    require_weights(chosen.ckpt, config=chosen.config)
    if not chosen.scans.exists():
        raise FileNotFoundError(f"--scans {chosen.scans}: no such file or folder")

    from datasets3d.segmentation import VIEWS, ScanFolder, ScanReading
    from tqdm import tqdm

    scans = ScanFolder(
        chosen.scans,
        reading=ScanReading(columns=tuple(chosen.columns), missing_intensity=chosen.intensity),
    )
    if len(scans) == 1:
        scans[0]  # a wrong file is told before anything heavy is loaded

    from cluster3dseg.inference import classes_of_points
    from cluster3dseg.weights import WEIGHTS

    loaded = WEIGHTS.load_model(chosen.ckpt, config=chosen.config)
    network, reading = loaded.model.to(chosen.device), loaded.inputs
    table = reading.require_classes(network.config.class_names)
    missing = [at for at, name in enumerate(scans.frame_ids) if not _label_path(chosen.out, name).is_file()]
    for index in tqdm(missing, desc="scans", unit="scan", disable=len(missing) < 2):
        scan = told(scans[index], fix=chosen.fix)
        found = classes_of_points(network, scan, reading.sampling, views=VIEWS[chosen.votes])
        write_found(scan, found, table, chosen.out)
        sys.stdout.write(f"{scan.frame_id}: {shares(found, table)}\n")
    kept = len(scans) - len(missing)
    sys.stdout.write(f"{len(missing)} scans labelled, {kept} were there; results in {chosen.out}\n")
    return 0


def told(scan: LabelledScan, *, fix: bool) -> LabelledScan:
    """Tell what seems wrong with a scan; return it repaired or as it is.

    Raises:
        ValueError: It has no points.
    """
    from datasets3d.segmentation import find_mistakes, repair

    if not len(scan):
        raise ValueError(f"scan {scan.frame_id} has no points")
    mistakes = find_mistakes(scan.points)
    for mistake in mistakes:
        end = "repaired" if fix else "--fix repairs it"
        sys.stderr.write(f"scan {scan.frame_id}: {mistake.text}; {end}\n")
    return replace(scan, points=repair(scan.points, mistakes)) if fix and mistakes else scan


def write_found(scan: LabelledScan, found: np.ndarray, table: LabelTable, out: Path) -> None:
    """Write pictures and a coloured cloud of a scan, and last its labels: where they are, all is there."""
    from datasets3d.segmentation import write_ply
    from datasets3d.semantickitti import write_labels
    from fusion3d_appkit.draw import below, beside

    from cluster3dseg.pictures import class_legend, labelled_pictures

    raw = table.raw_ids(found)
    path = _label_path(out, scan.frame_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    above, around = labelled_pictures(scan.points, found, table, title=scan.frame_id)
    below(beside(above, class_legend(table, found)), around).save(path.with_suffix(".png"))
    columns = {"intensity": scan.points[:, 3], "label": raw}
    write_ply(path.with_suffix(".ply"), scan.points[:, :3], colours_rgb=table.colours(found), columns=columns)
    write_labels(path, raw)


def shares(found: np.ndarray, table: LabelTable) -> str:
    """Return which part of the points has which class, the most frequent first.

    Example:
        >>> import numpy as np
        >>> from datasets3d.semantickitti import SINGLE_SCAN
        >>> shares(np.array([8, 8, 8, 0], np.uint8), SINGLE_SCAN)
        'road 75.0 %, car 25.0 %'
    """
    import numpy as np

    classes, counts = np.unique(found, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return ", ".join(
        f"{table.classes[classes[i]]} {counts[i] / len(found):.1%}".replace("%", " %") for i in order
    )


def _label_path(out: Path, frame_id: str) -> Path:
    return out / f"{frame_id}.label"
