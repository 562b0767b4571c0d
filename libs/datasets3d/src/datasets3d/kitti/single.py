"""One frame from three files, without a tree around them."""

from pathlib import Path

from geom3d.kitti import read_calibration

from datasets3d._files import read_image
from datasets3d.frame import Frame, KittiFrame
from datasets3d.kitti._files import read_points
from datasets3d.kitti.dataset import in_view


def read_frame(*, points: Path | str, image: Path | str, calib: Path | str) -> Frame:
    """Return the frame of a scan, its picture (`image_2`) and calibration; points outside the picture go.

    Args:
        points: `.bin`, float32 x y z intensity per point.
        image: Picture of the left colour camera.
        calib: Calibration in KITTI's text format.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not what it should be; the message names it.
    """
    picture = read_image(image)
    calibration = read_calibration(calib)
    height, width = picture.shape[:2]
    camera = calibration.camera(width, height)
    scan = read_points(points)
    return Frame(
        frame_id=Path(points).stem,
        points=scan[in_view(scan, camera)],
        images={"image_2": picture},
        cameras={"image_2": camera},
        kitti=KittiFrame(calibration=calibration),
    )
