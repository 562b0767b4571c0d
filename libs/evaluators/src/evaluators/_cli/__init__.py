"""The command line: one module per benchmark, which states what is its own.

Nothing here imports NumPy or Numba before an evaluation runs, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from evaluators._cli import depth, indoor, kitti, nuscenes, panoptic, semantickitti, waymo
from evaluators._cli._common import Command, add_outputs, check_outputs, publish

_COMMANDS: dict[str, Command] = {
    "kitti": kitti,
    "depth": depth,
    "indoor": indoor,
    "panoptic": panoptic,
    "nuscenes": nuscenes,
    "semantickitti": semantickitti,
    "waymo": waymo,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, or 2 for input that cannot be evaluated."""
    parser = argparse.ArgumentParser(
        prog="evaluators",
        description="Score predictions with the official protocol of a data set. Needs no GPU.",
        epilog="Every benchmark has its own help: python -m evaluators kitti --help",
    )
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, command in _COMMANDS.items():
        own = benchmarks.add_parser(
            name,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=f"examples:\n{command.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(own)
        add_outputs(own)
    options = parser.parse_args(arguments)
    try:
        check_outputs(options)
        publish(_COMMANDS[options.benchmark].evaluate(options), options)
    # ImportError: an optional package; its absence is a sentence, not a traceback.
    except (ValueError, OSError, ImportError) as error:
        print(f"evaluators {options.benchmark}: error: {error}", file=sys.stderr)  # noqa: T201 - a command line
        return 2
    return 0
