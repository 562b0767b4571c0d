"""The official SemanticKITTI tree: which sequences and scans there are, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets3d._atomic import refuse_incomplete
from datasets3d._validate import nearest_names
from datasets3d.semantickitti.files import Kind
from datasets3d.semantickitti.labels import SPLITS, TEST

LAYOUT = """the official SemanticKITTI tree is
  <root>/sequences/00/velodyne/000000.bin   float32 x y z remission
  <root>/sequences/00/labels/000000.label   uint32 a point (00 to 10)
  <root>/sequences/00/{poses,calib,times}.txt"""


@dataclass(frozen=True, slots=True)
class SequenceTree:
    """The folder of one sequence."""

    root: Path
    name: str
    """`08`, the name of the folder."""

    @property
    def folder(self) -> Path:
        """The folder of the sequence."""
        return self.root / "sequences" / self.name

    @property
    def is_labelled(self) -> bool:
        """Whether labels belong to it: those of the test sequences are not public, and are never read."""
        return self.name not in TEST

    def numbers(self, kind: Kind) -> tuple[str, ...]:
        """Return the numbers (`000123`) of the files of a kind, in order; none without the folder."""
        return tuple(sorted((name for name, is_number in self._stems(kind) if is_number), key=_order))

    def strays(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of the files of a kind that are called by no number, and are never read."""
        return tuple(sorted(name for name, is_number in self._stems(kind) if not is_number))

    def path(self, name: str) -> Path:
        """Return where `poses.txt`, `calib.txt` or `times.txt` belongs."""
        return self.folder / name

    def _stems(self, kind: Kind) -> list[tuple[str, bool]]:
        suffix = ".bin" if kind == "velodyne" else ".label"
        folder = self.folder / kind
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        stems = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
        return [(stem, stem.isascii() and stem.isdigit()) for stem in stems if not stem.startswith(".")]


def open_tree(root: Path | str, split: str | Sequence[str]) -> tuple[SequenceTree, ...]:
    """Return the sequences of a split that the tree has, or those that are named.

    Raises:
        FileNotFoundError: No such folder, no tree, a named sequence that is not there, none of the split, or
            a sequence without scans.
        ValueError: The tree is unfinished, no such split, or sequences that repeat.
    """
    root = Path(root)
    refuse_incomplete(root)
    present = list_sequences(root)
    if isinstance(split, str):
        chosen = tuple(name for name in _split_sequences(split) if name in present)
        if not chosen:
            raise FileNotFoundError(
                f"datasets3d.semantickitti: {root} has no sequence of split {split!r} "
                f"({', '.join(SPLITS[split])}); it has {', '.join(present) or 'none'}; name the sequences "
                "themselves to read others"
            )
    else:
        chosen = tuple(split)
        _check_named(root, chosen, present)
    trees = tuple(SequenceTree(root, name) for name in chosen)
    for tree in trees:
        if not tree.numbers("velodyne"):
            strays = tree.strays("velodyne")
            found = f"; it has {strays[0]}.bin, but scans are called by six digits" if strays else ""
            raise FileNotFoundError(
                f"datasets3d.semantickitti: no scans in {tree.folder / 'velodyne'}{found}; {LAYOUT}"
            )
    return trees


def list_sequences(root: Path) -> tuple[str, ...]:
    """Return the names of all sequences of a tree, sorted.

    Raises:
        FileNotFoundError: No such folder, or no tree; the message says what was found.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"datasets3d.semantickitti: there is no folder {root}; {LAYOUT}")
    folder = root / "sequences"
    if not folder.is_dir():
        nested = [path.parent for path in root.glob("*/sequences")]
        if root.name == "sequences" or root.parent.name == "sequences":
            nested = [root.parent if root.name == "sequences" else root.parent.parent]
        hint = f"; did you mean {nested[0]}?" if nested else ""
        found = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())[:12]
        raise FileNotFoundError(
            f"datasets3d.semantickitti: {root} lacks sequences/; found {', '.join(found) or 'nothing'}{hint}"
            f"\n{LAYOUT}"
        )
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."))


def require_labels(trees: Sequence[SequenceTree]) -> None:
    """Raise if a labelled sequence has a scan without labels.

    Raises:
        FileNotFoundError: Naming the first missing file, how many there are, and the cure.
    """
    missing = [path for tree in trees if tree.is_labelled for path in missing_labels(tree)]
    if missing:
        raise FileNotFoundError(
            f"datasets3d.semantickitti: no {missing[0]} ({len(missing)} label files missing); unpack "
            "data_odometry_labels.zip over the velodyne data; read scans without labels with "
            "datasets3d.segmentation.ScanFolder"
        )


def missing_labels(tree: SequenceTree) -> list[Path]:
    """Return the label files that a sequence lacks."""
    there = set(tree.numbers("labels"))
    lacking = [number for number in tree.numbers("velodyne") if number not in there]
    return [tree.folder / "labels" / f"{number}.label" for number in lacking]


def _split_sequences(split: str) -> tuple[str, ...]:
    if split not in SPLITS:
        raise ValueError(
            f"datasets3d.semantickitti: unknown split {split!r}; {nearest_names(split, list(SPLITS))}; "
            f"sequences are given as a tuple, such as ({split!r},)"
        )
    return SPLITS[split]


def _check_named(root: Path, chosen: Sequence[str], present: Sequence[str]) -> None:
    if not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(
            "datasets3d.semantickitti: expected sequences, each once, got " + (", ".join(chosen) or "none")
        )
    lacking = next((name for name in chosen if name not in present), None)
    if lacking is not None:
        raise FileNotFoundError(
            f"datasets3d.semantickitti: {root} has no sequence {lacking!r}; "
            f"it has {', '.join(present) or 'none'}"
        )


def _order(number: str) -> tuple[int, str]:
    return int(number), number
