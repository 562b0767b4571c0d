from pathlib import Path

import pytest
from datasets3d._validate import check_class_names
from datasets3d.kitti import KITTI_CLASSES, KittiLabel, read_labels, write_labels
from hypothesis import given
from hypothesis import strategies as st

LINE = "Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57"


def write(folder: Path, text: str) -> Path:
    path = folder / "000000.txt"
    path.write_text(text)
    return path


def test_columns_land_in_their_fields(tmp_path: Path) -> None:
    (label,) = read_labels(write(tmp_path, LINE + "\n"))
    assert label == KittiLabel(
        name="Car",
        truncation=0.0,
        occlusion=0,
        alpha=1.85,
        box_image=(387.63, 181.54, 423.81, 203.12),
        size_hwl=(1.67, 1.87, 3.69),
        location=(-16.53, 2.39, 58.49),
        rotation_y=1.57,
    )


def test_written_labels_read_back(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, LINE + "\n\n" + LINE.replace("Car", "Van")))
    write_labels(tmp_path / "copy.txt", labels)
    assert read_labels(tmp_path / "copy.txt") == labels


def test_an_empty_file_is_a_frame_without_objects(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINE + "\n" + LINE.rsplit(" ", 1)[0], r"000000\.txt, line 2: expected 15 columns .*, got 14"),
        (LINE + " 0.9", "got 16; the 16th is a score: this is a detection file"),
        (LINE.replace("2.39", "two"), "line 1: column y is no number: 'two'"),
        (LINE.replace("2.39", "nan"), "line 1: column y must be finite, got 'nan'"),
        (LINE.replace("0.00 0 ", "0.00 0.5 "), "column occluded must be a whole number, got '0.5'"),
        (LINE.replace("1.67", "-1"), "height, width and length must be positive, got -1 1.87 3.69"),
    ],
)
def test_bad_lines_name_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_labels(write(tmp_path, text))


def test_a_missing_file_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="frames without objects have an empty one"):
        read_labels(tmp_path / "000001.txt")


def label(height: float, occlusion: int, truncation: float) -> KittiLabel:
    return KittiLabel(
        name="Car",
        truncation=truncation,
        occlusion=occlusion,
        alpha=0.0,
        box_image=(0.0, 0.0, 10.0, height),
        size_hwl=(1.0, 1.0, 1.0),
        location=(0.0, 0.0, 9.0),
        rotation_y=0.0,
    )


@pytest.mark.parametrize(
    ("height", "occlusion", "truncation", "difficulty"),
    [
        (40.0, 0, 0.15, 0),
        (39.9, 0, 0.15, 1),
        (40.0, 1, 0.15, 1),
        (40.0, 0, 0.16, 1),
        (25.0, 1, 0.30, 1),
        (25.0, 2, 0.30, 2),
        (25.0, 0, 0.31, 2),
        (25.0, 2, 0.50, 2),
        (24.9, 0, 0.0, -1),
        (99.0, 3, 0.0, -1),
        (99.0, 0, 0.51, -1),
    ],
)
def test_difficulty_limits(height: float, occlusion: int, truncation: float, difficulty: int) -> None:
    assert label(height, occlusion, truncation).difficulty == difficulty


@given(st.floats(0, 100), st.integers(0, 3), st.floats(0, 1))
def test_a_harder_view_is_never_easier(height: float, occlusion: int, truncation: float) -> None:
    rank = {0: 0, 1: 1, 2: 2, -1: 3}
    easier = label(height + 10, max(occlusion - 1, 0), truncation / 2).difficulty
    assert rank[easier] <= rank[label(height, occlusion, truncation).difficulty]


def test_an_unknown_class_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown class 'pedestrain'; did you mean 'Pedestrian'"):
        check_class_names(("Car", "pedestrain"), known=KITTI_CLASSES)
