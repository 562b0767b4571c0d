"""Which boxes can be evaluated: known names, finite numbers, positive sizes, unit quaternions, scores."""

from __future__ import annotations

import numpy as np

from evaluators._validation import OnInvalid
from evaluators.nuscenes.boxes import NuscenesBoxes, NuscenesSample
from evaluators.nuscenes.protocol import NuscenesProtocol

_UNIT_TOLERANCE = 0.01
"""Quaternions written in float16 are this far from unit length; anything else is not a rotation."""


def check_names(boxes: NuscenesBoxes, protocol: NuscenesProtocol, *, where: str, is_gt: bool) -> None:
    """Refuse unknown classes and attributes, and attributes that another class has.

    Classes without attributes may carry any known one: it is not scored, and common writers put one there.
    """
    names = protocol.class_names
    unknown = set(boxes.names).difference(names)
    if unknown:
        row = next(row for row, name in enumerate(boxes.names) if name in unknown)
        raise ValueError(
            f"{where}, row {row + 1}: unknown class {boxes.names[row]!r}; the classes are {', '.join(names)}"
        )
    known = protocol.attribute_names
    unknown = set(boxes.attributes).difference(known, [""])
    if unknown:
        row = next(row for row, name in enumerate(boxes.attributes) if name in unknown)
        raise ValueError(
            f"{where}, row {row + 1}: unknown attribute {boxes.attributes[row]!r};"
            f" the attributes are {', '.join(known)}, or '' for none"
        )
    allowed = {rule.name: rule.attributes for rule in protocol.classes}
    pairs = set(zip(boxes.names, boxes.attributes, strict=True))
    wrong = {(name, mark) for name, mark in pairs if mark and allowed[name] and mark not in allowed[name]}
    if wrong and not is_gt:
        row, (name, attribute) = next(
            (row, pair)
            for row, pair in enumerate(zip(boxes.names, boxes.attributes, strict=True))
            if pair in wrong
        )
        raise ValueError(
            f"{where}, row {row + 1}: a {name} cannot have the attribute {attribute!r};"
            f" it has {', '.join(allowed[name])}, or '' for none"
        )


def checked(boxes: NuscenesBoxes, on_invalid: OnInvalid, *, where: str) -> NuscenesBoxes:
    """Return the boxes, without the invalid rows if the policy is "drop".

    Raises:
        ValueError: A row is invalid and the policy is "error"; names `where`, row (from 1) and reason.
    """
    is_gt = boxes.score is None
    finite = np.all(np.isfinite(_numbers(boxes)), axis=1)
    # Nobody knows the velocity of an object that was seen once.
    velocity_ok = np.all(np.isfinite(boxes.velocity), axis=1) | is_gt
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.linalg.norm(boxes.rotation, axis=1)
    size_ok = np.all(boxes.size_wlh > 0, axis=1)
    turn_ok = np.abs(norm - 1.0) <= _UNIT_TOLERANCE
    valid = finite & velocity_ok & size_ok & turn_ok
    if boxes.score is not None:
        valid &= boxes.score >= 0
    if valid.all():
        return boxes
    if on_invalid == "drop":
        return boxes.select(valid)
    row = int(np.argmin(valid))
    if not (finite[row] and velocity_ok[row]):
        reason = "expected finite numbers, got a NaN or infinity"
    elif not size_ok[row]:
        width, length, height = boxes.size_wlh[row].tolist()
        reason = f"expected positive sizes, got width {width:g}, length {length:g}, height {height:g}"
    elif not turn_ok[row]:
        reason = f"expected a unit quaternion w x y z, got one of length {float(norm[row]):g}"
    else:
        assert boxes.score is not None
        reason = f"expected a score of 0 or more, got {float(boxes.score[row]):g}"
    raise ValueError(
        f"{where}, row {row + 1} ({boxes.names[row]}): {reason};"
        " repair it, or leave such rows out with on_invalid='drop'"
    )


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


def _numbers(boxes: NuscenesBoxes) -> np.ndarray:
    columns = [boxes.translation, boxes.size_wlh, boxes.rotation]
    if boxes.score is not None:
        columns.append(boxes.score[:, None])
    return np.concatenate(columns, axis=1)
