"""Worker processes: one for every library and number of threads, asked in turns."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ONE_THREAD = ("spconv", "reference", "shapely", "open3d")
"""Run on one thread: spconv for its sums (see its adapter), the others gain nothing or cannot be told."""


@dataclass(frozen=True)
class Side:
    """A library on so many threads, and the interpreter that has it."""

    name: str
    threads: int
    python: str

    def __str__(self) -> str:
        return f"{self.name} {self.threads}"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `python benchmarks/sparse` with these arguments."""
        count = str(self.threads)
        settings = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "NUMBA_NUM_THREADS": count}
        settings["KINETO_LOG_LEVEL"] = "6"  # the profiler keeps to itself that there is no GPU
        command = [self.python, str(HERE), *arguments, "--side", self.name, "--threads", count]
        return subprocess.Popen(
            command,
            env={**os.environ, **settings, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def once(self, what: str, *arguments: str, **environment: str) -> dict[str, Any]:
        """Return what a fresh process answers to one question."""
        with self.start("--once", what, *arguments, **environment) as process:
            answer, _ = process.communicate()
        lines = answer.splitlines()
        if process.returncode or not lines:
            return {"failed": f"exit status {process.returncode}"}
        return json.loads(lines[-1])


class Worker:
    """A side that answers requests about one section until it is closed."""

    def __init__(self, side: Side, section: str, *, quick: bool) -> None:
        self.side = side
        self.process = side.start("--serve", section, *(["--quick"] if quick else []))
        self.send({"list": True})

    def send(self, request: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            return {"failed": f"{self.side} ended with status {self.process.wait()}"}
        return json.loads(line)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        if self.process.poll() is not None:
            return {"failed": f"{self.side} ended with status {self.process.returncode}"}
        self.send(request)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def sides(names: list[str], *, threads: int, spconv_python: str) -> list[Side]:
    """Every library on one thread and, where it can, on all."""
    found = []
    for name in names:
        python = spconv_python if name in ("spconv", "open3d") else sys.executable
        counts = {1} if name in ONE_THREAD else {1, threads}
        found += [Side(name, count, python) for count in sorted(counts)]
    return found
