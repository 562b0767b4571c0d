"""Write the golden Waymo cases with the official compiled operation; see README.md for how to run it."""

import json
import sys
from pathlib import Path

TYPES = (1, 2, 3, 4)
SIZES = {1: (4.6, 2.0, 1.7), 2: (0.8, 0.8, 1.7), 3: (0.4, 0.4, 0.6), 4: (1.8, 0.8, 1.7)}


def objects(rng, count, spread):
    """Return boxes [n, 7] and types [n], crowded if `spread` is small."""
    import numpy as np

    types = rng.choice(TYPES, size=count, p=[0.4, 0.35, 0.1, 0.15])
    sizes = np.array([SIZES[int(code)] for code in types]).reshape(-1, 3) * rng.uniform(0.9, 1.1, (count, 3))
    centres = np.column_stack([rng.uniform(-spread, spread, (count, 2)), rng.normal(1, 0.1, count)])
    return np.column_stack([centres, sizes, rng.uniform(-7, 7, count)]), types


def scene(seed, *, frames=20, spread=60.0, noise=0.06, copies=1.3, levels=None, flip=0.1):
    """Return arrays of all frames: ground truth and noisy copies with false alarms."""
    import numpy as np

    rng = np.random.default_rng(seed)
    parts = []
    for frame in range(frames):
        boxes, types = objects(rng, int(rng.integers(0, 30)), spread)
        rows = rng.integers(0, len(boxes), int(copies * len(boxes))) if len(boxes) else np.zeros(0, int)
        found = boxes[rows].copy()
        found[:, :3] += rng.normal(0, noise, (len(rows), 3)) * found[:, 3:6]
        found[:, 3:6] *= rng.lognormal(0, noise, (len(rows), 3))
        found[:, 6] += rng.normal(0, 0.3, len(rows)) + np.pi * (rng.random(len(rows)) < flip)
        alarms, alarm_types = objects(rng, int(rng.integers(0, 8)), spread)
        pred = np.concatenate([found, alarms])
        parts.append(
            {
                "gt_boxes": boxes,
                "gt_types": types,
                "gt_difficulty": rng.choice([1, 2], size=len(boxes), p=[0.7, 0.3]),
                "gt_frame": np.full(len(boxes), frame),
                "det_boxes": pred,
                "det_types": np.concatenate([types[rows], alarm_types]),
                "det_scores": np.concatenate([rng.beta(4, 2, len(rows)), rng.beta(2, 4, len(alarms))]),
                "det_zone": rng.random(len(pred)) < 0.15,
                "det_frame": np.full(len(pred), frame),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chain(seed, *, frames=12, count=12):
    """Return a queue of people who overlap each other: a detection can often match several."""
    import numpy as np

    rng = np.random.default_rng(seed)

    def row(spacing):
        x = 5 + spacing * np.arange(count) + rng.normal(0, 0.08, count)
        zeros = np.zeros(count)
        return np.column_stack([x, zeros, zeros + 1, zeros + 0.8, zeros + 0.8, zeros + 1.7, zeros])

    ones = np.full((frames, count), 2)
    return {
        "gt_boxes": np.concatenate([row(0.3) for _ in range(frames)]),
        "gt_types": ones.ravel(),
        "gt_difficulty": rng.choice([1, 2], size=frames * count),
        "gt_frame": np.repeat(np.arange(frames), count),
        "det_boxes": np.concatenate([row(0.3) for _ in range(frames)]),
        "det_types": ones.ravel(),
        "det_scores": rng.uniform(0, 1, frames * count),
        "det_zone": rng.random(frames * count) < 0.15,
        "det_frame": np.repeat(np.arange(frames), count),
    }


def cases():
    import numpy as np

    made = {
        "main": scene(0),
        "chain": chain(11),
        "crowded": scene(1, spread=6.0, copies=2.5, noise=0.12),
        "near_and_far": scene(2, spread=90.0),
        "few": scene(3, frames=2, spread=10.0),
        "loose_boxes": scene(4, noise=0.2),
        "opposite_headings": scene(5, flip=1.0),
    }
    rounded = scene(6)
    rounded["det_scores"] = np.round(rounded["det_scores"], 2)
    made["scores_on_cutoffs"] = rounded
    constant = scene(7)
    constant["det_scores"][:] = 0.5
    made["constant_score"] = constant
    perfect = scene(8)
    for name in ("boxes", "types", "frame"):
        perfect[f"det_{name}"] = perfect[f"gt_{name}"]
    perfect["det_scores"] = np.linspace(0, 1, len(perfect["det_frame"]))
    perfect["det_zone"] = np.zeros(len(perfect["det_frame"]), bool)
    made["perfect"] = perfect
    for name, side in (("no_detections", "det"), ("no_ground_truth", "gt")):
        made[name] = {
            key: value[:0] if key.startswith(side) else value for key, value in scene(9, frames=3).items()
        }
    hard = scene(10)
    hard["gt_difficulty"][:] = 2
    made["all_hard"] = hard
    return made


def official(arrays):
    """Return what the official operation computes."""
    import numpy as np
    import tensorflow as tf
    from google.protobuf import text_format
    from waymo_open_dataset.metrics.ops import py_metrics_ops
    from waymo_open_dataset.protos import metrics_pb2

    config = text_format.Parse(
        """
        breakdown_generator_ids: OBJECT_TYPE difficulties { levels: LEVEL_1 levels: LEVEL_2 }
        breakdown_generator_ids: RANGE difficulties { levels: LEVEL_1 levels: LEVEL_2 }
        matcher_type: TYPE_HUNGARIAN box_type: TYPE_3D
        iou_thresholds: 0.0 iou_thresholds: 0.7 iou_thresholds: 0.5 iou_thresholds: 0.5 iou_thresholds: 0.5
        """,
        metrics_pb2.Config(),
    )
    config.score_cutoffs.extend([*(index * 0.01 for index in range(100)), 1.0])
    result = py_metrics_ops.detection_metrics(
        prediction_bbox=tf.constant(arrays["det_boxes"], tf.float32),
        prediction_type=tf.constant(arrays["det_types"], tf.uint8),
        prediction_score=tf.constant(arrays["det_scores"], tf.float32),
        prediction_frame_id=tf.constant(arrays["det_frame"], tf.int64),
        prediction_overlap_nlz=tf.constant(arrays["det_zone"], tf.bool),
        ground_truth_bbox=tf.constant(arrays["gt_boxes"], tf.float32),
        ground_truth_type=tf.constant(arrays["gt_types"], tf.uint8),
        ground_truth_frame_id=tf.constant(arrays["gt_frame"], tf.int64),
        ground_truth_difficulty=tf.constant(arrays["gt_difficulty"], tf.uint8),
        config=config.SerializeToString(),
    )
    found = {}
    for row, (generator, shard, level) in enumerate(result.breakdown.numpy().tolist()):
        table = result.precision_recall[row].numpy().astype(np.float64)
        found[f"{generator}/{shard}/{level}"] = {
            "ap": float(result.average_precision[row]),
            "aph": float(result.average_precision_ha_weighted[row]),
            "tp": table[:, 2].astype(int).tolist(),
            "fp": table[:, 3].astype(int).tolist(),
            "fn": table[:, 4].astype(int).tolist(),
            "precision_heading": [
                round(value, 9) for value in result.precision_recall_ha_weighted[row, :, 0].numpy().tolist()
            ],
        }
    return found


def main():
    import numpy as np

    folder = Path(sys.argv[1])
    for name, arrays in cases().items():
        # The operation takes float32: what is stored is what it saw.
        stored = {
            key: value.astype(np.float32) if value.dtype == np.float64 else value
            for key, value in arrays.items()
        }
        np.savez_compressed(folder / f"{name}.npz", **stored)
        (folder / f"{name}.json").write_text(json.dumps(official(stored), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
