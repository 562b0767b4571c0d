"""Which boxes can be evaluated: known names, finite numbers, positive sizes, unit quaternions, scores."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from evaluators._columns import Fault, kept_rows, not_finite
from evaluators._validation import OnInvalid
from evaluators.nuscenes.boxes import NuscenesBoxes, NuscenesSample
from evaluators.nuscenes.protocol import Accepts, NuscenesProtocol

_UNIT_TOLERANCE = 0.01
"""Quaternions written in float16 are this far from unit length; anything else is not a rotation."""


def check_names(boxes: NuscenesBoxes, protocol: NuscenesProtocol, *, where: str, is_gt: bool) -> None:
    """Refuse unknown classes and attributes, and attributes that another class has.

    Classes without attributes may carry any known one: it is not scored, and common writers put one there.
    Under `accepts="devkit"` every class may: it is then a wrong attribute.
    """
    names = protocol.class_names
    unknown = set(boxes.names).difference(names)
    if unknown:
        row = _first(boxes.names, unknown)
        raise ValueError(
            f"{where}, row {row + 1}: unknown class {boxes.names[row]!r}; the classes are {', '.join(names)}"
        )
    known = protocol.attribute_names
    unknown = set(boxes.attributes).difference(known, [""])
    if unknown:
        row = _first(boxes.attributes, unknown)
        raise ValueError(
            f"{where}, row {row + 1}: unknown attribute {boxes.attributes[row]!r};"
            f" the attributes are {', '.join(known)}, or '' for none"
        )
    allowed = {rule.name: rule.attributes for rule in protocol.classes}
    pairs = list(zip(boxes.names, boxes.attributes, strict=True))
    wrong = {
        (name, mark) for name, mark in set(pairs) if mark and allowed[name] and mark not in allowed[name]
    }
    if wrong and not is_gt and protocol.accepts == "valid":
        row = _first(pairs, wrong)
        name, attribute = pairs[row]
        raise ValueError(
            f"{where}, row {row + 1}: a {name} cannot have the attribute {attribute!r};"
            f" it has {', '.join(allowed[name])}, or '' for none (the official kit scores it as a wrong one:"
            ' accepts="devkit")'
        )


def _first(values: Sequence[object], wanted: AbstractSet[object]) -> int:
    return next(row for row, value in enumerate(values) if value in wanted)


def checked(
    boxes: NuscenesBoxes, on_invalid: OnInvalid, *, where: str, accepts: Accepts = "valid"
) -> NuscenesBoxes:
    """Return the boxes, without the invalid rows if the policy is "drop".

    Raises:
        ValueError: A row is invalid and the policy is "error"; names `where`, row (from 1) and reason.
    """
    columns = [boxes.translation, boxes.size_wlh, boxes.rotation]
    if boxes.score is not None:
        columns.append(boxes.score[:, None])
        # Nobody knows the velocity of an object that was seen once; a detector must.
        velocity = boxes.velocity
        columns.append(np.where(np.isnan(velocity), 0.0, velocity) if accepts == "devkit" else velocity)
    scores = np.zeros(len(boxes)) if boxes.score is None else boxes.score
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.linalg.norm(boxes.rotation, axis=1)

    turned = np.abs(norm - 1.0) <= _UNIT_TOLERANCE
    if accepts == "devkit":
        turned = np.isfinite(norm) & (norm > 0)

    def bad_size(row: int) -> str:
        width, length, height = boxes.size_wlh[row].tolist()
        return f"expected positive sizes, got width {width:g}, length {length:g}, height {height:g}"

    faults: list[Fault] = [
        not_finite(np.concatenate(columns, axis=1)),
        (np.any(boxes.size_wlh <= 0, axis=1), bad_size),
        (
            ~turned,
            lambda row: f"expected a unit quaternion w x y z, got one of length {float(norm[row]):g}",
        ),
        (scores < 0, lambda row: f"expected a score of 0 or more, got {float(scores[row]):g}"),
    ]
    kept = kept_rows(faults, on_invalid, where=lambda row: f"{where}, row {row + 1} ({boxes.names[row]})")
    return boxes if kept.all() else boxes.select(kept)


def check_surroundings(sample: NuscenesSample, *, where: str) -> None:
    """Refuse a vehicle or a rack that is nowhere."""
    racks = sample.racks
    if sample.ego_translation.shape != (3,) or racks.ndim != 2 or racks.shape[1] != 10:
        raise ValueError(
            f"{where}: ego_translation must have shape [3] and racks [r, 10], got"
            f" {list(sample.ego_translation.shape)} and {list(racks.shape)}"
        )
    if not np.isfinite(sample.ego_translation).all():
        raise ValueError(f"{where}: ego_translation must be finite, got {sample.ego_translation.tolist()}")
    turns = np.sqrt((racks[:, 6:] ** 2).sum(axis=1)) if racks.size else np.ones(0)
    if not (np.isfinite(racks).all() and (np.abs(turns - 1.0) <= _UNIT_TOLERANCE).all()):
        raise ValueError(f"{where}: racks must be finite, with unit quaternions")
