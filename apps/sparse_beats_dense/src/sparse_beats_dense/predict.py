"""`sparse_beats_dense predict`: depth of one picture and its radar file, from a checkpoint alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion3d_appkit.files import require_file
from fusion3d_appkit.weights import add_weights_options, require_weights

if TYPE_CHECKING:
    import numpy as np
    from datasets3d.depth import DepthReading, DepthSample
    from datasets3d.nuscenes import Pose, SampleRecord
    from PIL import Image

CALIBRATION = """calibration: JSON with the two `calibrated_sensor` records as nuScenes' tables have them,
  {"camera": {"translation": [x, y, z], "rotation": [w, x, y, z], "camera_intrinsic": [[..], [..], [..]]},
   "radar":  {"translation": [x, y, z], "rotation": [w, x, y, z]}}
both in one frame of the car, metres. The camera looks along its z, x right, y down; the radar along its x."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="sparse_beats_dense predict",
        description="Complete the depth of one picture, given by its files or as a key frame of a data set; "
        "write depth.png (16 bits, metres times 256), depth.npz (metres) and overview.jpg.",
        epilog=CALIBRATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_weights_options(options, app="sparse_beats_dense")
    files = options.add_argument_group("three files")
    files.add_argument("--image", type=Path, help=".jpg or .png of the camera")
    files.add_argument("--radar", type=Path, help=".pcd of the radar, as nuScenes has them")
    files.add_argument("--calib", type=Path, help="calibration of both, see below")
    frame = options.add_argument_group("or a key frame")
    frame.add_argument("--root", type=Path, help="folder of the data set, with samples/")
    frame.add_argument("--token", help="token of the key frame (`sample`)")
    frame.add_argument(
        "--split",
        default="v1.0-trainval/val",
        help="where to look for it: VERSION/SPLIT or a file of records (default %(default)s)",
    )
    options.add_argument("--out", type=Path, default=Path("runs/predict"), help="folder for the results")
    return options


def record_of_files(image: Path, radar: Path, calib: Path, reading: DepthReading) -> SampleRecord:
    """Return a record of the files, to be read below `/`; the car is taken to stand still between them.

    Raises:
        ValueError: The calibration is not what it should be; the message names the field.
    """
    from datasets3d.nuscenes import Pose, SampleRecord, SensorRecord

    try:
        content = json.loads(calib.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{calib}: not JSON ({error}); `sparse_beats_dense predict --help` shows one"
        ) from None
    still = Pose(translation=(0.0, 0.0, 0.0), rotation=(1.0, 0.0, 0.0, 0.0))
    sensors = {}
    for name, channel, path in (("camera", reading.camera, image), ("radar", reading.radar, radar)):
        part = content.get(name) if isinstance(content, Mapping) else None
        if not isinstance(part, Mapping):
            raise ValueError(f"{calib}: has no entry {name!r}; `sparse_beats_dense predict --help` shows one")
        intrinsic = _numbers(calib, part, "camera_intrinsic", (3, 3)) if name == "camera" else None
        record = SensorRecord(
            channel=channel,
            filename=str(path.resolve()),
            token=path.stem,
            timestamp_us=0,
            calibration=_pose(calib, part),
            ego_pose=still,
            intrinsic=None if intrinsic is None else tuple(map(tuple, intrinsic)),
        )
        sensors[channel] = (record,)
    return SampleRecord(token=image.stem, scene_token="", scene_name="", timestamp_us=0, sensors=sensors)


def _pose(calib: Path, part: Mapping[str, Any]) -> Pose:
    from datasets3d.nuscenes import Pose

    return Pose(
        translation=tuple(_numbers(calib, part, "translation", (3,))),
        rotation=tuple(_numbers(calib, part, "rotation", (4,))),
    )


def _numbers(calib: Path, part: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Any:
    import numpy as np

    try:
        values = np.array(part.get(name), np.float64)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(
            f"{calib}: {name!r} must be {' x '.join(map(str, shape))} numbers, got {part.get(name)}"
        )
    return values.tolist()


def find_record(root: Path, split: str, token: str, reading: DepthReading) -> SampleRecord:
    """Return the key frame of a token.

    Raises:
        FileNotFoundError, ValueError: As `load_records`; or the split has no such key frame.
    """
    from sparse_beats_dense.records import load_records

    records = load_records(root, split, reading)
    for record in records:
        if record.token == token:
            return record
    first = records[0].token if records else "none"
    raise ValueError(f"{split} below {root} has no key frame {token!r}; its first is {first}")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    of_files = (chosen.image, chosen.radar, chosen.calib)
    if all(of_files) == bool(chosen.root and chosen.token):
        raise ValueError("give either --image, --radar and --calib, or --root and --token; see --help")
    require_weights(chosen.ckpt, config=chosen.config)
    if all(of_files):
        require_file(chosen.image, "--image", suffixes=(".jpg", ".jpeg", ".png"))
        require_file(chosen.radar, "--radar", suffixes=(".pcd",))
        require_file(chosen.calib, "--calib", suffixes=(".json",))
    import numpy as np
    from datasets3d.depth import DepthReading, read_input_sample

    if all(of_files):
        # A wrong file is told before anything heavy is loaded; how the model reads it is known later.
        read_input_sample(record_of_files(*of_files, DepthReading()), Path("/"), DepthReading())

    from sparse_beats_dense.evaluation import write_depth
    from sparse_beats_dense.page import predict_sample
    from sparse_beats_dense.weights import WEIGHTS

    loaded = WEIGHTS.load_model(chosen.ckpt, config=chosen.config)
    reading = replace(loaded.inputs, true_depth_folder=None)
    if all(of_files):
        root, record = Path("/"), record_of_files(*of_files, reading)
    else:
        root, record = chosen.root, find_record(chosen.root, chosen.split, chosen.token, reading)
    sample = read_input_sample(record, root, reading)
    depth = predict_sample(loaded.model, sample)
    chosen.out.mkdir(parents=True, exist_ok=True)
    write_depth(chosen.out / "depth.png", depth)
    partial = chosen.out / "partial.npz"
    np.savez_compressed(partial, depth=depth)
    partial.replace(chosen.out / "depth.npz")
    overview(sample, depth).save(chosen.out / "overview.jpg", quality=90)
    returns = np.count_nonzero(sample.radar_map.max(axis=0))
    sys.stdout.write(
        f"{returns} columns with a radar return; depth {depth.min():.1f} to {depth.max():.1f} m, median "
        f"{np.median(depth):.1f} m; depth.png, depth.npz and overview.jpg in {chosen.out}\n"
    )
    return 0


def overview(sample: DepthSample, depth: np.ndarray) -> Image.Image:
    """Return one picture: what the model saw, its depth, and its stripes, one below the other."""
    from fusion3d_appkit.draw import below

    from sparse_beats_dense.pictures import draw_depth, draw_radar, draw_stripes

    return below(
        draw_radar(sample.image, sample.radar_map),
        draw_depth(depth, title="predicted depth"),
        draw_stripes(depth, title="stripes"),
    )
