"""Pages are well-formed, escaped and right at the edges: no curves, gaps, one point, no figures at all."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from evaluators._report import JsonValue
from evaluators._svg import line_chart, plain
from evaluators.page import (
    Heatmap,
    LineChart,
    Section,
    Table,
    document,
    render_result,
    render_section,
    write_page,
)
from hypothesis import given
from hypothesis import strategies as st


class Shown:
    """A result that consists of what it is given."""

    def __init__(self, *sections: Section, notes: Sequence[str] = ()) -> None:
        self._sections = list(sections)
        self._notes = list(notes)

    def table(self) -> str:
        return ""

    def notes(self) -> list[str]:
        return self._notes

    def to_json(self) -> dict[str, JsonValue]:
        return {}

    def sections(self) -> list[Section]:
        return self._sections


def page(folder: Path, *sections: Section, notes: Sequence[str] = (), title: str = "t") -> ET.Element:
    path = folder / "page.html"
    write_page(path, title, {"only": Shown(*sections, notes=notes)})
    assert list(folder.iterdir()) == [path]
    return ET.fromstring(path.read_text(encoding="utf-8"))


def chart(x: Sequence[float], y: Sequence[float], **ranges: tuple[float, float]) -> ET.Element:
    return ET.fromstring(line_chart({"c": (np.array(x), np.array(y))}, labels=("x", "y"), **ranges))


def drawn(root: ET.Element) -> list[list[tuple[float, float]]]:
    """Return the points of every stroke of the only curve."""
    path = root.find("svg/g/path")
    strokes = [] if path is None else path.attrib["d"].split("M")[1:]
    return [[(float(p.split()[0]), float(p.split()[1])) for p in stroke.split("L")] for stroke in strokes]


def texts(root: ET.Element, tag: str) -> list[str]:
    return ["".join(element.itertext()) for element in root.iter(tag)]


def test_a_page_stands_alone_and_runs_no_script(tmp_path: Path) -> None:
    line = LineChart(title="l", x_label="x", y_label="y", lines={"a": (np.arange(3.0), np.arange(3.0))})
    tags = {element.tag for element in page(tmp_path, line, title="Title").iter()}
    assert not tags & {"script", "link", "img", "iframe"}
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    evil = "<script>alert('&\"')</script>"
    one = np.ones(2)
    root = page(
        tmp_path,
        Table(title=evil, header=[evil], rows=[[evil]]),
        LineChart(title=evil, x_label=evil, y_label=evil, lines={evil: (one, one)}),
        Heatmap(
            title=evil, row_label=evil, column_label=evil,
            row_names=[evil], column_names=[evil], values=np.ones((1, 1)),
        ),
        notes=[evil],
        title=evil,
    )  # fmt: skip
    assert root.find(".//script") is None
    for tag in ("h1", "li", "td", "th"):
        assert all(text == evil for text in texts(root, tag)), tag
    assert texts(root, "title").count(evil) == 2  # of the page and of the curve


@given(st.text(st.characters()))
def test_every_text_can_stand_in_xml(text: str) -> None:
    kept = "".join(ET.fromstring(f"<a>{plain(text)}</a>").itertext())
    assert len(kept) == len(text)


def test_notes_come_before_figures_and_results_under_their_names(tmp_path: Path) -> None:
    table = Table(title="t", header=["a"], rows=[["1"]])
    results = {"strict": Shown(table, notes=["few objects"]), "loose": Shown(table)}
    write_page(tmp_path / "p.html", "t", results)
    body = ET.fromstring((tmp_path / "p.html").read_text())[1]
    assert [child.tag for child in body] == ["h1", "h2", "ul", "figure", "h2", "figure"]
    assert [h.text for h in body.iter("h2")] == ["strict", "loose"]


def test_a_page_of_ones_own_holds_results_between_other_pieces() -> None:
    table = Table(title="t", header=["a"], rows=[["1"]])
    pieces = ["<p>before</p>", render_result(Shown(table, notes=["n"])), render_section(table)]
    root = ET.fromstring(document("a < b", "".join(pieces), style="p { color: red; }"))
    assert [child.tag for child in root[1]] == ["h1", "p", "ul", "figure", "figure"]
    assert texts(root, "title") == ["a < b"]
    assert texts(root, "style")[0].endswith("p { color: red; }")


def test_columns_of_numbers_are_right_aligned(tmp_path: Path) -> None:
    rows = [["car", "100.00", "-", "1,204", "3 m"], ["bus", "nan", "-3.5e-7", "97.1 %", "4"]]
    root = page(tmp_path, Table(title="t", header=list("abcde"), rows=rows))
    right = [cell.text for cell in root.iter() if cell.attrib.get("class") == "num"]
    assert right == ["b", "c", "d", "100.00", "-", "1,204", "nan", "-3.5e-7", "97.1 %"]


def test_a_ragged_table_is_refused_and_the_old_page_stays(tmp_path: Path) -> None:
    page(tmp_path, title="old")
    with pytest.raises(ValueError, match="the table 't' has a row of 1 cells for 2 columns"):
        page(tmp_path, Table(title="t", header=["a", "b"], rows=[["1"]]))
    assert "old" in (tmp_path / "page.html").read_text()


def test_a_heatmap_needs_its_names(tmp_path: Path) -> None:
    heat = Heatmap(
        title="h", row_label="r", column_label="c", row_names=["a"], column_names=["b", "c"], values=np.eye(2)
    )
    with pytest.raises(ValueError, match=r"'h' has values of shape \(2, 2\) for 1 row names and 2 column"):
        page(tmp_path, heat)


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*no for p.html"):
        write_page(tmp_path / "no" / "p.html", "t", {})


def test_a_heatmap_shows_shares_of_rows_and_survives_what_is_no_number(tmp_path: Path) -> None:
    values = np.array([[90, 10, 0], [np.nan, 0, 0], [0, 0, 1234567]])
    names = ["a", "b", "c"]
    heat = Heatmap(
        title="h", row_label="truth", column_label="found", row_names=names, column_names=names, values=values
    )
    root = page(tmp_path, heat)
    shades = [rect.attrib["fill-opacity"] for rect in root.iter("rect")]
    assert shades == ["0.720", "0.080", "0.000", "0.000", "0.000", "0.000", "0.000", "0.000", "0.800"]
    tooltips = texts(root, "title")[1:]
    assert tooltips[0] == "a, a: 90 (90.00 %)"
    assert tooltips[3] == "b, a: nan (0.00 %)"
    assert tooltips[8] == "c, c: 1234567 (100.00 %)"
    assert [t for t in texts(root, "text") if t not in names] == ["90", "10", "100"]


def test_empty_charts_have_axes() -> None:
    for lines in ({}, {"none": (np.zeros(0), np.zeros(0))}, {"nan": (np.array([np.nan]), np.array([1.0]))}):
        root = ET.fromstring(line_chart(lines, labels=("x", "y")))
        assert root.find(".//path") is None
        assert root.find(".//circle") is None
        assert {"0", "1", "x", "y"} <= set(texts(root, "text"))


def test_an_empty_heatmap_is_a_page(tmp_path: Path) -> None:
    empty = np.zeros((0, 0), np.int64)
    heat = Heatmap(title="h", row_label="r", column_label="c", row_names=[], column_names=[], values=empty)
    assert page(tmp_path, heat).find(".//rect") is None


def test_points_are_where_they_belong() -> None:
    (stroke,) = drawn(chart([0, 5, 10], [0, 1, 0.5], x_range=(0.0, 10.0), y_range=(0.0, 1.0)))
    width, height = stroke[2][0], stroke[0][1]
    assert stroke == [(0, height), (width / 2, 0), (width, height / 2)]
    assert width > 400
    assert height > 200


def test_what_is_not_finite_leaves_a_gap_and_a_lone_point_is_a_dot() -> None:
    nan, inf = np.nan, np.inf
    root = chart([0, 1, 2, 3, 4, 5, 6], [1, 1, nan, 1, inf, 1, 1])
    assert [len(stroke) for stroke in drawn(root)] == [2, 2]
    assert len(root.findall("svg/g/circle")) == 1


def test_one_point_is_a_dot() -> None:
    root = chart([3.0], [4.0])
    assert drawn(root) == []
    assert len(root.findall("svg/g/circle")) == 1


def test_a_constant_curve_at_zero_and_a_negative_one_have_axes() -> None:
    assert {"0", "1"} <= set(texts(chart([0, 1], [0, 0]), "text"))
    assert {"-4", "0"} <= set(texts(chart([0, 1], [-4, -4]), "text"))


def test_axes_start_at_zero_with_round_numbers() -> None:
    labels = texts(chart([20, 73], [0.3, 0.0371]), "text")
    assert labels[:-2] == [*map(str, range(0, 90, 10)), "0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3"]


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
def test_ticks_are_few_round_and_within(low: float, extent: float) -> None:
    root = chart([low, low + extent], [0, 1], x_range=(low, low + extent), y_range=(0.0, 1.0))
    ticks = [text for text in root.iter("text") if text.attrib.get("y") == "301"]
    assert 2 <= len(ticks) <= 10
    assert all(re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", str(tick.text)) for tick in ticks)
    assert all(57.9 <= float(tick.attrib["x"]) <= 516.1 for tick in ticks)


def test_a_range_without_extent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the range of an axis must have an extent, got \(1.0, 1.0\)"):
        chart([0], [0], x_range=(1.0, 1.0))


def test_a_long_curve_is_thinned_but_keeps_its_extremes() -> None:
    x = np.linspace(0, 1, 50_000)
    y = np.full_like(x, 0.5)
    y[12_345], y[12_360], y[40_000] = 1.0, 0.0, 0.9
    (stroke,) = drawn(chart(x.tolist(), y.tolist(), x_range=(0.0, 1.0), y_range=(0.0, 1.0)))
    assert len(stroke) < 2500
    full = drawn(chart([0, 1], [0, 1], x_range=(0.0, 1.0), y_range=(0.0, 1.0)))[0]
    height = full[0][1]
    heights = [down for _, down in stroke]
    assert {0.0, height} <= set(heights)
    assert round(0.1 * height, 1) in heights


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=20), st.booleans())
def test_any_curve_is_drawn_without_a_warning(points: list[tuple[float, float]], given_range: bool) -> None:
    ranges = {"x_range": (0.0, 1.0), "y_range": (-1.0, 1.0)} if given_range else {}
    root = chart([x for x, _ in points], [y for _, y in points], **ranges)
    drawing = ET.tostring(root, encoding="unicode")
    assert "nan" not in drawing
    assert "inf" not in drawing


def test_twelve_curves_differ_and_neighbours_differ_in_colour_and_dash() -> None:
    x = np.arange(2.0)
    root = ET.fromstring(line_chart({str(i): (x, x) for i in range(12)}, labels=("x", "y")))
    looks = [(g.attrib["stroke"], g.attrib.get("stroke-dasharray")) for g in root.findall("svg/g")]
    assert len(set(looks)) == 12
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(looks))
