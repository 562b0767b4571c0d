"""Simulate frames and write them as an official KITTI object tree."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration, write_calibration
from jaxtyping import Float, Float32
from tqdm import tqdm

from datasets3d import _atomic, _sources
from datasets3d.kitti.labels import KittiLabel, format_label
from datasets3d.surfaces.object_shapes import RECIPE
from datasets3d.synth.config import SynthConfig
from datasets3d.synth.layouts._kitti_calibration import calibration as make_calibration
from datasets3d.synth.layouts._object_shape import object_shape
from datasets3d.synth.layouts._writing import new_folder, run, worker_count, write_png
from datasets3d.synth.layouts.labels import Visibility, make_labels, measure_visibility
from datasets3d.synth.sensors.camera import CameraView, render
from datasets3d.synth.sensors.lidar import LidarScan, scan
from datasets3d.synth.sensors.rays import RayCaster
from datasets3d.synth.world.plan import Plan
from datasets3d.synth.world.scene import Scene, build_scene

_FOLDERS = ("calib", "image_2", "label_2", "velodyne", "planes", "object_shapes")


@dataclass(frozen=True, slots=True, eq=False)
class SynthFrame:
    """One simulated frame with everything that is known about it."""

    scene: Scene
    scan: LidarScan
    view: CameraView
    calibration: KittiCalibration
    camera: PinholeCamera
    visibilities: list[Visibility]
    labels: list[KittiLabel]
    label_actors: list[int]
    """Actor index of each object line of `labels`, DontCare lines excluded."""
    shapes: list[Float32[np.ndarray, "n 3"]]
    """Complete surface of each object line, canonical frame."""
    road_plane: Float[np.ndarray, "4"]
    """A b c d in the rectified camera frame."""


def simulate_frame(config: SynthConfig, *, seed: int, index: int) -> SynthFrame:
    """Frame `index` of the world `seed`: depends on these and the config only."""
    scene_rng, lidar_rng, camera_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence([seed, index]).spawn(3)
    )
    scene = build_scene(config, scene_rng)
    return observe(scene, config, lidar_rng=lidar_rng, camera_rng=camera_rng)


def observe(
    scene: Scene, config: SynthConfig, *, lidar_rng: np.random.Generator, camera_rng: np.random.Generator
) -> SynthFrame:
    """Record a scene with both sensors and label it."""
    calib = make_calibration(width=config.camera.width, height=config.camera.height)
    camera = calib.camera(config.camera.width, config.camera.height)
    caster = RayCaster(scene.mesh.vertices, scene.mesh.faces)
    lidar_scan = scan(scene, caster, config.lidar, rng=lidar_rng)
    view = render(scene, caster, camera, config.camera, rng=camera_rng)
    visibilities = [
        measure_visibility(scene, i, view=view, scan=lidar_scan, camera=camera)
        for i in range(len(scene.actors))
    ]
    labels, owners = make_labels(
        scene, visibilities, calibration=calib, height=config.camera.height, config=config.labels
    )
    shapes = [object_shape(scene.actors[i].mesh, count=config.labels.shape_points, seed=i) for i in owners]
    plane = road_plane(scene.plan, calib)
    return SynthFrame(scene, lidar_scan, view, calib, camera, visibilities, labels, owners, shapes, plane)


def road_plane(plan: Plan, calib: KittiCalibration) -> Float[np.ndarray, "4"]:
    """Plane a b c d of the road 3 to 45 m ahead (least squares), rectified camera frame, b < 0."""
    s, t = np.meshgrid(np.arange(3.0, 45.0, 3.0), np.linspace(-plan.kerb(-1), plan.kerb(1), 7))
    x, y, _ = plan.to_world(s.ravel(), t.ravel())
    design = np.stack([x, y, np.ones_like(x)], axis=1)
    (a, b, c), *_ = np.linalg.lstsq(design, plan.terrain.height(x, y), rcond=None)
    normal = np.array([-a, -b, 1.0]) / np.sqrt(a * a + b * b + 1)
    point = np.array([0.0, 0.0, c])
    cam = calib.cam_from_lidar
    normal_cam = cam[:3, :3] @ normal
    offset = -normal_cam @ (cam[:3, :3] @ point + cam[:3, 3])
    return np.append(normal_cam, offset) / np.linalg.norm(normal_cam)


def write_kitti(
    out_dir: Path | str,
    *,
    frames: int,
    seed: int,
    config: SynthConfig | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a synthetic data set in the layout of KITTI's object benchmark and return its folder.

    Beside the official folders, `training/planes/` holds the road plane of each frame and
    `training/object_shapes/<frame>_<index>.npy` the complete surface of each labelled object: float32
    (n, 3), metres, origin at the box centre, heading along +x; the index counts the label file's lines
    without DontCare. `recipe.json` holds hashes of the labels: once edited, the surfaces are refused.
    Every 4th frame (by default) is listed in `val.txt`, the others in `train.txt`.

    The same arguments give byte-identical files for any number of workers. The folder appears under its
    name only when it is complete; until then it is `<out_dir>.partial`. Worker processes are spawned: in a
    script, call this under `if __name__ == "__main__":`.

    Args:
        out_dir: Must not exist, or be empty.
        workers: Processes; all available cores by default. 1 works in this process.
        progress: Show a progress bar on the terminal.

    Raises:
        FileExistsError: `out_dir` holds something already.
        ValueError: `frames` or `workers` below 1, or a negative seed.
    """
    out_dir = Path(out_dir)
    config = SynthConfig() if config is None else config
    if frames < 1:
        raise ValueError(f"write_kitti: frames must be at least 1, got {frames}")
    with new_folder(out_dir, seed=seed, workers=workers, writer="write_kitti") as partial:
        for name in _FOLDERS:
            (partial / "training" / name).mkdir(parents=True)
        for name in ("calib", "image_2", "velodyne"):
            (partial / "testing" / name).mkdir(parents=True)
        _write_splits(partial / "ImageSets", frames=frames, val_share=config.val_share)
        write = functools.partial(_write_frame, partial / "training", config, seed)
        done = run(write, range(frames), workers=worker_count(workers, frames=frames))
        for _ in tqdm(done, total=frames, desc=f"synth {out_dir.name}", unit="frame", disable=not progress):
            pass
        labels = sorted((partial / "training/label_2").iterdir())
        recipe = {"sources": _sources.digests(partial, labels)}
        _atomic.write_json(partial / RECIPE, recipe)
    return out_dir


