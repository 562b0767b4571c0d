import zipfile
from pathlib import Path

import pytest
from cluster3dseg.__main__ import main
from datasets3d.synth import LidarConfig, SemanticKittiSynthConfig, write_semantickitti
from evaluators.semantickitti import check_submission

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def test_scans(tmp_path_factory) -> Path:
    """The eleven test sequences, of a scan each."""
    root = tmp_path_factory.mktemp("test") / "semantickitti"
    config = SemanticKittiSynthConfig(lidar=LidarConfig(azimuth_step_deg=4.0))
    numbers = {"sequences": 1, "scans_per_sequence": 1, "test_sequences": 11, "seed": 0}
    return write_semantickitti(root, **numbers, config=config, workers=1, progress=False)


@pytest.fixture
def words(trained, test_scans, tmp_path) -> list[str]:
    checkpoint = str(trained / "checkpoints/last.ckpt")
    return ["submit", "--ckpt", checkpoint, "--root", str(test_scans), "--out", str(tmp_path / "all.zip")]


def test_one_command_makes_an_archive_that_passes_the_check(words, test_scans, tmp_path, capsys):
    assert main(words) == 0
    assert "ready to hand in; labels of 11 of 11 scans read" in capsys.readouterr().out
    assert check_submission(tmp_path / "all.zip", dataset=test_scans).ok


def test_a_killed_run_goes_on_and_ends_with_the_same_archive(words, tmp_path, capsys):
    assert main(words) == 0
    whole = (tmp_path / "all.zip").read_bytes()
    for name in ("all/sequences/13/predictions/000000.label", "all.zip"):
        (tmp_path / name).unlink()
    capsys.readouterr()
    assert main(words) == 0
    assert "1 scans labelled, 11 packed" in capsys.readouterr().out
    assert (tmp_path / "all.zip").read_bytes() == whole


def test_labels_made_by_something_else_are_not_mixed_in(words, capsys):
    assert main(words) == 0
    assert main([*words, "--votes", "4"]) == 2
    assert "made by other weights, another configuration or other --votes" in capsys.readouterr().err


def test_a_truncated_archive_fails_the_check(words, test_scans, tmp_path):
    assert main(words) == 0
    archive = tmp_path / "all.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    try:
        ok = check_submission(archive, dataset=test_scans).ok
    except (ValueError, zipfile.BadZipFile):
        ok = False
    assert not ok
