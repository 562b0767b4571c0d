import re

import pytest
from datasets3d.kitti import KittiDataset
from evaluators.page import render_section
from fusion3d_appkit.report import result_chapters, text_table
from imagepg.evaluation import evaluate, overlap_tables
from imagepg.inside import inside_chapters, look_at_frames
from imagepg.page import compare

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers and loggers
TABLES = overlap_tables(("Car", "Pedestrian", "Cyclist"), {})


@pytest.fixture
def evaluated(under_test, tmp_path):
    """Return a function from options to the task of a tiny detector after its evaluation."""

    def evaluate(*options):
        cli = under_test.build(tmp_path / "run", *options)
        cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
        return cli.model

    return evaluate


@pytest.fixture(scope="module")
def results(street, tmp_path_factory):
    """Results of the labelled cars as detections, and of no detections."""
    source, root = KittiDataset(street, "trainval"), tmp_path_factory.mktemp("results")
    for name in ("labels", "nothing"):
        (root / name).mkdir()
        for frame in source.frame_ids:
            lines = (street / "training" / "label_2" / f"{frame}.txt").read_text().splitlines()
            cars = [f"{line} 0.9\n" for line in lines if line.startswith("Car ")]
            (root / name / f"{frame}.txt").write_text("".join(cars) if name == "labels" else "")
    return {name: evaluate(source, root / name, tables=TABLES)["loose"] for name in ("labels", "nothing")}


def test_models_stand_side_by_side_and_what_was_not_evaluated_is_no_zero(results):
    table = compare(results)
    assert list(table.header[3:]) == ["labels", "nothing"]
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    expected = results["labels"].ap("Car", "3d", "moderate")
    assert expected > 0
    assert rows["Car", "3d"] == ["0.5", f"{expected:.2f}", "-"]
    assert {row[1] for name, row in rows.items() if name[0] != "Car"} == {"-"}
    assert "0.00" not in text_table(table) + render_section(table)


def test_the_report_looks_inside_the_model(tested):
    page = (tested / "report.html").read_text()
    frames = [path.stem for path in (tested / "detections").glob("*.txt")]
    assert len(frames) == 2
    assert all(f"{frame}, from above</figcaption>" in page for frame in frames)
    assert page.count("generated points from above</figcaption>") == 2  # one for every frame
    assert page.count("probability that a cell is occupied</figcaption>") == 2
    assert "The scan is grey, labels are green" in page
    assert len(page) < 8e6
    pictures = re.findall("<img (.*?)src=", page)
    assert len(pictures) >= 8 and all(re.match('alt="[^"]{20,}"', picture) for picture in pictures)


@pytest.mark.slow
def test_the_page_of_a_lidar_model_says_what_is_not_there(evaluated):
    options = ["image=null", "roi.image_channels=null", "occupancy=null"]
    task = evaluated(*[f"--model.detector.{option}" for option in options])
    looks = look_at_frames(task)
    assert [insight.frame_id for insight, _ in looks] == list(task.data.source("val").frame_ids)
    assert all(insight.dense is not None for insight, _ in looks)
    assert any(len(insight.dense) for insight, _ in looks)
    points, image, occupancy, stages = inside_chapters(looks, camera="image_2")
    assert points.body.count("<img") >= 2
    assert "This model does not read the image for its regions." in image.body and "<img" not in image.body
    assert "This model has no occupancy network." in occupancy.body
    assert "The model corrects its proposals in stages" in stages.body


@pytest.mark.slow
def test_the_page_of_a_single_stage_model_says_what_is_not_there(evaluated):
    options = ["image=null", "roi=null", "occupancy=null"]
    task = evaluated(*[f"--model.detector.{option}" for option in options])
    points, image, occupancy, stages = inside_chapters(look_at_frames(task), camera="image_2")
    assert "This model generates no points." in points.body
    assert "<img" not in points.body + image.body + occupancy.body
    assert stages.title == "Boxes after every stage"


@pytest.mark.slow
def test_without_dense_targets_the_surfaces_are_left_out(evaluated, street, tmp_path):
    for name in ("ImageSets", "testing"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(street / name)
    (tmp_path / "data" / "training").mkdir()
    for folder in (street / "training").iterdir():
        if folder.name != "object_shapes":
            (tmp_path / "data" / "training" / folder.name).symlink_to(folder)
    task = evaluated(f"--data.root={tmp_path / 'data'}")
    insight, _ = look_at_frames(task)[0]
    assert insight.dense is None and insight.occupancy.target is None


def test_frames_without_labels_are_not_scored_against_those_of_other_frames(street, results, tmp_path):
    (tmp_path / "kitti").mkdir()
    for entry in street.iterdir():
        if entry.name not in ("ImageSets", "testing"):
            (tmp_path / "kitti" / entry.name).symlink_to(entry)
    (tmp_path / "kitti" / "testing").symlink_to(street / "training")  # the same numbers, as in KITTI
    (tmp_path / "kitti" / "ImageSets").mkdir()
    (tmp_path / "kitti" / "ImageSets" / "test.txt").write_text((street / "ImageSets" / "val.txt").read_text())
    source = KittiDataset(tmp_path / "kitti", "test")
    assert source.label_dir is None and source[0].objects is None
    assert evaluate(source, tmp_path, tables={}) == {}
    chapters = result_chapters({}, titles={}, compare=compare, others={})
    assert [chapter.title for chapter in chapters] == ["Not evaluated"]
