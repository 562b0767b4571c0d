import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from datasets3d import _atomic


def test_a_file_appears_whole(tmp_path: Path) -> None:
    _atomic.write_text(tmp_path / "new/a.txt", "hällo")
    assert (tmp_path / "new/a.txt").read_text(encoding="utf-8") == "hällo"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_json_without_nan(tmp_path: Path) -> None:
    _atomic.write_json(tmp_path / "a.json", {"a": [1, 2]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, 2]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        _atomic.write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, 2]}


def test_an_error_in_the_middle_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError, match="boom"), _atomic.atomic_output(tmp_path / "a.txt") as handle:
        handle.write(b"half")
        raise RuntimeError("boom")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from datasets3d import _atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    _atomic.write_bytes(Path(sys.argv[1]), bytes(100_000))
except OSError as error:
    sys.exit(error.errno)
"""


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_text("old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path / "a.bin"], check=False, timeout=60)
    assert done.returncode == errno.EFBIG
    assert (tmp_path / "a.bin").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with _atomic.atomic_folder(tmp_path / "data") as partial:
            (partial / f"{content}.txt").write_text(content)
            assert not (tmp_path / "data" / f"{content}.txt").exists()
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["second.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    _atomic.refuse_incomplete(tmp_path / "data")


KILLED_WRITER = """
import sys, time
from pathlib import Path
from datasets3d import _atomic
with _atomic.atomic_folder(Path(sys.argv[1])) as partial:
    (partial / "half.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_leaves_nothing_that_reads_as_whole(tmp_path: Path) -> None:
    out = tmp_path / "data"
    writer = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, out], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        with (
            pytest.raises(FileExistsError, match=f"process {writer.pid} is writing"),
            _atomic.atomic_folder(out),
        ):
            pass
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(timeout=60)
        if writer.stdout:
            writer.stdout.close()
    assert not out.exists()
    with pytest.raises(FileNotFoundError, match=r"only the unfinished .*data\.partial"):
        _atomic.refuse_incomplete(out)
    with pytest.raises(ValueError, match="is incomplete: its writer was interrupted"):
        _atomic.refuse_incomplete(tmp_path / "data.partial")
    with _atomic.atomic_folder(out) as partial:
        assert not (partial / "half.txt").exists()
    _atomic.refuse_incomplete(out)


def test_a_kill_between_rename_and_end_is_refused_and_repaired(tmp_path: Path) -> None:
    """The marker goes last, so a folder that already has its name may still carry it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / _atomic.INCOMPLETE_MARKER).write_text("{}")
    with pytest.raises(ValueError, match="is incomplete"):
        _atomic.refuse_incomplete(tmp_path / "data")
    with _atomic.atomic_folder(tmp_path / "data"):
        pass
    _atomic.refuse_incomplete(tmp_path / "data")


def test_a_foreign_partial_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "data.partial").mkdir()
    (tmp_path / "data.partial/precious.txt").touch()
    with (
        pytest.raises(FileExistsError, match="exists and is not ours"),
        _atomic.atomic_folder(tmp_path / "data"),
    ):
        pass
    assert (tmp_path / "data.partial/precious.txt").exists()


def test_a_writer_of_another_machine_counts_as_dead(tmp_path: Path) -> None:
    (tmp_path / "data.partial").mkdir()
    marker = tmp_path / "data.partial" / _atomic.INCOMPLETE_MARKER
    marker.write_text(json.dumps({"pid": 1, "host": socket.gethostname() + "-other"}))
    with _atomic.atomic_folder(tmp_path / "data"):
        pass
    assert (tmp_path / "data").is_dir()
