"""`imagepg predict`: detect in one point cloud and its image, from a checkpoint alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fusion3d_appkit.files import require_file
from fusion3d_appkit.weights import add_weights_options, require_weights

if TYPE_CHECKING:
    import numpy as np
    from datasets3d.frame import Frame
    from geom3d.cameras import PinholeCamera


class Found(NamedTuple):
    """What is to be shown of the detections."""

    boxes: np.ndarray
    """float32 [n, 7] in the LiDAR frame."""
    scores: np.ndarray
    """float32 [n]."""
    names: list[str]
    """Of the classes."""


USUAL_SIZE = (1242, 375)
"""Width and height of most of KITTI's pictures."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="imagepg predict",
        description="Detect objects in one scan and its image; write official KITTI lines and pictures.",
    )
    add_weights_options(options, app="imagepg")
    options.add_argument(
        "--points", type=Path, required=True, help=".bin (float32 x y z intensity per point), .npy or .pcd"
    )
    options.add_argument(
        "--columns",
        nargs="+",
        default=["x", "y", "z", "intensity"],
        metavar="NAME",
        help="of --points, where it has others, such as: x y z intensity ring",
    )
    options.add_argument(
        "--image", type=Path, help=".png or .jpg of the left colour camera; a LiDAR-only model does without"
    )
    options.add_argument("--calib", type=Path, required=True, help="calibration text in KITTI's format")
    options.add_argument("--out", type=Path, default=Path("runs/predict"), help="folder for the results")
    options.add_argument(
        "--min_score", type=float, default=0.3, help="leave out detections below (default 0.3)"
    )
    options.add_argument(
        "--inside", action="store_true", help="also draw what the model saw: points, attention, occupancy"
    )
    options.add_argument("--rerun", action="store_true", help="also write a 3D recording (needs rerun-sdk)")
    return options


def read_input(points: Path, image: Path | None, calib: Path, *, columns: Sequence[str]) -> Frame:
    """Return the frame of the given files; without a picture the camera is one of KITTI's usual size.

    Args:
        columns: What the columns of the scan are.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not what it should be, the scan is empty, or the picture is not the calibrated
            one.
    """
    require_file(points, "--points", suffixes=(".bin", ".npy", ".pcd"))
    require_file(calib, "--calib")
    if image is not None:
        require_file(image, "--image", suffixes=(".png", ".jpg", ".jpeg"))

    from datasets3d.frame import Frame, KittiFrame
    from datasets3d.kitti import in_view, read_frame, read_points
    from geom3d.kitti import read_calibration

    if image is not None:
        frame = read_frame(points=points, image=image, calib=calib, columns=columns)
        _check_size(frame.cameras["image_2"], image, calib)
    else:
        calibration = read_calibration(calib)
        camera = calibration.camera(*USUAL_SIZE)
        scan = read_points(points, columns=columns)
        frame = Frame(
            frame_id=points.stem,
            points=scan[in_view(scan, camera)],
            cameras={"image_2": camera},
            kitti=KittiFrame(calibration=calibration),
        )
    if not len(frame.points):
        raise ValueError(
            f"{points}: no point of the scan is in the camera's view; is {calib} its calibration?"
        )
    return frame


def _check_size(camera: PinholeCamera, image: Path, calib: Path) -> None:
    """Refuse a picture whose middle is far from where the calibration has the optical axis.

    Calibration files do not hold the size of the picture; an enlarged or shrunk one is found out like this.
    """
    u, v = float(camera.image_from_cam[0, 2]), float(camera.image_from_cam[1, 2])
    if not (0.25 < u / camera.width < 0.75 and 0.25 < v / camera.height < 0.75):
        raise ValueError(
            f"{image}: {camera.width} x {camera.height} pixels, but {calib} has the optical axis at pixel "
            f"({u:.0f}, {v:.0f}), far from the middle; give the picture in the size it was calibrated in"
        )


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    if chosen.rerun:
        from fusion3d_appkit.recording import require_recorder

        require_recorder()
    require_weights(chosen.ckpt, config=chosen.config)
    frame = read_input(chosen.points, chosen.image, chosen.calib, columns=chosen.columns)

    import torch
    from fusion_models.detection.batch import collate

    from imagepg.weights import WEIGHTS

    detector, image = WEIGHTS.load_model(chosen.ckpt, config=chosen.config)
    config = detector.config
    if config.image is not None and chosen.image is None:
        raise ValueError(f"checkpoint {chosen.ckpt}: the model looks at the image, too; pass it as --image")
    # Points outside the range stay: they may lie inside in a transformed copy of the cloud.
    batch = collate([frame], config.class_names, image=None if config.image is None else image)
    with torch.no_grad():
        detections = detector.predict(batch)[0]
    keep = detections.scores >= chosen.min_score
    found = Found(
        boxes=detections.boxes[keep].numpy(),
        scores=detections.scores[keep].numpy(),
        names=[config.class_names[label - 1] for label in detections.labels[keep].tolist()],
    )
    write_found(frame, found, chosen.out, bounds=config.voxels.bounds)
    if chosen.inside:
        from imagepg.insight import look_inside
        from imagepg.pictures import frame_pictures

        pictures = frame_pictures(look_inside(detector, batch), frame, min_score=chosen.min_score)
        for name, picture in pictures.items():
            picture.save(chosen.out / f"{name}.png")
    if chosen.rerun:
        from fusion3d_appkit.recording import record_frame

        nothing = found.boxes[:0]
        record_frame(chosen.out / "frame.rrd", frame, truth=nothing, found=found.boxes, labels=found.names)
    for name, box, score in zip(found.names, found.boxes, found.scores, strict=True):
        sys.stdout.write(
            f"{name:<11} score {score:.2f}  at x {box[0]:6.2f} y {box[1]:6.2f} z {box[2]:5.2f} m\n"
        )
    sys.stdout.write(f"{len(found.names)} objects; results and pictures in {chosen.out}\n")
    return 0


def write_found(
    frame: Frame, found: Found, out: Path, *, bounds: tuple[float, float, float, float, float, float]
) -> None:
    """Write official result lines, and pictures from above (of the range `bounds`) and over the image."""
    from datasets3d.kitti import write_detections
    from fusion3d_appkit.draw import BevView, draw_bev, draw_image

    out.mkdir(parents=True, exist_ok=True)
    camera, kitti = frame.cameras["image_2"], frame.kitti
    assert kitti is not None and kitti.calibration is not None, "read_input has read one"
    write_detections(
        out,
        frame.frame_id,
        names=found.names,
        boxes_lidar=found.boxes,
        scores=found.scores,
        camera=camera,
        calibration=kitti.calibration,
    )
    view = BevView(x=(bounds[0], bounds[3]), y=(bounds[1], bounds[4]))
    drawn = {"truth": found.boxes[:0], "found": found.boxes, "scores": found.scores}
    draw_bev(frame.points, view=view, **drawn).save(out / "bev.png")
    for image in frame.images.values():
        draw_image(image, camera=camera, **drawn).save(out / "image.png")
