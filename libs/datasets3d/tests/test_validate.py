import numpy as np
import pytest
from datasets3d._validate import check_array, nearest_names


def test_a_fitting_array_passes() -> None:
    check_array("a", np.zeros((3, 4), np.float32), np.float32, (None, 4))


def test_dtype_and_shape_are_named() -> None:
    with pytest.raises(
        TypeError, match=r"a: expected float32, got int64; convert with \.astype\(np\.float32\)"
    ):
        check_array("a", np.zeros(3, np.int64), np.float32, (3,))
    with pytest.raises(TypeError, match="a: expected a numpy array of float32, got list"):
        check_array("a", [1.0], np.float32, (1,))
    with pytest.raises(ValueError, match=r"a: expected shape \(any, 4\), got \(4,\)"):
        check_array("a", np.zeros(4, np.float32), np.float32, (None, 4))


def test_the_nearest_name_ignores_case_and_is_left_out_when_nothing_is_near() -> None:
    assert nearest_names("CAR", ["Car", "Van"]).startswith("did you mean 'Car'?")
    assert nearest_names("xyzzy", ["Car", "Van"]) == "known: Car, Van"
