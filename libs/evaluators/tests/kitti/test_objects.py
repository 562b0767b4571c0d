import numpy as np
import pytest
from evaluators.kitti import KittiObjects


def predictions(**changes: object) -> KittiObjects:
    columns: dict[str, object] = {
        "alpha": [0.0],
        "bbox": [[0, 0, 1, 1]],
        "size_hwl": [[1, 1, 1]],
        "location": [[0, 0, 9]],
        "rotation_y": [0.0],
        "score": [1.0],
    }
    return KittiObjects.predictions(["Car"], **(columns | changes))


def test_numbers_become_float64() -> None:
    assert predictions(score=np.array([0.1], dtype=np.float32)).score == np.float64(np.float32(0.1))


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"KittiObjects.score must have shape \[1\] for 1 names, got \[2\]"):
        predictions(score=[0.1, 0.2])


def test_a_column_of_another_width_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"KittiObjects.bbox must have shape \[1, 4\] for 1 names, got \[1, 3\]"
    ):
        predictions(bbox=[[0, 0, 1]])


def test_names_decide_how_many_rows_there_are() -> None:
    with pytest.raises(ValueError, match=r"for 2 names, got \[1\]"):
        KittiObjects(
            names=("Car", "Van"),
            truncated=np.zeros(1),
            occluded=np.zeros(1),
            alpha=np.zeros(1),
            bbox=np.zeros((1, 4)),
            size_hwl=np.zeros((1, 3)),
            location=np.zeros((1, 3)),
            rotation_y=np.zeros(1),
        )


def test_occlusion_must_be_whole() -> None:
    with pytest.raises(ValueError, match=r"KittiObjects.occluded must hold whole numbers"):
        KittiObjects(
            names=("Car",),
            truncated=np.zeros(1),
            occluded=np.array([0.5]),
            alpha=np.zeros(1),
            bbox=np.zeros((1, 4)),
            size_hwl=np.zeros((1, 3)),
            location=np.zeros((1, 3)),
            rotation_y=np.zeros(1),
        )


def test_select_keeps_rows_in_order() -> None:
    two = KittiObjects.predictions(
        ["Car", "Van"],
        alpha=[0, 1],
        bbox=np.arange(8).reshape(2, 4),
        size_hwl=np.ones((2, 3)),
        location=np.ones((2, 3)),
        rotation_y=[0, 1],
        score=[0.2, 0.8],
    )
    kept = two.select(np.array([False, True]))
    assert kept.names == ("Van",)
    assert kept.bbox.tolist() == [[4, 5, 6, 7]]
    assert kept.score is not None
    assert kept.score.tolist() == [0.8]


def test_the_empty_frame_has_the_right_shapes() -> None:
    empty = KittiObjects.empty()
    assert (len(empty), empty.bbox.shape, empty.size_hwl.shape) == (0, (0, 4), (0, 3))
