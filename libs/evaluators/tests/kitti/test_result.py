import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluators import kitti
from evaluators.kitti import KittiObjects, KittiResult
from evaluators.page import LineChart, Table, write_page

Frames = dict[str, KittiObjects]


@pytest.fixture
def result(make_frames: Callable[..., tuple[Frames, Frames]]) -> KittiResult:
    return kitti.evaluate(*make_frames(3, 30), overlaps="loose")


def test_the_table_shows_every_class_metric_and_level(result: KittiResult) -> None:
    lines = result.table().splitlines()
    rows = [line.split() for line in lines if line.split()[:1] in (["Car"], ["Pedestrian"], ["Cyclist"])]
    assert len(rows) == 12
    expected = [
        result.ap("Car", "3d", level, recall=r) for r in (40, 11) for level in ("easy", "moderate", "hard")
    ]
    car_3d = next(row for row in rows if row[:2] == ["Car", "3d"])
    assert car_3d[2] == "0.50"
    assert car_3d[3:9] == [f"{value:.4f}" for value in expected]


def test_absent_orientation_is_a_dash(car: KittiObjects) -> None:
    text = kitti.evaluate({"a": car}, {"a": car}, aos="never").table()
    assert [line.split()[3] for line in text.splitlines() if " aos " in line and "Note" not in line] == [
        "-"
    ] * 3


def test_few_objects_are_pointed_out(car: KittiObjects) -> None:
    notes = kitti.evaluate({"a": car}, {"a": car}).notes()
    assert any("fewer than 41 objects" in note and "Car easy (1)" in note for note in notes)


@pytest.mark.slow
def test_enough_objects_need_no_note(car: KittiObjects) -> None:
    frames = {f"{i:06d}": car for i in range(41)}
    assert not any("fewer than" in note for note in kitti.evaluate(frames, frames).notes())


def test_notes_name_what_was_set_aside(car: KittiObjects) -> None:
    notes = kitti.evaluate({"a": car, "b": car}, {"a": car}, missing="empty", aos="never").notes()
    assert any("1 frames had no predictions" in note for note in notes)
    assert any("nothing was detected: Pedestrian 2d" in note for note in notes)
    assert any("aos is not evaluated" in note for note in notes)


def test_the_mean_is_over_classes(result: KittiResult) -> None:
    values = [result.ap(name, "bev", "hard") for name in ("Car", "Pedestrian", "Cyclist")]
    assert result.mean("bev", "hard") == pytest.approx(sum(value or 0.0 for value in values) / 3)


def test_json_holds_the_curves_and_survives_a_round_trip(result: KittiResult) -> None:
    report = json.loads(json.dumps(result.to_json(), allow_nan=False))
    curve = result.curves["Car", "3d", "hard"]
    entry = report["results"]["Car/3d/hard"]
    assert entry["R40"] == curve.ap(40)
    assert entry["curve"] == curve.curve.tolist()
    assert entry["thresholds"] == curve.thresholds.tolist()
    assert len(report["results"]) == 36
    assert report["counts"]["n_frames"] == 30
    assert report["protocol"]["overlaps"] == "loose"
    assert report["protocol"]["rules"]["orientation"] == "all detections"


def test_sections_hold_tables_and_a_chart_per_class_and_metric(result: KittiResult, tmp_path: Path) -> None:
    sections = result.sections()
    tables = [section for section in sections if isinstance(section, Table)]
    charts = {section.title: section for section in sections if isinstance(section, LineChart)}
    assert len(tables) + len(charts) == len(sections)
    assert [len(table.rows) for table in tables] == [12, 12, 6]
    for table, recall in zip(tables, (40, 11), strict=False):
        row = next(row for row in table.rows if row[:2] == ["Car", "3d"])
        levels = ("easy", "moderate", "hard")
        assert row[2:] == [
            "0.5",
            *(f"{result.ap('Car', '3d', level, recall=recall):.4f}" for level in levels),
        ]
    assert ["frames", "30"] in tables[2].rows
    assert len(charts) == 12
    chart = charts["Pedestrian bev, IoU > 0.25"]
    recalls, precision = chart.lines["hard"]
    assert (recalls[0], recalls[-1], len(recalls)) == (0.0, 1.0, 41)
    assert precision is result.curves["Pedestrian", "bev", "hard"].curve
    assert charts["Pedestrian aos, IoU > 0.5"].y_label == "orientation similarity"
    write_page(tmp_path / "page.html", "KITTI", {"loose": result})
    assert "Pedestrian bev" in (tmp_path / "page.html").read_text()


