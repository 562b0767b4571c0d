"""The chapters of the report that look inside the model, in words for those who see it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from datasets3d.frame import Frame
from datasets3d.surfaces import ObjectShapes, add_dense_points
from evaluators.page import Table, render_section
from fusion3d_appkit import report
from fusion3d_appkit.report import Chapter, spread
from fusion3d_appkit.sampling import Draw
from PIL import Image

from imagepg.insight import FrameInsight, look_inside
from imagepg.pictures import MIN_SCORE, frame_pictures, stage_title
from imagepg.task import DetectionTask

INSIDE_FRAMES = 3
EXPLANATIONS = {
    "generated": "For every region that may hold an object, the model makes up points where the surface of "
    "the object should be, and scores how surely each lies on it: the darker, the surer. The scan is grey, "
    f"labels are green; only objects with a score of at least {MIN_SCORE} have their points drawn.",
    "object": "Close up, the few points that the sensor measured stand beside the complete surface, which is "
    "what the generator learns from, and the points that it generated. The box found is red-orange, the "
    "label green; the front points to the right.",
    "attention": "To learn what a spot of a region looks like, the model reads the image at a few places "
    "around the pixel that the spot projects to (white cross). Each colour is one spot; the larger the dot, "
    "the more the place counts. An untrained model reads along straight lines.",
    "occupancy": "Before looking for boxes, the model guesses where objects stand on the ground, from points "
    "and image. Cells inside the red-orange outline guide the search; the target, where it is known, is the "
    "ground under the complete surfaces with a soft edge. Labels are green.",
    "stages": "The model corrects its proposals in stages, and in each it may look at the cloud mirrored, "
    "turned or scaled. The later the stage, the darker the box; the thick green box is the label.",
}
CAPTIONS = {
    "generated": "generated points from above",
    "object": "measured, complete and generated points of one object",
    "attention": "places in the image that count for one object",
    "occupancy": "probability that a cell is occupied",
    "stages": "boxes of one object, stage by stage",
}
PHOTOGRAPHS = ("attention",)


def look_at_frames(task: DetectionTask) -> list[tuple[FrameInsight, Frame]]:
    """Return what the detector sees in some validation frames, which get dense points if there are any."""
    data = task.data
    frames = data.evaluation_frames(data.val_split)
    try:
        shapes = ObjectShapes.read(data.root)
    except FileNotFoundError:
        shapes = None  # the pictures leave the complete surfaces out
    collate = data.collation()
    looks = []
    for index in spread(len(frames), INSIDE_FRAMES):
        frame = frames[Draw(0, index)]
        if shapes is not None:
            frame = add_dense_points(frame, shapes)
        looks.append((look_inside(task.detector, collate([frame])), frame))
    return looks


def inside_chapters(looks: Sequence[tuple[FrameInsight, Frame]], *, camera: str) -> list[Chapter]:
    """Return what the model did on its way to the detections: points, image attention, occupancy, stages.

    Of a part that the model lacks, the section says so.

    Args:
        looks: At least one frame with what was seen in it.
        camera: Name of the image that the model saw.
    """
    first = looks[0][0]
    drawn = [(insight, frame_pictures(insight, frame, camera=camera)) for insight, frame in looks]
    points = _figures(drawn, ("generated", "object"))
    attention = _figures(drawn, ("attention",))
    occupancy = _figures(drawn, ("occupancy",))
    stages = refinement_table([insight for insight, _ in looks]) + _figures(drawn, ("stages",))
    if first.generated is None:
        points = report.note("This model generates no points.")
    if first.attention is None:
        attention = report.note("This model does not read the image for its regions.")
    if first.occupancy is None:
        occupancy = report.note("This model has no occupancy network.")
    return [
        Chapter("Generated points", points),
        Chapter("Where the image is read", attention),
        Chapter("Occupancy from above", occupancy),
        Chapter("Boxes after every stage", stages),
    ]


def _figures(drawn: Sequence[tuple[FrameInsight, Mapping[str, Image.Image]]], kinds: Sequence[str]) -> str:
    """Return explanations and pictures of these kinds, a row for each frame and kind."""
    parts = []
    for kind in kinds:
        parts.append(report.note(EXPLANATIONS[kind]))
        shown = report.photo if kind in PHOTOGRAPHS else report.drawing
        for insight, pictures in drawn:
            chosen = [picture for name, picture in pictures.items() if name.split("_")[0] == kind]
            figures = [
                shown(picture, caption=f"{insight.frame_id}, {CAPTIONS[kind]}", alt=_alt(insight, kind))
                for picture in chosen
            ]
            none = report.note(f"{insight.frame_id}: no object to show with a score of {MIN_SCORE}.")
            parts.append(report.row(*figures) if figures else none)
    return "".join(parts)


def _alt(insight: FrameInsight, kind: str) -> str:
    """Return what a picture shows, in numbers where it can."""
    found, labels = len(insight.shown(MIN_SCORE)), len(insight.truth)
    return {
        "generated": f"Scan from above with the points generated for {found} objects and {labels} labels",
        "object": "Measured points, complete surface and generated points, from above and from the side",
        "attention": "Part of the camera image with crosses at grid points and dots where the image is read",
        "occupancy": _occupancy_alt(insight),
        "stages": f"Boxes of one object after {len(insight.stage_names)} stages over the scan, from above",
    }[kind]


def _occupancy_alt(insight: FrameInsight) -> str:
    if insight.occupancy is None:
        return ""
    guides = insight.occupancy.guides
    return f"Map from above; {guides.sum()} of {guides.size} cells guide the search for boxes"


def refinement_table(insights: Sequence[FrameInsight]) -> str:
    """Return the table of the mean 3D IoU of box and label after every stage, over all frames."""
    overlaps = np.concatenate([insight.refinement() for insight in insights], axis=1)
    count = overlaps.shape[1]
    if not count:
        return report.note(
            "No labelled object of these frames has a box near it, so there is nothing to compare."
        )
    names = [stage_title(insights[0], stage) for stage in range(len(overlaps))]
    rows = [[name, f"{mean:.2f}"] for name, mean in zip(names, overlaps.mean(axis=1).tolist(), strict=True)]
    text = (
        f"Mean overlap (3D IoU) with the label, of the best-scored box near each of {count} labelled objects."
    )
    return render_section(Table(title=text, header=["after", "mean 3D IoU"], rows=rows))
