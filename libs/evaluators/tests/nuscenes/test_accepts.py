"""What the official kit scores although the format forbids it: refused, or scored as the kit does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators import nuscenes
from evaluators._cli import main
from evaluators.nuscenes import DETECTION_CVPR_2019, NuscenesBoxes, NuscenesSample

DEVKIT = replace(DETECTION_CVPR_2019, accepts="devkit")
# Velocities with a NaN, quaternions of length 0.05 to 3, attributes of other classes; the kit's figures.
CASE = json.loads((Path(__file__).parents[1] / "golden/nuscenes/accepted_by_the_kit.json").read_text())


def boxes(rows: list[dict[str, Any]], frame: int) -> NuscenesBoxes:
    mine = [row for row in rows if row["f"] == frame]
    return NuscenesBoxes.predictions(
        [row["name"] for row in mine],
        translation=[row["t"] for row in mine],
        size_wlh=[row["size"] for row in mine],
        rotation=[row["q"] for row in mine],
        velocity=[row["v"] for row in mine],
        attributes=[row["att"] for row in mine],
        score=[row.get("score", 0.0) for row in mine],
    )


@pytest.fixture(scope="module")
def gt() -> dict[str, NuscenesSample]:
    return {str(frame): NuscenesSample(boxes=boxes(CASE["gt"], frame)) for frame in range(3)}


@pytest.fixture(scope="module")
def pred() -> dict[str, NuscenesBoxes]:
    return {str(frame): boxes(CASE["pred"], frame) for frame in range(3)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["car", "pedestrian"])
def test_the_figures_are_those_of_the_kit(
    gt: dict[str, NuscenesSample], pred: dict[str, NuscenesBoxes], name: str
) -> None:
    result = nuscenes.evaluate(gt, pred, protocol=DEVKIT)
    errors = {error: result.tp_error(name, error) for error in nuscenes.TP_ERRORS}
    assert {"ap": result.ap(name), **errors} == pytest.approx(CASE["kit"][name], rel=1e-12)
    assert "as the official kit takes them" in result.notes()[0]
    assert result.to_json()["protocol"]["accepts"] == "devkit"  # pyright: ignore


def test_none_of_it_is_scored_unless_asked_for(
    gt: dict[str, NuscenesSample], pred: dict[str, NuscenesBoxes]
) -> None:
    with pytest.raises(ValueError, match=r'cannot have the attribute .* accepts="devkit"'):
        nuscenes.evaluate(gt, pred)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotation": np.zeros((1, 4))}, "expected a unit quaternion"),
        ({"rotation": np.full((1, 4), np.nan)}, "NaN or infinity"),
        ({"velocity": np.array([[np.inf, 0.0]])}, "NaN or infinity"),
        ({"velocity": np.array([[0.0, -np.inf]])}, "NaN or infinity"),
        ({"attributes": ("vehicle.flying",)}, "unknown attribute"),
    ],
)
def test_what_the_kit_refuses_is_refused(parked: NuscenesBoxes, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nuscenes.evaluate(
            {"a": NuscenesSample(boxes=parked)}, {"a": replace(parked, **change)}, protocol=DEVKIT
        )


def test_files_are_read_by_the_same_rule(parked: NuscenesBoxes, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "results.json"
    nuscenes.write_submission(path, {"a": parked}, meta=nuscenes.NuscenesMeta())
    path.write_text(path.read_text().replace('"vehicle.parked"', '"cycle.with_rider"'))
    assert main(["nuscenes", "--check", "--pred", str(path)]) == 2
    assert "cycle.with_rider" in capsys.readouterr().err
    assert main(["nuscenes", "--check", "--pred", str(path), "--accept", "devkit"]) == 0


def test_an_unknown_word_is_refused(unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=r"NuscenesProtocol\.accepts must be one of 'valid', 'devkit'"):
        replace(DETECTION_CVPR_2019, accepts="all")  # pyright: ignore
