"""Build the official KITTI object development kit, to time it and to compare its numbers with ours.

The kit is not part of this project: get `evaluate_object.cpp` and `mail.h` from the KITTI web site (folder
cpp of the development kit of the object benchmark) and the headers of Boost (pip install boost-headers):

    python benchmarks/kitti_devkit/build.py evaluate_object.cpp --boost DIR --out kitti_devkit
    KITTI_DEVKIT=./kitti_devkit python benchmarks/bench_kitti_eval.py

Only input and output are changed: the number of frames comes from the environment variable KITTI_FRAMES,
curves are written with all digits, and no other program is started (the kit calls gnuplot and pdf tools).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

CHANGES = (
    (r"N_TESTIMAGES = \d+", 'N_TESTIMAGES = getenv("KITTI_FRAMES") ? atoi(getenv("KITTI_FRAMES")) : 0', 1),
    (r'(fprintf\(fp_(?:det|ori),)"%f "', r'\1"%.17g "', 2),
    (r'#include "mail.h"', '#include <stdlib.h>\n#include "mail.h"\n#define system(command) 0', 1),
)


def changed(source: str) -> str:
    """Return the source of the kit with its input and output changed, as described above.

    Raises:
        ValueError: The source is not that of the kit: a line to change is not there.
    """
    # A disabled line with the number of frames of another split is no definition.
    source = re.sub(r"^\s*//.*N_TESTIMAGES.*\n", "", source, flags=re.MULTILINE)
    for pattern, replacement, expected in CHANGES:
        source, count = re.subn(pattern, replacement, source)
        if count != expected:
            raise ValueError(f"expected {pattern!r} {expected} times in evaluate_object.cpp, found {count}")
    return source


def build(source: Path, boost: Path, out: Path) -> None:
    """Compile the changed source with `g++ -O2`."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "evaluate_object.cpp"
        program.write_text(changed(source.read_text(encoding="utf-8")), encoding="utf-8")
        shutil.copy(source.parent / "mail.h", folder)
        command = ["g++", "-O2", "-w", "-I", str(boost), str(program), "-o", str(out)]
        subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="evaluate_object.cpp of the kit; mail.h lies beside it")
    parser.add_argument("--boost", type=Path, required=True, help="folder that holds the folder boost")
    parser.add_argument("--out", type=Path, required=True, help="the program to write")
    options = parser.parse_args()
    build(options.source, options.boost, options.out)


if __name__ == "__main__":
    main()
