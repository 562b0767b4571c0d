import os

import pytest
import torch
from fusion3d_appkit.checkpoints import last_checkpoint, read_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    torch.save({"state_dict": {"weight": torch.ones(3)}, "epoch": 4}, path)
    return path


def test_a_whole_checkpoint_is_read(checkpoint):
    content = read_checkpoint(checkpoint)
    assert content["epoch"] == 4
    assert content["state_dict"]["weight"].tolist() == [1, 1, 1]


def test_a_truncated_checkpoint_is_named(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"last\.ckpt: cannot be read .* truncated"):
        read_checkpoint(checkpoint)


def test_text_is_no_checkpoint(checkpoint):
    checkpoint.write_text("not a checkpoint")
    with pytest.raises(ValueError, match="cannot be read"):
        read_checkpoint(checkpoint)


class RunsCode:
    def __reduce__(self):
        return (os.getenv, ("HOME",))


def test_a_checkpoint_that_would_run_code_is_refused(checkpoint):
    torch.save({"state_dict": {}, "payload": RunsCode()}, checkpoint)
    with pytest.raises(ValueError, match="more than tensors and plain values"):
        read_checkpoint(checkpoint)


def test_other_content_is_refused(checkpoint):
    torch.save({"weights": {}}, checkpoint)
    with pytest.raises(ValueError, match="state_dict"):
        read_checkpoint(checkpoint)


def test_any_of_the_given_entries_will_do(checkpoint):
    torch.save({"model_state": {}}, checkpoint)
    assert read_checkpoint(checkpoint, entries=("state_dict", "model_state")) == {"model_state": {}}
    with pytest.raises(ValueError, match="expected a checkpoint with the entry 'a' or 'b', found none"):
        read_checkpoint(checkpoint, entries=("a", "b"))


def test_a_missing_checkpoint_lists_its_neighbours(checkpoint):
    with pytest.raises(FileNotFoundError, match=r"in that folder are last\.ckpt"):
        read_checkpoint(checkpoint.with_name("best.ckpt"))


def test_the_newest_checkpoint_is_the_last(checkpoint):
    newer = checkpoint.with_name("epoch_0005.ckpt")
    newer.write_bytes(checkpoint.read_bytes())
    os.utime(newer, ns=(2**62, 2**62))
    assert last_checkpoint(checkpoint.parent.parent) == newer


def test_a_run_without_checkpoints_has_none(tmp_path):
    assert last_checkpoint(tmp_path) is None
