"""Label arrays: every integer type, and what cannot be evaluated."""

import subprocess
import sys

import numpy as np
import pytest
from evaluators import panoptic
from evaluators.panoptic import PanopticEvaluator, PanopticLabels

CAR = 10 + (3 << 16)


def pair(gt: np.ndarray, pred: np.ndarray, **choices: object) -> panoptic.PanopticResult:
    return panoptic.evaluate({"08/000007": gt}, {"08/000007": pred}, min_points=1, **choices)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64, ">u4"]
)
def test_every_integer_type_is_read_alike(dtype: object) -> None:
    labels = np.array([10, 10, 40, 70, 11], dtype=dtype)
    assert (
        pair(labels, labels[::-1]).to_json()
        == pair(*(labels.astype(np.uint32)[::step] for step in (1, -1))).to_json()
    )


def test_strided_labels_are_read() -> None:
    labels = np.array([CAR, 0, CAR, 0, 40, 0], dtype=np.uint32)[::2]
    assert pair(labels, labels).tp.sum() == 2


@pytest.mark.parametrize(
    ("value", "dtype"), [(-1, np.int32), (2**32, np.int64), (-(2**40), np.int64), (2**63, np.uint64)]
)
def test_numbers_beyond_32_bits_are_refused(value: int, dtype: type) -> None:
    bad = np.array([CAR, value], dtype=dtype) if dtype != np.int32 else np.array([10, value], dtype=dtype)
    good = np.array([10, 10], dtype=np.uint32)
    with pytest.raises(
        ValueError, match=r"frame '08/000007', predictions: expected numbers in 0\.\.4294967295"
    ):
        pair(good, bad)
    with pytest.raises(ValueError, match=r"frame '08/000007', ground truth: .*use \.view\(np\.uint32\)"):
        pair(bad, good)


def test_unknown_raw_ids_are_refused_with_their_number_of_points() -> None:
    good, bad = np.array([10, 10, 10], dtype=np.uint32), np.array([900 + (1 << 16), 900, 10], dtype=np.uint32)
    with pytest.raises(
        ValueError, match=r"frame '08/000007', predictions: raw ids .*'single-scan'.*900 \(2 points\)"
    ):
        pair(good, bad)
    with pytest.raises(ValueError, match=r"frame '08/000007', ground truth: raw ids"):
        pair(bad, good)


def test_unknown_raw_ids_can_be_taken_as_unlabeled() -> None:
    good = np.array([10, 10, 10, 40], dtype=np.uint32)
    bad = np.array([900, 900, 10, 40], dtype=np.uint32)
    result, plain = pair(good, bad, unknown="unlabeled"), pair(good, np.where(bad == 900, 0, bad))
    assert result.counts.n_unknown_labels == 2
    assert result.confusion.tolist() == plain.confusion.tolist()
    assert result.tp.tolist() == plain.tp.tolist()
    # Unknown ground truth is ignored.
    assert pair(bad, good, unknown="unlabeled").counts.n_ignored_points == 2


def test_numbers_of_points_must_agree() -> None:
    with pytest.raises(
        ValueError, match="frame '08/000007': 2 predicted labels for 3 points; labels must belong"
    ):
        pair(np.full(3, 10, dtype=np.uint32), np.full(2, 10, dtype=np.uint32))


def test_class_and_instance_must_agree() -> None:
    with pytest.raises(ValueError, match="got 2 classes and 3 instances"):
        PanopticLabels(semantic=np.zeros(2, dtype=int), instance=np.zeros(3, dtype=int))
    for name in ("semantic", "instance"):
        parts = {"semantic": np.zeros(1, dtype=int), "instance": np.zeros(1, dtype=int)}
        with pytest.raises(ValueError, match=rf"{name}: expected numbers in 0\.\.4294967295, got -1\.\.-1"):
            PanopticLabels(**parts | {name: np.array([-1])})


def test_class_ids_are_no_raw_ids() -> None:
    raw = PanopticLabels(semantic=np.array([1, 40]), instance=np.array([0, 0]))
    evaluator = PanopticEvaluator()
    with pytest.raises(
        ValueError, match=r"'a', ground truth: class ids must lie in 0\.\.19 \(single-scan\), got 40"
    ):
        evaluator.update("a", raw, raw)


def test_nuscenes_labels_hold_category_and_instance() -> None:
    # Category 17 of the ground truth is class 4 of the predictions.
    gt = {"t": np.array([17001] * 20 + [24000] * 30, dtype=np.uint16)}
    pred = {"t": np.array([4009] * 20 + [11000] * 30, dtype=np.uint16)}
    result = panoptic.evaluate(gt, pred, protocol="nuscenes-panoptic")
    assert np.flatnonzero(result.tp).tolist() == [4, 11]
    with pytest.raises(
        ValueError, match=r"'nuscenes-challenge' does not know: 17 \(20 points\), 24 \(30 points\)"
    ):
        panoptic.evaluate(gt, gt, protocol="nuscenes-panoptic")


def test_a_category_that_cannot_be_is_refused() -> None:
    # 65536 thousands would be taken for 0 if only 16 bits were looked at.
    gt = {"t": np.array([65_536_001], dtype=np.uint32)}
    with pytest.raises(
        ValueError, match=r"'t', ground truth: no label 1000 \* category \+ instance can be 65536001"
    ):
        panoptic.evaluate(gt, gt, protocol="nuscenes-panoptic")


def test_other_arrays_are_refused_where_annotations_are_not_checked() -> None:
    code = """
import numpy as np
from evaluators.panoptic import PanopticEvaluator, PanopticLabels
whole = np.zeros(3, dtype=np.uint32)
for bad in (np.zeros(3), np.zeros(3, dtype=bool), np.zeros((3, 1), dtype=np.uint32), np.array(["a"] * 3)):
    for call in (
        lambda: PanopticEvaluator().update("a", bad, whole),
        lambda: PanopticEvaluator().update("a", whole, bad),
        lambda: PanopticLabels(semantic=bad, instance=whole),
        lambda: PanopticLabels(semantic=whole, instance=bad),
    ):
        try:
            call()
        except ValueError as error:
            print("expected one row of whole numbers, got" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n" * 16
