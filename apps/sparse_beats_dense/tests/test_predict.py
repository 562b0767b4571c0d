import json

import numpy as np
import pytest
import torch
from datasets3d.nuscenes import read_records
from evaluators.depth import read_depth
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.weights import save_weights
from sparse_beats_dense.__main__ import main
from sparse_beats_dense.export import export_network
from sparse_beats_dense.weights import WEIGHTS

pytestmark = pytest.mark.filterwarnings("ignore")
NETWORK = SparseBeatsDenseConfig(base_width=4, levels=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights and the configuration that they belong to, as a run leaves them."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_weights(SparseBeatsDense(NETWORK), folder / "model.safetensors")
    # A run on a synthetic world also reads the true depth, which a picture of yours does not have.
    (folder / "config.yaml").write_text(
        "model: {network: {base_width: 4, levels: 2}}\ndata: {reading: {true_depth_folder: nowhere}}\n"
    )
    return ["--ckpt", str(folder / "model.safetensors"), "--config", str(folder / "config.yaml")]


@pytest.fixture
def files(street, tmp_path) -> dict[str, str]:
    record = read_records(street / "train.json")[1]
    camera, radar = (
        {"translation": sensor.calibration.translation, "rotation": sensor.calibration.rotation}
        for sensor in (record.key("CAM_FRONT"), record.key("RADAR_FRONT"))
    )
    camera["camera_intrinsic"] = record.key("CAM_FRONT").intrinsic
    calib = tmp_path / "calib.json"
    calib.write_text(json.dumps({"camera": camera, "radar": radar}))
    return {
        "image": str(street / "samples/CAM_FRONT/frame1.jpg"),
        "radar": str(street / "samples/RADAR_FRONT/frame1.pcd"),
        "calib": str(calib),
    }


def call(weights, files, out) -> int:
    return main(
        ["predict", *weights, "--out", str(out), *[w for n, p in files.items() for w in (f"--{n}", p)]]
    )


@pytest.mark.slow
def test_three_files_give_a_depth_map_as_png_npz_and_picture(weights, files, tmp_path, capsys):
    assert call(weights, files, tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"depth.png", "depth.npz", "overview.jpg"}
    depth = np.load(tmp_path / "out/depth.npz")["depth"]
    assert depth.shape == (54, 96) and depth.dtype == np.float32
    assert np.abs(read_depth(tmp_path / "out/depth.png") - depth).max() <= 1 / 512
    assert "4 columns with a radar return" in capsys.readouterr().out


@pytest.mark.slow
def test_a_key_frame_gives_the_same_as_its_files(weights, files, street, tmp_path):
    assert call(weights, files, tmp_path / "a") == 0
    frame = ["--root", str(street), "--split", "train.json", "--token", "frame1"]
    assert main(["predict", *weights, *frame, "--out", str(tmp_path / "b")]) == 0
    first, second = (np.load(tmp_path / name / "depth.npz")["depth"] for name in "ab")
    assert np.array_equal(first, second)


@pytest.mark.parametrize("left_out", ["image", "radar", "calib"])
def test_two_of_three_files_are_not_enough(weights, files, tmp_path, capsys, left_out):
    del files[left_out]
    assert call(weights, files, tmp_path) == 2
    assert "give either --image, --radar and --calib, or --root and --token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "calib.json: not JSON"),
        ("[]", "calib.json: has no entry 'camera'"),
        ('{"camera": {}, "radar": {}}', "'camera_intrinsic' must be 3 x 3 numbers, got None"),
    ],
)
def test_a_wrong_calibration_names_what_is_wrong(weights, files, tmp_path, capsys, content, message):
    (tmp_path / "calib.json").write_text(content)
    assert call(weights, files, tmp_path / "out") == 2
    assert message in capsys.readouterr().err


def test_a_radar_file_cut_short_is_named(weights, files, tmp_path, capsys):
    short = tmp_path / "short.pcd"
    with open(files["radar"], "rb") as file:  # noqa: PTH123
        short.write_bytes(file.read()[:500])
    assert call(weights, {**files, "radar": str(short)}, tmp_path / "out") == 2
    assert "short.pcd" in capsys.readouterr().err


@pytest.mark.slow
def test_an_unknown_token_is_named(weights, street, tmp_path, capsys):
    frame = ["--root", str(street), "--split", "train.json", "--token", "nowhere"]
    assert main(["predict", *weights, *frame, "--out", str(tmp_path)]) == 2
    assert "has no key frame 'nowhere'; its first is frame0" in capsys.readouterr().err


def test_safetensors_without_configuration_say_what_is_missing(weights, files, tmp_path, capsys):
    assert call(weights[:2], files, tmp_path) == 2
    assert "safetensors hold no configuration" in capsys.readouterr().err


@pytest.mark.slow
def test_the_authors_checkpoint_stands_for_the_published_model(tmp_path):
    torch.manual_seed(0)
    state = SparseBeatsDense(SparseBeatsDenseConfig()).state_dict()
    torch.save({"network": state, "clock": {"epoch": 30}}, tmp_path / "model.ckpt")
    loaded = WEIGHTS.load_model(tmp_path / "model.ckpt")
    assert loaded.model.config == SparseBeatsDenseConfig()
    assert not loaded.model.training
    assert all(torch.equal(value, state[name]) for name, value in loaded.model.state_dict().items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No complete tensor found:UserWarning")  # see the command
def test_the_exported_file_runs_with_torch_alone_and_gives_the_same(tmp_path):
    torch.manual_seed(0)
    network = SparseBeatsDense(SparseBeatsDenseConfig(base_width=4, levels=1)).eval()
    program = export_network(network, width=70, height=40)
    torch.export.save(program, tmp_path / "depth.pt2")
    inputs = (
        torch.rand(1, 3, 40, 70) * 255,
        torch.rand(1, 1, 40, 70) * 50,
        torch.rand(1, 200, 3) * 50,
        torch.tensor([0]),
    )
    found = torch.export.load(tmp_path / "depth.pt2").module()(*inputs)
    torch.testing.assert_close(found, network.predict(*inputs), rtol=1e-4, atol=1e-4)
