import shutil
from dataclasses import replace

import jaxtyping
import pytest
import torch
from fusion_models.sparse_beats_dense.batch import DepthBatch
from fusion_models.sparse_beats_dense.inference import DepthPredictor
from fusion_models.sparse_beats_dense.losses import depth_completion_loss
from fusion_models.sparse_beats_dense.model import (
    MASK,
    Encoder,
    PointEmbedding,
    SparseBeatsDense,
    SparseBeatsDenseConfig,
)
from torch import nn

SMALL = SparseBeatsDenseConfig(base_width=8)


def _randomise(model):
    """Give every weight and running statistic a value of its own, so that no part can hide."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def _model(config=SMALL):
    return _randomise(SparseBeatsDense(config)).eval()


def _batch(batch=2, height=40, width=60, *, counts=(7, 3)):
    torch.manual_seed(1)
    size = (batch, 1, height, width)
    columns = torch.rand(batch, 1, 1, width) * 80 * (torch.rand(batch, 1, 1, width) < 0.2)
    return DepthBatch(
        frame_ids=tuple("abcd"[:batch]),
        image=torch.randint(0, 256, (batch, 3, height, width)).float(),
        radar=columns.expand(size).contiguous(),
        points=torch.rand(batch, 20, 3) * 30,
        counts=torch.tensor(counts[:batch]),
        label=torch.rand(size) * 60 * (torch.rand(size) < 0.1),
        radar_classes=torch.rand(size) < 0.5,
    )


def _inputs(batch):
    return batch.image, batch.radar, batch.points, batch.counts


def _only(batch, i):
    return DepthBatch(
        frame_ids=batch.frame_ids[i : i + 1],
        image=batch.image[i : i + 1],
        radar=batch.radar[i : i + 1],
        points=batch.points[i : i + 1],
        counts=batch.counts[i : i + 1],
    )


@pytest.mark.slow
@torch.no_grad()
def test_outputs_lie_on_the_padded_canvas_and_the_depth_is_cropped():
    outputs = _model()(_batch())
    shapes = [(2, 1, 64, 64), (2, 1, 128, 128), (2, 1, 256, 256)]
    assert [tuple(depth.shape) for depth in outputs.depths] == shapes
    assert [tuple(logits.shape) for logits in outputs.mask_logits] == shapes
    assert outputs.depth.shape == (2, 1, 40, 60)
    assert torch.equal(outputs.depth, outputs.depths[-1][:, :, :40, :60])
    assert all((depth >= 0).all() and (depth > 0).any() for depth in outputs.depths)


@torch.no_grad()
def test_sides_that_are_full_multiples_grow_too():
    outputs = _model(replace(SMALL, levels=1))(_batch(1, 64, 128))
    assert outputs.depths[-1].shape == (1, 1, 128, 192) and outputs.depth.shape == (1, 1, 64, 128)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("injection", [True, False])
def test_predict_has_the_bits_of_the_whole_graph(levels, injection):
    model = _model(replace(SMALL, levels=levels, position_injection=injection))
    batch = _batch()
    assert torch.equal(model.predict(*_inputs(batch)), model(batch).depth)


@pytest.mark.slow
@torch.no_grad()
def test_mask_decoders_do_not_touch_the_depth():
    model = _model()
    without = SparseBeatsDense(replace(SMALL, mask_decoder=False)).eval()
    state = model.state_dict()
    without.load_state_dict({name: value for name, value in state.items() if f".{MASK}" not in name})
    batch = _batch()
    outputs = without(batch)
    assert outputs.mask_logits is None
    for depth, expected in zip(outputs.depths, model(batch).depths, strict=True):
        assert torch.equal(depth, expected)


@pytest.mark.slow
@torch.no_grad()
def test_frames_of_a_batch_do_not_mix_in_evaluation():
    model, batch = _model(), _batch()
    depth = model.predict(*_inputs(batch))
    alone = torch.cat([model.predict(*_inputs(_only(batch, i))) for i in range(2)])
    torch.testing.assert_close(depth, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_every_input_reaches_the_depth():
    model, batch = _model(), _batch()
    depth = model.predict(*_inputs(batch))
    changes = {
        "image": batch.image.flip(1),
        "radar": batch.radar + 1,
        "points": batch.points + 1,
        "counts": batch.counts + 1,
    }
    for name, value in changes.items():
        assert not torch.equal(model.predict(*_inputs(replace(batch, **{name: value}))), depth), name


@torch.no_grad()
def test_the_embedding_is_the_mean_of_the_present_points():
    embedding, points = PointEmbedding(), torch.rand(3, 10, 3)
    out = embedding(points, torch.tensor([4, 10, 12]))
    expected = [embedding.mlp(points[i : i + 1, :n]).mean(1) for i, n in enumerate((4, 10, 10))]
    torch.testing.assert_close(out, torch.cat(expected))


def test_without_radar_points_the_embedding_is_zero_and_so_is_its_gradient():
    embedding = PointEmbedding()
    out = embedding(torch.rand(2, 10, 3), torch.tensor([0, 0]))
    out.sum().backward()
    assert torch.equal(out, torch.zeros(2, 8))
    assert all(not parameter.grad.any() for parameter in embedding.parameters())
    assert torch.equal(embedding(torch.zeros(2, 0, 3), torch.tensor([0, 0])), torch.zeros(2, 8))


@pytest.mark.slow
@torch.no_grad()
def test_a_frame_without_points_is_one_without_injection():
    model, batch = _model(), _batch(counts=(0, 0))
    without = SparseBeatsDense(replace(SMALL, position_injection=False)).eval()
    state = model.state_dict()
    without.load_state_dict({n: v for n, v in state.items() if not n.startswith("calibrated")})
    assert torch.equal(model.predict(*_inputs(batch)), without.predict(*_inputs(batch)))


@pytest.mark.slow
def test_every_weight_gets_a_gradient():
    model = SparseBeatsDense(SMALL).train()
    batch = _batch()
    depth_completion_loss(model(batch), batch).total.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.slow
def test_the_loss_falls_on_one_batch():
    torch.manual_seed(0)
    model, batch = SparseBeatsDense(replace(SMALL, levels=2)).train(), _batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses = []
    for _ in range(8):
        loss = depth_completion_loss(model(batch), batch).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_mixed_precision_trains_and_keeps_metres_in_single_precision():
    model, batch = _model(), _batch()
    exact = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(batch)
        losses = depth_completion_loss(outputs, batch)
    losses.total.backward()
    assert {depth.dtype for depth in outputs.depths} == {torch.float32}
    assert losses.total.dtype == torch.float32
    expected = depth_completion_loss(exact, batch).total
    assert losses.total.item() == pytest.approx(expected.item(), rel=0.05)
    assert losses.total != expected  # the convolutions did run in bfloat16
    gradient = model.G1.encoder.conv00.conv.weight.grad
    assert gradient.dtype == torch.float32 and gradient.isfinite().all() and gradient.any()
    bits = outputs.depths[-1].detach().view(torch.int32)
    assert (bits & 0xFFFF).any()


@pytest.mark.slow
@torch.no_grad()
def test_mixed_precision_predicts_what_its_forward_finds():
    model, batch = _model(), _batch()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.predict(*_inputs(batch)), model(batch).depth)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("config", [SMALL, replace(SMALL, mask_decoder=False, position_injection=False)])
def test_the_predictor_finds_the_same_depth(config):
    model, batch = _model(config), _batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    depth = DepthPredictor(model)(*_inputs(batch))
    expected = model.predict(*_inputs(batch))
    torch.testing.assert_close(depth, expected, rtol=1e-4, atol=1e-5 * expected.max().item())
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.slow
def test_the_predictor_holds_only_what_it_needs():
    model = SparseBeatsDense(SMALL).train()
    predictor = DepthPredictor(model)
    names = [name for name, _ in predictor.model.named_modules()]
    assert not any(MASK in name or isinstance(m, nn.BatchNorm2d) for name, m in predictor.named_modules())
    assert "G3.score5" in names and "G1.score5" not in names and "G2.resize5" not in names
    assert not any(parameter.requires_grad for parameter in predictor.parameters())
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


@pytest.fixture
def plain_functions():
    """Compile the package as it is in use: the run-time checks of annotations are for tests only."""
    jaxtyping.config.update("jaxtyping_disable", True)
    torch._dynamo.reset()
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No complete tensor found:UserWarning")  # see DepthPredictor
@torch.no_grad()
def test_the_predictor_is_exported_whole(plain_functions, tmp_path):
    predictor, inputs = DepthPredictor(_model()), _inputs(_batch())
    torch.export.save(torch.export.export(predictor, inputs), tmp_path / "predictor.pt2")
    loaded = torch.export.load(tmp_path / "predictor.pt2").module()
    assert torch.equal(loaded(*inputs), predictor(*inputs))
    other = _inputs(_batch(counts=(0, 20)))
    assert torch.equal(loaded(*other), predictor(*other))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@torch.no_grad()
def test_the_predictor_compiles_without_a_graph_break(plain_functions, monkeypatch):
    # one block per stage and one level: every kind of layer, and seconds instead of a minute to compile
    monkeypatch.setattr(Encoder, "STAGES", tuple((name, 1, groups) for name, _, groups in Encoder.STAGES))
    predictor, inputs = DepthPredictor(_model(replace(SMALL, levels=1))), _inputs(_batch())
    depth = torch.compile(predictor, fullgraph=True)(*inputs)
    expected = predictor(*inputs)
    torch.testing.assert_close(depth, expected, rtol=1e-4, atol=1e-5 * expected.max().item())


def test_a_model_in_training_mode_does_not_predict():
    with pytest.raises(ValueError, match=r"SparseBeatsDense.predict: the model is in training mode"):
        SparseBeatsDense(SMALL).train().predict(*_inputs(_batch()))


@pytest.mark.parametrize("width", [0, 6, -8])
def test_a_width_that_cannot_be_grouped_is_refused(width):
    with pytest.raises(ValueError, match=f"base_width must be a positive multiple of 4, got {width}"):
        SparseBeatsDenseConfig(base_width=width)


def test_a_model_without_levels_or_points_is_refused():
    with pytest.raises(ValueError, match="levels and max_points must be at least 1, got 0 and 200"):
        SparseBeatsDenseConfig(levels=0)
    with pytest.raises(ValueError, match="levels and max_points must be at least 1, got 3 and 0"):
        SparseBeatsDenseConfig(max_points=0)
