"""Own scans of rooms: every mistake is told and repaired, and what was found goes back to its place."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from datasets3d.indoor import Room, RoomObjects, find_room_mistakes, own_boxes, read_room, repair_room
from datasets3d.indoor.own_scan import RepairedRoom
from scipy.spatial.transform import Rotation

ROOMS = {
    "plain": {"seed": 0},
    "without ceiling": {"seed": 1, "has_ceiling": False, "size": (6.0, 4.2, 2.2)},
    "corridor": {"seed": 2, "size": (9.0, 2.6, 2.7), "furniture": 5},
    "two walls": {"seed": 3, "walls": (0, 2), "has_ceiling": False},
    "hall": {"seed": 4, "size": (10.0, 7.0, 3.6), "furniture": 16},
}


def turned(axes: str, *degrees: float) -> np.ndarray:
    return Rotation.from_euler(axes, degrees, degrees=True).as_matrix()


Y_UP, Y_DOWN = turned("x", -90), turned("x", 90)
COPIES = {
    "as it is": (np.eye(3), 1.0, [0, 0, 0], []),
    "turned": (turned("z", 33), 1.0, [0, 0, 0], ["yaw"]),
    "turned far": (turned("z", -161), 1.0, [0, 0, 0], ["yaw"]),
    "millimetres": (np.eye(3), 1000.0, [0, 0, 0], ["unit"]),
    "centimetres": (np.eye(3), 100.0, [0, 0, 0], ["unit"]),
    "y up": (Y_UP, 1.0, [0, 0, 0], ["axis"]),
    "y down": (Y_DOWN, 1.0, [0, 0, 0], ["axis"]),
    "z down": (turned("x", 180), 1.0, [0, 0, 0], ["axis"]),
    "x up": (turned("y", 90), 1.0, [0, 0, 0], ["axis"]),
    "mirrored": (np.diag([-1.0, 1.0, 1.0]), 1.0, [0, 0, 0], []),
    "y and z swapped": (np.eye(3)[[0, 2, 1]], 1.0, [0, 0, 0], ["axis"]),
    "tilted": (turned("xy", 4, -3), 1.0, [0, 0, 0], ["tilt"]),
    "low": (np.eye(3), 1.0, [0, 0, -1.4], ["floor"]),
    "far": (np.eye(3), 1.0, [40.0, -70.0, 0], ["origin"]),
    "all": (turned("z", 20) @ turned("xy", 4, 3) @ Y_UP @ turned("z", 12), 1000.0, [5, -6, 2], None),
}
ALL = {"unit", "axis", "tilt", "yaw", "floor", "origin"}


def copied(points: np.ndarray, copy: str) -> tuple[np.ndarray, np.ndarray]:
    """A copy of points, and the matrix that made it."""
    linear, scale, shift, _ = COPIES[copy]
    own_from_aligned = np.eye(4)
    own_from_aligned[:3, :3] = scale * linear
    own_from_aligned[:3, 3] = own_from_aligned[:3, :3] @ shift
    return moved(points, own_from_aligned).astype(np.float32), own_from_aligned


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def repaired(points: np.ndarray, **known) -> RepairedRoom:
    return repair_room(Room(name="own", points=points.astype(np.float32)), **known)


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_a_right_room_has_no_mistakes(make_room, room: str) -> None:
    assert find_room_mistakes(make_room(**ROOMS[room]).points) == ()


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_every_copy_gets_its_advice_and_becomes_the_same_points(make_room, room: str) -> None:
    made = make_room(**ROOMS[room])
    first = repaired(made.points)
    # One of the eight poses of the made room, found without knowledge of it to within centimetres.
    flip = np.round(first.room.aligned_from_scan[:3, :3])
    assert np.array_equal(np.abs(flip).sum(axis=0), np.ones(3)) and flip[2, 2] == 1
    errors = first.room.points - made.points @ flip.T
    assert np.abs(errors - np.median(errors, axis=0)).max() < 0.01
    assert abs(np.median(errors, axis=0)[2]) < 0.005
    for copy in COPIES if room == "plain" else ("y up", "mirrored", "all"):
        _, scale, _, kinds = COPIES[copy]
        own, _ = copied(made.points, copy)
        told = repaired(own)
        found = [mistake.kind for mistake in told.mistakes]
        assert (set(found) == ALL) if kinds is None else (found == kinds), (copy, told.mistakes)
        if not first.is_symmetric:
            np.testing.assert_allclose(told.room.points, first.room.points, atol=2e-4, err_msg=copy)
        back = moved(told.room.points.astype(np.float64), told.own_from_repaired)
        np.testing.assert_allclose(back, own, atol=2e-5 * scale * np.abs(own / scale).max(), err_msg=copy)


@pytest.mark.slow
def test_all_mistakes_together_are_told_and_their_matrices_repair_them(make_room) -> None:
    own, _ = copied(make_room().points, "all")
    mistakes = find_room_mistakes(own)
    assert {mistake.kind for mistake in mistakes} == ALL
    points = own.astype(np.float64)
    for mistake in mistakes:
        assert mistake.matrix is not None and mistake.is_repaired
        points = moved(points, mistake.matrix)
    assert find_room_mistakes(points) == ()


@pytest.mark.slow
@pytest.mark.parametrize("copy", ["turned", "y up", "mirrored", "y and z swapped", "all"])
def test_boxes_found_in_the_repaired_room_go_back_to_where_the_objects_are(make_room, copy: str) -> None:
    made = make_room()
    own, own_from_aligned = copied(made.points, copy)
    told = repaired(own)
    repaired_from_aligned = np.linalg.inv(told.own_from_repaired) @ own_from_aligned
    flip = np.round(repaired_from_aligned[:3, :3])
    centres = moved(made.boxes[:, :3], repaired_from_aligned)
    found = np.concatenate([centres, made.boxes[:, 3:] @ np.abs(flip).T], axis=1)
    back = own_boxes(found, told.own_from_repaired).corners
    direct = own_boxes(made.boxes, own_from_aligned).corners
    scale = COPIES[copy][1]
    apart = np.linalg.norm(back[:, :, None] - direct[:, None], axis=-1) / scale
    assert apart.min(axis=2).max() < 0.005 and apart.min(axis=1).max() < 0.005


@pytest.mark.slow
def test_the_yaw_of_walls_is_found_to_a_tenth_of_a_degree(make_room) -> None:
    for seed, yaw in enumerate((-44.0, -17.3, 30.0)):
        points = make_room(seed).points @ turned("z", yaw).T
        (mistake,) = [m for m in find_room_mistakes(points) if m.kind == "yaw"]
        found = np.degrees(np.arctan2(mistake.matrix[0, 1], mistake.matrix[0, 0]))
        assert found == pytest.approx(yaw, abs=0.1)
        assert mistake.text == f"the walls are turned by {found:.1f} degrees from x and y"


@pytest.mark.slow
def test_a_tilt_is_told_with_its_angle(make_room) -> None:
    (mistake,) = find_room_mistakes(make_room().points @ turned("x", 5).T)
    assert mistake.kind == "tilt" and mistake.text == "the floor is tilted by 5.0 degrees"


@pytest.mark.slow
@pytest.mark.parametrize(("metres", "name", "asked"), [(0.3048, "feet", 0.3048), (0.0254, "inches", 0.0254)])
def test_feet_and_inches_are_asked_about_and_taken_when_said(make_room, metres, name, asked) -> None:
    own = make_room().points / metres
    mistake = find_room_mistakes(own)[0]
    assert mistake.kind == "unit" and not mistake.is_repaired
    assert f"if these are {name}, say unit_m={asked}" in mistake.text
    (known,) = find_room_mistakes(own, unit_m=metres)
    assert known.kind == "unit" and known.is_repaired
    np.testing.assert_allclose(
        repaired(own, unit_m=metres).room.points, repaired(make_room().points).room.points, atol=1e-3
    )


@pytest.mark.slow
def test_a_scale_of_no_unit_is_told(make_room) -> None:
    mistake = find_room_mistakes(make_room().points * 0.07)[0]
    assert mistake.kind == "unit" and not mistake.is_repaired and "measure a length" in mistake.text


@pytest.mark.slow
def test_a_known_axis_decides(make_room) -> None:
    own = make_room().points @ Y_UP.T
    assert [m.kind for m in find_room_mistakes(own, up_axis="y")] == ["axis"]
    assert "axis" not in [m.kind for m in find_room_mistakes(own, up_axis="z")]


@pytest.mark.slow
def test_an_axis_that_is_a_guess_is_called_one() -> None:
    # A cube, closed and empty, but for its size as high as a room only along y.
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.0, 1.0, (60_000, 3))
    side = rng.integers(0, 6, len(points))
    points[np.arange(len(points)), side % 3] = np.where(side < 3, -1.0, 1.0)
    points *= [2.0, 1.3, 1.0]
    mistakes = [mistake for mistake in find_room_mistakes(points) if mistake.kind == "axis"]
    assert (
        len(mistakes) == 1
        and "here it seems to be y (a guess: if it is not, say up_axis=)" in mistakes[0].text
    )


@pytest.mark.slow
def test_points_that_are_not_finite_and_strays_are_told_and_dropped(make_room) -> None:
    points = make_room().points
    rng = np.random.default_rng(1)
    bad = np.full((50, 3), np.nan)
    bad[25:, 1] = np.inf
    strays = rng.normal(0, 1, (100, 3)) + rng.choice([-60.0, 60.0], (100, 3))
    own = np.concatenate([bad, points, strays]).astype(np.float32)
    colours = np.arange(3 * len(own)).reshape(-1, 3).astype(np.uint8)
    told = repair_room(Room(name="own", points=own, colors=colours))
    assert [mistake.kind for mistake in told.mistakes] == ["invalid", "strays"]
    assert told.mistakes[0].text == f"50 of {len(own)} points have NaN or infinite numbers"
    assert len(told.room) == len(points)
    np.testing.assert_array_equal(told.room.colors, colours[50 : 50 + len(points)])


def test_a_thin_scan_is_told(make_room) -> None:
    (mistake,) = find_room_mistakes(make_room(points_per_m2=60.0).points)
    assert mistake.kind == "sparse" and not mistake.is_repaired
    density = float(mistake.text.split()[2])
    assert density == pytest.approx(60, rel=0.25)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 3)),
        np.zeros((1, 3)),
        np.full((5000, 3), np.nan),
        np.tile([[1.0, 2.0, 3.0]], (5000, 1)),
        np.linspace(0, 1, 5000)[:, None] * [1.0, 2.0, 3.0],
    ],
    ids=["none", "one", "nan", "one place", "line"],
)
def test_what_is_no_room_is_told_and_stays(points: np.ndarray) -> None:
    mistakes = find_room_mistakes(points)
    assert mistakes[-1].kind == "few" and not mistakes[-1].is_repaired
    told = repaired(points)
    np.testing.assert_array_equal(
        told.room.points, points[np.isfinite(points).all(axis=1)].astype(np.float32)
    )
    np.testing.assert_array_equal(told.own_from_repaired, np.eye(4))


@pytest.mark.slow
def test_a_single_plane_is_taken_without_complaint_of_a_crash() -> None:
    rng = np.random.default_rng(0)
    floor = rng.uniform(-2, 2, (20_000, 3)) * [1.0, 1.0, 0.0]
    for points in (floor, floor + np.array([0, 0, 1.0]), floor @ turned("x", 90).T):
        told = repaired(points)
        assert np.isfinite(told.room.points).all() and np.isfinite(told.own_from_repaired).all()


def test_wrong_arguments_are_refused(make_room, unchecked_shapes: None) -> None:
    points = make_room().points
    with pytest.raises(ValueError, match=r"points: expected shape \(any, 3\), got"):
        find_room_mistakes(points[:, :2])
    with pytest.raises(TypeError, match="points: expected an array of numbers"):
        find_room_mistakes(points.tolist())
    with pytest.raises(ValueError, match="unit_m must be positive, got 0"):
        find_room_mistakes(points, unit_m=0.0)
    with pytest.raises(ValueError, match="up_axis must be x, -x, y, -y, z, -z or None, got 'up'"):
        find_room_mistakes(points, up_axis="up")  # pyright: ignore[reportArgumentType]
    labelled = Room(name="own", points=points.astype(np.float32), objects=RoomObjects.empty())
    with pytest.raises(ValueError, match="the room has objects"):
        repair_room(labelled)


@pytest.mark.slow
def test_the_shift_of_a_map_is_part_of_the_way_back(make_room, tmp_path: Path) -> None:
    own = make_room().points + np.array([350_000.0, 5_600_000.0, 210.0])
    np.save(tmp_path / "map.npy", own)
    told = repair_room(read_room(tmp_path / "map.npy"))
    back = moved(told.room.points.astype(np.float64), told.own_from_repaired)
    np.testing.assert_allclose(back, own, atol=1e-4)


@pytest.mark.slow
def test_a_round_room_is_laid_along_its_longest_side() -> None:
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, 2 * np.pi, 12_000)
    wall = np.column_stack([3 * np.cos(turn), 2 * np.sin(turn), rng.uniform(0, 2.6, 12_000)])
    disc = rng.uniform(-1, 1, (8_000, 2))
    disc = disc[(disc**2).sum(axis=1) < 1] * [3, 2]
    points = np.concatenate([wall, np.column_stack([disc, np.zeros(len(disc))])])
    told = repaired(points @ turned("z", 25).T)
    assert told.mistakes == ()  # walls of no direction are not off
    spans = np.ptp(told.room.points, axis=0)
    assert spans[0] == pytest.approx(6, abs=0.05) and spans[1] == pytest.approx(4, abs=0.05)


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_scan_gets_the_advice_that_its_alignment_gives(real_scannet: Path) -> None:
    folder = real_scannet / "scans/scene0000_00"
    room = read_room(folder / "scene0000_00_vh_clean_2.ply")
    line = (folder / "scene0000_00.txt").read_text().partition("axisAlignment = ")[2].splitlines()[0]
    aligned_from_scan = np.array(line.split(), np.float64).reshape(4, 4)
    official = np.degrees(np.arctan2(aligned_from_scan[0, 1], aligned_from_scan[0, 0]))
    mistakes = {mistake.kind: mistake for mistake in find_room_mistakes(room.points)}
    assert list(mistakes) == ["yaw", "origin"]
    matrix = mistakes["yaw"].matrix
    found = np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0]))
    assert (found - official + 45) % 90 - 45 == pytest.approx(0, abs=1.0)
    assert find_room_mistakes(moved(room.points, aligned_from_scan)) == ()
    first = repair_room(room).room.points
    for copy in ("turned", "y and z swapped", "all"):
        own, _ = copied(room.points.astype(np.float64), copy)
        np.testing.assert_allclose(repaired(own).room.points, first, atol=1e-3, err_msg=copy)


@pytest.mark.slow
def test_ten_million_points_take_seconds() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((10_000_000, 3), np.float32) * np.float32([5, 4, 2.5])
    side = rng.integers(0, 6, len(points))
    for axis, end in enumerate((5, 4, 2.5)):
        points[side == axis, axis] = 0
        points[side == axis + 3, axis] = end
    begun = time.process_time()
    told = repair_room(Room(name="own", points=points))
    assert time.process_time() - begun < 20
    assert len(told.room) == len(points)
