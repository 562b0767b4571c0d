import numpy as np
import pytest
from evaluators import indoor
from evaluators.indoor import IndoorBoxes

BOX = [[0.0, 0.0, 0.5, 1.0, 1.0, 1.0]]
FIRST_CLASSES = indoor.SCANNET.classes[:3]


def test_six_columns_are_boxes_without_yaw() -> None:
    assert IndoorBoxes(BOX, [3]).boxes.tolist() == [[*BOX[0], 0.0]]
    assert IndoorBoxes(np.array(BOX, dtype=np.float32), [3]).boxes.dtype == np.float64


def test_boxes_from_the_bottom_rise_by_half_their_height() -> None:
    source = np.array([[1.0, 2.0, 3.0, 1.0, 1.0, 5.0, 0.3]])
    lifted = IndoorBoxes.from_bottom_centre(source, [0], [0.5])
    assert lifted.boxes.tolist() == [[1.0, 2.0, 5.5, 1.0, 1.0, 5.0, 0.3]]
    assert source[0, 2] == 3.0


@pytest.mark.parametrize("labels", [np.array([17], np.uint8), np.array([17], np.int32), ["garbagebin"]])
def test_labels_are_numbers_of_any_width_or_names(labels: object) -> None:
    truth = IndoorBoxes(BOX, labels)  # pyright: ignore[reportArgumentType]
    found = IndoorBoxes(BOX, labels, [0.5])  # pyright: ignore[reportArgumentType]
    assert indoor.evaluate({"a": truth}, {"a": found}).ap("garbagebin", 0.5) == 1.0


@pytest.mark.parametrize("empty", [[], np.zeros((0, 6)), np.zeros((0, 7), np.float32)])
def test_empty_boxes_have_no_rows(empty: object) -> None:
    assert len(IndoorBoxes(empty, [], [])) == len(IndoorBoxes.empty()) == 0  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("boxes", "labels", "scores", "message"),
    [
        ([[0, 0, 0, 1, 1]], [0], [0.5], r"boxes must have shape \[n, 6\] or \[n, 7\], got \[1, 5\]"),
        ([0, 0, 0, 1, 1, 1], [0], [0.5], r"boxes must have shape .*, got \[6\]"),
        ([["a"] * 6], [0], [0.5], "boxes must be an array of numbers"),
        ([[0] * 6, [0] * 7], [0, 0], None, "boxes must be an array of numbers"),
        (BOX, [0, 1], [0.5], r"labels must have shape \[1\] for 1 boxes, got \[2\]"),
        (BOX, [0.5], [0.5], "labels must be whole numbers or class names, got the type float64"),
        (BOX, [True], [0.5], "labels must be whole numbers or class names, got the type bool"),
        (BOX, [2**64 - 1], [0.5], "labels must be whole numbers or class names, got the type uint64"),
        (BOX, [[0], [1, 2]], [0.5], "labels must be one number or name per box"),
        (BOX, [0], [[0.5]], r"scores must have shape \[1\] for 1 boxes, got \[1, 1\]"),
        (BOX, [0], [None, {}], "scores must be an array of numbers"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    boxes: list[object], labels: list[object], scores: list[object] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        IndoorBoxes(boxes, labels, scores)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            18,
            "row 1: label 18 is not in the class table 'scannet' .18 classes: cabinet is 0, ..., garb",
        ),
        (-1, "label -1 is not in the class table"),
        ("shower", "label 'shower' is not in the class table"),
    ],
)
def test_labels_outside_the_table_are_refused(label: int | str, message: str) -> None:
    wrong = IndoorBoxes(BOX, [label], [0.5])
    with pytest.raises(ValueError, match="frame 'a', ground truth, row 1: label"):
        indoor.evaluate({"a": wrong}, {"a": IndoorBoxes.empty()})
    with pytest.raises(ValueError, match=message):
        indoor.evaluate({"a": IndoorBoxes.empty()}, {"a": wrong}, on_invalid="drop")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, np.nan, "expected finite numbers, got a NaN or infinity"),
        (6, np.inf, "expected finite numbers, got a NaN or infinity"),
        (7, np.nan, "expected finite numbers, got a NaN or infinity"),
        (7, -np.inf, "expected finite numbers, got a NaN or infinity"),
        (4, 0.0, "expected positive sizes in metres, got 1 0 1"),
        (5, -2.0, "expected positive sizes in metres, got 1 1 -2"),
    ],
)
def test_invalid_rows_are_named_or_dropped_and_counted(column: int, value: float, message: str) -> None:
    rows = np.array([[0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.0, 0.9]] * 2)
    rows[1, column] = value
    pred = {"a": IndoorBoxes(rows[:, :7], [0, 0], rows[:, 7])}
    gt = {"a": IndoorBoxes(BOX, [0])}
    with pytest.raises(ValueError, match=f"frame 'a', predictions, row 2: {message}"):
        indoor.evaluate(gt, pred)
    result = indoor.evaluate(gt, pred, on_invalid="drop")
    assert (result.counts.n_pred, result.counts.n_dropped_pred, result.ap("cabinet", 0.5)) == (1, 1, 1.0)
    if column < 7:
        bad = {"a": IndoorBoxes(rows[:, :7], [0, 0])}
        with pytest.raises(ValueError, match=f"frame 'a', ground truth, row 2: {message}"):
            indoor.evaluate(bad, {"a": IndoorBoxes.empty()})
        dropped = indoor.evaluate(bad, {"a": IndoorBoxes.empty()}, on_invalid="drop").counts
        assert (dropped.n_gt, dropped.n_dropped_gt) == (1, 1)


def test_dropping_a_row_keeps_the_others_whole() -> None:
    boxes = np.array([[np.nan] * 7, [0, 0, 0.5, 1, 1, 1, 0], [9, 9, 0.5, 1, 1, 1, 0]])
    found = {"a": IndoorBoxes(boxes, [1, 0, 2], [0.9, 0.8, 0.7])}
    truth = {"a": IndoorBoxes(boxes[[0, 2, 1]], [2, 2, 0])}
    result = indoor.evaluate(truth, found, on_invalid="drop")
    figures = {
        name: (result.ap(name, 0.5), result.curves[name, 0.5].scores.tolist()) for name in FIRST_CLASSES
    }
    assert figures == {"cabinet": (1.0, [0.8]), "bed": (None, []), "chair": (1.0, [0.7])}
