from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators.kitti import KittiObjects, read_ground_truth, read_predictions
from evaluators.kitti.files import _DETECTION_FIELDS, _LABEL_FIELDS, _read_closely, _scan
from hypothesis import given
from hypothesis import strategies as st

LABEL = "Car 0.10 1 -1.60 100.00 120.00 200.00 180.00 1.50 1.60 3.90 1.00 1.70 20.00 -1.50"
DETECTION = LABEL + " 0.75"


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "000007.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_label_columns_arrive_where_they_belong(tmp_path: Path) -> None:
    objects = read_ground_truth(write(tmp_path, LABEL + "\n"))
    assert objects.names == ("Car",)
    assert objects.truncated.tolist() == [0.1]
    assert objects.occluded.tolist() == [1]
    assert objects.alpha.tolist() == [-1.6]
    assert objects.bbox.tolist() == [[100, 120, 200, 180]]
    assert objects.size_hwl.tolist() == [[1.5, 1.6, 3.9]]
    assert objects.location.tolist() == [[1.0, 1.7, 20.0]]
    assert objects.rotation_y.tolist() == [-1.5]
    assert objects.score is None


def test_detections_have_a_score_and_no_occlusion(tmp_path: Path) -> None:
    objects = read_predictions(write(tmp_path, DETECTION))
    assert objects.score is not None
    assert objects.score.tolist() == [0.75]
    assert objects.bbox.tolist() == [[100, 120, 200, 180]]
    assert objects.rotation_y.tolist() == [-1.5]
    assert objects.occluded.tolist() == [-1]


@pytest.mark.parametrize("content", ["", "\n", " \t\r\n\n"])
def test_a_file_without_lines_has_no_objects(tmp_path: Path, content: str) -> None:
    assert len(read_ground_truth(write(tmp_path, content))) == 0
    assert len(read_predictions(write(tmp_path, content))) == 0


def test_line_ends_and_byte_order_mark_of_other_systems_are_fine(tmp_path: Path) -> None:
    objects = read_ground_truth(write(tmp_path, b"\xef\xbb\xbf" + f"{LABEL}\r\n\r\n{LABEL}\r\n".encode()))
    assert objects.names == ("Car", "Car")


def test_unknown_classes_are_allowed(tmp_path: Path) -> None:
    objects = read_ground_truth(
        write(tmp_path, LABEL.replace("Car", "Person_sitting") + "\n" + LABEL.replace("Car", "狗"))
    )
    assert objects.names == ("Person_sitting", "狗")


def test_scores_are_not_rounded(tmp_path: Path) -> None:
    objects = read_predictions(write(tmp_path, LABEL + " 0.12345678901234567"))
    assert objects.score is not None
    assert objects.score[0] == 0.12345678901234567


Reader = Callable[[Path], KittiObjects]


