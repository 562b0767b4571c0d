"""Label sets of rooms: the classes of a benchmark, their numbers in files, and what annotators call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Int32, Integer


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """The classes that a benchmark asks for.

    Raises:
        ValueError: Names, numbers and cells that do not belong together.

    Example:
        >>> len(SCANNET_MD40.classes), SCANNET_MD40.raw_categories["mug"], SCANNET18.ids[:3]
        (22, 'cup', (3, 4, 5))
    """

    name: str
    """As the evaluators call it."""
    classes: tuple[str, ...]
    """Names, in the order of the class numbers 0, 1, ..."""
    ids: tuple[int, ...]
    """Number of every class in the arrays that preparations store."""
    column: str
    """Column of `scannetv2-labels.combined.tsv` that says the class of a raw category; empty: none does."""
    cells: tuple[str, ...] = ()
    """What the column holds for every class; empty: the names."""
    raw_categories: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Class by what annotators wrote, for trees without the table; empty: the table is needed."""

    def __post_init__(self) -> None:
        """Check that every class has one number and one cell."""
        if not len(set(self.classes)) == len(set(self.ids)) == len(self.classes) > 0:
            raise ValueError(f"LabelSet {self.name!r}: names and ids must be as many, each once")
        if self.cells and len(set(self.cells)) != len(self.classes):
            raise ValueError(f"LabelSet {self.name!r}: expected one cell for every class")
        unknown = set(self.raw_categories.values()) - set(self.classes)
        if unknown:
            raise ValueError(f"LabelSet {self.name!r}: {', '.join(sorted(unknown))} are no classes of it")

    def from_ids(self, ids: Integer[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        """Return class numbers of stored ids, -1 for ids of no class.

        Example:
            >>> SCANNET18.from_ids(np.array([3, 40, 39]))
            array([ 0, -1, 17], dtype=int32)
        """
        order = np.argsort(self.ids)
        known = np.asarray(self.ids)[order]
        at = np.searchsorted(known, ids).clip(max=len(known) - 1)
        return np.where(known[at] == ids, order[at], -1).astype(np.int32)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _categories(text: str) -> Mapping[str, str]:
    """Read lines `class: raw category, raw category`."""
    pairs: dict[str, str] = {}
    for line in text.strip().split("\n"):
        name, _, raw = line.partition(":")
        pairs |= {category.strip(): name.strip() for category in raw.split(",")}
    return MappingProxyType(pairs)


_MD40 = """
bathtub: bathtub
bed: bed, mattress, loft bed, sofa bed, bunk bed, air mattress
bench: bench, piano bench, workbench
bookshelf: shelf, bookshelf, bookshelves, organizer shelf, pantry shelf, closet shelf
bottle: bottle, water bottle, thermos, beer bottles, spray bottle, shampoo bottle, mouthwash bottle, lotion bottle, bottles
bottle: dishwashing soap bottle, conditioner bottle, contact lens solution bottle
chair: chair, office chair, armchair, sofa chair, stack of chairs, folded chair, folded chairs, massage chair
chair: recliner chair, rocking chair, stack of folded chairs
cup: cup, stack of cups, mug, cups, starbucks cup
curtain: curtain, shower curtain, curtains
desk: desk
door: door, doorframe, doors, bathroom stall door, closet doors, closet door, shower door, mirror doors, cabinet door
door: garage door, glass doors, sliding door, closet doorframe
dresser: dresser, chest
keyboard: keyboard
lamp: lamp, lamp base, candle, desk lamp, wall lamp, table lamp, ceiling lamp, night lamp
laptop: laptop
monitor: monitor
night_stand: nightstand
plant: plant, potted plant
sofa: couch, sofa
stool: stool, ottoman, footrest, step stool, footstool, stools
table: table, coffee table, end table, kitchen counter, counter, bathroom counter, stand, dining table, foosball table
table: folded table, round table, pool table, ping pong table, side table, air hockey table
toilet: toilet, urinal
wardrobe: wardrobe closet, closet, wardrobe cabinet, closet wardrobe, wardrobe
"""  # noqa: E501

_SCANNET18 = _words(
    "cabinet bed chair sofa table door window bookshelf picture counter desk curtain refrigerator"
    " showercurtrain toilet sink bathtub garbagebin"
)
_NYU40 = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)

SCANNET18: Final = LabelSet(
    name="scannet",
    classes=_SCANNET18,
    ids=_NYU40,
    column="nyu40id",
    cells=tuple(map(str, _NYU40)),
)
"""The detection classes of ScanNet v2; numbers are those of NYU40."""
SCANNET20: Final = LabelSet(
    name="scannet20",
    classes=("wall", "floor", *_SCANNET18),
    ids=(1, 2, *_NYU40),
    column="nyu40id",
    cells=("1", "2", *map(str, _NYU40)),
)
"""The segmentation classes of ScanNet v2."""
SCANNET_MD40: Final = LabelSet(
    name="scannet-md40",
    classes=_words(
        "bathtub bed bench bookshelf bottle chair cup curtain desk door dresser keyboard lamp laptop monitor"
        " night_stand plant sofa stool table toilet wardrobe"
    ),
    ids=tuple(range(2, 24)),
    column="ModelNet40",
    raw_categories=_categories(_MD40),
)
"""The 22 classes of ScanNet-md40 (BackToReality, arXiv 2203.05238) with DSPDet3D's numbers, 2 to 23."""
TO_SCENE: Final = LabelSet(
    name="to-scene",
    classes=(
        *_SCANNET18,
        *_words(
            "bag bottle bowl camera can cap clock keyboard display earphone jar knife lamp laptop microphone"
            " microwave mug printer"
        ),
        "remote control",
        *_words(
            "phone alarm book cake calculator candle charger chessboard coffee_machine comb cutting_board"
            " dishes doll eraser eye_glasses file_box fork fruit globe hat mirror notebook pencil plant plate"
            " radio ruler saucepan spoon tea_pot toaster vase vegetables"
        ),
    ),
    ids=(*_NYU40, *range(41, 91), 92, 93),
    column="",
)
"""TO-SCENE (arXiv 2203.09440): 18 classes of furniture, 52 of what stands on tables."""
