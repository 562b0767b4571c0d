import pytest
from datasets3d.kitti import KittiDataset
from imagepg.demo import FRAMES, parser, result_table
from imagepg.evaluation import evaluate


@pytest.fixture
def results(street, tmp_path):
    """Results of the labelled cars as detections, and of no detections."""
    source = KittiDataset(street, "trainval")
    for name in ("labels", "nothing"):
        (tmp_path / name).mkdir()
        for frame in source.frame_ids:
            lines = (street / "training" / "label_2" / f"{frame}.txt").read_text().splitlines()
            cars = [f"{line} 0.9\n" for line in lines if line.startswith("Car ")]
            (tmp_path / name / f"{frame}.txt").write_text("".join(cars) if name == "labels" else "")
    return [evaluate(source, tmp_path / name)["loose"] for name in ("labels", "nothing")]


def test_the_table_names_every_class_with_both_models(results):
    trained, untrained = results
    title, header, *lines = result_table(trained, untrained, ["Car", "Pedestrian", "Cyclist"]).splitlines()
    assert "moderate" in title and header.split() == ["trained", "untrained"]
    assert [line.split()[0] for line in lines] == ["Car", "Pedestrian", "Cyclist"]
    expected = trained.ap("Car", "3d", "moderate", recall=40)
    assert expected > 0
    assert lines[0].split()[1] == f"{expected:.2f}"
    assert {line.split()[2] for line in lines} <= {"0.00", "-"}


def test_options_have_the_defaults_of_the_demo():
    assert parser().parse_args([]).frames == FRAMES
