"""How scans become what a network reads: the classes, the scans put together, the voxels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from datasets3d.segmentation import SamplingConfig
from datasets3d.segmentation.label_file import read_label_table
from datasets3d.segmentation.labels import LabelTable
from datasets3d.semantickitti import TABLES, SemanticKittiDataset


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How scans are read; kept in checkpoints."""

    labels: str = "single-scan"
    """Which raw ids are which class: `single-scan`, `multi-scan`, `moving`, `spvnas` (the table of the
    released code), or a YAML file with a table of your own."""
    sweeps: int = 1
    """Scans put together by their poses, the newest included."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Voxels."""

    @property
    def table(self) -> LabelTable:
        """The classes.

        Raises:
            FileNotFoundError, ValueError: `labels` is neither a name nor a file with a table.
        """
        if self.labels in TABLES:
            return TABLES[self.labels]
        if Path(self.labels).suffix not in (".yaml", ".yml"):
            raise ValueError(
                f"data.reading.labels: expected one of {', '.join(TABLES)}, or a .yaml file, got "
                f"{self.labels!r}"
            )
        return read_label_table(self.labels)

    def require_classes(self, class_names: tuple[str, ...]) -> LabelTable:
        """Return the table, if its classes are those of a model, in their order.

        Raises:
            ValueError: They are others; names both.
        """
        table = self.table
        if table.classes != class_names:
            raise ValueError(
                f"the labels {self.labels!r} have the classes {', '.join(table.classes)}, the model "
                f"{', '.join(class_names)}; give the model the same (model.network.class_names)"
            )
        return table

    def scans(self, root: Path, split: str) -> SemanticKittiDataset:
        """Return the scans of a split: `train`, `val`, `trainval`, `test`, or sequences such as `00+05`.

        Raises:
            FileNotFoundError, ValueError: See `datasets3d.semantickitti.SemanticKittiDataset`.
        """
        named = split if split.isalpha() else tuple(split.split("+"))
        return SemanticKittiDataset(root, named, table=self.table, sweeps=self.sweeps)