def test_what_is_not_evaluated_has_no_chart_and_does_not_look_like_zero(car: KittiObjects) -> None:
    sections = kitti.evaluate({"a": car}, {"a": car}, aos="never").sections()
    titles = [section.title for section in sections if isinstance(section, LineChart)]
    assert titles == ["Car 2d, IoU > 0.7", "Car bev, IoU > 0.7", "Car 3d, IoU > 0.7"]
    (table, *_) = sections
    assert isinstance(table, Table)
    shown = {(row[0], row[1]): row[3] for row in table.rows}
    assert shown["Car", "3d"] != "-"
    assert shown["Pedestrian", "3d"] == "-"


def shown(result: KittiResult, cls: str, metric: str = "3d") -> list[str]:
    """The three R40 figures of a class as the text shows them."""
    rows = (line.split() for line in result.table().splitlines())
    return next(row[3:6] for row in rows if row[:2] == [cls, metric])


def renamed(objects: KittiObjects, name: str) -> KittiObjects:
    return replace(objects, names=(name,) * len(objects.names))


def test_names_that_no_table_has_are_counted_and_named(car: KittiObjects) -> None:
    vehicle = renamed(car, "Vehicle")
    result = kitti.evaluate({"a": car}, {"a": vehicle})
    assert (result.strange_gt, result.strange_pred) == ({}, {"Vehicle": 1})
    assert any(
        "detections of these names count nowhere" in note and "Vehicle (1)" in note for note in result.notes()
    )
    assert shown(result, "Car") == ["-"] * 3
    turned = kitti.evaluate({"a": vehicle}, {"a": car})
    assert any("objects of these names" in note and "Vehicle (1)" in note for note in turned.notes())
    assert shown(turned, "Car") == ["-"] * 3
    assert turned.to_json()["strange_names"] == {"gt": {"Vehicle": 1}, "pred": {}}


def test_kitti_names_outside_the_table_are_no_strangers(car: KittiObjects) -> None:
    tram = renamed(car, "Tram")
    result = kitti.evaluate({"a": tram, "b": renamed(car, "cyclist")}, {"a": tram, "b": car})
    assert (result.strange_gt, result.strange_pred) == ({}, {})


def test_an_empty_side_is_told(car: KittiObjects) -> None:
    nothing = KittiObjects.empty()
    assert any(
        "the labels hold no objects" in note for note in kitti.evaluate({"a": nothing}, {"a": car}).notes()
    )
    assert any("hold no detections" in note for note in kitti.evaluate({"a": car}, {"a": nothing}).notes())


def test_detections_without_image_boxes_are_told(car: KittiObjects) -> None:
    flat = replace(car, bbox=np.zeros((1, 4)))
    result = kitti.evaluate({"a": car}, {"a": flat})
    assert any("all detections are ignored" in note and "Car (1)" in note for note in result.notes())
    assert not any(
        "all detections are ignored" in note for note in kitti.evaluate({"a": car}, {"a": car}).notes()
    )


def test_classes_whose_objects_are_all_ignored_show_a_dash(car: KittiObjects) -> None:
    small = replace(car, bbox=np.array([[10.0, 10.0, 60.0, 20.0]]))
    result = kitti.evaluate({"a": small}, {"a": car})
    assert any("no object fits any level" in note and "Car (1 ignored)" in note for note in result.notes())
    assert any("no objects: Pedestrian, Cyclist" in note for note in result.notes())
    assert shown(result, "Car") == ["-"] * 3
    assert result.ap("Car", "3d", "easy") == 0.0
    titles = [section.title for section in result.sections() if isinstance(section, LineChart)]
    assert titles == []


def test_zero_is_zero_where_objects_were_missed(car: KittiObjects) -> None:
    far = replace(car, location=car.location + 30.0)
    assert shown(kitti.evaluate({"a": car}, {"a": far}), "Car") == ["0.0000"] * 3


def test_explain_lists_all_recall_positions(result: KittiResult) -> None:
    lines = result.explain("Car", "3d", "hard").splitlines()
    assert [line.split()[0] for line in lines[-41:]] == [str(i) for i in range(41)]
    assert f"R40 = {result.ap('Car', '3d', 'hard'):.4f}" in "\n".join(lines)


def test_explain_needs_an_evaluated_orientation(car: KittiObjects) -> None:
    with pytest.raises(ValueError, match="aos was not evaluated"):
        kitti.evaluate({"a": car}, {"a": car}, aos="never").explain("Car", "aos", "easy")


@pytest.mark.parametrize(
    ("cls", "level", "message"),
    [("car", "easy", "no class 'car' in this result; it has Car"), ("Car", "extreme", "no level 'extreme'")],
)
def test_unknown_entries_are_refused_with_the_known_ones(
    result: KittiResult, cls: str, level: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        result.ap(cls, "3d", level)
