"""The published Sparse Beats Dense against the released code with the same weights.

Tolerances are those of the README of the golden vectors. `small` is a batch of two of 200 x 300.
"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fusion_models.sparse_beats_dense.batch import DepthBatch
from fusion_models.sparse_beats_dense.inference import DepthPredictor
from fusion_models.sparse_beats_dense.losses import depth_completion_loss
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.sparse_beats_dense.weights import load_released

pytestmark = [pytest.mark.golden, pytest.mark.xdist_group("golden_sparse_beats_dense")]

MANIFEST = Path(__file__).parents[1] / "golden" / "sparse_beats_dense_state_dict.json"
STATISTICS_NOISE = {
    "G1.encoder.g6_6.conv_1x1_expand.bn": 5e-3,
    "G2.score3.bn": 2e-4,
    "G3.valid_resize4.bn": 6e-4,
}
"""How far the running statistics of the released code in single precision are from those in double precision,
where that is more than the README's tolerance; see the test in training mode."""
LEVELS = (("G1", "quarter"), ("G2", "half"), ("G3", "full"))


@pytest.fixture(scope="module")
def recipe(sparse_beats_dense_golden):
    return json.loads((sparse_beats_dense_golden / "recipe.json").read_text())


@pytest.fixture(scope="module")
def losses(sparse_beats_dense_golden):
    return json.loads((sparse_beats_dense_golden / "losses.json").read_text())


@pytest.fixture(scope="module")
def state(seeded_weights, recipe):
    manifest = {
        name: {"shape": shape, "dtype": "int64" if name.endswith("num_batches_tracked") else "float32"}
        for name, shape in json.loads(MANIFEST.read_text()).items()
    }
    arrays = seeded_weights.seeded_arrays(manifest, salt=recipe["salt"], gain=recipe["gain"])
    assert len(arrays) == 2796
    counters = {name: torch.tensor(0) for name in manifest.keys() - arrays.keys()}
    return counters | {name: torch.from_numpy(value) for name, value in arrays.items()}


@pytest.fixture
def model(state):
    """The seeded model in evaluation mode; a new one each time, for gradients and statistics stay in it."""
    model = SparseBeatsDense(SparseBeatsDenseConfig())
    assert load_released(model, state) == ()
    return model.eval()


@pytest.fixture(scope="module")
def small(sparse_beats_dense_golden):
    return dict(np.load(sparse_beats_dense_golden / "small.npz"))


@pytest.fixture(scope="module")
def batch(small):
    assert np.array_equal(small["label_mask"] > 0, small["label"] > 0)
    shape = small["label"].shape
    return DepthBatch(
        frame_ids=("a", "b"),
        image=torch.from_numpy(small["img"]).float(),
        radar=torch.from_numpy(small["radar_columns"])[:, None, None].expand(shape).contiguous(),
        points=torch.from_numpy(small["points"]),
        counts=torch.from_numpy(small["count"]),
        label=torch.from_numpy(small["label"]),
        radar_classes=torch.from_numpy(small["semantic"]) > 0,
    )


def _assert_close(own, expected, *, largest=None, name=""):
    """1e-5 of the largest value of the array plus 1e-4 of each value."""
    largest = np.abs(expected).max() if largest is None else largest
    np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5 * float(largest), err_msg=name)


@pytest.mark.slow
@torch.no_grad()
def test_outputs_of_every_level(model, batch, small):
    outputs = model(batch)
    for (unet, size), depth, logits in zip(LEVELS, outputs.depths, outputs.mask_logits, strict=True):
        _assert_close(depth.numpy(), small[f"pred_{size}"], name=size)
        expected = small[f"valid_logit_{size}_{unet}"]
        np.testing.assert_allclose(
            logits.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max() + 1e-4
        )
        np.testing.assert_allclose(logits.sigmoid().numpy(), small[f"valid_{size}"], rtol=0, atol=5e-4)


@torch.no_grad()
def test_every_layer(model, batch, small, sparse_beats_dense_golden):
    expected = json.loads((sparse_beats_dense_golden / "small_layers.json").read_text())
    found = {}

    def record(name, value):
        value = value.numpy()
        found[name] = {
            "shape": value.shape,
            "mean": value.mean(dtype=np.float64),
            "std": value.std(dtype=np.float64),
            "first": value.ravel()[:64].copy(),
            "largest": np.abs(value).max(),
        }

    def record_output(name):
        # values are taken at once, for later layers add to them in place
        return lambda module, args, out: record(name, out)

    for name, module in model.named_modules():
        if name in expected and name != "calibrated_params_encoder":
            module.register_forward_hook(record_output(name))
    features = {}
    for unet, _ in LEVELS:
        encoder = model.get_submodule(f"{unet}.encoder")
        encoder.register_forward_pre_hook(lambda _, args, unet=unet: record(f"{unet}.input", args[0]))
        encoder.register_forward_hook(lambda _, args, out, unet=unet: record(f"{unet}.encoder[0]", out[0]))
        last = model.get_submodule(f"{unet}.resize4")
        last.register_forward_hook(
            lambda _, args, out, unet=unet: features.__setitem__(unet, out.numpy().copy())
        )
    points = model.calibrated_params_encoder
    points.mlp.register_forward_hook(
        lambda _, args, out: record("calibrated_params_encoder", out.flatten(0, 1))
    )
    points.register_forward_hook(lambda _, args, out: features.__setitem__("embedding", out.numpy()))
    model(batch)

    assert found.keys() == expected.keys() and len(found) == 136
    for name, wanted in expected.items():
        own = found[name]
        assert list(own["shape"]) == wanted["shape"], name
        for key in ("mean", "std", "first"):
            _assert_close(own[key], np.asarray(wanted[key]), largest=own["largest"], name=f"{name} {key}")
    for own, wanted in (("G1", "fm1"), ("G2", "fm2"), ("embedding", "embedding")):
        _assert_close(features[own], small[wanted], name=wanted)


