"""The official evaluation: raw ids against raw ids, on every point, also by distance."""

from __future__ import annotations

from datasets3d.segmentation import IGNORED
from datasets3d.segmentation.labels import LabelTable
from evaluators.semantickitti import (
    LABEL_MAPS,
    RANGES_M,
    LabelMap,
    SemanticKittiEvaluator,
    SemanticKittiResult,
)

OFFICIAL = {
    "single-scan": "single-scan",
    "spvnas": "single-scan",
    "multi-scan": "multi-scan",
    "moving": "moving",
}
"""The official task that a label table is for. The released code trains with a table of its own and is scored
by the official one."""


def map_of(table: LabelTable) -> LabelMap:
    """Return the official map of a task, or that of a table of one's own, `unlabeled` in the first place.

    Example:
        >>> from datasets3d.semantickitti import SPVNAS
        >>> map_of(SPVNAS).classes[:2]
        ('unlabeled', 'car')
    """
    if table.name in OFFICIAL:
        return LABEL_MAPS[OFFICIAL[table.name]]
    listed = {raw: 0 if index == IGNORED else index + 1 for raw, index in table.raw_to_class}
    return LabelMap(
        name=table.name,
        classes=("unlabeled", *table.classes),
        raw_to_train=tuple({table.ignored_raw: 0, **listed}.items()),
        train_to_raw=(table.ignored_raw, *table.class_to_raw),
        things=table.things,
    )


def make_evaluator(table: LabelTable) -> SemanticKittiEvaluator:
    """Return an evaluator of a table's task that also scores rings of distance."""
    return SemanticKittiEvaluator(map_of(table), ranges_m=RANGES_M, unknown="error")


def headline(result: SemanticKittiResult) -> dict[str, float]:
    """Return mean IoU and accuracy, 0 to 1."""
    return {"miou": result.scores.miou, "accuracy": result.scores.accuracy}
