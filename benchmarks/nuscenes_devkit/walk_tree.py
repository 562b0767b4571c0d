"""Walk a nuScenes tree with the official kit, and compare its pixels with ours.

    python benchmarks/nuscenes_devkit/walk_tree.py TREE --kit-python PATH [--version v1.0-trainval]

PATH is a Python that has nuscenes-devkit 1.2.0 (it wants an environment of its own, for it caps numpy):
`uv venv --python 3.11 kit && uv pip install --python kit/bin/python nuscenes-devkit==1.2.0`. There, this
script opens the tree with the kit, looks up every token, follows every chain, reads every LiDAR and radar
file with the kit's classes, counts the points in every box with its `points_in_box`, and projects the LiDAR
and the front radar of every key frame into the front camera with its geometry. Here, datasets3d reads the
same tree and projects the same points. Printed as JSON; status 1 if pixels are apart by more than 0.5 or
counts differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CAMERA, LIDAR, RADAR = "CAM_FRONT", "LIDAR_TOP", "RADAR_FRONT"
MAX_PIXELS = 0.5
REFERENCES = {
    "sample_data": ("sample", "ego_pose", "calibrated_sensor"),
    "sample": ("scene",),
    "scene": ("log",),
    "instance": ("category",),
    "calibrated_sensor": ("sensor",),
    "sample_annotation": ("sample", "instance", "visibility"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tree", type=Path)
    parser.add_argument("--version", default="v1.0-trainval")
    parser.add_argument("--kit-python", type=Path, help="Python that has nuscenes-devkit")
    parser.add_argument("--kit-side", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kit_side is not None:
        walk(options.tree, options.version, options.kit_side)
        return 0
    if options.kit_python is None:
        parser.error("--kit-python is needed")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kit.npz"
        command = [options.kit_python, __file__, options.tree, "--version", options.version]
        subprocess.run([*map(str, command), "--kit-side", str(out)], check=True)
        with np.load(out) as content:
            kit = dict(content)
    report = json.loads(str(kit.pop("report"))) | compare(options.tree, options.version, kit)
    print(json.dumps(report))
    fits = report["largest_distance_px"] <= MAX_PIXELS and report["boxes_with_other_lidar_counts"] == 0
    return 0 if fits else 1


def compare(tree: Path, version: str, kit: dict[str, np.ndarray]) -> dict[str, float]:
    """Project with datasets3d and measure how far the kit's pixels are."""
    from datasets3d.nuscenes import b_from_a, build_records, filter_states, read_lidar, read_radar
    from geom3d import cameras, transforms

    records = build_records(tree, version=version, channels=(CAMERA, LIDAR, RADAR))
    largest, pixels = 0.0, 0
    for record in records:
        camera = record.key(CAMERA)
        width, height = camera.size_wh
        for channel in (LIDAR, RADAR):
            sensor = record.key(channel)
            path = sensor.path(tree)
            points = read_lidar(path) if channel == LIDAR else filter_states(read_radar(path))
            in_camera = transforms.apply(b_from_a(camera, sensor), points[:, :3].astype(np.float64))
            projection = np.column_stack([np.array(camera.intrinsic), np.zeros(3)])
            uv, depth = cameras.project(in_camera, projection)
            theirs = kit[f"{record.token}/{channel}"]
            assert len(theirs) == len(uv), f"{path}: {len(uv)} points here, {len(theirs)} in the kit"
            inside = (depth > 1) & (uv >= 0).all(axis=1) & (uv < [width, height]).all(axis=1)
            largest = max(largest, float(np.abs(theirs[inside] - uv[inside]).max(initial=0)))
            pixels += int(inside.sum())
    return {"key_frames": len(records), "compared_points_in_picture": pixels, "largest_distance_px": largest}


def walk(tree: Path, version: str, out: Path) -> None:
    """Run by the kit's Python: nothing of ours is imported here."""
    from nuscenes import NuScenes

    kit = NuScenes(version=version, dataroot=str(tree), verbose=False)
    report = {"records": sum(len(getattr(kit, table)) for table in kit.table_names)}
    report["references"] = resolve_tokens(kit)
    report["files_in_chains"] = follow_chains(kit)
    report |= read_files(kit)
    report |= count_points(kit)
    found = {"report": np.array(json.dumps(report))}
    for sample in kit.sample:
        for channel in (LIDAR, RADAR):
            found[f"{sample['token']}/{channel}"] = project(kit, sample, channel)
    np.savez(out, **found)


def resolve_tokens(kit: object) -> int:
    count = 0
    for table, targets in REFERENCES.items():
        for record in getattr(kit, table):
            for target in targets:
                kit.get(target, record[f"{target}_token"])
                count += 1
    for annotation in kit.sample_annotation:
        for token in annotation["attribute_tokens"]:
            kit.get("attribute", token)
            count += 1
    return count


