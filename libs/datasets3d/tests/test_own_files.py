"""Files that this library writes fail as cleanly as foreign ones when they come back damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets3d import _atomic
from datasets3d.database import ObjectDatabase
from datasets3d.depth.accumulation import _is_finished
from datasets3d.nuscenes import build_records, read_records, write_records
from datasets3d.nuscenes.splits import split_scenes
from datasets3d.prepare import SplitStatistics, cut_objects, prepare_semantickitti
from datasets3d.segmentation import InstanceStore
from datasets3d.surfaces import ObjectShapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Own = tuple[Path, Callable[[], object]]
"""A file of ours, and what reads it."""


@pytest.fixture
def index(tiny_root: Path) -> Own:
    folder = cut_objects(tiny_root, "train", progress=False).folder
    return folder / "index.json", lambda: ObjectDatabase.read(folder)


@pytest.fixture
def points(tiny_root: Path) -> Own:
    database = cut_objects(tiny_root, "train", progress=False)
    entry = database.entries[0]
    return database.folder / f"{entry.stem}.bin", lambda: database.points(entry)


@pytest.fixture
def shape(tmp_path: Path) -> Own:
    np.save(tmp_path / "000000_0.npy", np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32))
    return tmp_path / "000000_0.npy", lambda: ObjectShapes((tmp_path,)).load("000000_0")


@pytest.fixture
def records(tiny_nuscenes: Path, tmp_path: Path) -> Own:
    write_records(tmp_path / "a.json", build_records(tiny_nuscenes, version="v1.0-mini"))
    return tmp_path / "a.json", lambda: read_records(tmp_path / "a.json")


@pytest.fixture
def marker(tmp_path: Path) -> Own:
    (tmp_path / "data.partial").mkdir()
    path = tmp_path / "data.partial" / _atomic.INCOMPLETE_MARKER
    path.write_text('{"pid": 1, "host": "elsewhere", "recipe": {"a": 1}}')

    def resume() -> None:
        with _atomic.resumable_folder(tmp_path / "data", {"a": 1}):
            raise InterruptedError("enough")

    return path, resume


@pytest.fixture
def recipe(tmp_path: Path) -> Own:
    (tmp_path / "recipe.json").write_text('{"format": "a"}')
    return tmp_path / "recipe.json", lambda: _is_finished(tmp_path, {"format": "a"})


@pytest.fixture
def splits(tmp_path: Path) -> Own:
    (tmp_path / "splits.json").write_text('{"mine": ["scene-1"]}')
    return tmp_path / "splits.json", lambda: split_scenes(tmp_path, "mine")


@pytest.fixture
def store(tiny_drives: Path) -> Own:
    path = prepare_semantickitti(tiny_drives, "val", progress=False).store_path
    return path, lambda: InstanceStore.load(path)


@pytest.fixture
def statistics(tiny_drives: Path) -> Own:
    path = prepare_semantickitti(tiny_drives, "val", progress=False).statistics_path
    return path, lambda: SplitStatistics.read(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["index", "points", "shape", "records", "marker", "recipe", "splits", "store", "statistics"],
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 0.999), kind=st.sampled_from(["cut", "zeros", "flipped", "list", "number", "pickle"]))
def test_a_damaged_file_is_read_or_refused_by_name(
    request: pytest.FixtureRequest, name: str, at: float, kind: str
) -> None:
    path, read = request.getfixturevalue(name)
    content = path.read_bytes()
    place = int(at * len(content))
    damaged = {
        "cut": content[:place],
        "zeros": content[:place] + bytes(len(content) - place),
        "flipped": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        "list": b"[[]]",
        "number": b"7",
        "pickle": b"\x80\x04K\x07.",
    }
    try:
        path.write_bytes(damaged[kind])
        read()
    except InterruptedError:
        pass
    except (ValueError, FileExistsError) as error:
        assert path.name in str(error) or path.parent.name in str(error)
    finally:
        path.write_bytes(content)


def test_an_index_without_what_it_needs_is_named(index: Own) -> None:
    path, read = index
    content = json.loads(path.read_text())
    for key in ("objects", "cameras", "split"):
        path.write_text(json.dumps({k: v for k, v in content.items() if k != key}))
        with pytest.raises(
            ValueError, match=rf"index\.json is damaged \(KeyError\('{key}'\)\); write it with"
        ):
            read()


def test_points_of_another_object_are_refused(points: Own) -> None:
    path, read = points
    path.write_bytes(path.read_bytes()[:-16])
    with pytest.raises(ValueError, match=r"holds 199 points, the index says 200; write the database anew"):
        read()


def test_targets_that_are_not_finite_are_refused(shape: Own) -> None:
    path, read = shape
    np.save(path, np.full((4, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"000000_0\.npy holds NaN or infinite numbers"):
        read()
