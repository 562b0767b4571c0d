import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from fusion3d_appkit.charts import Axes, line_chart
from fusion3d_appkit.report import Section, drawing, note, photo, row, spread, table, write_report
from PIL import Image


class Sources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and not value.startswith(("data:", "#")):
                self.outside.append(value)


def test_the_page_needs_no_other_file(tmp_path):
    chart = line_chart({"loss": ([0, 1], [2.0, 1.0])}, Axes(title="Loss", x="step", y="loss"))
    sections = [
        Section("Numbers", table(["class", "AP"], [["Car", 71.234]]) + note("a < b")),
        Section("Pictures", row(photo(Image.new("RGB", (8, 8)), caption="000001"), chart)),
    ]
    write_report(tmp_path / "run" / "report.html", title="Run", subtitle="seed 0", sections=sections)
    text = (tmp_path / "run" / "report.html").read_text()
    page = Sources()
    page.feed(text)
    assert page.outside == []
    assert {"table", "svg", "img"} <= set(page.tags)
    assert "71.23" in text
    assert "a &lt; b" in text
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["report.html"]


@pytest.mark.parametrize("shown", [photo, drawing])
def test_a_picture_has_a_caption_and_words_for_those_who_do_not_see_it(shown):
    page = shown(Image.new("RGB", (8, 6)), caption="a < b", alt='five "cars"')
    assert 'alt="five &quot;cars&quot;" width="8" height="6"' in page
    assert "<figcaption>a &lt; b</figcaption>" in page
    assert 'alt="only this"' in shown(Image.new("RGB", (8, 6)), caption="only this")


def test_a_drawing_keeps_its_colours():
    colours = [(0, 158, 115), (213, 94, 0), (255, 255, 255)]
    pixels = np.repeat(np.array([colours], np.uint8), 4, axis=0)
    page = drawing(Image.fromarray(pixels), caption="")
    data = base64.b64decode(page.split("base64,")[1].split('"')[0])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), pixels)


def test_a_chart_says_what_it_shows_and_lines_differ_in_more_than_colour():
    lines = {"car": ([0, 1], [2.0, 1.0]), "cyclist": ([0, 1], [1.0, 0.5])}
    chart = line_chart(lines, Axes(title="Loss < 3", x="step", y="loss"))
    assert chart.startswith('<svg role="img" aria-label="Loss &lt; 3: loss over step for car, cyclist"')
    # matplotlib writes the grid and the marks of the axes with a stroke, too, but without dashes
    assert chart.count("stroke-dasharray") == 2  # the line and its sample in the legend


@pytest.mark.parametrize(
    ("total", "count", "expected"), [(1, 3, [0]), (6, 6, [0, 1, 2, 3, 4, 5]), (7, 3, [0, 3, 6])]
)
def test_frames_are_spread_over_the_split(total, count, expected):
    assert spread(total, count) == expected