def follow_chains(kit: object) -> int:
    """Walk every scene by `next`: key frames, then each channel's files, then every object."""
    visited = 0
    for scene in kit.scene:
        sample, samples = kit.get("sample", scene["first_sample_token"]), []
        while True:
            samples.append(sample["token"])
            if not sample["next"]:
                break
            sample = kit.get("sample", sample["next"])
        assert samples[-1] == scene["last_sample_token"] and len(samples) == scene["nbr_samples"]
        first = kit.get("sample", samples[0])
        for token in first["data"].values():
            file = kit.get("sample_data", token)
            while file["prev"]:
                file = kit.get("sample_data", file["prev"])
            before = -1
            while True:
                assert file["timestamp"] > before
                before, visited = file["timestamp"], visited + 1
                if not file["next"]:
                    break
                assert kit.get("sample_data", file["next"])["prev"] == file["token"]
                file = kit.get("sample_data", file["next"])
    assert visited == len(kit.sample_data)
    for instance in kit.instance:
        token, count = instance["first_annotation_token"], 0
        while token:
            record, count = kit.get("sample_annotation", token), count + 1
            kit.box_velocity(token)
            last, token = token, record["next"]
        assert last == instance["last_annotation_token"] and count == instance["nbr_annotations"]
    return visited


def read_files(kit: object) -> dict[str, int]:
    from nuscenes.utils.data_classes import LidarPointCloud, RadarPointCloud
    from PIL import Image

    sums = {"lidar_files": 0, "lidar_points": 0, "radar_files": 0, "radar_points_kept": 0, "pictures": 0}
    for file in kit.sample_data:
        path = kit.get_sample_data_path(file["token"])
        if file["sensor_modality"] == "lidar":
            sums["lidar_files"] += 1
            sums["lidar_points"] += LidarPointCloud.from_file(path).nbr_points()
        elif file["sensor_modality"] == "radar":
            sums["radar_files"] += 1
            sums["radar_points_kept"] += RadarPointCloud.from_file(path).nbr_points()
        else:
            sums["pictures"] += 1
            with Image.open(path) as image:
                image.load()
                assert image.size == (file["width"], file["height"])
    return sums


def count_points(kit: object) -> dict[str, int]:
    """Compare `num_lidar_pts` with the kit's own count."""
    from nuscenes.utils.data_classes import LidarPointCloud
    from nuscenes.utils.geometry_utils import points_in_box

    boxes = other = largest = 0
    for sample in kit.sample:
        path, found, _ = kit.get_sample_data(sample["data"][LIDAR])
        points = LidarPointCloud.from_file(path).points[:3].astype(np.float64)
        for box in found:
            stated = kit.get("sample_annotation", box.token)["num_lidar_pts"]
            difference = abs(int(points_in_box(box, points).sum()) - stated)
            boxes, other, largest = boxes + 1, other + (difference > 0), max(largest, difference)
    return {"boxes": boxes, "boxes_with_other_lidar_counts": other, "largest_lidar_count_difference": largest}


def project(kit: object, sample: dict, channel: str) -> np.ndarray:
    """Pixels of a sensor's points in the front camera, by way of the world, as the kit's explorer does it."""
    from nuscenes.utils.data_classes import LidarPointCloud, RadarPointCloud
    from nuscenes.utils.geometry_utils import view_points
    from pyquaternion import Quaternion

    source = kit.get("sample_data", sample["data"][channel])
    camera = kit.get("sample_data", sample["data"][CAMERA])
    cloud_class = LidarPointCloud if channel == LIDAR else RadarPointCloud
    cloud = cloud_class.from_file(kit.get_sample_data_path(source["token"]))
    for table, token in (("calibrated_sensor", "calibrated_sensor_token"), ("ego_pose", "ego_pose_token")):
        pose = kit.get(table, source[token])
        cloud.rotate(Quaternion(pose["rotation"]).rotation_matrix)
        cloud.translate(np.array(pose["translation"]))
    for table, token in (("ego_pose", "ego_pose_token"), ("calibrated_sensor", "calibrated_sensor_token")):
        pose = kit.get(table, camera[token])
        cloud.translate(-np.array(pose["translation"]))
        cloud.rotate(Quaternion(pose["rotation"]).rotation_matrix.T)
    intrinsic = np.array(kit.get("calibrated_sensor", camera["calibrated_sensor_token"])["camera_intrinsic"])
    pixels = view_points(cloud.points[:3], intrinsic, normalize=True)[:2]
    # The explorer draws the same points, less those outside the picture: the steps above are the kit's own.
    drawn, _, _ = kit.explorer.map_pointcloud_to_image(source["token"], camera["token"])
    u, v = pixels
    inside = (cloud.points[2] > 1) & (u > 1) & (u < camera["width"] - 1)
    inside &= (v > 1) & (v < camera["height"] - 1)
    assert np.array_equal(pixels[:, inside], drawn[:2])
    return pixels.T


if __name__ == "__main__":
    sys.exit(main())
