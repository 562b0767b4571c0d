"""Print how often each class occurs in a SemanticKITTI tree, and draw some of its scans by class.

python tools/plot_semantickitti.py TREE [--out docs/assets/synth_semantickitti.png] [--scans 08/000010]

For every scan below each other: from above (ahead is right, 60 m either way), and as the scanner sees it.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from datasets3d.semantickitti import SINGLE_SCAN
from datasets3d.synth.layouts.semantickitti_statistics import CLASSES, measure_labels

mpl.use("Agg")
from matplotlib import pyplot as plt

COLORS = np.array([*SINGLE_SCAN.colours_rgb, (120, 120, 120)])
"""In the order of CLASSES; what is ignored is grey."""
REACH_M = 60.0
ROWS, COLUMNS = 52, 1024


def read_scan(root: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, class of each (row of COLORS) and instances."""
    sequence, scan = name.split("/")
    folder = root / "sequences" / sequence
    points = np.fromfile(folder / "velodyne" / f"{scan}.bin", dtype="<f4").reshape(-1, 4)
    labels = np.fromfile(folder / "labels" / f"{scan}.label", dtype="<u4")
    table = np.full(260, len(CLASSES) - 1)
    for number, raw_labels in enumerate(CLASSES.values()):
        table[list(raw_labels)] = number
    return points, table[labels & 0xFFFF], labels >> 16


def from_above(points: np.ndarray, classes: np.ndarray, *, per_m: float = 10.0) -> np.ndarray:
    """A picture in which higher points cover lower ones; ahead is right, left is up."""
    size = int(2 * REACH_M * per_m)
    picture = np.zeros((size, size, 3), dtype=np.uint8)
    order = np.argsort(points[:, 2])
    column, row = ((points[order, 0] + REACH_M) * per_m, (REACH_M - points[order, 1]) * per_m)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    colors = COLORS[classes[order][inside]]
    picture[row[inside].astype(int), column[inside].astype(int)] = colors
    return picture[size // 4 : -size // 4]


def as_seen(points: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The scanner's view, nearer points before farther ones; straight ahead in the middle."""
    distance = np.linalg.norm(points[:, :3], axis=1)
    order = np.argsort(-distance)
    azimuth = np.arctan2(points[order, 1], points[order, 0])
    elevation = np.rad2deg(np.arcsin(points[order, 2] / distance[order]))
    column = ((0.5 - azimuth / (2 * np.pi)) * COLUMNS).astype(int) % COLUMNS
    row = ((2.2 - elevation) / 27.0 * ROWS).astype(int).clip(0, ROWS - 1)
    picture = np.zeros((ROWS, COLUMNS, 3), dtype=np.uint8)
    picture[row, column] = COLORS[classes[order]]
    return picture


def draw(root: Path, names: list[str], out: Path) -> None:
    """Write the pictures of some scans below each other, with a legend."""
    figure, axes = plt.subplots(
        2 * len(names), 1, figsize=(11, 6.4 * len(names) + 0.6), height_ratios=[5.5, 0.9] * len(names)
    )
    for number, name in enumerate(names):
        points, classes, _ = read_scan(root, name)
        axes[2 * number].imshow(from_above(points, classes))
        axes[2 * number].set_title(name, fontsize=9)
        axes[2 * number + 1].imshow(as_seen(points, classes), aspect="auto", interpolation="nearest")
    for axis in axes:
        axis.set_axis_off()
    patches = [mpl.patches.Patch(color=c / 255, label=n) for n, c in zip(CLASSES, COLORS, strict=True)]
    figure.legend(handles=patches, loc="lower center", ncols=7, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.65 / figure.get_figheight(), 1, 1))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)


def main() -> None:
    """Print the table; draw the scans if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--out", type=Path, help="picture to write; default: none")
    parser.add_argument("--scans", nargs="+", default=["00/000000", "08/000000"], help="to draw")
    options = parser.parse_args()
    statistics = measure_labels(options.root)
    print(f"{statistics.scans} scans, {statistics.counts.sum() / statistics.scans:.0f} points each\n")
    print(statistics.table())
    if options.out is not None:
        draw(options.root, options.scans, options.out)


if __name__ == "__main__":
    main()
