"""Label sets: counts and orders of the published tables."""

import numpy as np
import pytest
from datasets3d.indoor import SCANNET18, SCANNET20, SCANNET_MD40, TO_SCENE, LabelSet


def test_the_published_counts():
    assert [len(s.classes) for s in (SCANNET18, SCANNET20, SCANNET_MD40, TO_SCENE)] == [18, 20, 22, 70]
    assert SCANNET_MD40.ids == tuple(range(2, 24)) and list(SCANNET_MD40.classes) == sorted(
        SCANNET_MD40.classes
    )
    assert len(SCANNET_MD40.raw_categories) == 107
    assert set(SCANNET_MD40.raw_categories.values()) == set(SCANNET_MD40.classes)
    assert TO_SCENE.ids[18:] == (*range(41, 91), 92, 93) and TO_SCENE.classes[18 + 18] == "remote control"


@pytest.mark.parametrize(
    ("raw", "name"),
    [("couch", "sofa"), ("kitchen counter", "table"), ("candle", "lamp"), ("urinal", "toilet")],
)
def test_some_rows_of_the_table(raw, name):
    assert SCANNET_MD40.raw_categories[raw] == name


def test_ids_of_no_class_are_minus_one():
    assert SCANNET_MD40.from_ids(np.array([0, 2, 23, 24])).tolist() == [-1, 0, 21, -1]
    assert SCANNET18.from_ids(np.array([], np.int64)).tolist() == []


def test_a_set_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="names and ids"):
        LabelSet(name="mine", classes=("a", "b"), ids=(1,), column="")
    with pytest.raises(ValueError, match="c are no classes"):
        LabelSet(name="mine", classes=("a",), ids=(1,), column="", raw_categories={"x": "c"})
