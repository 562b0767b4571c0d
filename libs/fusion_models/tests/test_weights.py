import os
import re

import pytest
import torch
from fusion_models.weights import load_weights, read_checkpoint, renamed, save_weights
from torch import nn


class RunsCode:
    def __reduce__(self):
        return (os.getenv, ("HOME",))


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(3)}, "epoch": 4, "schedule": None}, path)
    return path


def test_weights_survive_the_file(tmp_path):
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


def test_weights_of_another_model_are_refused(tmp_path):
    save_weights(nn.Linear(3, 2, bias=False), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"1 entries missing \['bias'\], 0 unknown"):
        load_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"weight has shape \[2, 3\], the model expects \[2, 4\]"):
        load_weights(nn.Linear(4, 2, bias=False), tmp_path / "w.safetensors")


def test_a_whole_checkpoint_is_read(checkpoint):
    content = read_checkpoint(checkpoint)
    assert content["epoch"] == 4
    assert content["state_dict"]["weight"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["last.ckpt", "last.safetensors"])
@pytest.mark.parametrize("kept", [0, 200])
def test_a_damaged_checkpoint_is_named(checkpoint, name, kept):
    content = checkpoint.read_bytes()[:kept]
    path = checkpoint.with_name(name)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: cannot be read .* truncated"):
        read_checkpoint(path)


def test_text_is_no_checkpoint(checkpoint):
    checkpoint.write_text("<html>sign in</html>")
    with pytest.raises(ValueError, match="cannot be read"):
        read_checkpoint(checkpoint)


def test_a_checkpoint_that_would_run_code_is_refused(checkpoint):
    torch.save({"state_dict": {}, "payload": RunsCode()}, checkpoint)
    with pytest.raises(ValueError, match="more than tensors and plain values"):
        read_checkpoint(checkpoint)


def test_other_content_is_refused_and_named(checkpoint):
    torch.save({"weights": {}, "epoch": 1, "state_dict": None}, checkpoint)
    with pytest.raises(
        ValueError, match=r"entry 'state_dict', found none of the entries, but \['epoch', 'state_dict', 'w"
    ):
        read_checkpoint(checkpoint)
    torch.save([1, 2], checkpoint)
    with pytest.raises(ValueError, match="expected a dictionary, found list"):
        read_checkpoint(checkpoint, entries=())


def test_any_of_the_given_entries_will_do(checkpoint):
    torch.save({"model_state": {}}, checkpoint)
    assert read_checkpoint(checkpoint, entries=("state_dict", "model_state")) == {"model_state": {}}
    assert read_checkpoint(checkpoint, entries=()) == {"model_state": {}}
    with pytest.raises(ValueError, match="expected a checkpoint with the entry 'a' or 'b', found none"):
        read_checkpoint(checkpoint, entries=("a", "b"))


def test_a_missing_checkpoint_lists_its_neighbours(checkpoint):
    checkpoint.with_name("notes.txt").touch()
    save_weights(nn.Linear(1, 1), checkpoint.with_name("model.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"in that folder are last\.ckpt, model\.safetensors$"):
        read_checkpoint(checkpoint.with_name("best.ckpt"))
    with pytest.raises(FileNotFoundError, match=r"none: no such file; there is no checkpoint in that folder"):
        load_weights(nn.Linear(1, 1), checkpoint.parent / "nowhere" / "none")


def test_names_go_through_the_rows_of_a_table_in_turn():
    table = ((r"^a\.", "b."), (r"^b\.(\d)\.", lambda match: f"c.{int(match[1]) + 1}."))
    state = {"a.0.w": torch.zeros(1), "b.3.w": torch.zeros(1), "x.a.0": torch.zeros(1)}
    assert list(renamed(state, table)) == ["c.1.w", "c.4.w", "x.a.0"]
