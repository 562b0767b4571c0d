import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from datasets3d.segmentation import (
    LabelledScan,
    LaserMixConfig,
    MixConfig,
    PolarMixConfig,
    laser_mix,
    mix,
    polar_mix,
)
from datasets3d.segmentation.laser_mix import mix_bands
from datasets3d.segmentation.polar_mix import paste_copies, swap_sector
from hypothesis import given
from hypothesis import strategies as st

RANGE_DEG = (-25.0, 3.0)
THINGS = (0, 1, 2)


def make(name: str, count: int = 300, *, seed: int | None = None) -> LabelledScan:
    """Return a scan whose points tell by themselves which scan, class and object they are of."""
    rng = np.random.default_rng(ord(name) if seed is None else seed)
    classes, instances = rng.integers(0, 6, count), rng.integers(0, 4, count)
    xyz = rng.normal(scale=(20, 20, 4), size=(count, 3))
    told = np.column_stack([np.full(count, ord(name)), classes, instances])
    return LabelledScan(
        frame_id=name,
        points=np.column_stack([xyz, told]).astype(np.float32),
        point_columns=("x", "y", "z", "scan", "class", "object"),
        classes=classes.astype(np.uint8),
        instances=instances.astype(np.int32),
        world_from_lidar=np.eye(4),
        time_s=0.1,
    )


def rows(*scans: LabelledScan) -> Counter[tuple]:
    return Counter(tuple(point.tolist()) for scan in scans for point in scan.points)


def assert_labels_stayed_with_points(mixed: LabelledScan) -> None:
    assert mixed.classes is not None and mixed.instances is not None
    np.testing.assert_array_equal(mixed.classes, mixed.points[:, 4])
    np.testing.assert_array_equal(mixed.instances == 0, mixed.points[:, 5] == 0)
    told = {tuple(row) for row in np.column_stack([mixed.points[:, 3], mixed.points[:, 5], mixed.instances])}
    kept = [(scan, thing) for scan, thing, number in told if number]
    assert len(kept) == len({number for *_, number in told if number})


def mixtures(a: LabelledScan, b: LabelledScan) -> list[LabelledScan]:
    return [
        mix_bands(a, b, bands=4, inclination_deg=RANGE_DEG),
        swap_sector(a, b, start_rad=2.0, width_rad=math.pi),
        paste_copies(a, b, classes=THINGS, turns_rad=[0.0]),
    ]


@given(sizes=st.tuples(st.integers(0, 40), st.integers(0, 40)), bands=st.integers(1, 6))
def test_bands_exchanged_both_ways_have_every_point_once(sizes: tuple[int, int], bands: int) -> None:
    a, b = make("a", sizes[0]), make("b", sizes[1])
    one, two = (mix_bands(*pair, bands=bands, inclination_deg=RANGE_DEG) for pair in ((a, b), (b, a)))
    assert rows(one, two) == rows(a, b)


@given(
    sizes=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    start_rad=st.floats(-4, 4),
    width_rad=st.floats(0, 6.28),
)
def test_sectors_exchanged_both_ways_have_every_point_once(
    sizes: tuple[int, int], start_rad: float, width_rad: float
) -> None:
    a, b = make("a", sizes[0]), make("b", sizes[1])
    one, two = (swap_sector(*pair, start_rad=start_rad, width_rad=width_rad) for pair in ((a, b), (b, a)))
    assert rows(one, two) == rows(a, b)


def test_labels_stay_with_their_points_and_objects_apart() -> None:
    for mixed in mixtures(make("a"), make("b")):
        assert_labels_stayed_with_points(mixed)
        assert set(mixed.points[:, 3]) == {ord("a"), ord("b")}
        assert mixed.frame_id == "a+b" and mixed.point_columns == make("a").point_columns
        assert mixed.world_from_lidar is None and mixed.time_s is None


def test_points_of_the_first_scan_come_first_in_their_order() -> None:
    for mixed in mixtures(make("a"), make("b")):
        from_a = mixed.points[:, 3] == ord("a")
        assert not np.any(np.diff(from_a.astype(int)) > 0)
        places = {tuple(point.tolist()): i for i, point in enumerate(make("a").points)}
        kept = [places[tuple(point.tolist())] for point in mixed.points[from_a]]
        assert kept == sorted(kept)


