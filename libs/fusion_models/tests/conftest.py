import importlib.util
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from fusion_models.detection.batch import Batch

NpzReader = Callable[[str], dict[str, np.ndarray]]


@pytest.fixture(autouse=True)
def _seed() -> None:
    # What a test draws does not depend on the tests before it.
    torch.manual_seed(0)


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Let wrong values through the annotations, down to the library's own checks, as in production."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def _golden_root() -> Path:
    root = os.environ.get("FUSION3D_GOLDEN")
    if not root:
        pytest.skip("needs the golden vectors: set FUSION3D_GOLDEN to their folder")
    return Path(root)


@pytest.fixture(scope="session")
def imagepg_golden() -> NpzReader:
    """Arrays of one file of the ImagePG golden vectors, checksummed tensors as JSON under `checksums`."""
    folder = _golden_root() / "imagepg"

    def read(name: str) -> dict[str, np.ndarray]:
        arrays = dict(np.load(folder / f"{name}.npz"))
        arrays["checksums"] = json.loads((folder / f"{name}_checksums.json").read_text())
        return arrays

    return read


@pytest.fixture(scope="session")
def sparse_beats_dense_golden() -> Path:
    """Folder of the golden vectors of Sparse Beats Dense."""
    return _golden_root() / "sparse_beats_dense"


@pytest.fixture(scope="session")
def cluster3dseg_golden() -> Path:
    """Folder of the golden vectors of Cluster3DSeg, SPVNAS, SPVCNN and MinkUNet."""
    return _golden_root() / "cluster3dseg"


@pytest.fixture(scope="session")
def dspdet3d_golden() -> dict[str, np.ndarray]:
    """Arrays of the golden vectors of DSPDet3D."""
    return dict(np.load(_golden_root() / "dspdet3d" / "dspdet3d_model.npz"))


@pytest.fixture(scope="session")
def seeded_dspdet3d_state(dspdet3d_golden, seeded_weights) -> dict[str, torch.Tensor]:
    """The released state dict of 22 classes, filled by rule, but for the heads stored with the vectors."""
    manifest = json.loads((Path(__file__).parent / "golden" / "dspdet3d_state_dict.json").read_text())
    manifest = {name: shape for name, shape in manifest.items() if not name.endswith("num_batches_tracked")}
    arrays = seeded_weights.seeded_arrays(manifest, out_axis=-1)
    stored = {
        name.removeprefix("override."): value
        for name, value in dspdet3d_golden.items()
        if name.startswith("override.")
    }
    return {name: torch.from_numpy(value) for name, value in (arrays | stored).items()}


@pytest.fixture(scope="session")
def seeded_weights():
    """The module with the rule that fills weights from their released names."""
    spec = importlib.util.spec_from_file_location("seeded_weights", _golden_root() / "seeded_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def seeded_imagepg_state(seeded_weights) -> Callable[..., dict[str, torch.Tensor]]:
    """The released ImagePG state dict, filled by rule; called with the `gain_json` of a golden file.

    A second argument leaves out all entries that do not start with it.
    """
    manifest = json.loads((Path(__file__).parent / "golden" / "imagepg_state_dict.json").read_text())

    def fill(gain_json: np.ndarray, start: str = "") -> dict[str, torch.Tensor]:
        wanted = {name: shape for name, shape in manifest.items() if name.startswith(start)}
        arrays = seeded_weights.seeded_arrays(wanted, salt=2, gain=json.loads(str(gain_json)))
        return {name: torch.from_numpy(value) for name, value in arrays.items()}

    return fill


def _in_group(rank: int, meet: Path, function: Callable, *arguments: object) -> object:
    limit = timedelta(minutes=5)
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2, timeout=limit)
    try:
        return function(rank, *arguments)
    finally:
        dist.destroy_process_group()


@pytest.fixture
def on_two_ranks(tmp_path) -> Callable:
    """Calls `function(rank, *arguments)` here as rank 0 and in one new process as rank 1; returns ours."""

    def call(function: Callable, *arguments: object) -> object:
        other = multiprocessing.get_context("spawn").Process(
            target=_in_group, args=(1, tmp_path / "meet", function, *arguments)
        )
        other.start()
        found = _in_group(0, tmp_path / "meet", function, *arguments)
        other.join()
        assert other.exitcode == 0
        return found

    return call


@pytest.fixture(scope="session")
def golden_eval_batch(imagepg_golden) -> Batch:
    """The two real frames of `eval_inputs`; images padded after normalisation."""
    inputs = imagepg_golden("eval_inputs")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    points, images, projections, sizes = [], [], [], []
    for i in range(2):
        points.append(np.insert(inputs[f"f{i}_points"], 0, i, axis=1))
        images.append(((torch.from_numpy(inputs[f"f{i}_image_uint8"]) / 255 - mean) / std).permute(2, 0, 1))
        p2 = inputs[f"f{i}_calib_P2"].copy()
        p2[2, 3] = 0
        cam_from_lidar = np.eye(4)
        cam_from_lidar[:3] = inputs[f"f{i}_calib_R0"] @ inputs[f"f{i}_calib_Tr_velo2cam"]
        projections.append((p2 @ cam_from_lidar).astype(np.float32))
        sizes.append(images[-1].shape[1:])
    height, width = (max(size[axis] for size in sizes) for axis in range(2))
    padded = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    return Batch(
        frame_ids=("000008", "000000"),
        points=torch.from_numpy(np.concatenate(points)).float(),
        seeds=torch.tensor([0, 0]),
        images=torch.stack(padded),
        image_sizes=torch.tensor(sizes),
        image_from_points=torch.from_numpy(np.stack(projections)),
    )
