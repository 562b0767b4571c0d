from dataclasses import replace

import numpy as np
import pytest
from datasets3d.segmentation import IGNORED, LabelTable

TABLE = LabelTable(
    name="mine",
    classes=("road", "car"),
    raw_to_class=((0, IGNORED), (40, 0), (60, 0), (10, 1)),
    class_to_raw=(40, 10),
    colours_rgb=((255, 0, 255), (100, 150, 245)),
    things=("car",),
)


def uint32(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def test_instances_do_not_matter() -> None:
    found = TABLE.class_indices(uint32(10 + (7 << 16), 60, 0))
    assert found.dtype == np.uint8 and found.tolist() == [1, 0, IGNORED]


def test_what_is_written_is_read_as_the_same() -> None:
    classes = np.array([0, 1, IGNORED, 1], np.uint8)
    raw = TABLE.raw_ids(classes)
    assert raw.dtype == np.uint32 and raw.tolist() == [40, 10, 0, 10]
    np.testing.assert_array_equal(TABLE.class_indices(raw), classes)
    assert TABLE.raw_ids(np.zeros(0, np.int64)).tolist() == []


def test_unknown_ids_are_named_with_their_counts() -> None:
    with pytest.raises(
        ValueError, match=r"a\.label: raw ids .*'mine' does not know: 7 \(2 points\), 9 \(1 point\);"
    ):
        TABLE.class_indices(uint32(7, 40, 9, 7), where="a.label")
    with pytest.raises(ValueError, match=r"5 \(1 point\) and 2 more;"):
        TABLE.class_indices(uint32(1, 2, 3, 4, 5, 6, 7))


@pytest.mark.parametrize("unknown", [1, IGNORED])
def test_unknown_ids_may_be_a_class(unknown: int) -> None:
    table = replace(TABLE, unknown=unknown)
    assert table.class_indices(uint32(7, 65535, 40)).tolist() == [unknown, unknown, 0]
    assert table.unknown_counts(uint32(7, 65535, 40)) == {7: 1, 65535: 1}


def test_the_table_itself_cannot_be_changed_through_its_lookup() -> None:
    with pytest.raises(ValueError, match="read-only"):
        TABLE.lookup[0] = 1


@pytest.mark.parametrize("wrong", [2, 254, -1, 40])
def test_only_classes_are_written(wrong: int) -> None:
    with pytest.raises(
        ValueError, match=rf"expected class indices 0\.\.1 or 255 .*got {wrong}; are these raw"
    ):
        TABLE.raw_ids(np.array([0, wrong]))


def test_ignored_points_are_black() -> None:
    assert TABLE.colours(np.array([1, IGNORED])).tolist() == [[100, 150, 245], [0, 0, 0]]


def test_a_class_is_found_by_name() -> None:
    assert TABLE.index("car") == 1
    with pytest.raises(ValueError, match="has no class 'Car'; did you mean 'car'"):
        TABLE.index("Car")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": ()}, "expected 1 to 254 classes, got 0"),
        ({"classes": ("car", "car")}, "class 'car' is named twice"),
        ({"raw_to_class": ((40, 0), (40, 1))}, "raw id 40 is listed twice"),
        ({"raw_to_class": ((65536, 0),)}, r"raw ids lie in 0\.\.65535, got 65536"),
        ({"raw_to_class": ((40, 2),)}, r"raw id 40 has class 2; expected 0\.\.1 or 255"),
        ({"class_to_raw": (40,)}, "one raw id to write for each of 2 classes, got 1"),
        ({"class_to_raw": (10, 40)}, "raw id 10 is written for one class and read as another"),
        ({"ignored_raw": 40}, "raw id 40 is written for one class and read as another"),
        ({"colours_rgb": ((0, 0, 0),)}, "one colour for each of 2 classes, got 1"),
        ({"colours_rgb": ((0, 0, 0), (0, 0, 256))}, r"three numbers 0\.\.255, got \(0, 0, 256\)"),
        ({"things": ("bus",)}, "things bus are no classes"),
        ({"unknown": 2}, r"unknown must be 'error', 0\.\.1 or 255, got 2"),
    ],
)
def test_parts_that_contradict_each_other_are_named(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"LabelTable 'mine': .*{message}"):
        replace(TABLE, **fields)