def _assert_losses(own, expected, *, rel=1e-4):
    assert own.total.item() == pytest.approx(expected["total"], rel=rel)
    for i in range(3):
        assert own.depth[i].item() == pytest.approx(expected[f"train_loss_{i}"], rel=rel)
        assert own.mask[i].item() == pytest.approx(expected[f"train_valid_loss_{i}"], rel=rel)


@pytest.mark.slow
def test_losses_and_gradients_with_fixed_statistics(model, batch, losses):
    expected = losses["forward_train_eval_mode"]
    own = depth_completion_loss(model(batch), batch)
    _assert_losses(own, expected)
    own.total.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, wanted in expected["gradients"].items():
        gradient = gradients[name].double()
        assert list(gradient.shape) == wanted["shape"]
        spread = wanted["std"] or abs(wanted["mean"])
        assert gradient.mean().item() == pytest.approx(wanted["mean"], abs=1e-3 * spread), name
        assert gradient.std(correction=0).item() == pytest.approx(wanted["std"], rel=1e-3, abs=1e-12), name
        # The README states no tolerance for single values. The released ones, of one thread, are up to 1.2e-3
        # of the spread off double precision; ours are off by 1e-5 of it with two threads.
        first = gradient.flatten()[: len(wanted["first"])].tolist()
        assert first == pytest.approx(wanted["first"], rel=1e-3, abs=2e-3 * spread), name


@pytest.mark.slow
@torch.no_grad()
def test_losses_and_running_statistics_in_training_mode(model, batch, losses):
    """Batch statistics of the coarsest maps, 1 x 2 in a batch of two, are those of four values each, which
    multiplies rounding: losses of the released code in single precision are up to 5e-4 off those in double
    precision, by other amounts with other numbers of threads. Ours runs in double precision, so the bounds
    are the noise of the reference alone. In single precision on one machine both codes agree to 1e-5.
    """
    expected = losses["forward_train_train_mode"]
    double = replace(
        batch, image=batch.image.double(), radar=batch.radar.double(), points=batch.points.double()
    )
    own = depth_completion_loss(model.double().train()(double), double)
    _assert_losses(own, expected, rel=6e-4)
    for name, wanted in expected["batch_norm_after_one_forward"].items():
        norm = model.get_submodule(name)
        assert norm.num_batches_tracked == wanted["num_batches_tracked"] == 1
        for key in ("running_mean", "running_var"):
            values = getattr(norm, key)[: len(wanted[key])].numpy()
            noise = STATISTICS_NOISE.get(name, 1e-5 * max(wanted[key]))
            np.testing.assert_allclose(values, wanted[key], rtol=1e-4, atol=noise, err_msg=f"{name}.{key}")


@pytest.fixture(scope="module")
def full(sparse_beats_dense_golden, recipe):
    """One frame of 900 x 1600, made by the generator of the golden vectors."""
    spec = importlib.util.spec_from_file_location("make_inputs", sparse_beats_dense_golden / "make_inputs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.make_inputs(recipe["full"]["input_seed"], 1, 900, 1600)
    image, radar, points, counts = (torch.from_numpy(array) for array in made)
    golden = dict(np.load(sparse_beats_dense_golden / "full_stride5.npz"))
    np.testing.assert_array_equal(radar[:, 0, 450].numpy(), golden["radar_columns"])
    np.testing.assert_array_equal(points.numpy(), golden["points"])
    return DepthBatch(
        frame_ids=("f",), image=image.float(), radar=radar, points=points, counts=counts
    ), golden


@pytest.mark.slow
@torch.no_grad()
def test_a_frame_of_full_size(model, full, recipe):
    batch, golden = full
    outputs = model(batch)
    mask = outputs.mask_logits[-1].sigmoid()[:, :, :900, :1600]
    _assert_close(outputs.depth[:, :, ::5, ::5].numpy(), golden["pred"])
    np.testing.assert_allclose(mask[:, :, ::5, ::5].numpy(), golden["valid"], rtol=0, atol=5e-4)
    largest = np.abs(golden["pred"]).max()
    for key, value in (("mean", outputs.depth.double().mean()), ("std", outputs.depth.double().std())):
        _assert_close(value.item(), recipe["full"]["pred"][key], largest=largest, name=key)


@pytest.mark.slow
@torch.no_grad()
def test_the_shortcut_has_the_bits_of_the_whole_graph_at_full_size(model, full):
    batch, _ = full
    inputs = (batch.image, batch.radar, batch.points, batch.counts)
    assert torch.equal(model.predict(*inputs), model(batch).depth)


@pytest.mark.slow
@torch.no_grad()
def test_the_predictor_is_within_the_tolerance_of_the_released_code(model, full):
    batch, golden = full
    depth = DepthPredictor(model)(batch.image, batch.radar, batch.points, batch.counts)
    _assert_close(depth[:, :, ::5, ::5].numpy(), golden["pred"])
