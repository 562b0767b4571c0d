"""Make the golden cases: small seeded data sets, and what the official kit says about submissions for them.

Run it with a Python that has nuscenes-devkit 1.2.0 (which needs NumPy below 2), see README.md:

    python generate.py cases.tar.xz

Nothing of the kit is changed; `DetectionEval` reads the tables and the submission from disk as usual.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CATEGORIES = {
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus.rigid": "bus",
    "vehicle.trailer": "trailer",
    "vehicle.construction": "construction_vehicle",
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle",
    "movable_object.trafficcone": "traffic_cone",
    "movable_object.barrier": "barrier",
    "static_object.bicycle_rack": None,
    "animal": None,
}
ATTRIBUTES = {
    "vehicle": ["vehicle.moving", "vehicle.parked", "vehicle.stopped"],
    "cycle": ["cycle.with_rider", "cycle.without_rider"],
    "pedestrian": ["pedestrian.moving", "pedestrian.sitting_lying_down", "pedestrian.standing"],
}
SIZES = {"pedestrian": (0.7, 0.7, 1.8), "traffic_cone": (0.4, 0.4, 1.0), "barrier": (2.5, 0.5, 1.0)}
META = {f"use_{name}": name == "lidar" for name in ("camera", "lidar", "radar", "map", "external")}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is special about a case; the rest is drawn at random."""

    samples: int = 5
    objects: int = 22
    alarms: int = 12
    categories: tuple[str, ...] = tuple(CATEGORIES)
    period_s: float = 0.5
    noise_m: float = 0.5
    radius_m: float = 48.0
    found: float = 0.8
    copies: int = 1
    score_digits: int = 6
    zero_scores: float = 0.0
    attributes: float = 0.9
    half_turns: bool = False
    on_grid: bool = False
    full_curves: bool = False
    num_pts_given: bool = False
    foreign_attribute: bool = False
    config: dict[str, object] | None = None


CASES = {
    "main": Case(samples=8, objects=30, full_curves=True),
    "tied_scores": Case(score_digits=1, copies=2),
    "constant_score": Case(score_digits=0, zero_scores=0.0),
    "zero_scores": Case(zero_scores=0.5),
    "perfect": Case(noise_m=0.0, found=1.0, alarms=0),
    "nothing_in_range": Case(found=0.0, alarms=1, radius_m=48.0, samples=2),
    "few_classes": Case(categories=("vehicle.car", "human.pedestrian.adult", "animal")),
    "barriers": Case(categories=("movable_object.barrier", "movable_object.trafficcone"), half_turns=True),
    "racks": Case(
        categories=("vehicle.bicycle", "vehicle.motorcycle", "static_object.bicycle_rack"), radius_m=14.0
    ),
    "unknown_velocity": Case(period_s=1.7, attributes=0.0),
    "slow_frames": Case(period_s=1.2, attributes=0.5),
    "at_the_range": Case(radius_m=56.0, noise_m=1.0),
    "on_a_grid": Case(on_grid=True, copies=3, score_digits=1, radius_m=12.0),
    "low_recall": Case(found=0.06, alarms=4, objects=40),
    "points_given": Case(num_pts_given=True, foreign_attribute=True),
    "own_config": Case(
        config={"dist_ths": [1.0, 3.0], "dist_th_tp": 3.0, "min_recall": 0.2, "min_precision": 0.3}
    ),
}


def quaternion(yaw: float, rng: np.random.Generator, tilt: float = 0.03) -> list[float]:
    """A turn about z with a slight tilt, normalised and rounded as a writer would."""
    turn = np.array([math.cos(yaw / 2), *rng.normal(0, tilt, 2), math.sin(yaw / 2)])
    return [round(value, 5) for value in (turn / np.linalg.norm(turn)).tolist()]


def size_of(name: str | None, rng: np.random.Generator) -> list[float]:
    base = (3.0, 8.0, 2.0) if name is None else SIZES.get(name, (1.9, 4.5, 1.6))
    return [round(float(edge * rng.uniform(0.9, 1.1)), 3) for edge in base]


def rounded(values: np.ndarray, digits: int = 3) -> list[float]:
    return [round(value, digits) for value in values.tolist()]


def attribute_of(name: str | None, rng: np.random.Generator) -> str:
    if name in (None, "traffic_cone", "barrier"):
        return ""
    kind = (
        "cycle" if name in ("bicycle", "motorcycle") else "pedestrian" if name == "pedestrian" else "vehicle"
    )
    return str(rng.choice(ATTRIBUTES[kind]))


