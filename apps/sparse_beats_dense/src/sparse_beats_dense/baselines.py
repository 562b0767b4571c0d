"""What costs nothing: one depth for every pixel, and the radar return nearest in the picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from datasets3d.depth import read_evaluation_sample
from evaluators.depth import DepthResult
from fusion3d_appkit.sampling import Draw
from jaxtyping import Float32

from sparse_beats_dense.data import DepthData
from sparse_beats_dense.evaluation import score_maps

CONSTANT, RADAR = "best constant depth", "nearest radar column"


def best_constant(lidar_maps: Iterable[Float32[np.ndarray, "h w"]], *, cap_m: float = 80.0) -> float:
    """Return the depth with the least mean absolute error, averaged by image as the protocol does.

    That is the median over the pixels of all maps, each weighing one over the number of its map's pixels.

    Args:
        lidar_maps: True depths; 0 or less is none. Those of the training frames, to be honest.
        cap_m: Largest depth that counts.

    Raises:
        ValueError: No map has a depth.

    Example:
        >>> near, far = np.array([[2.0, 4.0]], np.float32), np.array([[9.0, 9.0]], np.float32)
        >>> best_constant([near, far, far])
        9.0
    """
    found = [depths[(depths > 0) & (depths <= cap_m)] for depths in lidar_maps]
    found = [depths for depths in found if depths.size]
    if not found:
        raise ValueError("best_constant: no map has a depth")
    depths = np.concatenate(found)
    weights = np.concatenate([np.full(part.size, 1 / part.size) for part in found])
    order = np.argsort(depths)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(depths[order][np.searchsorted(share, 0.5)])


def nearest_radar(
    radar_map: Float32[np.ndarray, "h w"], *, otherwise_m: float, cap_m: float = 80.0
) -> Float32[np.ndarray, "h w"]:
    """Give every pixel the depth of the radar return whose column is nearest, of two the left one.

    Args:
        radar_map: A column per return, 0 elsewhere.
        otherwise_m: The depth of a picture without any return.
        cap_m: Farther returns are passed over: no ground truth that counts is there.

    Example:
        >>> nearest_radar(np.array([[0, 5, 200, 0, 8]], np.float32), otherwise_m=9.0).tolist()
        [[5.0, 5.0, 5.0, 8.0, 8.0]]
    """
    line = radar_map.max(axis=0)
    columns = np.flatnonzero((line > 0) & (line <= cap_m))
    if not columns.size:
        return np.full_like(radar_map, otherwise_m)
    distance = np.abs(np.arange(line.size)[:, None] - columns)
    return np.broadcast_to(line[columns[distance.argmin(axis=1)]], radar_map.shape).copy()


def baselines(data: DepthData) -> dict[str, DepthResult]:
    """Return what no network is needed for, by name, on the frames that `test` evaluates.

    The constant is the best one for the training frames, which is what a network could learn as well.
    """
    training = (
        read_evaluation_sample(record, data.root, data.reading).lidar_map
        for record in data.records(data.splits.train)
    )
    constant = best_constant(depths for depths in training if depths is not None)
    frames = data.evaluation_frames(data.test_split)
    truth, flat, radar = {}, {}, {}
    for index in range(len(frames)):
        sample = frames[Draw(0, index)]
        assert sample.lidar_map is not None, "an evaluation sample has a ground truth"
        truth[sample.frame_id] = sample.lidar_map
        flat[sample.frame_id] = np.full_like(sample.lidar_map, constant)
        radar[sample.frame_id] = nearest_radar(sample.radar_map, otherwise_m=constant)
    return {CONSTANT: score_maps(truth, flat), RADAR: score_maps(truth, radar)}
