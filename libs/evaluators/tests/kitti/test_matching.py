"""The compiled matching against a slow transcription of the protocol, one step after the other."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from evaluators import kitti
from evaluators.kitti import KittiObjects
from evaluators.kitti._matching import candidates, flags, match
from evaluators.kitti._packing import Packed, pack
from evaluators.kitti._rows import Rows
from hypothesis import given, settings
from hypothesis import strategies as st


def slow_counts(
    packed: Packed, metric: str, minimum: float, flagged: tuple[np.ndarray, np.ndarray], threshold: float
) -> tuple[int, int, int, list[float]]:
    """Return tp, fp, fn at one threshold, and the scores recorded without one (threshold -inf, by score)."""
    gt_flags, pred_flags = flagged
    overlap = np.zeros((len(gt_flags), len(pred_flags)))
    overlap[packed.pair_gt, packed.pair_pred] = packed.overlaps[{"2d": 0, "bev": 1, "3d": 2}[metric]]
    scores = packed.scores
    tp = fn = 0
    recorded: list[float] = []
    by_score: set[int] = set()
    by_overlap: set[int] = set()
    for gt in np.flatnonzero(gt_flags >= 0):
        usable = [d for d in np.flatnonzero(pred_flags >= 0) if overlap[gt, d] > minimum]
        free = [d for d in usable if d not in by_score]
        if free:
            chosen = max(free, key=lambda d: (scores[d], -d))
            by_score.add(chosen)
            if gt_flags[gt] == 0 and pred_flags[chosen] == 0:
                recorded.append(float(scores[chosen]))
        free = [d for d in usable if d not in by_overlap and scores[d] >= threshold]
        counting = [d for d in free if pred_flags[d] == 0]
        if counting:
            chosen = max(counting, key=lambda d: (overlap[gt, d], -d))
        elif free:
            chosen = free[0]
        else:
            fn += gt_flags[gt] == 0
            continue
        by_overlap.add(chosen)
        tp += gt_flags[gt] == 0 and pred_flags[chosen] == 0
    left = [d for d in np.flatnonzero((pred_flags == 0) & (scores >= threshold)) if d not in by_overlap]
    fp = sum(1 for d in left if metric != "2d" or packed.covered[d] <= minimum)
    return int(tp), fp, int(fn), recorded


def slow_thresholds(recorded: list[float], n_gt: int) -> list[float]:
    thresholds: list[float] = []
    current = 0.0
    for at, score in enumerate(sorted(recorded, reverse=True), start=1):
        is_last = at == len(recorded)
        if is_last or (at + 1) / n_gt - current >= current - at / n_gt:
            thresholds.append(score)
            current += 1.0 / 40.0
    return thresholds


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["2d", "bev", "3d"])
@given(seed=st.integers(0, 2**32 - 1), score_levels=st.sampled_from([0, 2]))
@settings(max_examples=25)
def test_compiled_counts_equal_the_transcription(
    make_frames: Callable[..., tuple[dict[str, KittiObjects], dict[str, KittiObjects]]],
    metric: str,
    seed: int,
    score_levels: int,
) -> None:
    gt, pred = make_frames(seed, 6, score_levels=score_levels)
    packed = pack(Rows.of_objects(list(gt.values()), 14), Rows.of_objects(list(pred.values()), 15))
    # Low overlaps, so that objects compete for detections.
    for rule in (replace(r, overlap_2d=0.1, overlap_bev=0.1, overlap_3d=0.05) for r in kitti.LOOSE.classes):
        level = replace(kitti.HARD, min_height_px=30.0)
        what_counts = flags(packed, rule, level)
        flagged = what_counts.gt, what_counts.pred
        curve, _ = match(packed, candidates(packed, rule, metric), what_counts)
        minimum = rule.min_overlap(metric)
        recorded = slow_counts(packed, metric, minimum, flagged, -np.inf)[3]
        assert curve.thresholds.tolist() == slow_thresholds(recorded, curve.n_gt)
        for at, threshold in enumerate(curve.thresholds):
            tp, fp, fn, _ = slow_counts(packed, metric, minimum, flagged, threshold)
            assert (curve.tp[at], curve.fp[at], curve.fn[at]) == (tp, fp, fn)


def test_few_objects_use_every_recorded_score() -> None:
    from evaluators.kitti._kernels import sampled_thresholds

    scores = np.linspace(0.9, 0.1, 40)
    assert sampled_thresholds(scores, 40).tolist() == scores.tolist()


@pytest.mark.parametrize("n_gt", [1, 41, 97, 259, 1000])
def test_at_most_41_thresholds_exist_and_the_last_score_is_one(n_gt: int) -> None:
    from evaluators.kitti._kernels import sampled_thresholds

    for found in {1, n_gt // 2 + 1, n_gt}:
        scores = np.linspace(1.0, 0.0, found)
        thresholds = sampled_thresholds(scores, n_gt)
        assert len(thresholds) <= 41
        assert thresholds[-1] == scores[-1]


@pytest.mark.parametrize(
    ("n_gt", "r11", "r40"), [(1, 9.0909, 0), (5, 18.1818, 10), (10, 27.2727, 22.5), (20, 45.4545, 47.5)]
)
def test_a_perfect_detector_saturates_with_few_objects(
    car: KittiObjects, n_gt: int, r11: float, r40: float
) -> None:
    frames = {f"{i:06d}": car for i in range(n_gt)}
    curve = kitti.evaluate(frames, frames).curves["Car", "3d", "easy"]
    assert curve.ap(11) == pytest.approx(r11, abs=1e-4)
    assert curve.ap(40) == pytest.approx(r40, abs=1e-9)


@pytest.mark.slow
def test_objects_outside_the_range_bin_are_ignored(car: KittiObjects) -> None:
    near = replace(kitti.EASY, name="near", depth_m=(0.0, 20.0))
    far = replace(kitti.EASY, name="far", depth_m=(20.0, 40.0))
    frames = {f"{i:06d}": car for i in range(50)}
    result = kitti.evaluate(frames, frames, difficulties=(near, far))
    assert result.curves["Car", "3d", "near"].n_gt == 0
    assert result.curves["Car", "3d", "near"].fp.sum() == 0
    assert result.ap("Car", "3d", "far") == pytest.approx(100.0)