class World:
    """The tables of two scenes, and the submission."""

    def __init__(self, seed: int, case: Case) -> None:
        self.rng = np.random.default_rng(seed)
        self.case = case
        self.tables: dict[str, list[dict[str, object]]] = {
            "category": [{"token": f"cat-{n}", "name": n} for n in CATEGORIES],
            "attribute": [{"token": f"att-{n}", "name": n} for names in ATTRIBUTES.values() for n in names],
            "visibility": [{"token": "1", "level": "v0-40"}],
            "instance": [],
            "sensor": [
                {"token": "sensor-top", "channel": "LIDAR_TOP", "modality": "lidar"},
                {"token": "sensor-cam", "channel": "CAM_FRONT", "modality": "camera"},
            ],
            "calibrated_sensor": [
                {"token": f"mount-{n}", "sensor_token": f"sensor-{n}", "translation": [1, 0, 2]}
                for n in ("top", "cam")
            ],
            "ego_pose": [],
            "log": [{"token": "log"}],
            "scene": [],
            "sample": [],
            "sample_data": [],
            "sample_annotation": [],
            "map": [{"token": "map", "log_tokens": ["log"], "filename": "empty.png"}],
        }
        self.results: dict[str, list[dict[str, object]]] = {}
        for name in ("scene-0103", "scene-0916", "scene-0061"):
            self.scene(name)
        # The order of the file decides between equal scores; it is not that of the tables.
        tokens = sorted(self.results, key=lambda token: token[::-1])
        self.results = {token: self.results[token] for token in tokens}

    def scene(self, name: str) -> None:
        self.tables["scene"].append({"token": f"s-{name}", "name": name, "log_token": "log"})
        start = self.rng.uniform(-800, 800, 2)
        count = self.case.samples if name != "scene-0061" else 1
        names = list(self.rng.choice(self.case.categories, self.case.objects))
        places = [self.place() for _ in names]
        speeds = self.rng.normal(0, 2, (len(names), 2))
        for at in range(count):
            token = f"{name[6:]}-{at:02d}"
            ego = np.array([*(start + 3.0 * at), 0.0])
            self.key_frame(name, token, at, ego)
            boxes = [
                self.annotation(
                    token, index, category, ego, places[index] + speeds[index] * at * 0.3, at, count
                )
                for index, category in enumerate(names)
                if (index + at) % 5
            ]
            if name != "scene-0061":
                self.results[token] = self.detections(token, ego, boxes)

    def place(self) -> np.ndarray:
        spot = self.rng.uniform(-self.case.radius_m, self.case.radius_m, 2)
        return np.round(spot / 2) * 2 if self.case.on_grid else spot

    def key_frame(self, scene: str, token: str, at: int, ego: np.ndarray) -> None:
        # Key frames are not evenly spaced: one gap is longer than the rule on velocities lets pass.
        time = int(1.5e15 + 1e6 * (self.case.period_s * at + 2.4 * (at > 3)))
        self.tables["sample"].append({"token": token, "timestamp": time, "scene_token": f"s-{scene}"})
        for sensor, shift in (("top", 0.0), ("cam", 40.0)):
            for is_key in (True, False):
                data = f"{token}-{sensor}-{is_key}"
                where = rounded(ego + (shift if is_key else 99.0) * np.array([1, 1, 0]))
                self.tables["ego_pose"].append({"token": f"p-{data}", "translation": where})
                self.tables["sample_data"].append(
                    {
                        "token": data,
                        "sample_token": token,
                        "ego_pose_token": f"p-{data}",
                        "calibrated_sensor_token": f"mount-{sensor}",
                        "is_key_frame": is_key,
                    }
                )

    def annotation(
        self, token: str, index: int, category: str, ego: np.ndarray, offset: np.ndarray, at: int, count: int
    ) -> dict[str, object]:
        rng, scene = self.rng, token[:4]
        instance = f"i-{scene}-{index}"
        if not any(record["token"] == instance for record in self.tables["instance"]):
            self.tables["instance"].append({"token": instance, "category_token": f"cat-{category}"})
        name = CATEGORIES[category]
        attribute = attribute_of(name, rng) if rng.random() < self.case.attributes else ""
        # Objects are annotated in runs; the first and last of a run have one neighbour, a single one none.
        before, after = ((index + near) % 5 and 0 <= near < count for near in (at - 1, at + 1))
        box = {
            "token": f"a-{token}-{index}",
            "sample_token": token,
            "instance_token": instance,
            "attribute_tokens": [f"att-{attribute}"] if attribute else [],
            "translation": rounded(
                ego + np.array([*(np.round(offset) if self.case.on_grid else offset), 1.0])
            ),
            "size": size_of(name, rng),
            "rotation": quaternion(rng.uniform(-math.pi, math.pi), rng),
            "prev": f"a-{scene}-{at - 1:02d}-{index}" if before else "",
            "next": f"a-{scene}-{at + 1:02d}-{index}" if after else "",
            "num_lidar_pts": int(rng.integers(0, 4)),
            "num_radar_pts": int(rng.integers(0, 2)),
        }
        self.tables["sample_annotation"].append(box)
        return box | {"name": name, "attribute": attribute}

    def detections(
        self, token: str, ego: np.ndarray, boxes: list[dict[str, object]]
    ) -> list[dict[str, object]]:
        rng, case = self.rng, self.case
        found: list[dict[str, object]] = []
        for box in boxes:
            if box["name"] is not None:
                found += [self.hit(token, box) for _ in range(case.copies) if rng.random() < case.found]
        for _ in range(case.alarms):
            name = str(rng.choice([n for n in CATEGORIES.values() if n]))
            far = 900.0 if case.found == 0.0 else 0.0
            place = rounded(ego + np.array([*(self.place() + far), rng.normal(1, 0.3)]))
            found.append(
                self.box(token, name, place, size_of(name, rng), quaternion(rng.uniform(-3, 3), rng))
            )
        order = rng.permutation(len(found)).tolist()
        return [found[at] for at in order]

    def hit(self, token: str, box: dict[str, object]) -> dict[str, object]:
        rng, noise = self.rng, self.case.noise_m
        shift = np.round(rng.normal(0, 1, 3)) if self.case.on_grid else rng.normal(0, noise, 3)
        if noise == 0.0:
            return self.box(token, box["name"], box["translation"], box["size"], box["rotation"])
        w, x, y, z = box["rotation"]
        turned = [-z, y, -x, w] if self.case.half_turns and rng.random() < 0.5 else [w, x, y, z]
        yaw = 2 * math.atan2(turned[3], turned[0]) + rng.normal(0, 0.2)
        size = rounded(np.array(box["size"]) * rng.uniform(0.8, 1.2, 3))
        return self.box(
            token, box["name"], rounded(np.array(box["translation"]) + shift), size, quaternion(yaw, rng)
        )

    def box(self, token: str, name: str, place: object, size: object, rotation: object) -> dict[str, object]:
        rng, case = self.rng, self.case
        score = round(float(rng.beta(2, 2)), case.score_digits)
        if case.score_digits == 0:
            score = 0.5
        attribute = attribute_of(name, rng)
        if case.foreign_attribute and name in ("barrier", "traffic_cone"):
            attribute = "cycle.with_rider"
        box: dict[str, object] = {
            "sample_token": token,
            "translation": place,
            "size": size,
            "rotation": rotation,
            "velocity": rounded(rng.normal(0, 2, 2)),
            "detection_name": name,
            "detection_score": 0.0 if rng.random() < case.zero_scores else score,
            "attribute_name": attribute,
        }
        if case.num_pts_given:
            box["num_pts"] = int(rng.integers(-1, 3))
        return box


