"""Write the measured tables of libs/sparseops/README.md from benchmarks/results/sparse_cpu.json.

`--check` changes nothing; it fails if the tables are not those of the file. Without the file there is nothing
to write or check. Plain Python, so that it runs anywhere.
"""

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
README = ROOT / "libs" / "sparseops" / "README.md"
RESULT = ROOT / "benchmarks" / "results" / "sparse_cpu.json"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Rows = dict[str, Any]


def main() -> int:
    """Write or check; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail if the tables are not those of the file")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--readme", type=Path, default=README)
    options = parser.parse_args()
    if not options.result.exists():
        print(f"{options.result}: not there, nothing to do")
        return 0
    old = options.readme.read_text(encoding="utf-8")
    new = replaced(old, json.loads(options.result.read_text(encoding="utf-8")))
    if old == new:
        return 0
    if not options.check:
        options.readme.write_text(new, encoding="utf-8")
        return 0
    print("".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "README.md", "measured")))
    print(
        f"{options.readme}: its tables are not those of the results; run python benchmarks/sparse/tables.py"
    )
    return 1


def replaced(readme: str, report: Rows) -> str:
    """Return the text with the tables of the report between the markers."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"tables: the file must hold the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text(report)}\n{END}{after}"


def text(report: Rows) -> str:
    """Return all tables of the report, in Markdown."""
    parts = [_introduction(report)]
    for section, write in (
        ("backbone", _backbone), ("layers", _layers), ("points", _points), ("memory", _memory),
        ("first_call", _first_call),
    ):  # fmt: skip
        if section in report:
            parts.append(write(report[section]))
    return "\n\n".join(parts)


def _introduction(report: Rows) -> str:
    machine, run = report["machine"], next(iter(report["runs"].values()))
    threads = run["threads"]
    versions = ", ".join(
        f"{name} {number}" for name, number in run["versions"].items() if name != "sparseops"
    )
    quick = " **A quick run, to try out the benchmark; not a measurement.**" if report["quick"] else ""
    missing = [reason for run in report["runs"].values() for reason in run["missing"].values()]
    left_out = f" Left out: {'; '.join(sorted(set(missing)))}." if missing else ""
    where = f"{machine['cores']} cores of {machine['processor']}"
    return _wrapped(
        f"""Measured with `{run["command"]}` on {where}; {versions}.{quick} Milliseconds are the least on one
        thread, in processor time. A ratio is how much longer the peer takes: the median of the rounds and, in
        brackets, their range. `1 v 1` is one thread each, in processor time; `all` is {threads} threads, in
        wall-clock time. spconv always has one thread: its CPU wheel gives wrong sums with more.{left_out} All
        figures are in `benchmarks/results/sparse_cpu.json`."""
    )


def _wrapped(words: str, width: int = 110) -> str:
    lines, line = [], ""
    for word in words.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(row: Rows, peer: str, *, one: bool) -> str:
    """The ratio to a peer, both on one thread or ours on more; empty if there is none."""
    for key, ratio in row["ratios"].items():
        name, threads = key.split(", ")
        if name == peer and (threads == "1 v 1") == one:
            return f"{_times(ratio['median'])} ({_times(ratio['least'])} to {_times(ratio['most'])})"
    return ""


def _times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 20 else f"{ratio:.2g}" if ratio < 1 else f"{ratio:.1f}"


def _peers(rows: Rows, name: str) -> list[str]:
    return [_ratio(rows[name], peer, one=one) for peer in ("spconv", "torch") for one in (True, False)]


RATIOS = ["spconv, 1 v 1", "spconv, all v 1", "torch, 1 v 1", "torch, all v all"]


def _own_ms(row: Rows) -> str:
    return _ms(row["sides"].get("ours 1", {}).get("cpu_ms"))


def _share(row: Rows) -> str:
    """GFLOP/s on one thread, and its share of a dense product's."""
    facts, ms = row["facts"], row["sides"].get("ours 1", {}).get("cpu_ms")
    if not ms or not facts.get("gflop"):
        return ""
    rate = facts["gflop"] / ms * 1e3
    return f"{rate:.0f} ({100 * rate / facts['dense_gflops']:.0f} %)"


def _backbone(rows: Rows) -> str:
    head = ["backbone, maps included", "ms", "GFLOP/s (of dense)", *RATIOS]
    table = _table(
        head, [[name, _own_ms(row), _share(row), *_peers(rows, name)] for name, row in rows.items()]
    )
    splits = [f"{name}: {_split(row['facts']['profile_ms'])}" for name, row in rows.items()][:2]
    return f"{table}\n\n{_wrapped('Where the time goes: ' + '; '.join(splits) + '.')}"


def _split(parts: dict[str, float]) -> str:
    total = sum(parts.values()) or 1
    return ", ".join(f"{part} {100 * ms / total:.0f} %" for part, ms in parts.items() if ms)


def _layers(rows: Rows) -> str:
    """Two clouds and two widths; the file has them all."""
    shown = {
        name: row
        for name, row in rows.items()
        if not name.startswith("street 40k") and any(f" C{width}," in name for width in (16, 64))
    }
    head = ["layer 3^3", "ms", "GFLOP/s (of dense)", *RATIOS]
    return _table(
        head, [[name, _own_ms(row), _share(row), *_peers(rows, name)] for name, row in shown.items()]
    )


def _points(rows: Rows) -> str:
    lines = []
    for name, row in rows.items():
        for peer in dict.fromkeys(key.split(", ")[0] for key in row["ratios"]):
            shown = f"`{name.split()[0].rstrip(',')}` {name.partition(' ')[2]}"
            ratios = [_ratio(row, peer, one=one) for one in (True, False)]
            lines.append([shown, _own_ms(row), peer, *ratios])
    table = _table(["operator", "ms", "peer", "1 v 1", "all v what the peer can"], lines)
    note = (
        "`torch` is plain PyTorch written for speed (deformable attention by `grid_sample`), `reference` the "
        "library's own short PyTorch code; scipy is cKDTree with its construction; shapely leaves out far "
        "boxes by their circles; Open3D's ball query takes the nearest points instead of the first."
    )
    return f"{table}\n\n{_wrapped(note)}"


def _memory(rows: Rows) -> str:
    lines = []
    for kind, sides in rows.items():
        ours = sides["ours"]
        need = ours.get("features_mib", 0) + ours.get("maps_mib", 0)
        found = [
            f"{sides[side]['peak_mib']:.0f} ({sides[side]['ratio']:.1f})"
            if "peak_mib" in sides.get(side, {})
            else ""
            for side in ("ours", "spconv", "torch")
        ]
        lines.append([f"{kind} 3^3 C64, room 80k", f"{need:.0f}", *found])
    head = ["peak memory of one cold layer, MiB", "features and maps", "ours (ratio)", "spconv", "torch"]
    return _table(head, lines)


def _first_call(rows: Rows) -> str:
    lines = [
        [side, *(f"{found[key]:.1f}" for key in ("import_s", "first_s", "total_s", "later_s"))]
        for side, found in rows["warm"].items()
        if "total_s" in found
    ]
    head = ["first use in a process, seconds", "import", "first backbone", "together", "a later one"]
    table = _table(head, lines)
    cold = rows.get("cold", {})
    if "total_s" in cold:
        words = f"Compiling the CPU kernels of every operator, once per machine: {cold['total_s']:.0f} s."
        table += f"\n\n{words}"
    return table


if __name__ == "__main__":
    sys.exit(main())
