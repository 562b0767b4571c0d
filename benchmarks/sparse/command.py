"""Time and weigh sparseops on the CPU beside its peers, and write a JSON file of it.

Every library runs in processes of its own. For each case they are asked in turns, ours first, for several
rounds; a ratio (peer / ours, so more than 1 means that ours is faster) is taken within a round, and the
median, least and greatest of the rounds are recorded. On one thread the clock is processor time, which other
jobs on the machine disturb least; with more it is wall-clock time. Results are compared too: `agrees` says
whether a peer found the same.

    python benchmarks/sparse                         everything, some ten minutes on two idle cores
    python benchmarks/sparse --quick --out try.json  some cases, two rounds, a minute or two
    python benchmarks/sparse --only layers memory    some sections; the others stay in the file as they were
    python benchmarks/sparse/tables.py               the file's figures into libs/sparseops/README.md

Peers that are not installed are left out, and the record says so. spconv and Open3D may live in another
environment: name its interpreter with --spconv-python or FUSION3D_SPCONV_PYTHON.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from fusion3d_appkit import record
from fusion3d_appkit.files import write_text

from sparse.case import agrees
from sparse.processes import Side, Worker, sides
from sparse.worker import serve, versions

RESULT = Path(__file__).parents[1] / "results" / "sparse_cpu.json"
TIMED = {"backbone": 240, "layers": 200, "points": 110}
"""Sections of timings, and seconds: a case that starts later than its share of them gets two rounds."""
TURN_S = {"backbone": 0.6, "layers": 0.1, "points": 0.1}
"""Seconds of a turn: enough for several calls, each as in a running program."""
SECTIONS = (*TIMED, "memory", "first_call")
PEERS = ("spconv", "torch", "reference", "scipy", "shapely", "open3d")
SLOW_S = 4.0
"""A side that has spent so much time on a case after three rounds is not asked again."""


def main() -> int:
    """Run the sections and write the result, or answer as a worker."""
    options = _parser().parse_args()
    if options.serve:
        serve(options.serve, options.side, threads=options.threads, quick=options.quick)
        return 0
    if options.once:
        print(json.dumps(_once(options)), flush=True)
        return 0
    options.rounds = options.rounds or (2 if options.quick else 5)
    report: dict[str, Any] = {"machine": record.machine(), "quick": options.quick, "runs": {}}
    if options.out.exists():
        before = json.loads(options.out.read_text(encoding="utf-8"))
        if all(before.get(key) == report[key] for key in ("machine", "quick")):
            report = before
    for section in options.only:
        print(f"== {section}", flush=True)
        start = time.monotonic()
        run = report["runs"][section] = _about(options)
        measure = {"memory": _memory, "first_call": _first_call}.get(section)
        report[section] = measure(options) if measure else _timed(section, options, run)
        run["seconds"] = round(time.monotonic() - start)
        write_text(options.out, json.dumps(report, indent=1) + "\n")
        print(f"   {run['seconds']} s, written to {options.out}", flush=True)
    return 0


def _about(options: argparse.Namespace) -> dict[str, Any]:
    """What a record says of its run, without paths of this machine."""
    hidden = {i for i, word in enumerate(sys.argv) if word in ("--out", "--spconv-python")}
    words = [word for i, word in enumerate(sys.argv) if i and i not in hidden and i - 1 not in hidden]
    return {
        "command": " ".join(["python benchmarks/sparse", *words]),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
        "threads": options.threads,
        "rounds": options.rounds,
        "versions": versions(),
        "missing": {},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/sparse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="some cases, to try it out")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections to run")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="peers to run beside ours")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="the greater number of threads"
    )
    parser.add_argument("--rounds", type=int, help="turns of every side, 5 (quick: 2)")
    parser.add_argument("--seconds", type=float, help="time of a turn, two calls at least")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument(
        "--spconv-python",
        metavar="PATH",
        default=os.environ.get("FUSION3D_SPCONV_PYTHON", sys.executable),
        help="interpreter that has spconv and open3d (FUSION3D_SPCONV_PYTHON)",
    )
    for name in ("--serve", "--once", "--side", "--kind"):  # for the processes that this one starts
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser


def _sides(section: str, options: argparse.Namespace) -> list[Side]:
    names = PEERS[1:] if section == "points" else PEERS[:2]
    chosen = ["ours", *(name for name in names if name in options.peers)]
    return sides(chosen, threads=options.threads, spconv_python=options.spconv_python)


def _timed(section: str, options: argparse.Namespace, run: dict[str, Any]) -> dict[str, Any]:
    """Ask all sides for all cases of a section."""
    workers = [Worker(side, section, quick=options.quick) for side in _sides(section, options)]
    cases: dict[Worker, list[str]] = {}
    for worker in workers:
        answer = worker.answer()
        cases[worker] = answer.get("cases", [])
        if "missing" in answer or "failed" in answer:
            run["missing"][worker.side.name] = answer.get("missing") or answer.get("failed")
            print("  left out:", run["missing"][worker.side.name])
        run["versions"] = answer.get("versions", {}) | run["versions"]
    rows, start = {}, time.monotonic()
    seconds = options.seconds or (0.02 if options.quick else TURN_S[section])
    names = cases[workers[0]]
    for i, name in enumerate(names, 1):
        late = time.monotonic() - start > TIMED[section] * i / len(names)
        turns = min(options.rounds, 2) if late else options.rounds
        rows[name] = _row(name, [worker for worker in workers if name in cases[worker]], turns, seconds)
        shown = {key: ratio["median"] for key, ratio in rows[name]["ratios"].items()}
        flaws = [side for side, same in rows[name]["agrees"].items() if not same]
        note = f"  DIFFERS: {flaws}" if flaws else ""
        ms = rows[name]["sides"].get("ours 1", {}).get("cpu_ms")
        print(f"  {i}/{len(names)} {name}: ours {ms} ms, {shown}{note}", flush=True)
    for worker in workers:
        worker.close()
    if section == "backbone":
        for name, row in rows.items():
            row["facts"]["profile_ms"] = Side("ours", 1, sys.executable).once("profile", "--kind", name)
    return rows


def _row(name: str, workers: list[Worker], rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds of one case: ours, peer, ours, peer."""
    taken: dict[str, list[dict[str, Any]]] = {str(worker.side): [] for worker in workers}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for worker in workers:
            side = str(worker.side)
            slow = len(taken[side]) >= 3 and sum(turn["spent_s"] for turn in taken[side]) > SLOW_S
            if side in failed or slow:
                continue
            answer = worker.ask({"case": name, "seconds": seconds})
            if "failed" in answer:
                failed[side] = answer["failed"]
                print(f"  {side} failed: {answer['failed']}", flush=True)
            else:
                taken[side].append(answer)
    ours = taken["ours 1"][0] if taken.get("ours 1") else {}
    row: dict[str, Any] = {
        "facts": ours.get("facts", {}),
        "sides": {side: _summary(turns) for side, turns in taken.items() if turns},
        "ratios": _ratios(taken),
        "agrees": {},
    }
    for side, turns in taken.items():
        same = agrees(ours.get("digest", []), turns[0]["digest"]) if turns else None
        if same is not None and side != "ours 1":
            row["agrees"][side] = same
    if failed:
        row["failed"] = failed
    return row


