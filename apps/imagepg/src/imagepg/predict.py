"""`imagepg predict`: detect in one point cloud and its image, from a checkpoint alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="imagepg predict",
        description="Detect objects in one scan and its image; write official KITTI lines and pictures.",
        epilog="The checkpoint holds the model's configuration: no --config is needed.",
    )
    options.add_argument("--ckpt", type=Path, required=True, help="checkpoint of `imagepg fit`")
    options.add_argument("--points", type=Path, required=True, help=".bin, float32 x y z intensity per point")
    options.add_argument("--image", type=Path, required=True, help=".png or .jpg of the left colour camera")
    options.add_argument("--calib", type=Path, required=True, help="calibration text in KITTI's format")
    options.add_argument("--out", type=Path, default=Path("runs/predict"), help="folder for the results")
    options.add_argument(
        "--min_score", type=float, default=0.3, help="leave out detections below (default 0.3)"
    )
    options.add_argument("--rerun", action="store_true", help="also write a 3D recording (needs rerun-sdk)")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    from appkit.draw import BevView, draw_bev, draw_image
    from datasets3d.kitti import read_frame, write_detections

    from imagepg.inference import detect, load_detector

    loaded = load_detector(chosen.ckpt)
    frame = read_frame(points=chosen.points, image=chosen.image, calib=chosen.calib)
    found = detect(loaded, frame)
    keep = found.scores >= chosen.min_score
    boxes = found.boxes[keep].numpy()
    scores = found.scores[keep].numpy()
    names = [loaded.classes[label - 1] for label in found.labels[keep].tolist()]

    chosen.out.mkdir(parents=True, exist_ok=True)
    camera = frame.cameras["image_2"]
    assert frame.calibration is not None
    write_detections(
        chosen.out,
        frame.frame_id,
        names=names,
        boxes_lidar=boxes,
        scores=scores,
        camera=camera,
        calibration=frame.calibration,
    )
    bounds = loaded.bounds
    view = BevView(x=(bounds[0], bounds[3]), y=(bounds[1], bounds[4]))
    nothing = boxes[:0]
    draw_bev(frame.points, truth=nothing, found=boxes, scores=scores, view=view).save(chosen.out / "bev.png")
    overlay = draw_image(frame.images["image_2"], truth=nothing, found=boxes, scores=scores, camera=camera)
    overlay.save(chosen.out / "image.png")
    if chosen.rerun:
        from appkit.recording import record_frame

        record_frame(chosen.out / "frame.rrd", frame, truth=nothing, found=boxes, labels=names)
    for name, box, score in zip(names, boxes, scores, strict=True):
        sys.stdout.write(
            f"{name:<11} score {score:.2f}  at x {box[0]:6.2f} y {box[1]:6.2f} z {box[2]:5.2f} m\n"
        )
    sys.stdout.write(f"{len(names)} objects; results and pictures in {chosen.out}\n")
    return 0
