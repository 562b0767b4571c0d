"""Plot the statistics of a synthetic KITTI tree beside KITTI's own figures, and sample pictures.

python tools/plot_synth_statistics.py SYNTH_ROOT --out docs/assets [--real REAL_KITTI_ROOT] [--json FILE]

KITTI's label files cannot be shipped. Known of them here: the number of labels per class in the 7481
training frames (published with the benchmark and repeated in many loaders' logs). Occlusion, truncation,
range and points per car are drawn for KITTI only from the frames found under --real.
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from datasets3d.kitti import KittiLabel, read_labels, read_points
from geom3d import boxes
from geom3d.kitti import boxes_lidar_from_camera, read_calibration

mpl.use("Agg")
from matplotlib import pyplot as plt

KITTI_FRAMES = 7481
KITTI_COUNTS = {
    **{"Car": 28742, "Van": 2914, "Truck": 1094, "Pedestrian": 4487, "Person_sitting": 222},
    **{"Cyclist": 1627, "Tram": 511, "Misc": 973, "DontCare": 11295},
}


def label_files(root: Path) -> list[Path]:
    """All label files of a tree, in order."""
    return sorted((root / "training" / "label_2").glob("*.txt"))


def points_in_labels(root: Path, frame_id: str, labels: list[KittiLabel]) -> np.ndarray:
    """LiDAR points inside each 3D box."""
    training = root / "training"
    path = training / "velodyne" / f"{frame_id}.bin"
    path = path if path.exists() else training / "velodyne_reduced" / f"{frame_id}.bin"
    calibration = read_calibration(training / "calib" / f"{frame_id}.txt")
    location = np.array([label.location for label in labels])
    size_lhw = np.array([(label.size_hwl[2], label.size_hwl[0], label.size_hwl[1]) for label in labels])
    rotation_y = np.array([label.rotation_y for label in labels])
    lidar_boxes = boxes_lidar_from_camera(location, size_lhw, rotation_y, calibration)
    return boxes.contains(read_points(path), lidar_boxes).sum(axis=0)


def collect(root: Path) -> dict[str, list]:
    """Everything that is plotted, from one tree."""
    found: dict[str, list] = {
        "names": [],
        "occlusion": [],
        "truncation": [],
        "range_m": [],
        "points": [],
        "cars": [],
    }
    files = label_files(root)
    for path in files:
        everything = read_labels(path)
        labels = [label for label in everything if not label.is_dont_care]
        found["names"] += [label.name for label in everything]
        found["cars"].append(sum(label.name == "Car" for label in labels))
        if not labels:
            continue
        counts = points_in_labels(root, path.stem, labels)
        for label, count in zip(labels, counts, strict=True):
            if label.name == "Car":
                found["occlusion"].append(label.occlusion)
                found["truncation"].append(label.truncation)
                found["range_m"].append(float(np.linalg.norm(label.location)))
                found["points"].append(int(count))
    found["frames"] = [len(files)]
    return found


def plot(synth: dict[str, list], real: dict[str, list] | None, out: Path) -> None:
    """One panel per statistic."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.2))
    frames = synth["frames"][0]
    names = list(KITTI_COUNTS)
    at = np.arange(len(names))
    axes[0, 0].bar(at - 0.2, [KITTI_COUNTS[n] / KITTI_FRAMES for n in names], 0.4, label="KITTI, 7481 frames")
    axes[0, 0].bar(
        at + 0.2, [synth["names"].count(n) / frames for n in names], 0.4, label=f"synthetic, {frames}"
    )
    axes[0, 0].set_xticks(at, names, rotation=60, ha="right", fontsize=7)
    axes[0, 0].set_title("labels per frame")
    axes[0, 0].legend(fontsize=7)
    ranges = (
        ("occlusion", "occlusion class of cars", np.arange(-0.5, 4)),
        ("truncation", "truncation of cars", np.linspace(0, 1, 21)),
        ("range_m", "distance of cars [m]", np.linspace(0, 85, 18)),
        ("points", "LiDAR points per car", np.logspace(0, 4, 25)),
        ("cars", "cars per frame", np.arange(-0.5, 21)),
    )
    for axis, (key, title, bins) in zip(axes.flat[1:], ranges, strict=True):
        axis.hist(synth[key], bins, weights=np.full(len(synth[key]), 1 / max(len(synth[key]), 1)), color="C1")
        if real is not None:
            values = np.asarray(real[key])
            axis.plot(
                values,
                np.full(len(values), 0.004),
                "k|",
                markersize=14,
                label=f"{real['frames'][0]} real frames",
            )
            axis.legend(fontsize=7)
        if key == "points":
            axis.set_xscale("log")
        axis.set_title(title)
        axis.set_ylabel("share")
    figure.tight_layout()
    figure.savefig(out / "synth_statistics.png", dpi=80)
    plt.close(figure)


def plot_bird_eye(root: Path, frame_id: str, out: Path) -> None:
    """Points of one frame from above, coloured by intensity, with the labelled boxes."""
    training = root / "training"
    points = read_points(training / "velodyne" / f"{frame_id}.bin")
    figure, axis = plt.subplots(figsize=(10, 5))
    axis.scatter(points[:, 0], points[:, 1], c=points[:, 3], s=0.15, cmap="viridis", vmax=0.6, linewidths=0)
    labels = [
        label for label in read_labels(training / "label_2" / f"{frame_id}.txt") if not label.is_dont_care
    ]
    if labels:
        lidar_boxes = boxes_lidar_from_camera(
            np.array([label.location for label in labels]),
            np.array([(label.size_hwl[2], label.size_hwl[0], label.size_hwl[1]) for label in labels]),
            np.array([label.rotation_y for label in labels]),
            read_calibration(training / "calib" / f"{frame_id}.txt"),
        )
        for corners in boxes.corners_bev(lidar_boxes):
            closed = np.concatenate([corners, corners[:1]])
            axis.plot(closed[:, 0], closed[:, 1], "r", linewidth=1)
    axis.set(xlim=(-30, 70), ylim=(-25, 25), aspect="equal", xlabel="x [m]", ylabel="y [m]")
    figure.tight_layout()
    figure.savefig(out / "synth_bev.png", dpi=80)
    plt.close(figure)


def summary(found: dict[str, list]) -> dict:
    """Figures for the documentation."""
    frames = found["frames"][0]
    occlusion = np.asarray(found["occlusion"])
    return {
        "frames": frames,
        "per_frame": {n: round(found["names"].count(n) / frames, 3) for n in KITTI_COUNTS},
        "car_occlusion_share": [round(float(np.mean(occlusion == k)), 3) for k in range(4)],
        "car_truncated_share": round(float(np.mean(np.asarray(found["truncation"]) > 0.05)), 3),
        "car_range_m_quartiles": [round(float(v), 1) for v in np.percentile(found["range_m"], [25, 50, 75])],
        "car_points_quartiles": [round(float(v), 1) for v in np.percentile(found["points"], [25, 50, 75])],
    }


def main() -> None:
    """Read, plot, print the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("synth", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--bev-frame", default="000000")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    synth = collect(args.synth)
    real = None if args.real is None else collect(args.real)
    plot(synth, real, args.out)
    plot_bird_eye(args.synth, args.bev_frame, args.out)
    print(json.dumps(summary(synth), indent=1))


if __name__ == "__main__":
    main()
