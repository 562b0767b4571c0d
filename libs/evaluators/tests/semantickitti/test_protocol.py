"""The label maps say what the configuration files of the official tool say."""

import pickle

import numpy as np
import pytest
from evaluators.semantickitti import MOVING, MULTI_SCAN, SINGLE_SCAN, SPLITS, TEST_SCANS, LabelMap, plain_map
from evaluators.semantickitti.protocol import absent_rule, label_map


def test_maps_equal_the_table_of_the_paper() -> None:
    # One row per raw id that more than one map treats differently: raw, single, multi, moving.
    rows = [
        (0, "unlabeled", "unlabeled", "unlabeled"),
        (1, "unlabeled", "unlabeled", "unlabeled"),
        (52, "unlabeled", "unlabeled", "static"),
        (99, "unlabeled", "unlabeled", "static"),
        (60, "road", "road", "static"),
        (13, "other-vehicle", "other-vehicle", "static"),
        (252, "car", "moving-car", "moving"),
        (253, "bicyclist", "moving-bicyclist", "moving"),
        (254, "person", "moving-person", "moving"),
        (255, "motorcyclist", "moving-motorcyclist", "moving"),
        (256, "other-vehicle", "moving-other-vehicle", "moving"),
        (257, "other-vehicle", "moving-other-vehicle", "moving"),
        (258, "truck", "moving-truck", "moving"),
        (259, "other-vehicle", "moving-other-vehicle", "moving"),
    ]
    for raw, *names in rows:
        labels = np.array([raw], dtype=np.uint32)
        found = [m.classes[m.train_ids(labels)[0]] for m in (SINGLE_SCAN, MULTI_SCAN, MOVING)]
        assert found == names, raw


@pytest.mark.parametrize(("the_map", "n_raw", "n_classes"), [(SINGLE_SCAN, 34, 20), (MULTI_SCAN, 34, 26)])
def test_sizes_of_the_maps(the_map: LabelMap, n_raw: int, n_classes: int) -> None:
    assert (len(the_map.raw_to_train), len(the_map.classes)) == (n_raw, n_classes)


def test_moving_knows_the_two_ids_of_its_own() -> None:
    assert MOVING.raw_ids(np.array([0, 1, 2])).tolist() == [0, 9, 251]
    assert len(MOVING.raw_to_train) == 36
    with pytest.raises(ValueError, match=r"'single-scan' does not know: 9 \(1 point\), 251 \(1 point\)"):
        SINGLE_SCAN.train_ids(np.array([9, 251], dtype=np.uint32))


@pytest.mark.parametrize("the_map", [SINGLE_SCAN, MULTI_SCAN, MOVING])
def test_inverse_map_is_an_inverse(the_map: LabelMap) -> None:
    ids = np.arange(len(the_map.classes))
    assert the_map.train_ids(the_map.raw_ids(ids)).tolist() == ids.tolist()


def test_instances_do_not_matter_up_to_the_highest_bit() -> None:
    labels = np.array([10, 10 | 0xFFFF << 16, 10 | 0x8000 << 16], dtype=np.uint32)
    assert SINGLE_SCAN.train_ids(labels).tolist() == [1, 1, 1]


def test_things_and_stuff() -> None:
    assert len(SINGLE_SCAN.things) == 8
    assert len(SINGLE_SCAN.stuff) == 11
    assert not set(SINGLE_SCAN.things) & set(SINGLE_SCAN.stuff)
    assert SINGLE_SCAN.evaluated == tuple(range(1, 20))


def test_test_sequences_hold_the_published_number_of_scans() -> None:
    assert sum(TEST_SCANS.values()) == 20351
    assert tuple(TEST_SCANS) == SPLITS["test"]


def test_unknown_ids_are_named_with_their_counts() -> None:
    labels = np.array([2, 2, 260, 10, 65535, 3, 4, 5, 6], dtype=np.uint32)
    with pytest.raises(ValueError, match=r"scan 7: .* 2 \(2 points\), 3 \(1 point\), .* and 2 more"):
        SINGLE_SCAN.train_ids(labels, where="scan 7")
    assert SINGLE_SCAN.train_ids(labels, unknown="unlabeled").tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]


def test_lookup_is_shared_and_cannot_be_written() -> None:
    assert SINGLE_SCAN.lookup is pickle.loads(pickle.dumps(SINGLE_SCAN)).lookup
    with pytest.raises(ValueError, match="read-only"):
        SINGLE_SCAN.lookup[0] = 1


@pytest.mark.parametrize("ids", [[20], [-1], [40]])
def test_raw_ids_refuse_what_is_no_train_id(ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"must lie in 0\.\.19"):
        SINGLE_SCAN.raw_ids(np.array(ids))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "a")}, "distinct names"),
        ({"raw_to_train": ((0, 0), (1, 1), (1, 0))}, "raw id once"),
        ({"raw_to_train": ((0, 0), (65536, 1)), "train_to_raw": (0, 65536)}, r"0\.\.65535"),
        ({"raw_to_train": ((0, 0), (1, 2))}, "train ids must index classes"),
        ({"ignored": (2,)}, "train ids must index classes"),
        ({"train_to_raw": (0, 0)}, "raw id of every class"),
        ({"things": ("a",)}, "things must be evaluated"),
    ],
)
def test_contradictory_maps_are_refused(changes: dict, message: str) -> None:
    fields = {
        "name": "m",
        "classes": ("a", "b"),
        "ignored": (0,),
        "raw_to_train": ((0, 0), (1, 1)),
        "train_to_raw": (0, 1),
    }
    LabelMap(**fields)
    with pytest.raises(ValueError, match=message):
        LabelMap(**(fields | changes))


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="single-scan, multi-scan, moving or a LabelMap, got 'mos'"):
        label_map("mos")
    with pytest.raises(ValueError, match="semantic-kitti-api, spvnas, mmdet3d, torchmetrics, got 'x'"):
        absent_rule("x")
    with pytest.raises(ValueError, match="ignores no class"):
        _ = plain_map(("a",)).unlabeled
