"""The findings of `check_semantickitti`: figures by sequence, and what they mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from datasets3d.check.report import CheckReport
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import IGNORED
from datasets3d.semantickitti.labels import SCANS, SPLITS

MIN_MISTAKEN_SHARE = 0.5
"""A mistake of coordinates is one if so many of the scans that were looked at have it."""
MAX_IGNORED_SHARE = 0.2
"""Of the labelled points; SemanticKITTI has 3 %."""


@dataclass(kw_only=True)
class SequenceCheck:
    """One sequence in figures."""

    sequence: str
    labelled: bool
    """Its labels are read."""
    scans: int = 0
    label_files: int = 0
    points: int = 0
    empty_scans: int = 0
    raw_counts: dict[int, int] = field(default_factory=dict)
    """Points by raw id."""
    looked_at: int = 0
    """Scans whose coordinates were looked at."""
    mistakes: dict[str, int] = field(default_factory=dict)
    """Scans by what seems wrong with their coordinates or intensities."""
    examples: dict[str, str] = field(default_factory=dict)
    """What seems wrong, in the words of the first scan, by the same."""
    problems: list[str] = field(default_factory=list)
    absent_motion: tuple[str, ...] = ()
    """Which of poses.txt, calib.txt and times.txt there are not."""
    gaps: int = 0
    """Numbers between the first and the last scan without one."""
    strays: tuple[str, ...] = ()
    """Files in velodyne/ that are called by no number."""
    without_scan: int = 0
    """Label files of scans that are not there."""

    def row(self) -> str:
        """Return the sequence as one line of the table."""
        labels = str(self.label_files) if self.labelled else "-"
        motion = "none of " + " ".join(self.absent_motion) if self.absent_motion else "poses, times"
        return f"{self.sequence:<10} {self.scans:>6} {labels:>7} {self.points:>12}  {motion}"


@dataclass(frozen=True, kw_only=True)
class SemanticKittiCheckReport(CheckReport):
    """Everything `check_semantickitti` found."""

    sequences: tuple[SequenceCheck, ...]
    table_of_labels: LabelTable
    tree_problems: tuple[str, ...] = ()
    """Of what was made from the data set."""

    def problems(self) -> list[str]:
        """Return what is wrong, with the cure: first overall, then sequence by sequence."""
        return [
            *self._coordinates(of_intensity=False),
            *self._unknown_ids(),
            *self.tree_problems,
            *(problem for sequence in self.sequences for problem in sequence.problems),
        ]

    def notes(self) -> list[str]:
        """Return what may be all right but is worth knowing."""
        notes: list[str] = []
        for one in self.sequences:
            official = SCANS.get(one.sequence)
            checks = (
                (one.empty_scans > 0, f"{one.empty_scans} scans hold no point"),
                (
                    bool(one.absent_motion),
                    f"no {', '.join(one.absent_motion)}: scans cannot be put together (sweeps above 1); "
                    "nothing else needs them",
                ),
                (one.gaps > 0, f"{one.gaps} numbers between its first and last scan have no scan"),
                (
                    official not in (None, one.scans),
                    f"{one.scans} scans, the official sequence has {official}: unpack all of it, unless it "
                    "is another one",
                ),
                (
                    one.without_scan > 0,
                    f"{one.without_scan} label files have no scan of their number in velodyne/",
                ),
                (
                    bool(one.strays),
                    f"velodyne/ holds {len(one.strays)} files called by no number, as "
                    f"{''.join(one.strays[:1])}.bin: they are never read",
                ),
            )
            notes += [f"sequence {one.sequence}: {text}" for is_true, text in checks if is_true]
        return [
            *notes,
            *self._coordinates(of_intensity=True),
            *self._absent_sequences(),
            *self._labels_worth_knowing(),
        ]

    def class_counts(self) -> dict[str, int]:
        """Count the labelled points of every class of the table; those ignored are not in it."""
        counts = dict.fromkeys(self.table_of_labels.classes, 0)
        for index, count in self._by_index().items():
            if index != IGNORED:
                counts[self.table_of_labels.classes[index]] += count
        return counts

    def figures(self) -> list[str]:
        """Return sequences and classes as lines of the table."""
        scans, points = (sum(getattr(s, name) for s in self.sequences) for name in ("scans", "points"))
        lines = [f"{self.root}: {len(self.sequences)} sequences, {scans} scans, {points} points", ""]
        lines += [f"{'sequence':<10} {'scans':>6} {'labels':>7} {'points':>12}"]
        lines += [sequence.row() for sequence in self.sequences]
        labelled = sum(self._raw_counts().values())
        if labelled:
            lines += ["", f"{'class':<22} {'points':>12} {'share':>8}"]
            rows = [*self.class_counts().items(), ("ignored", self._by_index().get(IGNORED, 0))]
            lines += [f"{name:<22} {count:>12} {count / labelled:>8.3%}" for name, count in rows]
        return [*lines, ""]

    def content(self) -> dict[str, Any]:
        """Return sequences and classes as plain values."""
        sequences = [asdict(sequence) for sequence in self.sequences]
        return {"sequences": sequences, "class_counts": self.class_counts()}

    def _raw_counts(self) -> dict[int, int]:
        total: dict[int, int] = {}
        for sequence in self.sequences:
            for raw, count in sequence.raw_counts.items():
                total[raw] = total.get(raw, 0) + count
        return dict(sorted(total.items()))

    def _by_index(self) -> dict[int, int]:
        known, total = dict(self.table_of_labels.raw_to_class), {}
        for raw, count in self._raw_counts().items():
            index = known.get(raw, self.table_of_labels.unknown)
            if isinstance(index, int):
                total[index] = total.get(index, 0) + count
        return total

    def _unknown_ids(self) -> list[str]:
        known = dict(self.table_of_labels.raw_to_class)
        unknown = {raw: count for raw, count in self._raw_counts().items() if raw not in known}
        if not unknown or self.table_of_labels.unknown != "error":
            return []
        return [self.table_of_labels.unknown_message(unknown, "labels/")]

    def _coordinates(self, *, of_intensity: bool) -> list[str]:
        """Return what seems wrong with most scans."""
        looked_at = sum(sequence.looked_at for sequence in self.sequences)
        found: dict[str, int] = {}
        examples: dict[str, str] = {}
        for sequence in self.sequences:
            for kind, count in sequence.mistakes.items():
                found[kind] = found.get(kind, 0) + count
                examples.setdefault(kind, sequence.examples[kind])
        return [
            f"{count} of {looked_at} scans: {examples[kind]}"
            for kind, count in found.items()
            if count >= MIN_MISTAKEN_SHARE * looked_at and (kind == "intensity") == of_intensity
        ]

    def _absent_sequences(self) -> list[str]:
        present = {sequence.sequence for sequence in self.sequences}
        lacking = {
            name: [sequence for sequence in SPLITS[name] if sequence not in present]
            for name in ("train", "val", "test")
            if not present.isdisjoint(SPLITS[name])
        }
        return [
            f"split {name} lacks the sequences {', '.join(absent)}; the others are used"
            for name, absent in lacking.items()
            if absent
        ]

    def _labels_worth_knowing(self) -> list[str]:
        counts = self._raw_counts()
        labelled = sum(counts.values())
        ignored = self._by_index().get(IGNORED, 0)
        if not labelled:
            return ["no labels: there is nothing to train on"]
        notes = []
        if ignored > MAX_IGNORED_SHARE * labelled:
            notes.append(f"{ignored / labelled:.0%} of the labelled points are ignored (SemanticKITTI: 3 %)")
        absent = [name for name, count in self.class_counts().items() if not count]
        if absent:
            notes.append(f"no points of {', '.join(absent)}: these classes cannot be learned or scored")
        return notes
