"""Drive through synthetic streets and write scans, labels and poses as a SemanticKITTI tree."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geom3d import transforms
from jaxtyping import Float64, UInt32
from tqdm import tqdm

from datasets3d.synth.layouts._kitti_calibration import BASE_SIZE, calibration
from datasets3d.synth.layouts._semantickitti_classes import (
    BackgroundLabels,
    label_actors,
    label_background,
    label_points,
)
from datasets3d.synth.layouts._writing import divide, new_folder, run, worker_count
from datasets3d.synth.semantickitti_config import SemanticKittiSynthConfig
from datasets3d.synth.sensors.lidar import LidarScan, scan
from datasets3d.synth.sensors.moving_caster import MovingCaster, SplitScene
from datasets3d.synth.world.drive import Drive, build_drive
from datasets3d.synth.world.rare_things import add_rare_things

TRUTH = "test_truth"
"""Folder of the labels of the test sequences."""
_LABELLED = ("00", "08", "01", "02", "03", "04", "05", "06", "07", "09", "10")
"""In the order in which a data set grows: 08 is for validation, the others are for training."""
_TEST = tuple(f"{number:02d}" for number in range(11, 22))
_LONGEST_S = 60.0
_RARE_STREAM, _SCAN_STREAM = 1, 2
"""Keep the random numbers of different purposes apart."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sequence:
    """A drive, what its surfaces are called, and the scanner on the car."""

    config: SemanticKittiSynthConfig
    seed: int
    name: str
    drive: Drive
    split: SplitScene
    background: BackgroundLabels

    def world_from_lidar(self, time_s: float) -> Float64[np.ndarray, "4 4"]:
        """The scanner's pose: x forward, y left, z up, upright on the car."""
        mount = np.array([self.config.lidar_ahead_m, 0.0, self.config.lidar.height_m])
        return self.drive.world_from_ego(time_s) @ transforms.from_parts(np.eye(3), mount)

    def record(self, index: int) -> tuple[LidarScan, UInt32[np.ndarray, " n"], Float64[np.ndarray, "4 4"]]:
        """Scan `index`, its labels and the scanner's pose."""
        time_s = index * self.config.scan_interval_s
        pose, scene = self.world_from_lidar(time_s), self.drive.scene_at(time_s)
        rng = np.random.default_rng([self.seed, int(self.name), _SCAN_STREAM, index])
        caster = MovingCaster(self.split, scene)
        turn = scan(scene, caster, self.config.lidar, rng=rng, world_from_lidar=pose)
        actors = label_actors(self.drive, time_s=time_s, moving_m_s=self.config.moving_m_s)
        points_world = transforms.apply(pose, turn.points[:, :3].astype(np.float64))
        return turn, label_points(self.drive, self.background, actors, turn, points_world), pose


