"""The command line: one module per benchmark, which states what is its own.

That is `SUMMARY` (a line in the list of commands), `DESCRIPTION` (what is scored, and what the files hold),
`EXAMPLES`, `add_options(parser)`, and `evaluate(options)`, which returns a `Report` or raises ValueError or
OSError. Outputs, errors and the exit status are the same for all, here.

Nothing here imports NumPy or Numba before an evaluation runs, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from evaluators._cli import depth, indoor, kitti, nuscenes, panoptic, semantickitti, waymo
from evaluators._cli._common import add_outputs, check_outputs, publish

_COMMANDS: tuple[ModuleType, ...] = (kitti, depth, indoor, panoptic, nuscenes, semantickitti, waymo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, or 2 for input that cannot be evaluated."""
    parser = argparse.ArgumentParser(
        prog="evaluators",
        description="Score predictions with the official protocol of a data set. Needs no GPU.",
        epilog="Every benchmark has its own help: python -m evaluators kitti --help",
    )
    benchmarks = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for command in _COMMANDS:
        own = benchmarks.add_parser(
            command.__name__.rpartition(".")[2],
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=f"examples:\n{command.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(own)
        add_outputs(own)
        own.set_defaults(evaluate=command.evaluate)
    options = parser.parse_args(arguments)
    try:
        check_outputs(options)
        publish(options.evaluate(options), options)
    # ImportError: an optional package; its absence is a sentence, not a traceback.
    except (ValueError, OSError, ImportError) as error:
        print(f"evaluators {options.benchmark}: error: {error}", file=sys.stderr)  # noqa: T201 - a command line
        return 2
    return 0
