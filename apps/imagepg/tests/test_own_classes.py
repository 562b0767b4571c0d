import json
import re
import shutil
from pathlib import Path

import pytest
from datasets3d.__main__ import main as datasets3d_main
from evaluators._cli import main as evaluators_main
from fusion3d_appkit.testing import NO_EVALUATION, losses, message_of
from imagepg.__main__ import main

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers, intervals and loggers

DOCUMENT = Path(__file__).parents[3] / "docs" / "own_data.md"


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    """The YAML that the documentation shows."""
    path = tmp_path_factory.mktemp("classes") / "classes.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1])
    return path


@pytest.fixture(scope="module")
def zoo(street, tmp_path_factory) -> Path:
    """The street with cars called Bus and pedestrians called Dog, prepared as the documentation says."""
    root = tmp_path_factory.mktemp("zoo") / "kitti"
    shutil.copytree(street, root, ignore=shutil.ignore_patterns("object_shapes"))
    for path in (root / "training/label_2").iterdir():
        text = re.sub(r"(?m)^Car\b", "Bus", path.read_text())
        path.write_text(re.sub(r"(?m)^Pedestrian\b", "Dog", text))
    assert datasets3d_main(["prepare", "kitti", "--root", str(root)]) == 0
    return root


@pytest.fixture(scope="module")
def run(under_test, zoo, classes, tmp_path_factory) -> Path:
    """The folder of a finished training of two classes that KITTI does not have."""
    folder = tmp_path_factory.mktemp("own")
    pasted = "--data.training.sampling.counts={Bus: 3, Horse: 2}"
    options = [f"--config={classes}", f"--data.root={zoo}", "--trainer.max_epochs=1", pasted]
    assert under_test.call("fit", folder, *options) == 0
    return folder


def again(config, folder) -> list[str]:
    """Return the options of another run by the configuration of the first, in a folder of its own."""
    return [f"--config={config}", f"--trainer.default_root_dir={folder}", "--data.training.sampling=null"]


def detect(run, street, out, *options) -> int:
    folder, frame = street / "training", "000001"
    files = [f"--points={folder}/velodyne/{frame}.bin", f"--calib={folder}/calib/{frame}.txt"]
    files += [f"--image={folder}/image_2/{frame}.png", f"--out={out}", "--min_score=0"]
    return main(["predict", f"--ckpt={run / 'checkpoints/last.ckpt'}", *files, *options])


def other_order(run, folder) -> Path:
    """The configuration of the run with its classes in another order."""
    text = (run / "config.yaml").read_text()
    swapped = (
        text.replace("name: Bus", "name: ?").replace("name: Dog", "name: Bus").replace("name: ?", "name: Dog")
    )
    assert swapped != text
    path = folder / "swapped.yaml"
    path.write_text(swapped)
    return path


