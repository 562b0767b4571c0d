"""One frame from three files, without a tree around them."""

from collections.abc import Sequence
from pathlib import Path

from geom3d.kitti import read_calibration

from datasets3d._files import read_image
from datasets3d.frame import POINT_COLUMNS, Frame, KittiFrame
from datasets3d.kitti._files import read_points
from datasets3d.kitti.dataset import in_view


def read_frame(
    *,
    points: Path | str,
    image: Path | str,
    calib: Path | str,
    columns: Sequence[str] = POINT_COLUMNS,
) -> Frame:
    """Return the frame of a scan, its picture (`image_2`) and calibration; points outside the picture go.

    Args:
        points: The scan, as for `read_points`.
        image: Picture of the left colour camera.
        calib: Calibration in KITTI's text format.
        columns: What the columns of the scan are, as for `read_points`.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not what it should be; the message names it.
    """
    picture = read_image(image)
    calibration = read_calibration(calib)
    height, width = picture.shape[:2]
    camera = calibration.camera(width, height)
    scan = read_points(points, columns=columns)
    return Frame(
        frame_id=Path(points).stem,
        points=scan[in_view(scan, camera)],
        images={"image_2": picture},
        cameras={"image_2": camera},
        kitti=KittiFrame(calibration=calibration),
    )
