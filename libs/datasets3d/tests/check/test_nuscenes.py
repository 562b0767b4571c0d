import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets3d.__main__ import main
from datasets3d.check.nuscenes import check_nuscenes, find_versions
from datasets3d.nuscenes import NuscenesDataset, write_radar
from datasets3d.nuscenes.tables import TABLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image


def test_a_whole_tree_has_nothing_wrong(tiny_nuscenes: Path) -> None:
    report = check_nuscenes(tiny_nuscenes)
    assert report.problems() == []
    assert report.ok
    (version,) = report.versions
    assert version.counts["sample_data"] == 5 * (6 + 6 * 3)
    assert {c.channel: (c.files, c.key_files) for c in version.channels}["RADAR_FRONT"] == (15, 5)
    assert [note.partition(":")[0] for note in report.notes()] == ["no masks in seg_mask/"]
    text = report.table()
    assert "v1.0-mini: 2 scenes, 5 key frames, 5 boxes" in text
    assert text.endswith("nothing wrong")


def test_masks_are_a_remark(tiny_nuscenes: Path) -> None:
    pictures = sorted((tiny_nuscenes / "samples/CAM_FRONT").iterdir())
    (tiny_nuscenes / "seg_mask").mkdir()
    for path in pictures[:3]:
        (tiny_nuscenes / "seg_mask" / f"{path.stem}.png").touch()
    report = check_nuscenes(tiny_nuscenes)
    assert report.ok
    assert report.notes() == ["2 of 5 key pictures of CAM_FRONT have no mask in seg_mask/"]


def test_missing_tables_are_named(tiny_nuscenes: Path) -> None:
    for name in ("ego_pose", "visibility"):
        (tiny_nuscenes / f"v1.0-mini/{name}.json").unlink()
    problems = check_nuscenes(tiny_nuscenes).problems()
    assert len(problems) == 2
    assert "no table" in problems[0]
    assert problems[0].partition("ego_pose.json")[1]
    assert problems[1].partition("visibility.json")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "token", "field", "value", "target"),
    [
        ("sample_data", "scene-0061/0/CAM_FRONT/0", "ego_pose_token", "x", "ego_pose"),
        ("sample_data", "scene-0061/0/CAM_FRONT/0", "calibrated_sensor_token", None, "calibrated_sensor"),
        ("sample_annotation", "scene-0061/0/box", "sample_token", ["scene-0061/0"], "sample"),
        ("sample_data", "scene-0061/1/RADAR_FRONT/0", "prev", "x", "sample_data"),
        ("sample", "scene-0061/0", "scene_token", "", "scene"),
        ("scene", "scene-0061", "first_sample_token", "x", "sample"),
        ("sample_annotation", "scene-0061/0/box", "instance_token", 7, "instance"),
        ("sample_annotation", "scene-0061/0/box", "attribute_tokens", ["parked", "x"], "attribute"),
        ("sample_annotation", "scene-0061/0/box", "attribute_tokens", [["x"]], "attribute"),
        ("instance", "scene-0061/0/car", "category_token", "x", "category"),
        ("calibrated_sensor", "mount-CAM_FRONT", "sensor_token", "x", "sensor"),
        ("map", "map", "log_tokens", ["x"], "log"),
    ],
)
def test_dangling_tokens_are_named(
    tree: Any, table: str, token: str, field: str, value: Any, target: str
) -> None:
    tree.row(table, token)[field] = value
    problems = check_nuscenes(tree.write()).problems()
    assert len(problems) == 1
    assert (
        f"{table}.json: 1 {field} lead nowhere in {target}.json (first: {table} '{token}' has" in problems[0]
    )


def test_tokens_that_occur_twice_are_named(tree: Any) -> None:
    tree.tables["category"].append({"token": "car", "name": "again"})
    (problem,) = check_nuscenes(tree.write()).problems()
    assert "category.json: two records have token 'car'" in problem


def test_damaged_tables_are_named(tiny_nuscenes: Path) -> None:
    (tiny_nuscenes / "v1.0-mini/sample_data.json").write_text('[{"token": ')
    (problem,) = check_nuscenes(tiny_nuscenes).problems()
    assert "sample_data.json is no JSON list of records" in problem


