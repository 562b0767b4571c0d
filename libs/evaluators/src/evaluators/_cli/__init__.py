"""The command line: one module per protocol, each with `add_parser` and a run function.

Nothing here imports NumPy or Numba before a protocol runs, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from evaluators._cli import depth, indoor, kitti, nuscenes, panoptic, semantickitti, waymo

_EPILOG = "Every protocol has its own help: python -m evaluators kitti --help"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, or 2 for input that cannot be evaluated."""
    parser = argparse.ArgumentParser(
        prog="evaluators",
        description="Score predictions with the official protocol of a data set. Needs no GPU.",
        epilog=_EPILOG,
    )
    protocols = parser.add_subparsers(dest="protocol", required=True, metavar="PROTOCOL")
    kitti.add_parser(protocols)
    depth.add_parser(protocols)
    indoor.add_parser(protocols)
    panoptic.add_parser(protocols)
    nuscenes.add_parser(protocols)
    semantickitti.add_parser(protocols)
    waymo.add_parser(protocols)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except (ValueError, OSError) as error:
        print(f"evaluators {options.protocol}: error: {error}", file=sys.stderr)  # noqa: T201 - a command line
        return 2
    return 0
