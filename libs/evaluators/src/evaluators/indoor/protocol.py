"""Indoor detection as data: class tables, named subsets, thresholds and the variants of the protocol.

Sources: the class order of ScanNet and SUN RGB-D is that of VoteNet (`model_util_scannet.py`,
`model_util_sunrgbd.py`) and of mmdet3d; ScanNet-md40 (22 classes, alphabetical) and TO-SCENE (18 pieces of
furniture, 52 tabletop classes) are those of DSPDet3D (arXiv 2305.03716), whose tables print mAP_S over the
small classes and mAP_O over the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from evaluators._validation import named

Protocol: TypeAlias = Literal["mmdet3d", "votenet"]
"""Whose overlap counts: exact float64 (what mmdet3d approximates in float32), or VoteNet's own clipping.

Both tools match and average alike. VoteNet cuts polygons with a strict inside test, which loses corners where
edges coincide: predictions equal to the ground truth then reach an mAP of 0.89 only. Use "votenet" only to
reproduce figures that VoteNet printed.
"""

MeanOver: TypeAlias = Literal["gt", "listed", "reference"]
"""Which classes enter a mean: those with ground truth; all listed ones, absent ones as 0; or, as both tools
do it, those that occur in ground truth or predictions, where one without ground truth makes the mean NaN."""

PROTOCOL_NAME: Final = "indoor-detection"
PROTOCOL_VERSION: Final = "voc-all-point"
"""VOC matching (only the best object counts, taken or not) and the area under all points of the envelope."""

THRESHOLDS: Final = (0.25, 0.5)
"""Overlaps that a hit must exceed in the tables of VoteNet, mmdet3d and their followers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSubset:
    """Some classes of a table that get a mean of their own."""

    name: str
    """Short, for `mAP_<name>`."""
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """Class names in label order, with the subsets that get a mean of their own.

    Example:
        >>> mine = ClassTable.with_small("mine", ("lamp", "cup", "pen"), small=("cup", "pen"))
        >>> for subset in mine.subsets:
        ...     print(subset.name, *subset.classes)
        S cup pen
        O lamp
    """

    name: str
    classes: tuple[str, ...]
    """Label i is classes[i]."""
    subsets: tuple[ClassSubset, ...] = ()

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"ClassTable {self.name!r} needs at least one class, each once")
        if len({subset.name for subset in self.subsets}) != len(self.subsets):
            raise ValueError(f"ClassTable {self.name!r}: the subsets need distinct names")
        for subset in self.subsets:
            unknown = [name for name in subset.classes if name not in self.classes]
            if unknown or not subset.classes or len(set(subset.classes)) != len(subset.classes):
                raise ValueError(
                    f"ClassTable {self.name!r}: subset {subset.name!r} needs classes of the table, each once;"
                    f" got {', '.join(subset.classes) or 'none'}"
                )

    @classmethod
    def with_small(cls, name: str, classes: Sequence[str], *, small: Sequence[str]) -> ClassTable:
        """Return a table with the subsets S (the `small` classes) and O (all others)."""
        others = tuple(item for item in classes if item not in small)
        subsets = (ClassSubset(name="S", classes=tuple(small)), ClassSubset(name="O", classes=others))
        return cls(name=name, classes=tuple(classes), subsets=subsets)

    @classmethod
    def numbered(cls, count: int) -> ClassTable:
        """Return a table of `count` classes without names: class0, class1, ..."""
        return cls(name=f"{count} classes", classes=tuple(f"class{index}" for index in range(count)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace("\n", " ").split())


SCANNET: Final = ClassTable(
    name="scannet",
    # "showercurtrain" is how both tools spell it.
    classes=_words(
        "cabinet bed chair sofa table door window bookshelf picture counter desk curtain refrigerator"
        " showercurtrain toilet sink bathtub garbagebin"
    ),
)
SUNRGBD: Final = ClassTable(
    name="sunrgbd",
    classes=_words("bed table sofa chair toilet desk dresser night_stand bookshelf bathtub"),
)
SCANNET_MD40: Final = ClassTable.with_small(
    "scannet-md40",
    _words(
        "bathtub bed bench bookshelf bottle chair cup curtain desk door dresser keyboard lamp laptop monitor"
        " night_stand plant sofa stool table toilet wardrobe"
    ),
    # The classes with a mean volume below 0.05 cubic metres; the published means fix their number at four.
    small=("bottle", "cup", "keyboard", "laptop"),
)
_TABLETOP = (
    *_words(
        "bag bottle bowl camera can cap clock keyboard display earphone jar knife lamp laptop microphone"
        " microwave mug printer"
    ),
    "remote control",
    *_words(
        "phone alarm book cake calculator candle charger chessboard coffee_machine comb cutting_board dishes"
        " doll eraser eye_glasses file_box fork fruit globe hat mirror notebook pencil plant plate radio"
        " ruler saucepan spoon tea_pot toaster vase vegetables"
    ),
)
TO_SCENE: Final = ClassTable.with_small("to-scene", (*SCANNET.classes, *_TABLETOP), small=_TABLETOP)

TABLES: Final = {table.name: table for table in (SCANNET, SUNRGBD, SCANNET_MD40, TO_SCENE)}


def class_table(classes: str | ClassTable) -> ClassTable:
    """Return the table of that name, or the table itself.

    Raises:
        ValueError: The name is not in `TABLES`.

    Example:
        >>> class_table("sunrgbd").classes[:2]
        ('bed', 'table')
    """
    return named(classes, TABLES, name="classes", kind="a ClassTable")


def checked_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    """Return the thresholds as floats.

    Raises:
        ValueError: None, one twice, or one outside [0, 1).
    """
    values = tuple(map(float, thresholds))
    if not values or len(set(values)) != len(values) or not all(0.0 <= value < 1.0 for value in values):
        raise ValueError(f"thresholds must be overlaps in [0, 1), at least one, each once; got {values}")
    return values