def test_damaged_and_absent_files_are_named(tiny_nuscenes: Path) -> None:
    radars = sorted(tiny_nuscenes.glob("sweeps/RADAR_FRONT/*"))
    radars[0].write_bytes(radars[0].read_bytes()[:450])
    radars[1].write_bytes(radars[1].read_bytes().replace(b"WIDTH 3", b"WIDTH 0"))
    write_radar(radars[2], np.zeros((0, 18), np.float32))
    for path in tiny_nuscenes.glob("sweeps/LIDAR_TOP/*"):
        path.unlink()
    lidars = sorted(tiny_nuscenes.glob("samples/LIDAR_TOP/*"))
    lidars[0].write_bytes(bytes(61))
    Image.new("RGB", (32, 36)).save(next(tiny_nuscenes.glob("samples/CAM_BACK/*")))
    report = check_nuscenes(tiny_nuscenes)
    assert not report.ok
    found = {c.channel: (c.absent, c.damaged) for c in report.versions[0].channels if c.problems}
    assert found == {"CAM_BACK": (0, 1), "LIDAR_TOP": (10, 1), "RADAR_FRONT": (0, 2)}
    text = "\n".join(report.problems())
    for part in (
        "has 32x36 pixels, the tables say 64x36",
        "LIDAR_TOP: files are absent; unpack its archive; first: ",
        "has 61 bytes, not a multiple of 20",
        "is cut short: 3 returns of 43 bytes need",
        "has WIDTH 0",
    ):
        assert part in text
    assert len(report.problems()) == 5


@pytest.mark.slow
def test_many_damaged_files_are_counted(tiny_nuscenes: Path) -> None:
    for path in tiny_nuscenes.glob("s*/RADAR_FRONT/*"):
        path.write_bytes(b"nothing")
    problems = check_nuscenes(tiny_nuscenes).problems()
    assert len(problems) == 6
    assert problems[-1] == "RADAR_FRONT: 10 more files are damaged"


def test_one_split_only(tiny_nuscenes: Path) -> None:
    for path in tiny_nuscenes.glob("s*/*/scene-0103*"):
        path.unlink()
    assert not check_nuscenes(tiny_nuscenes).ok
    report = check_nuscenes(tiny_nuscenes, split=["scene-0061"])
    assert report.ok
    assert {c.key_files for c in report.versions[0].channels} == {2}


def test_the_test_split_is_a_remark(tree: Any) -> None:
    tree.tables["sample_annotation"].clear()
    tree.tables["instance"].clear()
    report = check_nuscenes(tree.write())
    assert report.ok
    assert "v1.0-mini has no boxes, as the test split: there is nothing to train on" in report.notes()


def test_the_layout_is_recognised(tiny_nuscenes: Path, tmp_path: Path) -> None:
    assert find_versions(tiny_nuscenes) == ["v1.0-mini"]
    assert find_versions(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="no folder with tables under"):
        check_nuscenes(tmp_path / "sweeps")


