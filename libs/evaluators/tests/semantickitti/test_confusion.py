"""Confusion matrix and scores against a count by hand, for any number of classes."""

import math

import numpy as np
import pytest
from evaluators.semantickitti import confusion_matrix, segmentation_scores
from hypothesis import given
from hypothesis import strategies as st

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40)


def by_hand(pairs: list[tuple[int, int]], cls: int, ignored: set[int]) -> tuple[int, int, int]:
    counted = [(p, g) for p, g in pairs if g not in ignored]
    tp = sum(p == g == cls for p, g in counted)
    return tp, sum(p == cls for p, _ in counted) - tp, sum(g == cls for _, g in counted) - tp


@given(LABELS, st.sets(st.integers(0, 4), max_size=2), st.sampled_from(["zero", "skip", "one"]))
def test_scores_equal_sets_of_points(pairs: list[tuple[int, int]], ignored: set[int], absent: str) -> None:
    pred, gt = np.array([p for p, _ in pairs], dtype=int), np.array([g for _, g in pairs], dtype=int)
    scores = segmentation_scores(confusion_matrix(pred, gt, 5), ignored=tuple(ignored), absent=absent)
    ious: dict[int, float] = {}
    for cls in set(range(5)) - ignored:
        tp, fp, fn = by_hand(pairs, cls, ignored)
        assert (scores.tp[cls], scores.fp[cls], scores.fn[cls]) == (tp, fp, fn)
        if absent == "one" and tp + fn == 0:
            ious[cls] = 1.0
        elif tp + fp + fn or absent == "zero":
            ious[cls] = tp / max(tp + fp + fn, 1)
    assert [cls for cls in range(5) if scores.evaluated[cls]] == sorted(ious)
    for cls in range(5):
        assert float(scores.iou[cls]) == pytest.approx(ious.get(cls, math.nan), abs=1e-15, nan_ok=True)
    mean = sum(ious.values()) / len(ious) if ious else math.nan
    assert scores.miou == pytest.approx(mean, abs=1e-15, nan_ok=True)
    kept = [(p, g) for p, g in pairs if g not in ignored]
    right = sum(p == g for p, g in kept)
    assert scores.overall_accuracy == pytest.approx(right / len(kept) if kept else math.nan, nan_ok=True)
    assert scores.accuracy == pytest.approx(right / max(sum(p not in ignored for p, _ in kept), 1))


def test_more_classes_than_a_byte_holds() -> None:
    labels = np.arange(1000)
    matrix = confusion_matrix(labels, labels[::-1].copy(), 1000)
    assert matrix.sum() == 1000
    assert matrix[3, 996] == 1
    assert segmentation_scores(confusion_matrix(labels, labels, 1000)).miou == 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_every_integer_type_counts_the_same(dtype: type) -> None:
    pred, gt = np.array([0, 200, 200], dtype=dtype) % 201, np.array([0, 200, 1], dtype=dtype)
    if np.iinfo(dtype).max >= 200:
        assert confusion_matrix(pred, gt, 201)[200, 200] == 1


def test_no_points_give_zeros() -> None:
    none = np.zeros(0, dtype=int)
    scores = segmentation_scores(confusion_matrix(none, none, 3))
    assert (scores.miou, scores.accuracy) == (0.0, 0.0)
    assert math.isnan(scores.overall_accuracy)


@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_arguments() -> None:
    one, two = np.zeros(1, dtype=int), np.zeros(2, dtype=int)
    with pytest.raises(ValueError, match=r"same length, got \(1,\) and \(2,\)"):
        confusion_matrix(one, two, 3)
    with pytest.raises(ValueError, match=r"pred must hold classes 0\.\.2, got 3\.\.3"):
        confusion_matrix(one + 3, one, 3)
    with pytest.raises(ValueError, match=r"gt must hold classes 0\.\.2, got -1\.\.-1"):
        confusion_matrix(one, one - 1, 3)
    with pytest.raises(ValueError, match="absent must be one of 'zero', 'skip', 'one', got 'nan'"):
        segmentation_scores(np.zeros((2, 2), dtype=np.int64), absent="nan")
