"""Entry of `python benchmarks/sparse`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # so that this folder is the package `sparse`
    from sparse.command import main

    sys.exit(main())