def scored(folder: Path, case: Case) -> dict[str, object]:
    """Let the official kit evaluate the case in `folder`."""
    from nuscenes import NuScenes
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.data_classes import DetectionConfig
    from nuscenes.eval.detection.evaluate import DetectionEval

    config = config_factory("detection_cvpr_2019")
    if case.config is not None:
        config = DetectionConfig.deserialize(config.serialize() | case.config)
    (folder / "empty.png").touch()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        kit = DetectionEval(
            NuScenes(version="v1.0-mini", dataroot=str(folder), verbose=False),
            config=config,
            result_path=str(folder / "results.json"),
            eval_set="mini_val",
            output_dir=str(folder / "out"),
            verbose=False,
        )
        kit.main(render_curves=False)
    summary = json.loads((folder / "out" / "metrics_summary.json").read_text())
    details = json.loads((folder / "out" / "metrics_details.json").read_text())
    curves = {
        key: {
            column: [round(value, 11) for value in (values if case.full_curves else values[::5])]
            for column, values in entry.items()
            if column != "recall"
        }
        for key, entry in details.items()
        if case.full_curves or key.endswith(f":{config.dist_th_tp}")
    }
    counted = {
        "n_gt": sum(len(boxes) for boxes in kit.gt_boxes.boxes.values()),
        "n_pred": sum(len(boxes) for boxes in kit.pred_boxes.boxes.values()),
    }
    del summary["eval_time"]
    return {"summary": summary, "curves": curves, "kept": counted}


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for seed, (label, case) in enumerate(CASES.items()):
            folder = root / label
            (folder / "v1.0-mini").mkdir(parents=True)
            world = World(seed, case)
            for table, records in world.tables.items():
                (folder / "v1.0-mini" / f"{table}.json").write_text(json.dumps(records))
            submission = {"meta": META, "results": world.results}
            (folder / "results.json").write_text(json.dumps(submission))
            (folder / "expected.json").write_text(json.dumps(scored(folder, case)))
        with tarfile.open(out, "w:xz", preset=9) as archive:
            for path in sorted(root.rglob("*.json")):
                member = tarfile.TarInfo(str(path.relative_to(root)))
                member.size = path.stat().st_size
                if "out" not in path.parts:
                    with path.open("rb") as file:
                        archive.addfile(member, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
