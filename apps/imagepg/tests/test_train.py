import shutil

import numpy as np
import pytest
import torch
from datasets3d.__main__ import main as datasets3d_main
from fusion3d_appkit.testing import NO_EVALUATION, losses, message_of, weights_without_gradient

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers, intervals and loggers


@pytest.mark.slow
def test_the_loss_falls_on_four_frames(under_test, tmp_path):
    options = ["--trainer.max_epochs=12", "--data.training.augmentation=null", NO_EVALUATION]
    assert under_test.call("fit", tmp_path, *options) == 0
    values = losses(tmp_path)
    assert np.mean(values[-4:]) < 0.6 * np.mean(values[:4])


def test_a_checkpoint_keeps_the_configuration_as_plain_values(trained):
    content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    assert content["detector_config"]["voxels"]["size"] == (0.2, 0.2, 0.1)
    assert content["image_input"]["scale"] == 0.25


@pytest.mark.slow
def test_an_unknown_key_in_the_file_names_the_nearest(under_test, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text("data: {root: x}\nmodel: {detector: {roi: {targets: {rois_per_fram: 3}}}}\n")
    with pytest.raises(SystemExit):
        under_test.program.main(["fit", "--config", str(config)])
    assert "did you mean model.detector.roi.targets.rois_per_frame" in capsys.readouterr().err


@pytest.mark.slow
def test_objects_of_the_database_are_pasted(under_test, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    assert datasets3d_main(["prepare", "kitti", "--root", str(root)]) == 0
    pasted = ["--data.training.sampling.min_points=1", "--trainer.max_epochs=1", NO_EVALUATION]
    assert under_test.call("fit", tmp_path / "run", f"--data.root={root}", *pasted) == 0
    assert np.isfinite(losses(tmp_path / "run")).all()


@pytest.mark.slow
def test_frames_without_points_or_objects_train_on(under_test, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    frames = (root / "ImageSets" / "train.txt").read_text().split()
    (root / "training" / "velodyne" / f"{frames[0]}.bin").write_bytes(b"")
    (root / "training" / "label_2" / f"{frames[1]}.txt").write_text("")
    (root / "recipe.json").unlink()  # the targets are meant for these labels, too
    assert under_test.call("fit", tmp_path / "run", f"--data.root={root}", "--trainer.max_epochs=1") == 0
    assert np.isfinite(losses(tmp_path / "run")).all()


def test_missing_dense_targets_are_one_line_with_the_cure(under_test, street, tmp_path, capsys):
    root = shutil.copytree(street, tmp_path / "kitti")
    shutil.rmtree(root / "training" / "object_shapes")
    assert under_test.call("fit", tmp_path / "run", f"--data.root={root}") == 2
    assert "datasets3d complete kitti" in message_of("imagepg", capsys)


@pytest.mark.slow
def test_dense_targets_of_other_labels_are_one_line_with_the_cure(under_test, street, tmp_path, capsys):
    root = shutil.copytree(street, tmp_path / "kitti")
    path = min((root / "training" / "label_2").iterdir())
    path.write_text(path.read_text() + path.read_text())
    assert under_test.call("fit", tmp_path / "run", f"--data.root={root}") == 2
    assert "object_shapes was made from other data" in message_of("imagepg", capsys)


@pytest.mark.slow
def test_every_weight_learns_from_frames_without_objects(under_test, street, tmp_path):
    root = shutil.copytree(street, tmp_path / "data")
    far = "Car 0.00 0 0.00 600.00 170.00 602.00 172.00 1.50 1.60 4.00 0.00 1.70 900.00 0.00\n"
    for frame in (root / "ImageSets" / "train.txt").read_text().split():
        (root / "training" / "label_2" / f"{frame}.txt").write_text(far)
    (root / "recipe.json").unlink()  # the targets are meant for these labels, too
    options = [f"--data.root={root}", "--trainer.max_epochs=1", NO_EVALUATION]
    assert not weights_without_gradient(under_test.build(tmp_path / "run", *options))


@pytest.mark.slow
def test_the_schedule_counts_steps_of_the_optimiser(under_test, tmp_path):
    """Two batches make up a step: the rate rises, peaks and ends by steps, not by batches."""
    options = ["--trainer.max_epochs=5", "--data.batch_size=1", "--trainer.accumulate_grad_batches=2"]
    cli = under_test.build(tmp_path, *options, NO_EVALUATION)
    rates: list[float] = []

    def note(optimizer) -> None:
        rates.append(optimizer.param_groups[0]["lr"])

    cli.model.on_before_optimizer_step = note
    cli.trainer.fit(cli.model, cli.datamodule)
    assert len(rates) == 10  # four frames, two a step, five epochs
    assert rates.index(max(rates)) == 3
    assert max(rates) == pytest.approx(0.003)
    assert rates[0] == pytest.approx(0.0003)
    assert rates[-1] == pytest.approx(0.0003 / 1e4, rel=0.01)


@pytest.mark.slow
def test_training_in_bfloat16_keeps_the_loss(under_test, tmp_path):
    options = ["--data.training.augmentation=null", "--trainer.max_epochs=1", NO_EVALUATION]
    assert under_test.call("fit", tmp_path / "single", *options) == 0
    assert under_test.call("fit", tmp_path / "half", *options, "--trainer.precision=bf16-mixed") == 0
    expected, found = losses(tmp_path / "single"), losses(tmp_path / "half")
    assert found[0] == pytest.approx(expected[0], rel=0.1)
    assert len(found) == len(expected)
    assert torch.tensor(found).isfinite().all()
    state = torch.load(tmp_path / "half/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point())
