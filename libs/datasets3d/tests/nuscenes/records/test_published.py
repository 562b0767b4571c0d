import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets3d.nuscenes import (
    CAMERAS,
    LIDAR,
    RADARS,
    build_records,
    read_published_infos,
    write_published_infos,
)

GOLDEN = Path(__file__).parents[2] / "golden/sparse_beats_dense/data_infos.json"


def saved(folder: Path, content: bytes) -> Path:
    (folder / "infos.pkl").write_bytes(content)
    return folder / "infos.pkl"


def test_the_golden_infos_are_read() -> None:
    first, second = read_published_infos(GOLDEN)
    camera, radar, lidar = (first.key(c) for c in ("CAM_FRONT", "RADAR_FRONT", "LIDAR_TOP"))
    assert first.token == "synthetic_31_0"
    assert camera.filename == "samples/CAM_FRONT/synthetic_31_0.jpg"
    assert radar.filename == "samples/RADAR_FRONT/synthetic_31_0.pcd"
    assert radar.calibration.translation == (3.41, 0.0, 0.5)
    assert radar.ego_pose.translation == (739.3156079973209, 890.7829820530133, 0.0)
    assert camera.ego_pose.rotation == (0.13102795667188422, 0.0, 0.0, 0.991378673651189)
    assert camera.intrinsic is not None
    assert camera.intrinsic[0] == (316.6043, 0.0, 204.06675000000004)
    assert lidar.intrinsic is None
    assert camera.size_wh is None
    assert (first.timestamp_us, first.scene_token, camera.token) == (0, "", "")
    assert second.token == "synthetic_31_1"


def test_what_is_written_is_read(tiny_nuscenes: Path, tmp_path: Path) -> None:
    records = build_records(tiny_nuscenes, version="v1.0-mini", channels=(*CAMERAS, LIDAR, *RADARS))
    path = tmp_path / "infos.json"
    write_published_infos(path, records)
    assert read_published_infos(path) == records
    infos = json.loads(path.read_text())
    sweeps = infos[1]["radar_infos"]["RADAR_FRONT"]
    assert [sweep["time_lag"] for sweep in sweeps] == pytest.approx([0, 0.08, 0.16, 0.5, 0.58])
    assert read_published_infos(saved(tmp_path, pickle.dumps(infos, protocol=2))) == records


def as_numpy(info: Any) -> Any:
    """What info files made by way of arrays hold: arrays for lists of numbers, scalars for numbers."""
    if isinstance(info, dict):
        return {key: as_numpy(value) for key, value in info.items()}
    if isinstance(info, list):
        try:
            return np.array(info, np.float64)
        except (TypeError, ValueError):
            return [as_numpy(value) for value in info]
    if isinstance(info, int):
        return np.int64(info)
    return info


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_with_arrays_are_read(tiny_nuscenes: Path, tmp_path: Path, protocol: int) -> None:
    records = build_records(tiny_nuscenes, version="v1.0-mini")
    write_published_infos(tmp_path / "infos.json", records)
    infos = [as_numpy(info) for info in json.loads((tmp_path / "infos.json").read_text())]
    assert isinstance(infos[0]["timestamp"], np.int64)
    assert isinstance(infos[0]["cam_infos"]["CAM_FRONT"]["ego_pose"]["rotation"], np.ndarray)
    assert read_published_infos(saved(tmp_path, pickle.dumps(infos, protocol=protocol))) == records


