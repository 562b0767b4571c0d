"""The base of an app's `demo`: from nothing to a report of a model that learned, in minutes."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fusion3d_appkit.files import config_file

if TYPE_CHECKING:
    from fusion3d_appkit.report import Others
    from fusion3d_appkit.training import TrainingApp


class Demo(ABC):
    """Make data unless they are there, train with `configs/demo.yaml`, evaluate, write the report, sum it up.

    An app's demo sets the class attributes and says what data it needs.
    """

    app: ClassVar[str]
    """Name of the program and of its package, whose `train.APP` is run."""
    folder: ClassVar[str]
    """Default name of the folders of run and data, in `runs/` and `data/`."""
    result: ClassVar[str]
    """Name of the result that is printed at the end."""
    beside_untrained: ClassVar[bool] = False
    """Whether the model is evaluated before the training, too."""

    def add_options(self, options: argparse.ArgumentParser) -> None:  # noqa: B027  (may stay empty)
        """Add options of the app's own."""

    def check(self, chosen: argparse.Namespace) -> None:  # noqa: B027  (may stay empty)
        """Refuse options that would fail only after the work, with a ValueError."""

    @abstractmethod
    def make_data(self, root: Path, chosen: argparse.Namespace) -> None:
        """Write the synthetic data set into a new folder."""

    def others(self, data: Any) -> Others:
        """Return results of other methods on the frames that `test` evaluates."""
        return {}

    def finish(self, task: Any, chosen: argparse.Namespace) -> None:  # noqa: B027
        """Do what is left after the report."""

    def parser(self) -> argparse.ArgumentParser:
        """Return the options of the command."""
        options = argparse.ArgumentParser(
            prog=f"{self.app} demo",
            description="Make a synthetic data set, train on it, evaluate held-out frames with the official "
            "protocol and write report.html. A second call reuses the data.",
        )
        out, data = Path("runs") / self.folder, Path("data") / self.folder
        options.add_argument("--out", type=Path, default=out, help=f"folder of the run (default {out})")
        options.add_argument("--data", type=Path, default=data, help=f"folder of the data (default {data})")
        self.add_options(options)
        return options

    def main(self, arguments: Sequence[str], *, extra: Sequence[str] = ()) -> int:
        """Run the command; return the exit status.

        Args:
            arguments: Of the command line.
            extra: Options of `fit`, which take precedence over those of `configs/demo.yaml`.
        """
        chosen = self.parser().parse_args(arguments)
        self.check(chosen)
        started = time.perf_counter()
        self._provide_data(chosen)
        made = time.perf_counter()
        app: TrainingApp = importlib.import_module(f"{self.app}.train").APP
        words = [f"--config={config_file(self.app, 'demo')}", f"--data.root={chosen.data}"]
        cli = app.build([*words, f"--trainer.default_root_dir={chosen.out}", *extra], subcommand=False)
        (chosen.out / "metrics.jsonl").unlink(missing_ok=True)
        others: dict[str, Any] = {}
        if self.beside_untrained:
            cli.trainer.test(cli.model, cli.datamodule, verbose=False)
            others["untrained"] = cli.model.results
        cli.trainer.fit(cli.model, cli.datamodule)
        trained = time.perf_counter()
        cli.trainer.test(cli.model, cli.datamodule, verbose=False)
        others |= self.others(cli.datamodule)
        page = app.write_report(cli.model, title=f"{app.title} demo", others=others)
        self.finish(cli.model, chosen)
        ended = time.perf_counter()
        sys.stdout.write(
            f"\n{app.comparison(cli.model, self.result, others)}\n"
            f"data {made - started:.0f} s, training {trained - made:.0f} s, "
            f"evaluation and report {ended - trained:.0f} s\nreport: {page}\n"
        )
        return 0

    def _provide_data(self, chosen: argparse.Namespace) -> None:
        """Make the data set unless it is there; one that was interrupted is made anew."""
        root: Path = chosen.data
        if root.is_dir():
            sys.stdout.write(f"using the data in {root}\n")
            return
        partial = root.with_name(f"{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self.make_data(partial, chosen)
        partial.rename(root)
