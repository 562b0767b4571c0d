import json
from pathlib import Path

import pytest
from fusion3d_appkit.record import write_record

ROOT = Path(__file__).parents[3]
RECORDS = sorted([*ROOT.glob("benchmarks/results/*.json"), *ROOT.glob("experiments/results/*.json")])


@pytest.mark.slow
def test_a_record_tells_what_its_figures_depend_on(tmp_path):
    text = write_record(
        tmp_path / "new" / "r.json", {"ms": [1.5, float("nan")]}, packages=("numpy", "nothing")
    )
    content = json.loads(text)
    assert json.loads((tmp_path / "new" / "r.json").read_text()) == content
    assert list(content) == ["command", "machine", "load_at_start", "versions", "ms"]
    assert content["ms"] == [1.5, None]
    assert list(content["versions"]) == ["python", "numpy"] and content["machine"]["cores"] >= 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["r.json"]


@pytest.mark.slow
def test_an_import_name_stands_for_its_distribution(tmp_path):
    content = json.loads(write_record(tmp_path / "r.json", {}, packages=("PIL", "evaluators")))
    assert {"PIL", "evaluators"} < set(content["versions"])


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_record_of_the_repository_has_the_common_form(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content["machine"]) == ["processor", "cores", "system"]
    for run in content["runs"].values() if "command" not in content else [content]:
        assert run["command"].split()[0] in ("python", "make") and "python" in run["versions"]
        script = ROOT / run["command"].split()[1]
        assert run["command"].startswith("make") or script.exists(), f"{script} is gone"
