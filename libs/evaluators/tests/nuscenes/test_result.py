import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators import nuscenes
from evaluators.nuscenes import NuscenesBoxes, NuscenesResult, NuscenesSample
from evaluators.page import Result, write_page

Samples = tuple[dict[str, NuscenesSample], dict[str, NuscenesBoxes]]


@pytest.fixture
def result(make_samples: Callable[..., Samples]) -> NuscenesResult:
    return nuscenes.evaluate(*make_samples(3, 8, score_levels=5))


def test_the_table_shows_means_classes_and_notes(result: NuscenesResult) -> None:
    lines = result.table().splitlines()
    assert (
        f"mAP {result.mean_ap:.4f}   NDS {result.nds:.4f}   mATE {result.tp_errors['trans_err']:.4f}"
        in lines[2]
    )
    car = next(line.split() for line in lines if line.startswith("car"))
    assert car[1] == f"{result.ap('car'):.4f}"
    assert car[-2:] == [str(result.curve("car").n_gt), str(result.curve("car").n_tp)]
    barrier = next(line.split() for line in lines if line.startswith("barrier"))
    assert barrier[-4:-2] == ["-", "-"]
    truck = next(line.split() for line in lines if line.startswith("truck"))
    assert truck[1:-2] == ["-"] * 10
    notes = "\n".join(result.notes())
    assert (
        "no ground truth of truck, bus, trailer, construction_vehicle, motorcycle, traffic_cone: AP 0"
        in notes
    )
    assert f"{result.counts.n_tied_scores} predictions share their score" in notes
    assert "objects do not count" in notes


def test_the_report_is_json_without_nan(result: NuscenesResult) -> None:
    report = result.to_json()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["label_tp_errors"]["barrier"]["vel_err"] is None
    assert len(report["curves"]) == 40
    assert report["protocol"]["config"] == "detection_cvpr_2019"
    assert report["evaluated"]["truck"] is False
    assert report["evaluated"]["car"] is True


def test_the_means_are_those_of_the_parts(result: NuscenesResult) -> None:
    names = result.protocol.class_names
    aps = [result.ap(name, dist) for name in names for dist in result.protocol.dist_thresholds_m]
    assert result.mean_ap == pytest.approx(np.mean(aps))
    yaw = [result.tp_error(name, "orient_err") for name in names if name != "traffic_cone"]
    assert result.tp_errors["orient_err"] == pytest.approx(np.mean(yaw))
    scores = sum(max(0.0, 1.0 - error) for error in result.tp_errors.values())
    assert result.nds == pytest.approx((5 * result.mean_ap + scores) / 10)


def test_a_page_has_tables_and_curves(result: NuscenesResult, tmp_path: Path) -> None:
    assert isinstance(result, Result)
    sections = result.sections()
    assert [section.title for section in sections][:3] == ["Means", "Classes", "Precision, hits within 0.5 m"]
    assert len(sections) == 2 + 4 + 5
    write_page(tmp_path / "page.html", "nuScenes", {"nuscenes": result})
    page = (tmp_path / "page.html").read_text()
    assert "mATE: mean place error (m) of the hits" in page and "construction_vehicle" in page


def test_a_page_about_nothing(tmp_path: Path) -> None:
    nothing = nuscenes.evaluate(
        {"a": NuscenesSample(boxes=NuscenesBoxes.empty())}, {"a": NuscenesBoxes.empty()}
    )
    write_page(tmp_path / "page.html", "nothing", {"nuscenes": nothing})
    assert len(nothing.sections()) == 2 + 4


@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_questions_are_refused(result: NuscenesResult) -> None:
    with pytest.raises(ValueError, match=r"no curve of class 'van' at 2.0 m; there are car, truck"):
        result.ap("van", 2.0)
    with pytest.raises(ValueError, match=r"no curve of class 'car' at 3.0 m; .* at 0.5, 1.0, 2.0, 4.0 m"):
        result.curve("car", 3.0)
    with pytest.raises(ValueError, match="error must be one of 'trans_err', 'scale_err'"):
        result.tp_error("car", "yaw")
