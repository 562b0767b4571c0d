"""ScanNet as a sequence of rooms, whichever way it lies on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from datasets3d.indoor.labels import SCANNET_MD40, LabelSet
from datasets3d.indoor.room import Room
from datasets3d.scannet.arrays import read_arrays
from datasets3d.scannet.raw import read_categories, read_raw

ScanNetForm = Literal["raw", "arrays"]
"""`raw`: `scans/<scan>/` as downloaded. `arrays`: `scannet_instance_data/<scan>_*.npy` of a preparation."""

_FOLDERS: dict[ScanNetForm, str] = {"raw": "scans", "arrays": "scannet_instance_data"}
_TABLE = "scannetv2-labels.combined.tsv"


class ScanNetDataset(Sequence[Room]):
    """The scans of one split as rooms in the aligned frame, read when asked for.

    Class names come from `scannetv2-labels.combined.tsv` in the root if it is there, else from the label set.

    Raises:
        FileNotFoundError: The root, its split file or its scans are missing.
        ValueError: The tree holds several forms and `form` names none, or the label set needs the table.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        split: str = "train",
        label_set: LabelSet = SCANNET_MD40,
        form: ScanNetForm | None = None,
    ) -> None:
        """Look for the form and read the names of the split.

        Args:
            split: `meta_data/scannetv2_<split>.txt` lists its scans; `test` has no labels.
            form: Needed only if the tree holds more than one.
        """
        self.root, self.split, self.label_set = Path(root), split, label_set
        self.form: ScanNetForm = _find_form(self.root, form)
        self.names = _read_split(self.root, split)
        table = self.root / _TABLE
        if table.is_file() and label_set.column:
            self._categories = read_categories(table, label_set)
        else:
            self._categories = dict(label_set.raw_categories)
        if self.form == "raw" and split != "test" and not self._categories:
            raise ValueError(
                f"scannet: the label set {label_set.name!r} needs the table {table} of the official download"
            )

    def __len__(self) -> int:
        """Count the scans."""
        return len(self.names)

    def __getitem__(self, index: int) -> Room:  # type: ignore[override]
        """Read one scan."""
        name, has_labels = self.names[index], self.split != "test"
        folder = self.root / _FOLDERS[self.form]
        if self.form == "raw":
            return read_raw(
                folder / name, self.label_set, categories=self._categories, with_labels=has_labels
            )
        return read_arrays(folder, name, self.label_set, with_labels=has_labels)


def _find_form(root: Path, form: ScanNetForm | None) -> ScanNetForm:
    if form is not None and form not in get_args(ScanNetForm):
        raise ValueError(f"ScanNetDataset: form must be one of {', '.join(_FOLDERS)}, got {form!r}")
    there: list[ScanNetForm] = [name for name, folder in _FOLDERS.items() if (root / folder).is_dir()]
    if form in there:
        return form
    if form is not None or not there:
        expected = [_FOLDERS[form]] if form else list(_FOLDERS.values())
        raise FileNotFoundError(f"ScanNetDataset: {root} has no folder {' or '.join(expected)}")
    if len(there) > 1:
        raise ValueError(
            f"ScanNetDataset: {root} holds the forms {' and '.join(there)}, whose boxes may differ; say form="
        )
    return there[0]


def _read_split(root: Path, split: str) -> tuple[str, ...]:
    path = root / "meta_data" / f"scannetv2_{split}.txt"
    if not path.is_file():
        there = sorted(p.stem.removeprefix("scannetv2_") for p in path.parent.glob("scannetv2_*.txt"))
        raise FileNotFoundError(
            f"ScanNetDataset: no split file {path}; splits there: {', '.join(there) or 'none'}"
        )
    return tuple(path.read_text("utf-8").split())
