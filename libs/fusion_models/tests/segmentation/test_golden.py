"""MinkUNet, SPVCNN and SPVNAS, layer by layer, against the released code with the same weights.

Tolerances are those of the README of the golden vectors. Two scans of 4367 voxels in all.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fusion_models.segmentation import (
    SPVNAS_10M8,
    SegmentationBatch,
    SegmentationNet,
    load_released,
    minkunet,
    spvcnn,
)
from sparseops import SparseTensor

pytestmark = [pytest.mark.golden, pytest.mark.xdist_group("golden_segmentation")]

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
NETWORKS = {"minkunet_cr0p5": minkunet(0.5), "spvcnn_cr0p5": spvcnn(0.5), "spvnas_10p8m": SPVNAS_10M8}
WAYS = (("downsample", "downs"), ("upsample", "ups"))
HAND_MADE = {
    **{f"stage{i + 1}": f"downs.{i}" for i in range(4)},
    **{f"up{i + 1}.0": f"ups.{i}.transition" for i in range(4)},
    **{f"up{i + 1}.1": f"ups.{i}" for i in range(4)},
}
SEARCHED = {
    **{f"{theirs}.{i}.feature": f"{ours}.{i}" for theirs, ours in WAYS for i in range(4)},
    **{f"{theirs}.{i}.transition": f"{ours}.{i}.transition" for theirs, ours in WAYS for i in range(4)},
}
POINTS = {f"point_transforms.{i}": f"points.{i}" for i in range(3)}
PLACES = {"stem": "stem"} | HAND_MADE | SEARCHED | POINTS
"""Where the released modules whose results are recorded are in ours."""


@pytest.fixture(scope="module", params=NETWORKS)
def run(request, cluster3dseg_golden: Path, seeded_weights):
    """The golden arrays of a network, ours with the same weights, its batch, results of all its modules."""
    golden = dict(np.load(cluster3dseg_golden / f"{request.param}.npz"))
    manifest = json.loads((cluster3dseg_golden / f"{request.param}_manifest.json").read_text())
    arrays = seeded_weights.seeded_arrays(
        manifest, gain={"*.kernel": 1.6}, out_axis=lambda name, _: -1 if name.endswith("kernel") else 0
    )
    net = SegmentationNet(NETWORKS[request.param]).eval()
    load_released(net, {name: torch.from_numpy(value) for name, value in arrays.items()})
    xyzb = golden["coords"]
    batch = SegmentationBatch(
        frame_ids=("0", "1"),
        features=torch.from_numpy(golden["feats"]),
        coords_bzyx=torch.from_numpy(np.ascontiguousarray(xyzb[:, ::-1])),
        inverse=torch.arange(len(xyzb)),
        point_counts=tuple(np.bincount(xyzb[:, 3]).tolist()),
    )
    results = {}
    for name, module in net.named_modules():
        module.register_forward_hook(lambda _, __, result, name=name: results.update({name: result}))
    with torch.no_grad():
        results["logits"] = net(batch).logits
    return golden, net, batch, results


def close(actual: torch.Tensor, expected: np.ndarray, name: str) -> None:
    torch.testing.assert_close(
        actual, torch.from_numpy(expected), **CLOSE, msg=lambda text: f"{name}: {text}"
    )


def test_every_recorded_layer_is_that_of_the_released_code(run):
    golden, _, _, results = run
    recorded = [name.removeprefix("act/") for name in golden if name.startswith("act/")]
    assert len(recorded) >= 8
    for name in recorded:
        result, expected = results[PLACES[name]], golden[f"act/{name}"]
        if isinstance(result, SparseTensor):
            b, z, y, x = result.coords.unbind(1)
            order = np.lexsort((z, y, x, b))  # recorded rows are sorted by scan, x, y, z
            close(result.features[order], expected, name)
        else:
            close(result[: len(expected)], expected, name)


def test_logits_and_classes_are_those_of_the_released_code(run):
    golden, _, _, results = run
    close(results["logits"], golden["logits"], "logits")
    assert np.array_equal(results["logits"].argmax(1).numpy(), golden["logits"].argmax(1))


def test_embeddings_are_those_of_the_released_code(run):
    golden, net, batch, _ = run
    if "cluster_feature" not in golden:
        assert net.projection is None
        return
    # The recorded one is of evaluation mode, in which the network itself does not compute it.
    net.training = True
    with torch.no_grad():
        embedding = net(batch).embedding
    net.eval()
    close(embedding.T[None], golden["cluster_feature"], "cluster_feature")
