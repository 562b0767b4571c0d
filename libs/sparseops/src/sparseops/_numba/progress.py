"""One line on the terminal while kernels are compiled, so that nobody takes the first call for a hang."""

import functools
import sys
from typing import Any

from numba.core import event


class CompilationLine(event.Listener):
    """Says at the first compilation what is going on; on a terminal it counts the kernels."""

    def __init__(self) -> None:
        self.kernels = 0

    def on_start(self, event: Any) -> None:
        """Print the line, or renew it."""
        kernel = event.data["dispatcher"].py_func
        if not kernel.__module__.startswith("sparseops"):
            return
        self.kernels += 1
        live = sys.stderr.isatty()
        if self.kernels == 1 or live:
            text = "sparseops: compiling kernels for this CPU, once per machine and version"
            count = f": {self.kernels} ({kernel.__name__})" if live else " ..."
            start, end = ("\r\x1b[2K", "") if live else ("", "\n")
            sys.stderr.write(f"{start}{text}{count}{end}")
            sys.stderr.flush()

    def on_end(self, event: Any) -> None:
        """Wipe the line from a terminal."""
        if sys.stderr.isatty() and event.data["dispatcher"].py_func.__module__.startswith("sparseops"):
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


@functools.cache
def announce_compilation() -> None:
    """Print such a line from now on. Kernels that numba finds in its cache on disk are not compiled."""
    event.register("numba:compile", CompilationLine())
