import dataclasses
import shutil

import numpy as np
import pytest
import torch
from cluster3dseg.evaluation import map_of
from cluster3dseg.reading import Reading
from datasets3d.prepare.semantickitti import prepare_semantickitti
from datasets3d.segmentation import LabelTable
from datasets3d.semantickitti import MOVING, MULTI_SCAN, SINGLE_SCAN, SPVNAS
from fusion3d_appkit.testing import NO_EVALUATION, losses

pytestmark = pytest.mark.filterwarnings("ignore")
CLUSTER = [
    "--model.cluster={clusters: 4, memory: 6, most_remembered: 2, anchors: 60, momentum: 0.9}",
    "--model.loss.cluster=1.0",
    "--model.network.projection=[8, 8]",
]


@pytest.mark.parametrize("table", [SINGLE_SCAN, MULTI_SCAN, MOVING])
def test_classes_are_those_of_the_official_map_without_unlabeled(table):
    assert map_of(table).classes[1:] == table.classes


def test_the_released_table_is_scored_by_the_official_map():
    assert map_of(SPVNAS) is map_of(SINGLE_SCAN)


def test_a_table_of_ones_own_is_scored_by_itself():
    table = LabelTable(
        name="own", classes=("pipe", "wall"), raw_to_class=((3, 0), (4, 1), (9, 255)), class_to_raw=(3, 4),
        ignored_raw=9, colours_rgb=((1, 2, 3), (4, 5, 6)),
    )  # fmt: skip
    found = map_of(table).train_ids(np.array([3, 4, 9], np.uint32))
    assert found.tolist() == [1, 2, 0]


def test_labels_and_model_must_have_the_same_classes():
    with pytest.raises(ValueError, match=r"'moving' have the classes static, moving, the model car, "):
        Reading(labels="moving").require_classes(SINGLE_SCAN.classes)


def test_unknown_labels_are_refused():
    with pytest.raises(ValueError, match=r"expected one of single-scan, .* or a \.yaml file, got 'foo'"):
        _ = Reading(labels="foo").table


@pytest.mark.slow
def test_other_voxels_than_the_networks_are_refused(under_test, tmp_path, capsys):
    assert under_test.call("fit", tmp_path, "--data.reading.sampling.voxel_m=0.25") == 2
    assert "voxel_m is 0.25, the network is for voxels of 0.5 m" in capsys.readouterr().err


@pytest.mark.slow
def test_the_clustering_loss_needs_a_projection(under_test, tmp_path, capsys):
    assert under_test.call("fit", tmp_path, "--model.cluster={}", "--model.loss.cluster=1.0") == 2
    assert "needs model.network.projection" in capsys.readouterr().err


@pytest.mark.slow
def test_test_scans_have_no_labels_to_learn_from(under_test, tmp_path, capsys):
    assert under_test.call("fit", tmp_path, "--data.train_split=test") == 2
    assert "test" in capsys.readouterr().err


@pytest.mark.slow
def test_centres_and_memory_are_resumed_bit_for_bit(under_test, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert under_test.call("fit", whole, *CLUSTER, NO_EVALUATION) == 0
    cli = under_test.build(halves, *CLUSTER, NO_EVALUATION)

    def stop() -> None:
        cli.trainer.should_stop = True

    cli.model.on_train_epoch_end = stop
    cli.trainer.fit(cli.model, cli.datamodule)
    assert under_test.call("fit", halves, *CLUSTER, NO_EVALUATION) == 0
    assert losses(whole) == losses(halves)
    one, other = (
        torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (whole, halves)
    )
    assert one.keys() == other.keys()
    assert int(one["cluster.calls"]) == 4
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert any(value.any() for value in losses_of(whole).values())


def losses_of(run) -> dict[str, np.ndarray]:
    names = ("train/point_memory", "train/point_centre")
    return {name: np.array(losses(run, name)) for name in names}


@pytest.mark.slow
def test_half_precision_trains(under_test, tmp_path):
    options = [*CLUSTER, NO_EVALUATION, "--trainer.precision=bf16-mixed", "--trainer.max_epochs=1"]
    assert under_test.call("fit", tmp_path, *options) == 0
    assert np.isfinite(losses(tmp_path)).all()


@pytest.mark.slow
def test_mixed_scans_train(under_test, tmp_path):
    options = [NO_EVALUATION, "--trainer.max_epochs=1", "--data.mixing={polar: {paste_classes: [0, 5]}}"]
    assert under_test.call("fit", tmp_path, *options) == 0
    assert np.isfinite(losses(tmp_path)).all()


@pytest.mark.slow
def test_objects_are_pasted_once_they_are_cut_out(under_test, streets, tmp_path, capsys):
    root = shutil.copytree(streets, tmp_path / "data")
    options = [
        *(NO_EVALUATION, "--trainer.max_epochs=1", f"--data.root={root}"),
        "--data.pasting={counts: {bicyclist: 1, person: 1}}",
    ]
    assert under_test.call("fit", tmp_path / "run", *options) == 2
    assert "make it with `python -m datasets3d prepare semantickitti`" in capsys.readouterr().err
    prepare_semantickitti(root, "train", progress=False)
    assert under_test.call("fit", tmp_path / "run", *options) == 0
    assert np.isfinite(losses(tmp_path / "run")).all()


@pytest.mark.slow
def test_views_are_voted_on_in_evaluation(under_test, trained, tmp_path):
    checkpoint = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    assert under_test.call("test", tmp_path, checkpoint, "--model.votes=4") == 0
    assert (tmp_path / "results.json").exists()


@pytest.mark.slow
def test_scans_without_labels_are_written_and_not_evaluated(under_test, trained, streets, tmp_path, capsys):
    root = tmp_path / "data"
    (root / "sequences").mkdir(parents=True)
    (root / "sequences/11").symlink_to(streets / "sequences/08")
    options = [
        f"--ckpt_path={trained / 'checkpoints/last.ckpt'}",
        f"--data.root={root}",
        "--data.test_split=test",
    ]
    assert under_test.call("test", tmp_path / "run", *options) == 0
    assert "not evaluated: the split has no labels" in capsys.readouterr().out
    written = sorted(path.name for path in (tmp_path / "run/predictions/sequences/11/predictions").iterdir())
    assert written == [f"{number:06d}.label" for number in range(2)]


@pytest.mark.slow
def test_a_batch_without_labels_to_learn_from_costs_nothing(under_test, tmp_path):
    cli = under_test.build(tmp_path, "--trainer.fast_dev_run=true")
    cli.trainer.strategy.connect(cli.model)
    cli.datamodule.trainer = cli.trainer
    cli.trainer.datamodule = cli.datamodule
    batch = next(iter(cli.datamodule.train_dataloader()))
    ignored = dataclasses.replace(batch, classes=torch.full_like(batch.classes, 255))
    found = cli.model.train().losses(ignored)
    assert found.total.item() == 0
    found.total.backward()
    assert not any(weight.grad.any() for weight in cli.model.parameters() if weight.grad is not None)
