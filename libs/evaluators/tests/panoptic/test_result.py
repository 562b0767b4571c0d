import json
import re
from pathlib import Path

import numpy as np
import pytest
from evaluators import panoptic
from evaluators.page import Result, write_page
from evaluators.panoptic import PanopticLabels, PanopticResult


@pytest.fixture(scope="module")
def result(golden_panoptic: Path) -> PanopticResult:
    folder = golden_panoptic / "semantickitti" / "main"
    return panoptic.evaluate_folders(folder, folder)


def test_it_is_a_result(result: PanopticResult) -> None:
    assert isinstance(result, Result)


def test_the_table_has_the_means_and_every_class(result: PanopticResult) -> None:
    lines = result.table().splitlines()
    assert lines[0].startswith("Panoptic segmentation, semantic-kitti-api: 6 frames, 54000 points.")
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert rows["mean"] == ["62.1239", "84.9987", "69.9694", "56.2476"]
    assert rows["things"][0] == "56.2341"
    assert rows["stuff"][0] == "66.4073"
    assert "PQ dagger 62.5717" in lines
    assert rows["car"] == ["thing", "72.4671", "97.3776", "74.4186", "75.4335", "16", "8", "3", "1", "2"]
    assert set(result.protocol.label_map.evaluated_names) <= set(rows)
    assert "unlabeled" not in rows


def test_json_holds_everything(result: PanopticResult) -> None:
    written = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert written["protocol"] == {
        "name": "panoptic",
        "version": "semantic-kitti-api",
        "label_map": "single-scan",
        "min_points": 50,
    }
    assert written["scores"] == result.scores()
    assert written["counts"]["n_frames"] == 6
    assert len(written["classes"]) == 19
    car = written["classes"]["car"]
    assert (car["id"], car["kind"], car["tp"], car["pq"]) == (1, "thing", 16, result.pq[1])
    assert written["means_over_all_classes"]["pq"] == result.mean("pq")
    assert np.array(written["confusion"]["rows_prediction_columns_ground_truth"]).sum() == 54000


def test_a_page_can_be_written(result: PanopticResult, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "Panoptic", {"single": result})
    page = (tmp_path / "page.html").read_text()
    assert "62.1239" in page
    assert "traffic-sign" in page


def test_means_are_over_the_named_classes(result: PanopticResult) -> None:
    assert result.mean("rq", "things") == pytest.approx(result.rq[1:9].mean(), abs=1e-15)
    assert result.mean("rq", "stuff") == pytest.approx(result.rq[9:].mean(), abs=1e-15)
    expected = (result.pq[1:9].sum() + result.iou[9:].sum()) / 19
    assert result.pq_dagger == pytest.approx(expected, abs=1e-15)
    # A ValueError, or before that a TypeError where annotations are checked.
    with pytest.raises((ValueError, TypeError), match="'pq', 'sq', 'rq', 'iou'"):
        result.mean("ap")  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError), match="'all', 'things', 'stuff'"):
        result.mean("pq", "cars")  # type: ignore[arg-type]


def scan(*runs: tuple[int, int, int]) -> PanopticLabels:
    semantic, instance, count = np.array(runs).T
    return PanopticLabels(semantic=np.repeat(semantic, count), instance=np.repeat(instance, count))


def test_classes_that_do_not_count_are_named_and_marked() -> None:
    labels = scan((1, 1, 60), (9, 0, 60), (6, 1, 5))
    result = panoptic.evaluate({"a": labels}, {"a": scan((1, 1, 60), (9, 0, 65))})
    assert np.flatnonzero(result.evaluated).tolist() == [1, 9]
    note = next(note for note in result.notes() if note.startswith("no segment counts for"))
    assert "person" in note
    assert "car" not in re.split(r"[ ,:]+", note)


@pytest.mark.parametrize(
    ("gt", "pred", "choices", "message"),
    [
        (
            scan((9, 0, 9)),
            None,
            {"missing": "empty"},
            "1 frames had no predictions and were taken as unlabeled",
        ),
        (
            np.array([999], dtype=np.uint32),
            np.array([999], dtype=np.uint32),
            {"unknown": "unlabeled"},
            "2 labels are not in the label map",
        ),
        (scan((9, 1, 9), (9, 2, 9)), scan((9, 1, 18)), {}, r"whose ground truth has several .* road \(1\)"),
        (scan((9, 1, 18)), scan((9, 1, 9), (9, 2, 9)), {}, r"whose predictions have several .* road \(1\)"),
        (
            scan((9, 1, 9)),
            scan((9, 1, 9)),
            {"protocol": "semantic-kitti-api-multi"},
            "leave out moving-car, .* moving-truck, as the official script does; the mean IoU does not",
        ),
    ],
)
def test_what_a_reader_must_know_is_noted(
    gt: PanopticLabels, pred: PanopticLabels | None, choices: dict[str, str], message: str
) -> None:
    result = panoptic.evaluate({"a": gt}, {} if pred is None else {"a": pred}, **choices)  # type: ignore[arg-type]
    matching = [note for note in result.notes() if re.search(message, note)]
    assert len(matching) == 1
    assert f"Note: {matching[0]}" in result.table()


def test_a_clean_result_has_no_notes() -> None:
    every = scan(*((label, 0, 60) for label in range(20)))
    result = panoptic.evaluate({"a": every}, {"a": every})
    assert result.notes() == []
    assert set(result.scores().values()) == {1.0}
