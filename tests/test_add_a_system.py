"""The page that adds a system does what it says: its code is run as it stands."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
from datasets3d.synth import CameraConfig, LidarConfig, SynthConfig, write_kitti

PAGE = Path(__file__).parents[1] / "docs" / "add_a_system.md"
FILES = dict(
    re.findall(r'```python title="(\S+)"\n(.*?)```', PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
)
MOST_LINES_OF_AN_APP = 150


def code_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


def test_an_app_is_small():
    app = sum(code_lines(text) for name, text in FILES.items() if name != "centres/model.py")
    assert len(FILES) == 5 and 0 < app < MOST_LINES_OF_AN_APP


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_system_of_the_page_trains_and_is_scored(tmp_path, monkeypatch, capsys):
    for name, text in FILES.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "package" / "centres" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "package")
    config = SynthConfig(
        camera=CameraConfig(width=207, height=62, shadows=False), lidar=LidarConfig(azimuth_step_deg=0.7)
    )
    root = write_kitti(tmp_path / "kitti", frames=6, seed=3, config=config, workers=1, progress=False)
    program = importlib.import_module("centres.__main__").PROGRAM
    run = tmp_path / "run"
    words = [f"--data.root={root}", f"--trainer.default_root_dir={run}", "--trainer.accelerator=cpu"]

    assert program.main(["fit", *words, "--trainer.max_epochs=8", "--trainer.log_every_n_steps=1"]) == 0
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [entry["train/loss"] for entry in log if "train/loss" in entry]
    assert losses[-1] < 0.5 * losses[0]

    assert program.main(["test", *words, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Looser overlaps" in page and "Training loss" in page
    assert program.main(["fit", *words, "--trainer.max_epochs=8"]) == 0  # nothing is left to do
    with pytest.raises(SystemExit):
        program.main(["fit", *words, "--model.network.chanels=8"])
    assert "did you mean model.network.channels" in capsys.readouterr().err
    for name in [name for name in sys.modules if name.partition(".")[0] == "centres"]:
        monkeypatch.delitem(sys.modules, name)
