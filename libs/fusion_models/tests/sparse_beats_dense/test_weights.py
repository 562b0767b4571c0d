import json
from pathlib import Path

import pytest
import torch
from fusion_models.sparse_beats_dense.model import MASK, SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.sparse_beats_dense.weights import load_released

GOLDEN = Path(__file__).parents[1] / "golden"
MANIFEST = json.loads((GOLDEN / "sparse_beats_dense_state_dict.json").read_text())
SMALL = SparseBeatsDenseConfig(base_width=8, levels=1)


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


def test_a_model_without_mask_decoders_leaves_theirs_out():
    state = SparseBeatsDense(SMALL).state_dict()
    model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=8, levels=1, mask_decoder=False))
    left_out = load_released(model, state)
    assert left_out == tuple(name for name in state if name.startswith(f"G1.{MASK}")) != ()
    assert len(left_out) + len(model.state_dict()) == len(state)


def test_a_model_without_injection_refuses_weights_that_were_made_with_it():
    model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=8, levels=1, position_injection=False))
    with pytest.raises(ValueError, match=r"0 entries missing \[\], 12 unknown \['calibrated_params_encoder"):
        load_released(model, SparseBeatsDense(SMALL).state_dict())


def test_weights_of_another_width_are_refused():
    model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=16, levels=1))
    with pytest.raises(
        ValueError, match=r"released state dict: G1.encoder.* has shape .* build the model with"
    ):
        load_released(model, SparseBeatsDense(SMALL).state_dict())
