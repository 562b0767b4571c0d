import json
import re

import pytest
from imagepg.inside import inside_sections, look_at_frames
from imagepg.page import write_run_report
from imagepg.train import build

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers and loggers

INSIDE = ("Generated points", "Where the image is read", "Occupancy from above", "Boxes after every stage")


def _evaluated(words, *options):
    """Return task and data of a tiny detector after its evaluation."""
    cli = build([*words, *options], subcommand=False)
    cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    return cli.model, cli.datamodule


def test_the_report_looks_inside_the_model(words, tmp_path):
    task, data = _evaluated(words)
    write_run_report(tmp_path / "run", data, task, title="A run")
    page = (tmp_path / "run" / "report.html").read_text()
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert tuple(titles[-4:]) == INSIDE
    assert titles[:2] == ["Average precision (AP_R40, percent)", "Precision and recall"]
    assert page.count("generated points from above</figcaption>") == 2  # one for every frame
    assert page.count("probability that a cell is occupied</figcaption>") == 2
    assert "The scan is grey, labels are green" in page
    assert len(page) < 8e6
    pictures = re.findall("<img (.*?)src=", page)
    assert len(pictures) >= 8 and all(re.match('alt="[^"]{20,}"', picture) for picture in pictures)
    assert set(json.loads((tmp_path / "run" / "results.json").read_text())) == {"strict", "loose"}


def test_the_page_of_a_lidar_model_says_what_is_not_there(words):
    options = ["image=null", "roi.image_channels=null", "occupancy=null"]
    task, data = _evaluated(words, *[f"--model.detector.{option}" for option in options])
    looks = look_at_frames(data, task)
    assert [insight.frame_id for insight, _ in looks] == list(data.source("val").frame_ids)
    assert all(insight.dense is not None for insight, _ in looks)
    assert any(len(insight.dense) for insight, _ in looks)
    points, image, occupancy, stages = inside_sections(looks, camera="image_2")
    assert points.body.count("<img") >= 2
    assert "This model does not read the image for its regions." in image.body and "<img" not in image.body
    assert "This model has no occupancy network." in occupancy.body
    assert "The model corrects its proposals in stages" in stages.body


def test_the_page_of_a_single_stage_model_says_what_is_not_there(words):
    options = ["image=null", "roi=null", "occupancy=null"]
    task, data = _evaluated(words, *[f"--model.detector.{option}" for option in options])
    points, image, occupancy, stages = inside_sections(look_at_frames(data, task), camera="image_2")
    assert "This model generates no points." in points.body
    assert "<img" not in points.body + image.body + occupancy.body
    assert stages.title == INSIDE[3]


def test_without_dense_targets_the_surfaces_are_left_out(words, street, tmp_path):
    for name in ("ImageSets", "testing"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(street / name)
    (tmp_path / "data" / "training").mkdir()
    for folder in (street / "training").iterdir():
        if folder.name != "object_shapes":
            (tmp_path / "data" / "training" / folder.name).symlink_to(folder)
    task, data = _evaluated(words, f"--data.root={tmp_path / 'data'}")
    insight, _ = look_at_frames(data, task)[0]
    assert insight.dense is None and insight.occupancy.target is None
