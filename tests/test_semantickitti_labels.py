"""What is trained as a class is scored as that class: tables of the readers, maps of the evaluators."""

import numpy as np
import pytest
from datasets3d import semantickitti as tables
from datasets3d.segmentation import IGNORED, LabelTable
from evaluators import semantickitti as maps

PAIRS = [
    (tables.SINGLE_SCAN, maps.SINGLE_SCAN),
    (tables.MULTI_SCAN, maps.MULTI_SCAN),
    (tables.MOVING, maps.MOVING),
]
each_pair = pytest.mark.parametrize(("table", "label_map"), PAIRS, ids=lambda found: found.name)


@each_pair
def test_a_train_id_is_one_more_than_the_class(table: LabelTable, label_map: maps.LabelMap) -> None:
    assert ("unlabeled", *table.classes) == label_map.classes
    of_class = {**{index: index + 1 for index in range(len(table.classes))}, IGNORED: 0}
    assert {raw: of_class[index] for raw, index in table.raw_to_class} == dict(label_map.raw_to_train)


@each_pair
def test_both_write_the_same_ids(table: LabelTable, label_map: maps.LabelMap) -> None:
    classes = np.arange(len(table.classes))
    np.testing.assert_array_equal(table.raw_ids(classes), label_map.raw_ids(classes + 1))
    assert table.raw_ids(np.array([IGNORED])) == label_map.raw_ids(np.array([0]))


@each_pair
def test_the_same_classes_are_things(table: LabelTable, label_map: maps.LabelMap) -> None:
    assert table.things == label_map.things


def test_the_splits_are_the_same() -> None:
    assert tables.SPLITS["train"] == maps.SPLITS["train"]
    assert tables.SPLITS["val"] == maps.SPLITS["valid"]
    assert {name: tables.SCANS[name] for name in tables.SPLITS["test"]} == maps.TEST_SCANS
