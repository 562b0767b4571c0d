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
