import json
import shutil

import numpy as np
import pytest
import torch
from datasets3d.nuscenes import read_records, write_records
from evaluators.depth import read_depth
from fusion3d_appkit.testing import losses, message_of
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers, intervals and loggers

CALM = [f"--data.augmentation.{part}=null" for part in ("disruption", "colour", "blur")]


def test_the_log_has_the_losses_of_both_levels_and_the_errors(trained):
    parts = [losses(trained, f"train/{name}_{factor}")[0] for factor in (1, 2) for name in ("depth", "mask")]
    assert losses(trained)[0] == pytest.approx(parts[0] + parts[1] + (parts[2] + parts[3]) / 2, rel=1e-5)
    assert losses(trained, "train/lr")[0] == pytest.approx(4e-3)
    assert losses(trained, "val/mae_80_m")[-1] > 0
    assert losses(trained, "val/true_mae_80_m")[-1] > 0


def test_a_checkpoint_keeps_the_configuration_as_plain_values(trained):
    content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    assert content["network_config"]["base_width"] == 4
    assert content["depth_reading"]["query_radius_px"] == 1.0


@pytest.mark.slow
def test_two_samples_are_learnt_by_heart(under_test, street, tmp_path):
    two = tmp_path / "two.json"
    write_records(two, read_records(street / "train.json")[:2])
    options = [f"--data.splits.train={two}", f"--data.splits.val={two}", *CALM]
    options += ["--trainer.max_epochs=60", "--trainer.check_val_every_n_epoch=60"]
    assert under_test.call("fit", tmp_path, *options, "--model.network.levels=1") == 0
    values = losses(tmp_path, "train/depth_1")
    assert np.mean(values[-5:]) < 0.15 * values[0]
    assert losses(tmp_path, "val/mae_80_m")[-1] < 2.5  # walls at 12 and 20 m


def test_test_writes_depths_and_errors_against_both_truths(tested):
    assert sorted(path.name for path in (tested / "depth").iterdir()) == ["frame4.png", "frame5.png"]
    assert read_depth(tested / "depth" / "frame4.png").shape == (54, 96)
    results = json.loads((tested / "results.json").read_text())
    for source in ("lidar", "true_depth"):
        assert {"50 m", "70 m", "80 m"} == set(results[source]["caps"])
        assert {"image", "pixel"} <= set(results[source]["caps"]["80 m"])
    page = (tested / "report.html").read_text()
    assert page.count("<img") == 2 * 5
    for title in ("Errors", "Stripes, share of depth", "Errors by true depth, all pixels"):
        assert f"<figcaption>{title}</figcaption>" in page


def test_depth_files_are_left_out_on_request(under_test, trained, tmp_path):
    options = [f"--ckpt_path={trained / 'model.safetensors'}", "--model.write_depths=false"]
    assert under_test.call("test", tmp_path, *options) == 0
    assert not list((tmp_path / "depth").iterdir())


def test_images_without_ground_truth_are_skipped_and_counted(under_test, trained, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    (root / "samples/LIDAR_TOP/frame4.pcd.bin").write_bytes(b"")
    options = [f"--data.root={root}", f"--ckpt_path={trained / 'model.safetensors'}"]
    assert under_test.call("test", tmp_path / "run", *options) == 0
    cap = json.loads((tmp_path / "run" / "results.json").read_text())["lidar"]["caps"]["80 m"]
    assert cap["n_empty_images"] == 1
    assert cap["image"]["mae_m"] == pytest.approx(cap["pixel"]["mae_m"])


def test_no_ground_truth_at_all_is_told_not_hidden(under_test, trained, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    for path in (root / "samples/LIDAR_TOP").iterdir():
        path.write_bytes(b"")
    options = [f"--data.root={root}", f"--ckpt_path={trained / 'model.safetensors'}"]
    assert under_test.call("test", tmp_path / "run", *options) == 0
    cap = json.loads((tmp_path / "run" / "results.json").read_text())["lidar"]["caps"]["80 m"]
    assert cap["n_empty_images"] == 2 and cap["image"]["mae_m"] is None and not cap["evaluated"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "80 m: no pixel has true depth; nothing was evaluated." in page
    assert '<th scope="row">MAE mm</th><td class="num">-</td>' in page


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A checkpoint as the authors release them: weights under `network`, beside plain values."""
    torch.manual_seed(0)
    state = SparseBeatsDense(SparseBeatsDenseConfig(base_width=4, levels=2)).state_dict()
    path = tmp_path_factory.mktemp("released") / "model.ckpt"
    torch.save({"network": state, "clock": {"epoch": 30}}, path)
    return path


@pytest.mark.slow
def test_the_authors_checkpoint_is_evaluated_by_one_command(under_test, released, tmp_path):
    assert under_test.call("validate", tmp_path, f"--ckpt_path={released}") == 0
    assert np.isfinite(losses(tmp_path, "val/mae_80_m")).all()


@pytest.mark.slow
def test_a_training_starts_from_the_authors_weights(under_test, released, tmp_path):
    network = under_test.build(tmp_path, f"--model.weights={released}").model.network
    state = torch.load(released, weights_only=True)["network"]
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_missing_records_are_one_line(under_test, tmp_path, capsys):
    assert under_test.call("fit", tmp_path, "--data.splits.train=nowhere.json") == 2
    assert "records nowhere.json: no such file" in message_of("sparse_beats_dense", capsys)
