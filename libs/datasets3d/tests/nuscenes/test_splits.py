from pathlib import Path

import pytest
from datasets3d.nuscenes.splits import SPLITS, split_scenes


def test_the_official_splits_have_their_sizes_and_do_not_overlap() -> None:
    assert {name: len(scenes) for name, scenes in SPLITS.items()} == {
        "train": 700,
        "val": 150,
        "test": 150,
        "mini_train": 8,
        "mini_val": 2,
    }
    whole = [*SPLITS["train"], *SPLITS["val"], *SPLITS["test"]]
    assert len(set(whole)) == 1000
    assert {*SPLITS["mini_train"], *SPLITS["mini_val"]} <= {*SPLITS["train"], *SPLITS["val"]}


def test_names_may_be_given_or_listed_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text('{"mine": ["street-1", "street-2"]}')
    assert split_scenes(tmp_path, "mine") == ("street-1", "street-2")
    assert split_scenes(tmp_path, ["a"]) == ("a",)
    assert split_scenes(tmp_path, "mini_val") == ("scene-0103", "scene-0916")
    with pytest.raises(ValueError, match="unknown split 'mini_vall'; did you mean 'mini_val'"):
        split_scenes(tmp_path, "mini_vall")


def test_a_file_goes_before_the_official_splits(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text('{"train": ["scene-0001"]}')
    assert split_scenes(tmp_path, "train") == ("scene-0001",)
    assert split_scenes(tmp_path, "val") == SPLITS["val"]


@pytest.mark.parametrize("content", ["[]", "{", '{"mine": 3}', '{"mine": [3]}'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(ValueError, match=r"splits\.json must be JSON: lists of scene names by split"):
        split_scenes(tmp_path, "mine")
