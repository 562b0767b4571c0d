import pytest
from evaluators._validation import Missing, first_names, require_choice


def test_known_choices_pass() -> None:
    require_choice("empty", Missing, name="missing")


def test_unknown_choices_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="missing must be one of 'error', 'empty', got 'maybe'"):
        require_choice("maybe", Missing, name="missing")


def test_names_are_sorted_and_cut_short() -> None:
    assert first_names([f"{i:02d}" for i in reversed(range(7))]) == "00, 01, 02, 03, 04 and 2 more"
    assert first_names(["b", "a"]) == "a, b"
