from dataclasses import replace

import pytest
from evaluators import kitti
from evaluators.kitti.protocol import METRICS, overlap_table


@pytest.mark.parametrize(
    ("table", "name", "overlaps"),
    [
        ("strict", "Car", (0.7, 0.7, 0.7, 0.7)),
        ("strict", "Pedestrian", (0.5, 0.5, 0.5, 0.5)),
        ("strict", "Cyclist", (0.5, 0.5, 0.5, 0.5)),
        ("loose", "Car", (0.7, 0.7, 0.5, 0.5)),
        ("loose", "Pedestrian", (0.5, 0.5, 0.25, 0.25)),
        ("loose", "Cyclist", (0.5, 0.5, 0.25, 0.25)),
        ("loose-extended", "Van", (0.7, 0.7, 0.5, 0.5)),
        ("loose-extended", "Person_sitting", (0.5, 0.5, 0.25, 0.25)),
        ("loose-extended", "Truck", (0.7, 0.7, 0.5, 0.5)),
    ],
)
def test_minimum_overlaps_are_the_published_ones(
    table: str, name: str, overlaps: tuple[float, float, float, float]
) -> None:
    rule = next(rule for rule in kitti.TABLES[table].classes if rule.name == name)
    assert tuple(rule.min_overlap(metric) for metric in METRICS) == overlaps


def test_the_official_table_has_three_classes_with_their_neighbours() -> None:
    rules = kitti.STRICT.classes
    assert [(rule.name, rule.neighbours) for rule in rules] == [
        ("Car", ("Van",)),
        ("Pedestrian", ("Person_sitting",)),
        ("Cyclist", ()),
    ]


def test_unknown_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"overlaps must be one of strict, loose, .* got 'medium'"):
        overlap_table("medium")


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_overlaps_outside_their_range_are_refused(overlap: float) -> None:
    with pytest.raises(ValueError, match=r"overlap_3d of Car must lie in \[0, 1\)"):
        replace(kitti.CAR, overlap_3d=overlap)


def test_regions_are_not_a_class() -> None:
    with pytest.raises(ValueError, match="DontCare marks regions"):
        replace(kitti.CAR, name="dontcare")


def test_a_class_appears_once_in_a_table() -> None:
    with pytest.raises(ValueError, match="at least one class, each once"):
        kitti.OverlapTable(name="twice", classes=(kitti.CAR, kitti.CAR))


def test_range_bins_have_an_order() -> None:
    with pytest.raises(ValueError, match=r"near < far, got \(20.0, 10.0\)"):
        replace(kitti.EASY, depth_m=(20.0, 10.0))


def test_a_table_of_classes_keeps_what_the_extended_tables_say() -> None:
    for overlaps, extended in (("strict", kitti.STRICT_EXTENDED), ("loose", kitti.LOOSE_EXTENDED)):
        table = kitti.table_of_classes(extended.class_names, overlaps)
        assert table == replace(extended, name=overlaps)


def test_an_own_class_has_half_and_loosely_a_quarter() -> None:
    for overlaps, expected in (("strict", (0.5, 0.5, 0.5)), ("loose", (0.5, 0.25, 0.25))):
        (rule,) = kitti.table_of_classes(["Bus"], overlaps).classes
        assert (rule.overlap_2d, rule.overlap_bev, rule.overlap_3d) == expected
        assert rule.neighbours == ()


@pytest.mark.parametrize(
    ("given", "expected"), [(0.2, (0.2, 0.2, 0.2)), (0.4, (0.4, 0.25, 0.25)), (0.8, (0.8, 0.5, 0.5))]
)
def test_loose_never_asks_for_more_than_strict(given: float, expected: tuple[float, ...]) -> None:
    (rule,) = kitti.table_of_classes(["Bus"], "loose", min_overlaps={"Bus": given}).classes
    assert (rule.overlap_2d, rule.overlap_bev, rule.overlap_3d) == expected


def test_an_overlap_for_a_class_that_is_not_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="min_overlaps names bus, which is not among the classes Bus"):
        kitti.table_of_classes(["Bus"], min_overlaps={"bus": 0.5})
    with pytest.raises(ValueError, match="'strict', 'loose', got 'strict-extended'"):
        kitti.table_of_classes(["Bus"], "strict-extended")