def test_bands_alternate_from_the_highest_downwards() -> None:
    elevations = np.radians([20, 2, -5, -12, -19, -60])
    xyz = np.column_stack([10 * np.cos(elevations), 0 * elevations, 10 * np.sin(elevations)])
    xyz = xyz.astype(np.float32)
    columns = ("x", "y", "z")
    a, b = (
        LabelledScan(frame_id=name, points=xyz, point_columns=columns, classes=np.full(6, i, np.uint8))
        for i, name in enumerate("ab")
    )
    mixed = mix_bands(a, b, bands=4, inclination_deg=RANGE_DEG)
    # Bands of 7 degrees: 3..-4, -4..-11, -11..-18, -18..-25. What lies outside belongs to the nearest.
    np.testing.assert_array_equal(mixed.classes, [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(
        np.degrees(np.arctan2(mixed.points[:, 2], mixed.points[:, 0])), [20, 2, -12, -5, -19, -60], rtol=1e-5
    )


def test_a_point_on_an_edge_belongs_to_the_lower_band() -> None:
    a, b = (
        LabelledScan(
            frame_id=name, points=np.array([[9, 0, 0, 1]], np.float32), classes=np.zeros(1, np.uint8)
        )
        for name in "ab"
    )
    assert len(mix_bands(a, b, bands=2, inclination_deg=(-10.0, 10.0))) == 1
    assert (
        len(mix_bands(a, replace(b, points=b.points + np.float32(1)), bands=2, inclination_deg=(-9.0, 9.0)))
        == 0
    )


def test_a_sector_begins_at_its_start_and_turns_counter_clockwise() -> None:
    azimuths = np.radians([-170, -100, -10, 10, 100, 170])
    xyz = np.column_stack([10 * np.cos(azimuths), 10 * np.sin(azimuths), 0 * azimuths]).astype(np.float32)
    a, b = (
        LabelledScan(
            frame_id=name, points=xyz, point_columns=("x", "y", "z"), classes=np.full(6, i, np.uint8)
        )
        for i, name in enumerate("ab")
    )
    mixed = swap_sector(a, b, start_rad=math.radians(90), width_rad=math.radians(120))
    swapped = mixed.points[mixed.classes == 1]
    np.testing.assert_allclose(
        np.degrees(np.arctan2(swapped[:, 1], swapped[:, 0])), [-170, 100, 170], rtol=1e-5
    )
    assert len(mixed) == 6


def test_copies_are_all_points_of_the_classes_once_for_every_turn() -> None:
    a, b = make("a"), make("b")
    mixed = paste_copies(a, b, classes=THINGS, turns_rad=[0.0, math.pi / 2])
    things = b.points[np.isin(b.classes, THINGS)]
    assert len(mixed) == len(a) + 2 * len(things)
    np.testing.assert_array_equal(mixed.points[: len(a)], a.points)
    np.testing.assert_array_equal(mixed.instances[: len(a)], a.instances)
    np.testing.assert_array_equal(mixed.points[len(a) : len(a) + len(things)], things)
    turned = mixed.points[len(a) + len(things) :]
    np.testing.assert_allclose(turned[:, 0], -things[:, 1], atol=1e-5)
    np.testing.assert_allclose(turned[:, 1], things[:, 0], atol=1e-5)
    np.testing.assert_array_equal(turned[:, 2:], things[:, 2:])
    first, second = np.split(mixed.instances[len(a) :], 2)
    assert not set(first[first > 0]) & (set(second[second > 0]) | set(a.instances))


def test_polar_mix_does_what_its_probabilities_say() -> None:
    a, b, rng = make("a"), make("b"), np.random.default_rng(0)
    nothing = PolarMixConfig(paste_classes=THINGS, swap_probability=0.0, paste_probability=0.0)
    assert polar_mix(a, b, nothing, rng) is a
    swapped = polar_mix(a, b, replace(nothing, swap_probability=1.0), rng)
    assert 0.3 < len(swapped) / len(a) < 1.7
    assert set(rows(swapped)) <= set(rows(a, b))
    pasted = polar_mix(a, b, replace(nothing, paste_probability=1.0), rng)
    assert len(pasted) == len(a) + 3 * np.count_nonzero(np.isin(b.classes, THINGS))
    both = polar_mix(a, b, PolarMixConfig(paste_classes=THINGS, swap_probability=1.0), rng)
    assert both.frame_id == "a+b"
    np.testing.assert_array_equal(both.classes, both.points[:, 4])


def test_published_turns_leave_one_copy_and_spread_two() -> None:
    a, b = make("a", 0), make("b", 1)
    b = replace(b, points=np.array([[10, 0, 0, 0, 0, 1]], np.float32), classes=np.zeros(1, np.uint8))
    config = PolarMixConfig(paste_classes=(0,), swap_probability=0.0)
    for seed in range(20):
        xy = polar_mix(a, b, config, np.random.default_rng(seed)).points[:, :2]
        turns_deg = np.degrees(np.arctan2(xy[:, 1], xy[:, 0])) % 360
        assert turns_deg[0] == 0 and 0 <= turns_deg[1] < 120 <= turns_deg[2] < 240


@pytest.mark.parametrize("times", [1, 2])
def test_draws_are_as_many_whatever_happens(times: int) -> None:
    a, b = make("a"), make("b")
    left = set()
    for probability in (0.0, 1.0):
        rng = np.random.default_rng(5)
        config = PolarMixConfig(
            paste_classes=THINGS, swap_probability=probability, paste_probability=probability
        )
        for _ in range(times):
            polar_mix(a, b, config, rng)
        left.add(rng.random())
    assert len(left) == 1


def test_laser_mix_draws_one_of_the_numbers_of_bands() -> None:
    a, b = make("a"), make("b")
    known = [rows(mix_bands(a, b, bands=n, inclination_deg=RANGE_DEG)) for n in (3, 4, 5, 6)]
    seen = {
        known.index(rows(laser_mix(a, b, LaserMixConfig(), np.random.default_rng(seed))))
        for seed in range(30)
    }
    assert seen == {0, 1, 2, 3}


@pytest.mark.slow
def test_mix_chooses_by_its_probabilities_and_repeats() -> None:
    a, b = make("a"), make("b")
    config = MixConfig(polar=PolarMixConfig(paste_classes=THINGS, swap_probability=0.0), probability=0.8)
    # LaserMix leaves less than both, a copy never takes away.
    kinds = Counter()
    for seed in range(400):
        mixed = mix(a, b, config, np.random.default_rng(seed))
        kinds["none" if mixed is a else "polar" if len(mixed) > 1.2 * len(a) else "laser"] += 1
    assert abs(kinds["none"] - 80) < 30 and abs(kinds["laser"] - 160) < 40 and abs(kinds["polar"] - 160) < 40
    first, again = (mix(a, b, config, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.points, again.points)
    np.testing.assert_array_equal(first.instances, again.instances)


def test_without_instances_in_one_scan_there_are_none() -> None:
    for mixed in mixtures(make("a"), replace(make("b"), instances=None)):
        assert mixed.instances is None and mixed.classes is not None


@pytest.mark.parametrize("which", ["a", "b"])
def test_unlabelled_scans_are_refused_by_name(which: str) -> None:
    pair = [replace(make(name), classes=None) if name == which else make(name) for name in "ab"]
    with pytest.raises(ValueError, match=f"mix_bands: scan {which} has no classes"):
        mix_bands(*pair, bands=3, inclination_deg=RANGE_DEG)
    with pytest.raises(ValueError, match=f"polar_mix: scan {which} has no classes"):
        polar_mix(*pair, PolarMixConfig(paste_classes=THINGS), np.random.default_rng(0))


def test_scans_of_other_columns_are_refused() -> None:
    b = make("b")
    b = replace(b, points=b.points[:, :4], point_columns=("x", "y", "z", "intensity"))
    with pytest.raises(ValueError, match="swap_sector: the points of scan a have the columns x y z scan"):
        swap_sector(make("a"), b, start_rad=0.0, width_rad=1.0)
    with pytest.raises(ValueError, match=r"paste_copies: .* other scan b have x y z intensity"):
        paste_copies(make("a"), b, classes=THINGS, turns_rad=[0.0])


def test_a_scan_can_be_mixed_with_itself() -> None:
    a = make("a")
    mixed = mix_bands(a, a, bands=5, inclination_deg=RANGE_DEG)
    assert rows(mixed) == rows(a)


def test_instances_that_do_not_fit_are_refused() -> None:
    a, b = make("a"), make("b")
    a = replace(a, instances=np.full(len(a), 2**31 - 1, np.int32))
    with pytest.raises(ValueError, match="do not fit into int32"):
        paste_copies(a, b, classes=THINGS, turns_rad=[0.0])


@pytest.mark.parametrize(
    ("make_config", "message"),
    [
        (lambda: LaserMixConfig(bands=()), "bands must hold numbers of at least 1"),
        (lambda: LaserMixConfig(bands=(3, 0)), "bands must hold numbers of at least 1"),
        (lambda: LaserMixConfig(inclination_deg=(3.0, -25.0)), r"inclination_deg must be \(lower, upper\)"),
        (lambda: PolarMixConfig(paste_classes=(255,)), r"paste_classes must lie in 0..254, got \(255,\)"),
        (lambda: PolarMixConfig(paste_classes=(), swap_probability=2.0), "swap_probability must lie in 0..1"),
        (lambda: PolarMixConfig(paste_classes=(), sector_rad=7.0), "sector_rad must lie in 0"),
        (lambda: PolarMixConfig(paste_classes=(), paste_rotation_rad=((1.0, 0.0),)), "least, greatest"),
        (lambda: MixConfig(polar=PolarMixConfig(paste_classes=()), probability=-1.0), "probability must lie"),
    ],
)
def test_wrong_settings_are_refused(make_config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_config()


def test_wrong_amounts_are_refused() -> None:
    with pytest.raises(ValueError, match="mix_bands: bands must be at least 1, got 0"):
        mix_bands(make("a"), make("b"), bands=0, inclination_deg=RANGE_DEG)
    with pytest.raises(ValueError, match=r"paste_copies: classes must lie in 0..254, got \(300,\)"):
        paste_copies(make("a"), make("b"), classes=[300], turns_rad=[0.0])
