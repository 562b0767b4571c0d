"""The protocol once more, box by box in plain Python, against the compiled one."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from evaluators import nuscenes
from evaluators.nuscenes import DETECTION_CVPR_2019, NuscenesBoxes, NuscenesClass, NuscenesSample
from hypothesis import given, settings
from hypothesis import strategies as st

Samples = tuple[dict[str, NuscenesSample], dict[str, NuscenesBoxes]]
MakeSamples = Callable[..., Samples]
SEEDS = st.integers(0, 2**32 - 1)


def counts(rule: NuscenesClass, sample: NuscenesSample, boxes: NuscenesBoxes, row: int) -> bool:
    place = boxes.translation[row]
    if boxes.names[row] != rule.name or boxes.num_pts[row] == 0:
        return False
    if math.dist(place[:2], sample.ego_translation[:2]) >= rule.range_m:
        return False
    for rack in sample.racks if rule.dropped_in_racks else ():
        yaw = 2 * math.atan2(rack[9], rack[6])
        east, north, up = place - rack[:3]
        ahead = math.cos(yaw) * east + math.sin(yaw) * north
        aside = -math.sin(yaw) * east + math.cos(yaw) * north
        if abs(ahead) <= rack[4] / 2 and abs(aside) <= rack[3] / 2 and abs(up) <= rack[5] / 2:
            return False
    return True


def matched(
    samples: Samples, rule: NuscenesClass, distance: float
) -> tuple[int, list[float], list[float | None]]:
    """Return how many objects there are, the scores in order, and the distance of each hit (None: miss)."""
    gt, pred = samples

    def rows(boxes: NuscenesBoxes, token: str) -> list[int]:
        return [row for row in range(len(boxes)) if counts(rule, gt[token], boxes, row)]

    free = {token: rows(sample.boxes, token) for token, sample in gt.items()}
    n_gt = sum(map(len, free.values()))
    queue = [
        (pred[token].score[row], at, row, token)
        for at, token in enumerate(pred)
        for row in rows(pred[token], token)
    ]
    queue.sort(reverse=True)
    hits: list[float | None] = []
    for _, _, row, token in queue:
        place, true = pred[token].translation[row, :2], gt[token].boxes.translation
        nearest = min(((math.dist(place, true[at, :2]), at) for at in free[token]), default=(math.inf, -1))
        if nearest[0] < distance:
            free[token].remove(nearest[1])
        hits.append(nearest[0] if nearest[0] < distance else None)
    return n_gt, [item[0] for item in queue], hits


def figures(n_gt: int, scores: list[float], hits: list[float | None]) -> tuple[float, float]:
    """Return average precision and mean place error."""
    found = [error for error in hits if error is not None]
    if not found:
        return 0.0, 1.0
    tp = [sum(error is not None for error in hits[: at + 1]) for at in range(len(hits))]
    recall = [count / n_gt for count in tp]
    precision = [count / (at + 1) for at, count in enumerate(tp)]
    curve = [np.interp(k / 100, recall, precision, right=0) for k in range(101)]
    ap = sum(max(0.0, value - 0.1) for value in curve[11:]) / 90 / 0.9
    confidence = [np.interp(k / 100, recall, scores, right=0) for k in range(101)]
    last = max(k for k in range(101) if confidence[k] > 0)
    if last < 11:
        return ap, 1.0
    at_hits = [score for score, error in zip(scores, hits, strict=True) if error is not None]
    means = [sum(found[: k + 1]) / (k + 1) for k in range(len(found))]
    sampled = [np.interp(confidence[k], at_hits[::-1], means[::-1]) for k in range(11, last + 1)]
    return ap, sum(sampled) / len(sampled)


@pytest.mark.slow
@given(seed=SEEDS, score_levels=st.sampled_from([0, 4]))
@settings(max_examples=25)
def test_equals_the_protocol_written_out(make_samples: MakeSamples, seed: int, score_levels: int) -> None:
    samples = make_samples(seed, 6, score_levels=score_levels)
    result = nuscenes.evaluate(*samples)
    for rule in DETECTION_CVPR_2019.classes:
        for distance in (0.5, 2.0):
            n_gt, scores, hits = matched(samples, rule, distance)
            curve = result.curve(rule.name, distance)
            assert (curve.n_gt, curve.n_pred) == (n_gt, len(hits))
            assert curve.n_tp == sum(error is not None for error in hits)
            if any(score == 0.0 for score in scores):
                continue  # a score of 0 changes what counts as reached; the golden cases hold that
            ap, place = figures(n_gt, scores, hits)
            assert result.ap(rule.name, distance) == pytest.approx(ap, abs=1e-12), (rule.name, distance)
            if distance == 2.0:
                assert result.tp_error(rule.name, "trans_err") == pytest.approx(place, abs=1e-12), rule.name