def _summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Least times, and the rounds they come from."""
    fastest = {key: round(min(turn[key] for turn in turns), 4) for key in ("cpu_ms", "wall_ms")}
    return {**fastest, "rounds": len(turns), "calls": sum(turn["runs"] for turn in turns)}


def _ratios(taken: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Peer / ours by round: both on one thread; ours on all, and the peer on as many as it can."""
    found = {}
    most = max(int(side.split()[1]) for side in taken)
    for side in taken:
        peer, count = side.split()
        if peer == "ours":
            continue
        pairs = [(1, "cpu_ms")] if count == "1" else []
        if most > 1 and (count != "1" or f"{peer} {most}" not in taken):
            pairs.append((most, "wall_ms"))
        for threads, clock in pairs:
            rounds = zip(taken[side], taken.get(f"ours {threads}", []), strict=False)
            ratios = [theirs[clock] / ours[clock] for theirs, ours in rounds]
            if ratios:
                key = f"{peer}, {threads} v {count}"
                found[key] = {
                    "median": round(median(ratios), 2),
                    "least": round(min(ratios), 2),
                    "most": round(max(ratios), 2),
                }
    return found


def _memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peaks of fresh processes; large blocks go straight to and from the system, so that they are exact."""
    rows: dict[str, Any] = {}
    for kind in ("submanifold",) if options.quick else ("submanifold", "strided"):
        row = rows[kind] = {}
        for side in _sides("memory", options):
            if side.threads == 1:
                row[side.name] = side.once("memory", "--kind", kind, MALLOC_MMAP_THRESHOLD_="262144")
        maps = row["ours"].get("maps_mib", 0)
        for answer in row.values():
            if "peak_mib" in answer:
                answer["ratio"] = round(answer["peak_mib"] / (answer["features_mib"] + maps), 2)
        print(f"  {kind}: {row}", flush=True)
    return rows


def _first_call(options: argparse.Namespace) -> dict[str, Any]:
    """Start-up, the kernels compiled before; then everything compiled anew in an empty folder."""
    found: dict[str, Any] = {"warm": {}}
    for side in _sides("first_call", options):
        if side.threads == 1:
            side.once("first_call")  # now the files are in memory, and the kernels on disk
            found["warm"][side.name] = side.once("first_call")
            print(f"  {side.name}: {found['warm'][side.name]}", flush=True)
    if not options.quick:
        with tempfile.TemporaryDirectory() as folder:
            found["cold"] = Side("ours", options.threads, sys.executable).once(
                "compile_all", NUMBA_CACHE_DIR=folder
            )
        print(f"  compiled anew: {found['cold']}", flush=True)
    return found


def _once(options: argparse.Namespace) -> dict[str, Any]:
    """Answer one question in this process."""
    import torch

    from sparse import backbone, first_call, memory

    torch.set_num_threads(options.threads)
    try:
        match options.once:
            case "profile":
                return backbone.profile(options.kind)
            case "memory":
                return memory.measure(options.side, options.kind)
            case "first_call":
                return first_call.measure(options.side)
            case "compile_all":
                return first_call.compile_all()
    except ImportError as error:
        return {"missing": str(error)}
    return {"failed": f"no question {options.once}"}
