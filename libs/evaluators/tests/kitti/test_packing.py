"""Overlaps: the conventions of the camera frame, checked with shapely and by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from evaluators.kitti import KittiObjects
from evaluators.kitti._packing import Packed, pack
from evaluators.kitti._rows import Rows
from hypothesis import given, settings
from hypothesis import strategies as st

Frames = dict[str, KittiObjects]


def objects(**changes: object) -> KittiObjects:
    columns: dict[str, object] = {
        "alpha": [0.0],
        "bbox": [[0, 0, 100, 50]],
        "size_hwl": [[1.5, 1.6, 4.0]],
        "location": [[0, 1.6, 20]],
        "rotation_y": [0.0],
        "score": [1.0],
    }
    return KittiObjects.predictions(["Car"], **(columns | changes))


def packed_frames(gt: list[KittiObjects], pred: list[KittiObjects]) -> Packed:
    return pack(Rows.of_objects(gt, 14), Rows.of_objects(pred, 15))


def overlaps(a: KittiObjects, b: KittiObjects) -> list[float]:
    packed = packed_frames([a], [b])
    return packed.overlaps[:, 0].tolist() if len(packed.pair_gt) else [0.0, 0.0, 0.0]


def test_an_object_overlaps_itself_completely() -> None:
    a = objects(rotation_y=[0.7], location=[[31.234, 1.6, 68.9]])
    assert overlaps(a, a) == pytest.approx([1.0, 1.0, 1.0], abs=1e-12)


def test_image_boxes_get_no_extra_pixel() -> None:
    assert overlaps(objects(), objects(bbox=[[50, 0, 150, 50]]))[0] == pytest.approx(1 / 3)
    assert overlaps(objects(), objects(bbox=[[100, 0, 200, 50]]))[0] == 0.0


def test_length_lies_along_x_at_zero_rotation() -> None:
    assert overlaps(objects(), objects(location=[[2, 1.6, 20]]))[1] == pytest.approx(1 / 3)
    assert overlaps(objects(), objects(location=[[0, 1.6, 20.8]]))[1] == pytest.approx(1 / 3)


def test_y_is_the_bottom_and_points_down() -> None:
    lifted = overlaps(objects(), objects(location=[[0, 0.85, 20]]))
    assert lifted[1:] == pytest.approx([1.0, 1 / 3])
    # The upper half of the first box is all of a box of half the height with its bottom 0.75 m higher.
    half = overlaps(objects(), objects(location=[[0, 0.85, 20]], size_hwl=[[0.75, 1.6, 4.0]]))
    assert half[2] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size_hwl": [[-1, -1, -1]], "location": [[-1000, -1000, -1000]]}, [1, 0, 0]),
        ({"size_hwl": [[-1, 1.6, 4.0]]}, [1, 1, 0]),
        ({"location": [[0, -1000, 20]]}, [1, 1, 0]),
        ({"location": [[-1000, 1.6, 20]]}, [1, 0, 0]),
    ],
)
def test_what_is_absent_overlaps_nothing(change: dict[str, object], expected: list[float]) -> None:
    absent = objects(**change)
    assert overlaps(absent, absent) == pytest.approx(expected)


def test_only_objects_of_one_frame_are_compared() -> None:
    packed = packed_frames([objects(), KittiObjects.empty()], [KittiObjects.empty(), objects()])
    assert packed.overlaps.shape == (3, 0)


def test_cover_is_measured_against_the_detection() -> None:
    region = KittiObjects.predictions(
        ["dontcare"],
        alpha=[-10],
        bbox=[[0, 0, 25, 50]],
        size_hwl=[[-1, -1, -1]],
        location=[[-1000, -1000, -1000]],
        rotation_y=[-10],
        score=[0],
    )
    assert packed_frames([region], [objects()]).covered.tolist() == [0.25]


@pytest.mark.oracle
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_ground_overlaps_equal_shapely(make_frames: Callable[..., tuple[Frames, Frames]], seed: int) -> None:
    shapely = pytest.importorskip("shapely")
    gt, pred = make_frames(seed, 1)
    packed = packed_frames(list(gt.values()), list(pred.values()))

    def footprints(frame: KittiObjects) -> list[object]:
        shapes = []
        for (_, width, length), (x, _, z), angle in zip(
            frame.size_hwl, frame.location, frame.rotation_y, strict=True
        ):
            a = np.array([length, length, -length, -length]) / 2
            b = np.array([width, -width, -width, width]) / 2
            # The official kit's corners in the plane of x and z.
            corners = np.stack(
                [np.cos(angle) * a + np.sin(angle) * b + x, -np.sin(angle) * a + np.cos(angle) * b + z],
                axis=1,
            )
            shapes.append(shapely.Polygon(corners))
        return shapes

    ours = np.zeros((len(gt["000000"]), len(pred["000000"])))
    ours[packed.pair_gt, packed.pair_pred] = packed.overlaps[1]
    for row, a in enumerate(footprints(gt["000000"])):
        for column, b in enumerate(footprints(pred["000000"])):
            expected = shapely.area(shapely.intersection(a, b)) / shapely.area(shapely.union(a, b))
            assert ours[row, column] == pytest.approx(expected, abs=1e-9)
