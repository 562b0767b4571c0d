"""Every figure in the tables of docs/evaluators_protocols.md is computed here from the golden cases.

A table starts with the columns `case` and `figure`. A column whose head is a word in backticks, such as
`openpcdet` or `mean_over=listed`, is what this library returns with that option; "from NAME" is what the tool
itself returned, as recorded in the golden file; the last column explains.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple, get_args

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "evaluators_protocols.md"
GOLDEN = Path(__file__).parent / "golden"


class Cell(NamedTuple):
    section: str
    case: str
    figure: str
    column: str
    text: str


def cells() -> Iterator[Cell]:
    section, head = "", []
    for line in PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else ():
        words = [word.strip() for word in line.strip("|").split("|")] if line.startswith("|") else []
        if line.startswith("## "):
            section = line.removeprefix("## ").partition(":")[0]
        elif words[:2] == ["case", "figure"]:
            head = words
        elif not words:
            head = []
        elif head and not set(words[0]) <= {"-", ":"}:
            case, figure = words[0].strip("`"), words[1]
            for column, text in zip(head[2:-1], words[2:-1], strict=True):
                yield Cell(section, case, figure, column, text)


@cache
def golden(name: str) -> Path:
    """Return the folder of unpacked cases."""
    folder = Path(mkdtemp(prefix="golden_"))
    with tarfile.open(GOLDEN / name / "cases.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@cache
def recorded(path: Path) -> Any:
    return json.loads(path.read_text())


def kitti(case: str, figure: str, column: str) -> float | None:
    from evaluators.kitti import evaluate_folders

    folder = golden("kitti") / case
    key, recall = figure.split()
    if column.startswith("from "):
        tool = recorded(GOLDEN / "openpcdet_float32.json")[column.removeprefix("from ")]
        return tool[case][key][("R11", "R40").index(recall)]
    result = evaluate_folders(folder / "label_2", folder / "det", protocol=column)
    name, metric, level = key.split("/")
    ap = result.ap(name.capitalize(), metric, level, recall=40 if recall == "R40" else 11)
    curve = result.curves.get((name.capitalize(), metric, level))
    return None if curve is None or not curve.evaluated else ap


def indoor(case: str, figure: str, column: str) -> float | None:
    from evaluators.indoor import ClassTable, IndoorBoxes, evaluate

    entry = recorded(golden("indoor") / f"{case}.json")
    if column.startswith("from "):
        return entry[column.removeprefix("from ")][figure]
    gt, pred = {}, {}
    for index, scene in enumerate(entry["scenes"]):
        name = f"{index:04d}"
        gt[name] = IndoorBoxes(scene["gt_boxes"], scene["gt_labels"])
        pred[name] = IndoorBoxes(scene["pred_boxes"], scene["pred_labels"], scene["pred_scores"])
    option = column.partition("=")
    options = {option[0]: option[2]} if option[1] else {"protocol": column, "mean_over": "reference"}
    result = evaluate(gt, pred, classes=ClassTable.numbered(entry["num_classes"]), **options)
    kind, threshold = figure.split("_")
    return {"mAP": result.mean_ap, "mAR": result.mean_recall}[kind](float(threshold))


def semantickitti(case: str, figure: str, column: str) -> float:
    from evaluators.semantickitti import evaluate_folders

    folder = golden("panoptic") / "semantickitti" / case
    assert figure == "mIoU"
    result = evaluate_folders(folder, folder, protocol=column, sequences=["08"])
    return result.scores.miou


def panoptic(case: str, figure: str, column: str) -> float:
    from evaluators.panoptic import evaluate_folders

    folder = golden("panoptic") / "semantickitti" / case
    result = evaluate_folders(folder, folder, protocol=column, sequences=["08"])
    return result.scores()[figure]


def depth(case: str, figure: str, column: str) -> float | None:
    from evaluators.depth import evaluate_folders

    folder = golden("depth") / case
    options: dict[str, Any] = {"protocol": "kitti-devkit", "fill": "kitti"}
    key, _, value = column.partition("=")
    if not value:
        options = {"protocol": key}
    elif key == "fill":
        options[key] = value
    result = evaluate_folders(folder / "gt", folder / "pred", **options)
    means = result.pixel_mean if column == "aggregate=pixel" else result.image_mean
    return means[result.caps_m[-1]].get(figure)


SECTIONS = {
    "KITTI objects": kitti,
    "Indoor detection": indoor,
    "SemanticKITTI": semantickitti,
    "Panoptic quality": panoptic,
    "Depth": depth,
}


ALL = list(cells())


def test_the_page_has_figures_from_every_section() -> None:
    assert {cell.section for cell in ALL} == set(SECTIONS)
    assert len(ALL) > 80


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_every_figure_on_the_page_is_true(section: str) -> None:
    wrong: list[str] = []
    for cell in (cell for cell in ALL if cell.section == section):
        try:
            value = SECTIONS[section](cell.case, cell.figure, cell.column.replace("`", ""))
        except ValueError:
            computed = "refused"
        else:
            decimals = len(cell.text.partition(".")[2])
            computed = "-" if value is None else f"{value:.{decimals}f}"
        if computed != cell.text:
            wrong.append(
                f"{cell.case}, {cell.figure}, {cell.column}: {computed}, but the page says {cell.text}"
            )
    assert not wrong


def test_every_section_names_all_protocols() -> None:
    from evaluators import depth, indoor, kitti, panoptic
    from evaluators.semantickitti import ABSENT_RULES

    text = PAGE.read_text(encoding="utf-8")
    names = [*kitti.PROTOCOLS, *get_args(indoor.Protocol), *get_args(indoor.MeanOver), *ABSENT_RULES]
    names += [*panoptic.PROTOCOLS, *depth.PROTOCOLS]
    assert not [name for name in names if not re.search(rf"`(mean_over=)?{re.escape(name)}`", text)]
