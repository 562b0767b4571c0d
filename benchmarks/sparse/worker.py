"""One library in a process of its own: answers requests on standard input, one JSON object a line.

{"list": true} -> the names of its cases; {"case": name, "seconds": s} -> one measurement.
"""

import importlib
import json
import os
import platform
import sys
import time
from importlib import metadata
from typing import Any

PACKAGES = ("torch", "numpy", "numba", "sparseops", "spconv", "scipy", "shapely", "open3d")


def serve(section: str, side: str, *, threads: int, quick: bool) -> None:
    """Answer until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not get among the replies
    import torch

    torch.set_num_threads(threads)
    try:
        cases = importlib.import_module(f"sparse.{section}").cases(side, quick=quick)
        answer: dict[str, Any] = {"cases": list(cases), "versions": versions()}
    except ImportError as error:
        cases, answer = {}, {"missing": f"{side}: {error}"}
    held: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "case" in request:
            answer = measure(cases, held, request, threads)
        replies.write(json.dumps(answer) + "\n")


def versions() -> dict[str, str]:
    """Return those of the packages that matter and are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(
    cases: dict[str, Any], held: dict[str, Any], request: dict[str, Any], threads: int
) -> dict[str, Any]:
    """Measure one case; make it, warm it up and take its digest if it is not the one held from before."""
    name, answer = request["case"], {}
    try:
        if name not in held:
            held.clear()  # the memory of one case at a time
            case = cases[name]()
            answer = {"digest": case.digest(case.run(*case.prepare())), "facts": case.facts}
            if case.facts.get("gflop"):
                case.facts["dense_gflops"] = dense_gflops(threads)
            held[name] = case
        return answer | fastest(held[name], request["seconds"])
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:300]}


def fastest(case: Any, seconds: float) -> dict[str, Any]:
    """Least processor and wall milliseconds of repeated runs, after one that finds its caches again."""
    cpu, wall = [], []
    case.run(*case.prepare())
    while sum(wall) < seconds or len(wall) < 2:
        arguments = case.prepare()
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        case.run(*arguments)
        wall.append(time.perf_counter() - wall_start)
        cpu.append(time.process_time() - cpu_start)
    return {"cpu_ms": min(cpu) * 1e3, "wall_ms": min(wall) * 1e3, "runs": len(wall), "spent_s": sum(wall)}


def dense_gflops(threads: int, size: int = 1024) -> float:
    """Rate of torch.mm in float32, in the clock that ratios use: processor time if there is one thread."""
    import torch

    from sparse.case import Case

    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    taken = fastest(Case(lambda: a @ b), 0.12)
    return round(2e-6 * size**3 / taken["cpu_ms" if threads == 1 else "wall_ms"], 1)