def write_semantickitti(
    out_dir: Path | str,
    *,
    sequences: int,
    scans_per_sequence: int,
    seed: int,
    config: SemanticKittiSynthConfig | None = None,
    test_sequences: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a synthetic data set in the layout of SemanticKITTI and return its folder.

    `sequences/SS/` holds `velodyne/NNNNNN.bin` (float32 x y z remission, LiDAR frame: x forward, y left,
    z up, metres), `labels/NNNNNN.label` (uint32: raw class in the lower 16 bits, instance in the upper),
    `calib.txt`, `poses.txt` and `times.txt`. Sequences come in the order 00, 08 (validation), 01 ... 07, 09,
    10; the test sequences 11 ... 21 have no `labels/`, theirs lie in `test_truth/sequences/SS/labels/`. Scans
    follow each other at 10 Hz, each taken from one pose, as motion-compensated ones are.

    Labels. Cars and vans are car; a rider with what he rides is bicyclist or motorcyclist; kerbs are
    sidewalk, parking lanes parking, paved yards before houses other-ground; hedges are vegetation, garden
    walls and guard rails fence, noise barriers (highways) other-structure, bins and containers other-object,
    bollards and lamp posts pole; painted lines are lane-marking. A road user faster than `config.moving_m_s`
    in that scan has the moving class (252 to 259), and the same instance as when it stands. Road users,
    parked bicycles and parked motorcycles are instances, numbered from 1 over the whole sequence. Never
    there: unlabeled, outlier, on-rails (standing or moving) and moving-other-vehicle. Buses and riders are
    nearly always moving.

    Poses are those of KITTI's odometry: with P the pose and Tr of `calib.txt`, inv(Tr) P Tr maps the LiDAR
    frame of that scan to that of the first.

    The same arguments give byte-identical files for any number of workers, and a larger set holds the
    sequences of a smaller one. The folder appears under its name only when it is complete; until then it is
    `<out_dir>.partial`. Worker processes are spawned: in a script, call this under
    `if __name__ == "__main__":`.

    Args:
        out_dir: Must not exist, or be empty.
        sequences: With labels, 1 to 11.
        scans_per_sequence: At least 1; no sequence lasts longer than 60 s.
        test_sequences: Without labels, 0 to 11.
        workers: Processes; all available cores by default. 1 works in this process.
        progress: Show a progress bar on the terminal.

    Raises:
        FileExistsError: `out_dir` holds something already.
        ValueError: Numbers outside these limits, or a negative seed.
    """
    out_dir = Path(out_dir)
    config = SemanticKittiSynthConfig() if config is None else config
    names = sequence_names(sequences, test_sequences)
    longest = int(_LONGEST_S / config.scan_interval_s)
    if not 1 <= scans_per_sequence <= longest:
        raise ValueError(
            f"write_semantickitti: scans_per_sequence must lie in 1..{longest} ({_LONGEST_S:.0f} s), "
            f"got {scans_per_sequence}"
        )
    scans = len(names) * scans_per_sequence
    with new_folder(out_dir, seed=seed, workers=workers, writer="write_semantickitti") as partial:
        for name in names:
            (partial / "sequences" / name / "velodyne").mkdir(parents=True)
            _label_folder(partial, name).mkdir(parents=True)
        count = worker_count(workers, frames=scans)
        jobs = divide(len(names), frames=scans_per_sequence, workers=count)
        record = functools.partial(_record, partial, config, seed, names, scans_per_sequence)
        poses: dict[str, list[Float64[np.ndarray, "4 4"]]] = {name: [] for name in names}
        for name, pose in tqdm(
            run(record, jobs, workers=count),
            total=scans,
            desc=f"synth {out_dir.name}",
            unit="scan",
            disable=not progress,
        ):
            poses[name].append(pose)
        for name in names:
            _write_texts(partial / "sequences" / name, poses[name], interval_s=config.scan_interval_s)
    return out_dir


def sequence_names(sequences: int, test_sequences: int = 0) -> list[str]:
    """Names of sequences with labels, then without, from the official splits.

    Raises:
        ValueError: More than there are.

    Example:
        >>> sequence_names(3, 1)
        ['00', '08', '01', '11']
    """
    if not 1 <= sequences <= len(_LABELLED):
        raise ValueError(f"write_semantickitti: sequences must lie in 1..{len(_LABELLED)}, got {sequences}")
    if not 0 <= test_sequences <= len(_TEST):
        raise ValueError(
            f"write_semantickitti: test_sequences must lie in 0..{len(_TEST)}, got {test_sequences}"
        )
    return [*_LABELLED[:sequences], *_TEST[:test_sequences]]


def _label_folder(root: Path, name: str) -> Path:
    return (root / TRUTH if name in _TEST else root) / "sequences" / name / "labels"


def _build(config: SemanticKittiSynthConfig, *, seed: int, name: str, scans: int) -> _Sequence:
    rng, rare = (np.random.default_rng([seed, int(name), *stream]) for stream in ((), (_RARE_STREAM,)))
    drive = build_drive(config, rng, scans * config.scan_interval_s)
    drive = add_rare_things(drive, config.rare, rare)
    split = SplitScene(drive.scene_at(0.0), np.array([t.speed_mps > 0 for t in drive.tracks], dtype=bool))
    return _Sequence(config, seed, name, drive, split, label_background(drive))


def _record(
    root: Path,
    config: SemanticKittiSynthConfig,
    seed: int,
    names: list[str],
    scans: int,
    job: tuple[int, range],
) -> Iterator[tuple[str, Float64[np.ndarray, "4 4"]]]:
    """Write scans of one sequence and yield their poses; the caller owns the (unfinished) folder."""
    number, indices = job
    sequence = _build(config, seed=seed, name=names[number], scans=scans)
    velodyne = root / "sequences" / sequence.name / "velodyne"
    labels = _label_folder(root, sequence.name)
    for index in indices:
        turn, label, pose = sequence.record(index)
        (velodyne / f"{index:06d}.bin").write_bytes(turn.points.astype("<f4").tobytes())
        (labels / f"{index:06d}.label").write_bytes(label.astype("<u4").tobytes())
        yield sequence.name, pose


def _write_texts(folder: Path, poses: list[Float64[np.ndarray, "4 4"]], *, interval_s: float) -> None:
    """`calib.txt`, `poses.txt` and `times.txt` of a sequence, from the scanner's poses in the world."""
    calib = calibration(width=BASE_SIZE[0], height=BASE_SIZE[1])
    cam_from_lidar = calib.cam_from_lidar
    first_from_world = cam_from_lidar @ transforms.invert(poses[0])
    lidar_from_cam = transforms.invert(cam_from_lidar)
    rows = {"P0": calib.p0, "P1": calib.p1, "P2": calib.p2, "P3": calib.p3, "Tr": cam_from_lidar[:3]}
    (folder / "calib.txt").write_text("".join(f"{key}: {_numbers(row)}\n" for key, row in rows.items()))
    lines = [_numbers((first_from_world @ pose @ lidar_from_cam)[:3]) for pose in poses]
    (folder / "poses.txt").write_text("".join(f"{line}\n" for line in lines))
    times = "".join(f"{index * interval_s:.6e}\n" for index in range(len(poses)))
    (folder / "times.txt").write_text(times)


def _numbers(matrix: Float64[np.ndarray, "3 4"]) -> str:
    return " ".join(f"{value:.12e}" for value in matrix.ravel())
