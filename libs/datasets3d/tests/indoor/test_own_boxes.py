"""Boxes of a room go into any frame, and into files that others read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from datasets3d._ply import read_mesh, read_vertices
from datasets3d.indoor import own_boxes, upright_boxes, write_boxed_scan, write_boxes_json, write_boxes_ply
from datasets3d.indoor.own_boxes import EDGES
from scipy.spatial.transform import Rotation

BOXES = np.array([[1.0, 2.0, 0.5, 0.6, 0.4, 1.0], [-1.0, 0.0, 0.2, 0.2, 0.1, 0.4]])
COLOURS = np.array([[200, 0, 0], [0, 0, 200]], np.uint8)


def similarity(rotation: np.ndarray, scale: float = 1.0, shift: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * rotation, shift
    return matrix


def turned(axes: str, *degrees: float) -> np.ndarray:
    return Rotation.from_euler(axes, degrees, degrees=True).as_matrix()


def as_set(corners: np.ndarray) -> np.ndarray:
    return np.array([sorted(np.round(box, 6).tolist()) for box in corners])


@pytest.mark.parametrize(
    "matrix",
    [
        similarity(turned("z", 30), 1000.0, (5, 6, 7)),
        similarity(np.diag([-1.0, 1.0, 1.0]) @ turned("z", 70)),
        similarity(turned("xyz", 90, 12, 3), 0.01, (1, 2, 3)),
        similarity(np.eye(3)[[0, 2, 1]]),
    ],
    ids=["turned and scaled", "mirrored", "aslant", "swapped"],
)
def test_corners_are_those_of_the_moved_box(matrix: np.ndarray) -> None:
    here, there = own_boxes(BOXES), own_boxes(BOXES, matrix)
    expected = here.corners @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(as_set(there.corners), as_set(expected), atol=2e-6)
    assert np.linalg.det(there.axes) == pytest.approx(1.0)
    lengths = [np.linalg.norm(there.corners[:, a] - there.corners[:, b], axis=1) for a, b in EDGES]
    scale = np.cbrt(abs(np.linalg.det(matrix[:3, :3])))
    np.testing.assert_allclose(
        np.sort(lengths, axis=0), np.sort(np.repeat(BOXES[:, 3:], 4, 1).T * scale, axis=0)
    )


def test_upright_boxes_have_a_yaw_and_others_are_refused() -> None:
    upright = upright_boxes(own_boxes(BOXES, similarity(turned("z", 30), 1.0, (1, 0, 0))))
    assert upright.shape == (2, 7)
    np.testing.assert_allclose(upright[:, 6], np.radians(30))
    np.testing.assert_allclose(upright[0, :3], turned("z", 30) @ BOXES[0, :3] + [1, 0, 0])
    np.testing.assert_allclose(upright[:, 3:6], BOXES[:, 3:])
    with pytest.raises(ValueError, match=r"up is \[0\.0, 1\.0, 0\.0\] in this frame"):
        upright_boxes(own_boxes(BOXES, similarity(turned("x", -90))))


def test_a_matrix_that_stretches_is_refused() -> None:
    with pytest.raises(ValueError, match="must turn, scale, shift and mirror, nothing else"):
        own_boxes(BOXES, np.diag([1.0, 2.0, 1.0, 1.0]))


def test_no_boxes_are_no_boxes(tmp_path: Path) -> None:
    none = own_boxes(np.zeros((0, 6)), similarity(turned("z", 5)))
    assert len(none) == 0 and none.corners.shape == (0, 8, 3) and upright_boxes(none).shape == (0, 7)
    write_boxes_ply(tmp_path / "a.ply", none.corners, colours_rgb=COLOURS[:0])
    assert len(read_mesh(tmp_path / "a.ply").triangles) == 0
    write_boxes_json(
        tmp_path / "a.json",
        BOXES[:0],
        labels=np.zeros(0, np.int64),
        scores=np.zeros(0),
        class_names=["chair"],
    )
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "boxes": [],
        "labels": [],
        "scores": [],
        "names": [],
    }


def test_json_has_what_evaluators_read_and_the_corners_of_the_own_frame(tmp_path: Path) -> None:
    matrix = similarity(turned("x", 90), 1000.0)
    columns = {"labels": np.array([1, 0]), "scores": np.array([0.9, 0.25], np.float32)}
    write_boxes_json(
        tmp_path / "sub/a.json", BOXES, **columns, class_names=["bed", "chair"], own_from_repaired=matrix
    )
    content = json.loads((tmp_path / "sub/a.json").read_text())
    assert content["boxes"] == BOXES.tolist()
    assert content["labels"] == [1, 0] and content["names"] == ["chair", "bed"]
    assert content["scores"] == [pytest.approx(0.9), 0.25]
    assert content["own_from_repaired"] == matrix.tolist()
    np.testing.assert_allclose(content["corners_own"], own_boxes(BOXES, matrix).corners, atol=1e-6)
    assert list((tmp_path / "sub").iterdir()) == [tmp_path / "sub/a.json"]


def test_json_refuses_what_does_not_fit(tmp_path: Path) -> None:
    scores = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match=r"labels must be 0..1, got 0..2"):
        write_boxes_json(
            tmp_path / "a.json", BOXES, labels=np.array([0, 2]), scores=scores, class_names=["bed", "chair"]
        )
    with pytest.raises(ValueError, match="must be finite"):
        write_boxes_json(
            tmp_path / "a.json",
            BOXES * np.nan,
            labels=np.array([0, 1]),
            scores=scores,
            class_names=["a", "b"],
        )
    assert list(tmp_path.iterdir()) == []


def test_the_mesh_has_a_closed_ring_of_colour_around_every_edge(tmp_path: Path) -> None:
    corners = own_boxes(BOXES).corners
    write_boxes_ply(tmp_path / "boxes.ply", corners, colours_rgb=COLOURS, radius=0.01)
    mesh = read_mesh(tmp_path / "boxes.ply")
    points = np.stack([mesh.vertices[axis] for axis in "xyz"], axis=1)
    red = mesh.vertices["red"] == 200
    assert red.sum() == len(points) / 2 == 12 * 8
    assert (mesh.vertices["blue"][~red] == 200).all()
    for box, mine in zip(corners, (red, ~red), strict=True):
        low, high = box.min(axis=0) - 0.01, box.max(axis=0) + 0.01
        np.testing.assert_allclose(points[mine].min(axis=0), low, atol=0.005)
        np.testing.assert_allclose(points[mine].max(axis=0), high, atol=0.005)
    # Every triangle has the vertices of one edge; tubes have 4 sides of 2 triangles.
    assert len(mesh.triangles) == 2 * 12 * 4 * 2
    assert (mesh.triangles // 8 == mesh.triangles[:, :1] // 8).all()
    sides = np.diff(points[mesh.triangles], axis=1)
    areas = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 2
    perimeter = 4 * BOXES[:, 3:].sum() + 2 * 12 * 2 * 0.01
    assert areas.sum() == pytest.approx(perimeter * 4 * 0.01 * np.sqrt(2), rel=1e-4)


def test_the_default_tube_suits_the_unit(tmp_path: Path) -> None:
    thickness = []
    for scale in (1.0, 1000.0):
        corners = own_boxes(BOXES, similarity(np.eye(3), scale)).corners
        write_boxes_ply(tmp_path / "boxes.ply", corners, colours_rgb=COLOURS)
        x = read_vertices(tmp_path / "boxes.ply")["x"]
        thickness.append((corners[..., 0].min() - x.min()) / scale)
    assert thickness[0] == pytest.approx(thickness[1], rel=1e-3) and 0.001 < thickness[0] < 0.02


def test_the_scan_with_boxes_is_one_cloud_that_tells_them_apart(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    corners = own_boxes(BOXES).corners
    write_boxed_scan(tmp_path / "a.ply", points, corners, point_colours_rgb=None, box_colours_rgb=COLOURS)
    found = read_vertices(tmp_path / "a.ply")
    rows = np.stack([found[axis] for axis in "xyz"], axis=1)
    assert (found["box"][:100] == -1).all() and (found["red"][:100] == 170).all()
    np.testing.assert_array_equal(rows[:100], points)
    for number, box in enumerate(corners):
        dots = rows[found["box"] == number]
        assert (found["red"][found["box"] == number] == COLOURS[number, 0]).all()
        for start, end in np.array(EDGES):
            along = box[end] - box[start]
            share = (dots - box[start]) @ along / (along @ along)
            off = np.linalg.norm(dots - box[start] - share[:, None] * along, axis=1)
            on = np.sort(share[(off < 1e-5) & (share > -1e-6) & (share < 1 + 1e-6)])
            assert np.diff(on).max() * np.linalg.norm(along) < 0.03
            np.testing.assert_allclose(on[[0, -1]], [0, 1], atol=1e-5)