@pytest.mark.parametrize(
    ("read", "line", "message"),
    [
        (read_ground_truth, LABEL[:-6], r"expected 15 fields \(type .* rotation_y\), got 14; repair"),
        (read_ground_truth, DETECTION, r"expected 15 fields .* got 16; is this a detection file\?"),
        (read_predictions, LABEL, r"expected 16 fields .* got 15; is this a label file\?"),
        (read_ground_truth, LABEL.replace("1.60 3", "wide 3"), r"expected a number for width, got 'wide'"),
        (read_ground_truth, LABEL.replace(" 20.00", " 2_0.0"), r"expected a number for z, got '2_0.0'"),
        (read_ground_truth, LABEL.replace(" 20.00", " ٢٠"), r"expected a number for z, got"),
        (read_ground_truth, LABEL.replace(" 20.00", " inf"), r"expected a finite number for z, got 'inf'"),
        (
            read_ground_truth,
            LABEL.replace(" 1 ", " 1.5 "),
            r"expected a whole number for occluded, got '1.5'",
        ),
        (read_predictions, LABEL + " nan", r"expected a finite number for score, got 'nan'; drop that"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_line(
    tmp_path: Path, read: Reader, line: str, message: str
) -> None:
    good = LABEL if read is read_ground_truth else DETECTION
    path = write(tmp_path, f"{good}\n{line}\n{good}\n")
    with pytest.raises(ValueError, match=r"000007\.txt, line 2: " + message):
        read(path)


def test_binary_files_are_refused_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, LABEL.encode() + b"\n\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"000007\.txt, line 2: expected text, got the byte 0xff"):
        read_ground_truth(path)


def test_zero_bytes_are_no_text(tmp_path: Path) -> None:
    path = write(tmp_path, f"{LABEL}\nC\0{LABEL}")
    with pytest.raises(ValueError, match=r"000007\.txt, line 2: expected text, got the byte 0x00; is this"):
        read_ground_truth(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="000009"):
        read_ground_truth(tmp_path / "000009.txt")


def test_non_finite_rows_can_be_handed_on(tmp_path: Path) -> None:
    objects = read_predictions(write(tmp_path, LABEL + " nan"), non_finite="keep")
    assert objects.score is not None
    assert np.isnan(objects.score[0])


TOKENS = st.one_of(
    st.sampled_from(
        ["Car", "DontCare", "0", "-1", "1.5", "nan", "-inf", "1e999", "1_0", "0x10", "", "\x00", "--"]
    ),
    st.floats().map(str),
    st.text(max_size=4),
)
LINES = st.lists(st.lists(TOKENS, min_size=13, max_size=17).map(" ".join), max_size=3).map("\n".join)


@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode), LINES.map(str.encode))
)
@pytest.mark.parametrize("read", [read_ground_truth, read_predictions])
def test_any_content_is_read_or_refused_by_line(
    tmp_path_factory: pytest.TempPathFactory, read: Reader, content: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), content)
    try:
        objects = read(path)
    except ValueError as error:
        assert f"{path}, line " in str(error)
    else:
        assert np.isfinite(objects.bbox).all()


@given(at=st.integers(0, 3 * len(DETECTION) + 2), byte=st.integers(0, 255), kept=st.booleans())
@pytest.mark.parametrize("read", [read_ground_truth, read_predictions])
def test_one_wrong_byte_is_read_or_refused_by_line(
    tmp_path_factory: pytest.TempPathFactory, read: Reader, at: int, byte: int, kept: bool
) -> None:
    good = "\n".join([LABEL if read is read_ground_truth else DETECTION] * 3).encode()
    # In place of the byte that is there, or before it.
    content = good[:at] + bytes([byte]) + good[at + (not kept) :]
    path = write(tmp_path_factory.getbasetemp(), content)
    try:
        assert len(read(path)) in (2, 3, 4)
    except ValueError as error:
        assert f"{path}, line " in str(error)


@given(content=LINES.map(str.encode))
@pytest.mark.parametrize("width", [15, 16])
def test_the_fast_reader_agrees_with_the_careful_one(content: bytes, width: int) -> None:
    fields = _LABEL_FIELDS if width == 15 else _DETECTION_FIELDS
    fast = _scan(content, fields)
    try:
        names, values = _read_closely(Path("x.txt"), content, fields)
    except ValueError:
        assert fast is None
    else:
        if fast is not None:
            assert fast[0] == names
            np.testing.assert_array_equal(fast[1].view(np.int64), values.view(np.int64))


DECIMALS = st.one_of(
    st.builds(lambda x, n: f"{x:.{n}f}", st.floats(-1e7, 1e7), st.integers(0, 12)),
    st.from_regex(r"[-+]?[0-9]{0,9}\.?[0-9]{0,9}", fullmatch=True).filter(lambda s: any(map(str.isdigit, s))),
)


@pytest.mark.slow
@given(tokens=st.lists(DECIMALS, min_size=14, max_size=14))
def test_decimals_are_read_to_the_last_bit(tokens: list[str]) -> None:
    content = " ".join(["Car", *tokens]).encode()
    read = _scan(content, _LABEL_FIELDS)
    assert read is not None
    expected = np.array([[float(token) for token in tokens]])
    np.testing.assert_array_equal(read[1].view(np.int64), expected.view(np.int64))


@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=13, max_size=13),
    occluded=st.integers(-1, 3),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float], occluded: int
) -> None:
    line = f"Tram {numbers[0]!r} {occluded} {' '.join(map(repr, numbers[1:]))}"
    objects = read_ground_truth(write(tmp_path_factory.getbasetemp(), line))
    boxes = np.concatenate([objects.bbox[0], objects.size_hwl[0], objects.location[0]])
    assert [objects.truncated[0], objects.alpha[0], *boxes, objects.rotation_y[0]] == numbers
