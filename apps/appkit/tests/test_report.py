import base64
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from evaluators.depth import DepthEvaluator
from evaluators.page import Table
from fusion3d_appkit.curves import loss_charts
from fusion3d_appkit.loggers import JsonlLogger
from fusion3d_appkit.report import (
    MODEL,
    Chapter,
    drawing,
    loss_chapter,
    note,
    photo,
    result_chapters,
    row,
    spread,
    text_table,
    write_report,
)
from PIL import Image


def test_the_page_needs_no_other_file(tmp_path):
    logger = JsonlLogger(str(tmp_path))
    for step in range(2):
        logger.log_metrics({"train/loss": 2.0 - step, "train/depth": 1.0, "train/lr": 0.1}, step=step)
    chapters = [
        Chapter("Pictures", row(photo(Image.new("RGB", (8, 8)), caption="000001")) + note("a < b")),
        loss_chapter(logger.path),
    ]
    write_report(tmp_path / "run" / "report.html", title="Run", subtitle="seed 0", chapters=chapters)
    page = ET.fromstring((tmp_path / "run" / "report.html").read_text())
    assert [heading.text for heading in page.iter("h2")] == ["Pictures", "Training"]
    assert [element.attrib["src"][:16] for element in page.iter("img")] == ["data:image/jpeg;"]
    assert not {"script", "link", "iframe"} & {element.tag for element in page.iter()}
    captions = [caption.text for caption in page.iter("figcaption")]
    assert captions == ["000001", "Training loss", "Parts of the loss", "Learning rate"]
    assert "a < b" in [paragraph.text for paragraph in page.iter("p")]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["report.html"]


def test_a_run_without_a_log_says_so(tmp_path):
    assert loss_charts(tmp_path / "metrics.jsonl") == []
    assert "This run folder holds no training log." in loss_chapter(tmp_path / "metrics.jsonl").body


@pytest.fixture
def result():
    evaluator = DepthEvaluator(protocol="sparse-beats-dense", stripes=False)
    evaluator.update("a", np.full((4, 4), 5.0), np.full((4, 4), 6.0))
    return evaluator.compute()


def compare(results) -> Table:
    rows = [[name, f"{result.value('mae_m'):.2f}"] for name, result in results.items()]
    return Table(title="MAE m", header=["by", "m"], rows=rows)


def test_a_result_tells_its_own_figures_and_stands_beside_others_where_there_are_any(result):
    settings = {"titles": {"only": "On all pixels"}, "compare": compare}
    (alone,) = result_chapters({"only": result}, others={}, **settings)
    assert alone.title == "On all pixels" and "Errors by true depth" in alone.body
    assert "MAE m</figcaption>" not in alone.body
    others = {"untrained": {"only": result}, "another": {"something else": result}}
    (beside,) = result_chapters({"only": result}, others=others, **settings)
    assert beside.body.endswith(alone.body)
    assert f">{MODEL}<" in beside.body and ">untrained<" in beside.body and "another" not in beside.body


def test_a_table_as_text_is_aligned():
    table = Table(title="MAE", header=["by", "m"], rows=[["this model", "1.00"], ["radar", "10.00"]])
    assert text_table(table) == "MAE\nby              m\nthis model   1.00\nradar       10.00"


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


@pytest.mark.parametrize(
    ("total", "count", "expected"), [(1, 3, [0]), (6, 6, [0, 1, 2, 3, 4, 5]), (7, 3, [0, 3, 6])]
)
def test_frames_are_spread_over_the_split(total, count, expected):
    assert spread(total, count) == expected
