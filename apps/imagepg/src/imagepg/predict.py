"""`imagepg predict`: detect in one point cloud and its image, from a checkpoint alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets3d.frame import Frame
    from geom3d.cameras import PinholeCamera

USUAL_SIZE = (1242, 375)
"""Width and height of most of KITTI's pictures."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="imagepg predict",
        description="Detect objects in one scan and its image; write official KITTI lines and pictures.",
        epilog="A checkpoint of `imagepg fit` holds its configuration, that of the authors stands for "
        "the published one. --config names another, and that of safetensors.",
    )
    options.add_argument(
        "--ckpt", type=Path, required=True, help="checkpoint of `imagepg fit` or the authors', or safetensors"
    )
    options.add_argument(
        "--config", type=Path, help="YAML with the model's configuration, if not that of --ckpt"
    )
    options.add_argument("--points", type=Path, required=True, help=".bin, float32 x y z intensity per point")
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


def read_input(points: Path, image: Path | None, calib: Path) -> Frame:
    """Return the frame of the given files; without a picture the camera is one of KITTI's usual size.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not what it should be, the scan is empty, or the picture is not the calibrated
            one.
    """
    from datasets3d.frame import Frame, KittiFrame
    from datasets3d.kitti import in_view, read_frame, read_points
    from geom3d.kitti import read_calibration

    if image is not None:
        frame = read_frame(points=points, image=image, calib=calib)
        _check_size(frame.cameras["image_2"], image, calib)
    else:
        calibration = read_calibration(calib)
        camera = calibration.camera(*USUAL_SIZE)
        scan = read_points(points)
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
    from datasets3d.kitti import write_detections
    from fusion3d_appkit.draw import BevView, draw_bev, draw_image

    from imagepg.inference import batch_of, detect, load_detector

    frame = read_input(chosen.points, chosen.image, chosen.calib)
    loaded = load_detector(chosen.ckpt, config=chosen.config)
    if loaded.detector.image is not None and chosen.image is None:
        raise ValueError(f"checkpoint {chosen.ckpt}: the model looks at the image, too; pass it as --image")
    found = detect(loaded, frame)
    keep = found.scores >= chosen.min_score
    boxes = found.boxes[keep].numpy()
    scores = found.scores[keep].numpy()
    names = [loaded.classes[label - 1] for label in found.labels[keep].tolist()]

    chosen.out.mkdir(parents=True, exist_ok=True)
    camera = frame.cameras["image_2"]
    assert frame.kitti is not None and frame.kitti.calibration is not None
    write_detections(
        chosen.out,
        frame.frame_id,
        names=names,
        boxes_lidar=boxes,
        scores=scores,
        camera=camera,
        calibration=frame.kitti.calibration,
    )
    bounds = loaded.bounds
    view = BevView(x=(bounds[0], bounds[3]), y=(bounds[1], bounds[4]))
    nothing = boxes[:0]
    draw_bev(frame.points, truth=nothing, found=boxes, scores=scores, view=view).save(chosen.out / "bev.png")
    if frame.images:
        picture = frame.images["image_2"]
        overlay = draw_image(picture, truth=nothing, found=boxes, scores=scores, camera=camera)
        overlay.save(chosen.out / "image.png")
    if chosen.inside:
        from imagepg.insight import look_inside
        from imagepg.pictures import write_pictures

        insight = look_inside(loaded.detector, batch_of(loaded, frame))
        write_pictures(insight, frame, chosen.out, min_score=chosen.min_score)
    if chosen.rerun:
        from fusion3d_appkit.recording import record_frame

        record_frame(chosen.out / "frame.rrd", frame, truth=nothing, found=boxes, labels=names)
    for name, box, score in zip(names, boxes, scores, strict=True):
        sys.stdout.write(
            f"{name:<11} score {score:.2f}  at x {box[0]:6.2f} y {box[1]:6.2f} z {box[2]:5.2f} m\n"
        )
    sys.stdout.write(f"{len(names)} objects; results and pictures in {chosen.out}\n")
    return 0