@pytest.mark.slow
def test_the_command_line(tiny_nuscenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tiny_nuscenes)]) == 0
    assert "nothing wrong" in capsys.readouterr().out
    next(tiny_nuscenes.glob("sweeps/RADAR_FRONT/*")).unlink()
    assert main(["check", str(tiny_nuscenes), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["versions"][0]["counts"]["sample"] == 5


def test_what_the_loader_needs_of_key_frames_is_read(tree: Any) -> None:
    files = [row for row in tree.tables["sample_data"] if row["is_key_frame"]]
    first = {row["token"].split("/")[2]: tree.root / row["filename"] for row in files}
    lidar = np.fromfile(first["LIDAR_TOP"], "<f4").reshape(-1, 5)
    lidar[1, 0] = np.nan
    lidar.tofile(first["LIDAR_TOP"])
    first["CAM_FRONT"].write_bytes(first["CAM_FRONT"].read_bytes()[:-200])
    text = "\n".join(check_nuscenes(tree.write()).problems())
    assert "1 of 3 points hold NaN" in text
    assert "is no readable picture" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.tables["sample_data"].pop(0), "no key frame of CAM_FRONT for sample"),
        (lambda tree: tree.row("ego_pose", "scene-0061/0/CAM_FRONT/0").pop("rotation"), "has no rotation"),
        (lambda tree: tree.row("sample", "scene-0061/0").update(timestamp="x"), "timestamp of sample"),
        (
            lambda tree: tree.row("calibrated_sensor", "mount-CAM_BACK").update(camera_intrinsic=[]),
            "3 rows of 3",
        ),
        (lambda tree: tree.row("sample_annotation", "scene-0061/0/box").update(size=[1]), "3 finite numbers"),
    ],
)
def test_tables_that_the_loader_refuses_are_named(
    tree: Any, change: Callable[[Any], Any], message: str
) -> None:
    change(tree)
    for row in tree.tables["sample_data"][:1]:
        row["prev"] = ""
    (problem,) = check_nuscenes(tree.write()).problems()
    assert message in problem


@pytest.mark.slow
def test_a_split_is_checked_in_the_versions_that_have_it(tiny_nuscenes: Path) -> None:
    shutil.copytree(tiny_nuscenes / "v1.0-mini", tiny_nuscenes / "v1.0-other")
    scenes = json.loads((tiny_nuscenes / "v1.0-other/scene.json").read_text())
    for scene in scenes:
        scene["name"] = f"other-{scene['name']}"
    (tiny_nuscenes / "v1.0-other/scene.json").write_text(json.dumps(scenes))
    report = check_nuscenes(tiny_nuscenes, split=["scene-0061"])
    assert [version.version for version in report.versions] == ["v1.0-mini"]
    with pytest.raises(ValueError, match="scenes of the split are not in"):
        check_nuscenes(tiny_nuscenes, split=["nowhere"])


VALUES = [None, "", "x", -1, 0, 1e300, float("nan"), True, [], ["x"], {}, [0.0, 0.0, 0.0, 0.0]]


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.sampled_from(TABLES), pick=st.integers(0, 1000), value=st.sampled_from([*VALUES, "gone"]))
def test_what_the_loader_refuses_of_the_tables_is_reported(
    tree: Any, table: str, pick: int, value: Any
) -> None:
    rows = copy.deepcopy(tree.tables)
    try:
        row = tree.tables[table][pick % len(tree.tables[table])]
        name = sorted(row)[pick % len(row)]
        row[name] = value
        if value == "gone":
            del row[name]
        root = tree.write()
        report = check_nuscenes(root)
        named = report.problems() or any("has no files of" in note for note in report.notes())
        assert named or not refuses(root), (table, name, value)
    finally:
        tree.tables = rows


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pick=st.integers(0, 1000),
    kind=st.sampled_from(["gone", "cut", "flipped", "text"]),
    at=st.floats(0, 0.999),
)
def test_what_the_loader_refuses_of_the_files_is_reported_and_the_other_way_round(
    tiny_nuscenes: Path, pick: int, kind: str, at: float
) -> None:
    files = sorted(path for path in tiny_nuscenes.glob("samples/*/*") if path.is_file())
    path = files[pick % len(files)]
    content = path.read_bytes()
    place = int(at * len(content))
    damaged = {
        "cut": content[:place],
        "flipped": content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :],
        "text": b"Not found\n",
    }
    try:
        path.unlink() if kind == "gone" else path.write_bytes(damaged[kind])
        assert check_nuscenes(tiny_nuscenes).ok != refuses(tiny_nuscenes)
    finally:
        path.write_bytes(content)


def refuses(root: Path) -> bool:
    try:
        for _ in NuscenesDataset(root, "v1.0-mini"):
            pass
    except (OSError, ValueError):
        return True
    return False


@pytest.mark.real_data
def test_the_real_key_frame_has_nothing_wrong(real_nuscenes: Path) -> None:
    report = check_nuscenes(real_nuscenes)
    assert report.ok, report.problems()
    assert len(report.versions[0].channels) == 7
