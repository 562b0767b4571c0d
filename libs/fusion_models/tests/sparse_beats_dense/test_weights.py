import json
from pathlib import Path

import pytest
import torch
from fusion_models.sparse_beats_dense.model import MASK, SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.sparse_beats_dense.weights import load_network, read_checkpoint
from fusion_models.weights import load_weights, save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
MANIFEST = json.loads((GOLDEN / "sparse_beats_dense_state_dict.json").read_text())
SMALL = SparseBeatsDenseConfig(base_width=8, levels=1)


class Clock:
    """What a training checkpoint may hold beside the weights."""


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return SparseBeatsDense(SparseBeatsDenseConfig())


def test_names_shapes_and_order_are_the_published_ones(published):
    own = {name: list(value.shape) for name, value in published.state_dict().items()}
    assert len(own) == 3258 and own == MANIFEST and list(own) == list(MANIFEST)


def test_every_part_has_the_published_number_of_parameters(published):
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in published.named_children()}
    assert counts == {
        "G1": 12_282_578,
        "G2": 12_283_730,
        "G3": 12_283_730,
        "calibrated_params_encoder": 17_032,
    }
    assert sum(p.numel() for p in published.G1.encoder.parameters()) == 6_176_016


def test_a_released_checkpoint_is_read_and_loaded(tmp_path):
    model, other = SparseBeatsDense(SMALL), SparseBeatsDense(SMALL)
    content = {"network": model.state_dict(), "clock": {"epoch": 3}, "optimizer": {}, "lr_scheduler": None}
    torch.save(content, tmp_path / "model.ckpt")
    assert load_network(other, read_checkpoint(tmp_path / "model.ckpt")) == ()
    state = other.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_model_without_mask_decoders_leaves_theirs_out():
    state = SparseBeatsDense(SMALL).state_dict()
    model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=8, levels=1, mask_decoder=False))
    left_out = load_network(model, state)
    assert left_out == tuple(name for name in state if name.startswith(f"G1.{MASK}")) != ()
    assert len(left_out) + len(model.state_dict()) == len(state)


def test_a_model_without_injection_refuses_weights_that_were_made_with_it():
    model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=8, levels=1, position_injection=False))
    with pytest.raises(ValueError, match=r"0 entries missing \[\], 12 unknown \['calibrated_params_encoder"):
        load_network(model, SparseBeatsDense(SMALL).state_dict())


def test_weights_of_another_width_are_refused():
    model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=16, levels=1))
    with pytest.raises(
        ValueError, match=r"released state dict: G1.encoder.* has shape .* build the model with"
    ):
        load_network(model, SparseBeatsDense(SMALL).state_dict())


def test_weights_of_our_own_survive_the_file(tmp_path):
    model, other = SparseBeatsDense(SMALL), SparseBeatsDense(SMALL)
    save_weights(model, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(model.G1.resize5.deconv.weight, other.G1.resize5.deconv.weight)


def test_files_that_are_no_released_checkpoint_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*none.ckpt; expected the authors' model.ckpt"):
        read_checkpoint(tmp_path / "none.ckpt")
    torch.save({"state_dict": {}, "epoch": 1}, tmp_path / "c.ckpt")
    with pytest.raises(
        ValueError, match=r"c.ckpt has no 'network' with the weights, found \['epoch', 'state_"
    ):
        read_checkpoint(tmp_path / "c.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(
        ValueError, match=r"list.ckpt has no 'network' with the weights, found <class 'list'>"
    ):
        read_checkpoint(tmp_path / "list.ckpt")


def test_damaged_files_and_other_objects_are_refused(tmp_path):
    refused = "is not a checkpoint of tensors and plain containers, or is damaged"
    whole = tmp_path / "whole.ckpt"
    torch.save({"network": {"a": torch.ones(100)}}, whole)
    (tmp_path / "cut.ckpt").write_bytes(whole.read_bytes()[:300])
    (tmp_path / "text.ckpt").write_text("<html>sign in</html>")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    torch.save({"network": {}, "clock": Clock()}, tmp_path / "object.ckpt")
    for name in ("cut", "text", "empty", "object"):
        with pytest.raises(ValueError, match=rf"{name}.ckpt {refused}"):
            read_checkpoint(tmp_path / f"{name}.ckpt")