@pytest.mark.slow
def test_two_classes_that_kitti_does_not_have_are_trained_and_scored(
    under_test, zoo, classes, run, tmp_path, capsys
):
    assert len(losses(run)) == 2
    options = [f"--config={classes}", f"--data.root={zoo}", f"--ckpt_path={run / 'checkpoints/last.ckpt'}"]
    # Every proposal is a detection, so that both classes are evaluated.
    every = "--model.detector.post={score_threshold: 0.0, class_thresholds: [0.0, 0.0]}"
    assert under_test.call("test", tmp_path, *options, every) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    for name, bus, dog in (("strict", 0.7, 0.5), ("loose", 0.5, 0.25)):
        found = results[name]["classes"]
        assert {key: part["min_overlap"]["3d"] for key, part in found.items()} == {"Bus": bus, "Dog": dog}
    names = {line.split()[0] for path in (tmp_path / "detections").iterdir() for line in path.open()}
    assert names <= {"Bus", "Dog"} and names
    for name in names:
        assert f"val_strict/{name}_3d_moderate" in (tmp_path / "metrics.jsonl").read_text()

    # The evaluator's command says the same of the files.
    (tmp_path / "val.txt").write_text((zoo / "ImageSets/val.txt").read_text())
    words = [f"--gt={zoo / 'training/label_2'}", f"--pred={tmp_path / 'detections'}"]
    words += [f"--frames={tmp_path / 'val.txt'}", f"--json={tmp_path / 'again.json'}"]
    assert evaluators_main(["kitti", *words, "--score-classes", "Bus=0.7", "Dog"]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["strict"]["results"] == results["strict"]["results"]


def test_own_classes_get_complete_surfaces(zoo):
    labels = [line.split()[0] for path in (zoo / "training/label_2").iterdir() for line in path.open()]
    assert "Bus" in labels and "Car" not in labels
    recipe = json.loads((zoo / "training/object_shapes/recipe.json").read_text())
    assert "Bus" in recipe["parameters"]
    assert list((zoo / "training/object_shapes").glob("*.npy"))


@pytest.mark.slow
def test_the_names_of_detections_are_those_of_the_checkpoint(run, street, tmp_path):
    assert detect(run, street, tmp_path / "out") == 0
    names = {line.split()[0] for line in (tmp_path / "out/000001.txt").open()}
    assert names <= {"Bus", "Dog"}


@pytest.mark.slow
def test_classes_in_another_order_than_the_weights_are_refused(under_test, run, street, tmp_path, capsys):
    swapped = other_order(run, tmp_path)
    wrong = "made for the classes Bus, Dog, in this order, but the configuration has Dog, Bus"
    assert detect(run, street, tmp_path / "out", f"--config={swapped}") == 2
    assert wrong in message_of("imagepg", capsys)
    for name in ("checkpoints/last.ckpt", "model.safetensors"):
        options = [*again(swapped, tmp_path / "test"), f"--ckpt_path={run / name}"]
        assert under_test.call("test", tmp_path / "test", *options) == 2
        assert wrong in message_of("imagepg", capsys)
    copy = shutil.copytree(run, tmp_path / "copy")
    assert under_test.call("fit", copy, *again(swapped, copy), "--trainer.max_epochs=2") == 2
    assert wrong in message_of("imagepg", capsys)


@pytest.mark.slow
def test_labels_without_any_of_the_classes_are_nothing_to_learn_from(
    under_test, street, classes, tmp_path, capsys
):
    options = [f"--config={classes}", f"--data.root={street}"]
    assert under_test.call("fit", tmp_path, *options) == 2
    message = message_of("imagepg", capsys)
    assert "nothing to learn from: the labels of split 'train'" in message
    assert "the model's classes are Bus, Dog" in message
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_labels_without_any_of_the_classes_are_nothing_to_score(
    under_test, zoo, run, street, tmp_path, capsys
):
    root = shutil.copytree(street, tmp_path / "kitti")
    for frame in (root / "ImageSets/train.txt").read_text().split():
        shutil.copy(zoo / f"training/label_2/{frame}.txt", root / "training/label_2")
    (root / "recipe.json").unlink()  # the targets are meant for these labels, too
    options = [*again(run / "config.yaml", tmp_path / "run"), f"--data.root={root}"]
    for command in ("fit", "test"):
        assert under_test.call(command, tmp_path / "run", *options) == 2
        assert "nothing to score: the labels of split 'val'" in message_of("imagepg", capsys)
    assert under_test.call("fit", tmp_path / "run", *options, "--trainer.max_epochs=1", NO_EVALUATION) == 0


@pytest.mark.slow
def test_a_class_that_the_labels_lack_is_named(under_test, run, tmp_path, capfd):
    text = (run / "config.yaml").read_text()
    config = tmp_path / "three.yaml"
    config.write_text(text.replace("name: Dog", "name: Horse"))
    options = [*again(config, tmp_path / "run"), "--trainer.max_epochs=1", NO_EVALUATION]
    assert under_test.call("fit", tmp_path / "run", *options) == 0
    assert "no Horse to learn from: the labels of split 'train'" in capfd.readouterr().out


@pytest.mark.slow
def test_an_overlap_for_a_class_that_the_model_lacks_is_refused(under_test, tmp_path, capsys):
    assert under_test.call("fit", tmp_path, "--model.min_overlaps={bus: 0.5}") == 2
    assert "min_overlaps names bus, which is not among the classes Car" in message_of("imagepg", capsys)


@pytest.mark.slow
def test_a_class_is_listed_once(under_test, tmp_path, capsys):
    one = "{name: Car, size: [4, 2, 2], bottom_z: -1.7, matched_iou: 0.6, unmatched_iou: 0.45}"
    twice = f"--model.detector.anchors.classes=[{one}, {one}, {one}]"
    assert under_test.call("fit", tmp_path, twice) == 2
    assert "each once" in message_of("imagepg", capsys)