def _write_splits(folder: Path, *, frames: int, val_share: float) -> None:
    """Validation frames are spread evenly: frame i is one if i * share passes a whole number."""
    folder.mkdir()
    ids = [f"{i:06d}" for i in range(frames)]
    is_val = [int((i + 1) * val_share + 1e-9) > int(i * val_share + 1e-9) for i in range(frames)]
    splits = {
        "train": [i for i, v in zip(ids, is_val, strict=True) if not v],
        "val": [i for i, v in zip(ids, is_val, strict=True) if v],
        "trainval": ids,
        "test": [],
    }
    for name, members in splits.items():
        (folder / f"{name}.txt").write_text("".join(f"{m}\n" for m in members))


def _write_frame(training: Path, config: SynthConfig, seed: int, index: int) -> Iterator[int]:
    """Simulate one frame and write its files; the caller owns the (unfinished) folder."""
    frame, name = simulate_frame(config, seed=seed, index=index), f"{index:06d}"
    write_calibration(training / "calib" / f"{name}.txt", frame.calibration)
    (training / "velodyne" / f"{name}.bin").write_bytes(frame.scan.points.astype("<f4").tobytes())
    write_png(training / "image_2" / f"{name}.png", frame.view.image)
    lines = "".join(format_label(label) + "\n" for label in frame.labels)
    (training / "label_2" / f"{name}.txt").write_text(lines)
    plane = " ".join(f"{v:.6e}" for v in frame.road_plane)
    (training / "planes" / f"{name}.txt").write_text(f"# Plane\nWidth 4\nHeight 1\n{plane}\n")
    for number, shape in enumerate(frame.shapes):
        np.save(training / "object_shapes" / f"{name}_{number}.npy", shape)
    yield index