def test_a_pickle_written_under_numpy_1_is_read(tmp_path: Path) -> None:
    infos = json.loads(GOLDEN.read_text())
    infos[0]["cam_infos"]["CAM_FRONT"]["ego_pose"]["translation"] = np.array([1.0, 2.0, 3.0])
    infos[0]["cam_infos"]["CAM_FRONT"]["timestamp"] = np.float64(17.0)
    content = pickle.dumps(infos, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray\nscalar" in content
    camera = read_published_infos(saved(tmp_path, content))[0].key("CAM_FRONT")
    assert camera.ego_pose.translation == (1.0, 2.0, 3.0)
    assert camera.timestamp_us == 17


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("samples/CAM_FRONT/a.jpg", "samples/CAM_FRONT/a.jpg"),
        ("data/nuscenes/samples/CAM_FRONT/a.jpg", "samples/CAM_FRONT/a.jpg"),
        ("/disk/me/samples/nuscenes/sweeps/CAM_FRONT/a.jpg", "sweeps/CAM_FRONT/a.jpg"),
        ("D:\\nuscenes\\samples\\CAM_FRONT\\a.jpg", "samples/CAM_FRONT/a.jpg"),
    ],
)
def test_file_names_are_cut(tmp_path: Path, filename: str, expected: str) -> None:
    infos = json.loads(GOLDEN.read_text())
    infos[0]["cam_infos"]["CAM_FRONT"]["filename"] = filename
    (tmp_path / "a.json").write_text(json.dumps(infos))
    assert read_published_infos(tmp_path / "a.json")[0].key("CAM_FRONT").filename == expected


def test_both_spellings_for_every_sensor(tmp_path: Path) -> None:
    infos = json.loads(GOLDEN.read_text())
    expected = read_published_infos(GOLDEN)
    for info in infos:
        lidar, radar = info["lidar_infos"]["LIDAR_TOP"], info["radar_infos"]["RADAR_FRONT"][0]
        for short, long in (("calibrated_sensor", "sensor2ego"), ("ego_pose", "ego2global")):
            pose = lidar.pop(short)
            lidar |= {f"{long}_{part}": pose[part] for part in ("translation", "rotation")}
            radar[short] = {part: radar.pop(f"{long}_{part}") for part in ("translation", "rotation")}
    (tmp_path / "a.json").write_text(json.dumps(infos))
    assert read_published_infos(tmp_path / "a.json") == expected


def _without(*keys: str) -> Any:
    def change(info: Any) -> None:
        for key in keys[:-1]:
            info = info[key]
        del info[keys[-1]]

    return change


def _with(value: Any, *keys: str) -> Any:
    def change(info: Any) -> None:
        for key in keys[:-1]:
            info = info[key]
        info[keys[-1]] = value

    return change


CAMERA = ("cam_infos", "CAM_FRONT")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _without(*CAMERA, "ego_pose"),
            "CAM_FRONT: ego2global_translation and ego2global_rotation must be 3 and",
        ),
        (_without(*CAMERA, "calibrated_sensor"), "CAM_FRONT: sensor2ego_translation and sensor2ego_rotation"),
        (_without(*CAMERA, "filename"), "CAM_FRONT: expected a file name with samples/ or sweeps/, got ''"),
        (_with("a.jpg", *CAMERA, "filename"), "CAM_FRONT: expected a file name with .*got 'a.jpg'"),
        (_with("samples/../../a", *CAMERA, "filename"), "CAM_FRONT: expected a file name"),
        (_with(3, *CAMERA, "filename"), "filename must be text, got int"),
        (_with([1, 2], *CAMERA, "ego_pose"), "CAM_FRONT: ego_pose must be a dictionary, got list"),
        (_with([0, 0, 0, 0], *CAMERA, "ego_pose", "rotation"), r"CAM_FRONT: ego_pose\.translation and"),
        (
            _with([[1, 0], [0, 1]], *CAMERA, "calibrated_sensor", "camera_intrinsic"),
            "camera_intrinsic must be 3",
        ),
        (_without(*CAMERA, "calibrated_sensor", "camera_intrinsic"), "camera_intrinsic must be 3 rows"),
        (_with(None, "cam_infos"), "cam_infos must be a dictionary, got NoneType"),
        (_with({}, "radar_infos", "RADAR_FRONT"), "RADAR_FRONT must be a list of sweeps with at least one"),
        (_with([], "radar_infos", "RADAR_FRONT"), "RADAR_FRONT must be a list of sweeps with at least one"),
        (_with(1.5, "timestamp"), "timestamp must be a whole number"),
        (lambda info: info.clear(), "none of cam_infos, lidar_infos, radar_infos names a sensor"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: Any, message: str) -> None:
    infos = json.loads(GOLDEN.read_text())
    change(infos[1])
    path = saved(tmp_path, pickle.dumps(infos))
    with pytest.raises(ValueError, match=rf"infos\.pkl: key frame 1: .*{message}"):
        read_published_infos(path)


class Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "payload",
    [
        Runs(os.mkdir, "executed"),
        Runs(eval, "__import__('os').mkdir('executed')"),
        Runs(np.load, "x", None, True),
    ],
    ids=lambda payload: payload.call[0].__name__,
)
def test_nothing_is_executed(
    tmp_path: Path, payload: Runs, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"infos\.pkl is no pickled info file \(it names .*prepare nuscenes"):
        read_published_infos(saved(tmp_path, pickle.dumps([payload], protocol=protocol)))
    assert not (tmp_path / "executed").exists()


def test_quaternion_objects_are_refused(tmp_path: Path) -> None:
    content = b"]cpyquaternion.quaternion\nQuaternion\n)Ra."
    with pytest.raises(ValueError, match=r"it names pyquaternion\.quaternion\.Quaternion"):
        read_published_infos(saved(tmp_path, content))


NUMBERS = pickle.dumps([{"timestamp": np.zeros(3)}], protocol=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pickle exhausted"),
        (NUMBERS[:-20], "pickle exhausted|not enough data|expected"),
        (b"no pickle", "opcode|instruction"),
        (pickle.dumps({"a": 1}), "expected a list, got dict"),
        (pickle.dumps([3]), "key frame 0: it must be a dictionary, got int"),
        (pickle.dumps([{1, 2}]), "instruction EMPTY_SET"),
        (pickle.dumps([{"timestamp": np.array([None])}]), "key frame 0: .*none of cam_infos"),
        (b"Nr" + struct.pack("<I", 2**31 - 1) + b".", "it remembers more than it holds"),
        (b"N" + b"2\x86" * 150 + b".", "instruction DUP"),
        (b"Pweird\n.", "instruction PERSID"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"]}]Nsa.", "unhashable"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s)infos\.pkl.*({message})"):
        read_published_infos(saved(tmp_path, content))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([None, 1]), "it holds an array of other than numbers"),
        (np.array(["a"]), "it holds an array of other than numbers"),
        (np.zeros((1, 1, 1, 1, 1)), "it holds an array without a shape"),
    ],
)
def test_arrays_of_anything_else_are_refused(tmp_path: Path, value: Any, message: str) -> None:
    infos = json.loads(GOLDEN.read_text())
    infos[0]["cam_infos"]["CAM_FRONT"]["ego_pose"]["translation"] = value
    with pytest.raises(ValueError, match=rf"infos\.pkl: key frame 0: {message}"):
        read_published_infos(saved(tmp_path, pickle.dumps(infos, protocol=2)))


def test_an_array_cut_short_is_refused(tmp_path: Path) -> None:
    infos = json.loads(GOLDEN.read_text())
    infos[0]["cam_infos"]["CAM_FRONT"]["ego_pose"]["translation"] = np.zeros((1, 3))
    content = pickle.dumps(infos, protocol=2)
    assert content.count(b"K\x01K\x03\x86") == 1
    with pytest.raises(ValueError, match="it holds an array whose bytes do not fit its shape"):
        read_published_infos(
            saved(tmp_path, content.replace(b"K\x01K\x03\x86", b"J\xff\xff\xff\x7fK\x03\x86"))
        )


def test_a_bar_is_shown_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, pickle.dumps(json.loads(GOLDEN.read_text())))
    read_published_infos(path)
    assert capsys.readouterr().err == ""
    read_published_infos(path, progress=True)
    assert "infos.pkl" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no info file .*a\.pkl"):
        read_published_infos(tmp_path / "a.pkl")
