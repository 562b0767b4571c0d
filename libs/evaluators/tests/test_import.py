import subprocess
import sys


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_library_loads_no_other() -> None:
    assert not loaded_after("import evaluators") & {"numpy", "numba", "geom3d", "tqdm"}


def test_importing_a_protocol_loads_no_compiler() -> None:
    assert not loaded_after("from evaluators import kitti") & {"numba", "geom3d", "tqdm", "torch", "scipy"}
