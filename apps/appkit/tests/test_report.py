from html.parser import HTMLParser

from appkit.charts import Axes, line_chart
from appkit.report import Section, note, picture, row, table, write_report
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
        Section("Pictures", row(picture(Image.new("RGB", (8, 8)), caption="000001"), chart)),
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
