import shutil
import subprocess
import sys

import pytest
from imagepg.__main__ import COMMANDS, main

# Lightning calls jsonargparse in ways that the newest jsonargparse deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["demo", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys, imagepg.__main__ as app\n"
        f"try: app.main({arguments})\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'timm', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_unknown_command_names_the_nearest(capsys):
    assert main(["tain"]) == 2
    assert "Commands: fit, validate, test, predict, demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("--data.batch_sise=3", "data.batch_size"),
        ("--model.detector.voxles.size=[1,1,1]", "model.detector.voxels.size"),
        ("--trainer.precison=32", "trainer.precision"),
    ],
)
def test_unknown_option_names_the_nearest(words, option, nearest, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", *words, option])
    assert stop.value.code == 2
    assert f"did you mean {nearest}" in capsys.readouterr().err


def test_unknown_key_in_the_file_names_the_nearest(tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text("data: {root: x}\nmodel: {detector: {roi: {targets: {rois_per_fram: 3}}}}\n")
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(config)])
    assert "did you mean model.detector.roi.targets.rois_per_frame" in capsys.readouterr().err


def message_of(capsys) -> str:
    """What the program says at the end, after the trainer's own lines."""
    error = capsys.readouterr().err
    message = error[error.index("imagepg: ") :]
    assert "Traceback" not in message
    return message


def test_a_wrong_root_is_one_line(words, tmp_path, capsys):
    assert main(["fit", *words, f"--data.root={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere" in message_of(capsys)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("folder", ["image_2", "velodyne", "calib"])
def test_a_frame_without_a_file_is_named(words, street, tmp_path, capsys, folder, workers):
    root = shutil.copytree(street, tmp_path / "kitti")
    for file in (root / "training" / folder).iterdir():
        file.unlink()
    assert main(["fit", *words, f"--data.root={root}", f"--data.workers={workers}"]) == 2
    error = message_of(capsys)
    assert f"{folder}/" in error


def test_missing_dense_targets_are_one_line_with_the_cure(words, street, tmp_path, capsys):
    root = shutil.copytree(street, tmp_path / "kitti")
    shutil.rmtree(root / "training" / "object_shapes")
    assert main(["fit", *words, f"--data.root={root}"]) == 2
    assert "datasets3d complete kitti" in message_of(capsys)


def test_the_examples_of_the_help_have_a_line_each(capsys):
    main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    commands = [line.split()[1] for line in lines if line.startswith("  imagepg ")]
    assert commands == ["demo", "fit", "test", "test", "predict"]


def test_a_corrupt_checkpoint_is_named_before_any_work(words, tmp_path, capsys):
    checkpoint = tmp_path / "broken.ckpt"
    checkpoint.write_bytes(b"PK\x03\x04 not really")
    assert main(["test", *words, f"--ckpt_path={checkpoint}"]) == 2
    assert "broken.ckpt: cannot be read" in capsys.readouterr().err
