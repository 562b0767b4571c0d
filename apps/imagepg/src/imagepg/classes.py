"""The classes of a run, which the model's configuration alone knows, compared with what the labels hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from datasets3d.kitti import KittiDataset
from datasets3d.surfaces import ObjectShapes


def require_objects(source: KittiDataset, classes: Sequence[str], *, purpose: str) -> str | None:
    """Refuse labels that hold no object of any class; return a line about classes that they lack, if any.

    Reads every label file of the split. Frames without labels (testing/) are let pass.

    Args:
        purpose: What is wanted of the labels, for the message: "learn from", "score".

    Raises:
        ValueError: No object of any of the classes; says what the labels hold instead.
    """
    if source.label_dir is None:
        return None
    found = Counter(label.name for frame_id in source.frame_ids for label in source.labels(frame_id) or ())
    del found["DontCare"]
    where = f"split {source.split!r} of {source.root}"
    held = ", ".join(f"{name} {count}" for name, count in sorted(found.items())) or "no object at all"
    missing = [name for name in classes if not found[name]]
    if len(missing) == len(classes):
        raise ValueError(
            f"nothing to {purpose}: the labels of {where} hold {held}, and the model's classes are "
            f"{', '.join(classes)}; list those of the data under model.detector.anchors.classes, spelled as "
            "in the labels"
        )
    return (
        f"no {' and no '.join(missing)} to {purpose}: the labels of {where} hold {held}" if missing else None
    )


def lacking_targets(source: KittiDataset, classes: Sequence[str], shapes: ObjectShapes) -> str | None:
    """Return a line about classes that have objects but not a single complete surface, if there are any.

    A single object may lack its own. Reads label files until every class is settled.
    """
    with_target: set[str] = set()
    without: set[str] = set()
    for frame_id in source.frame_ids:
        if with_target.issuperset(classes):
            return None
        objects = [label for label in source.labels(frame_id) or () if not label.is_dont_care]
        for index, label in enumerate(objects):
            if label.name in classes and label.name not in with_target:
                known = shapes.find(f"{frame_id}_{index}") is not None
                (with_target if known else without).add(label.name)
    if not (lacking := sorted(without - with_target)):
        return None
    command = f"python -m datasets3d complete kitti --root {source.root} --split {source.split}"
    return (
        f"no dense target for any {' or '.join(lacking)}: generated points and occupancy take such objects "
        f"for empty space; to make them anew, delete {', '.join(map(str, shapes.folders))} and run "
        f"`{command} --classes {' '.join(classes)}`"
    )
