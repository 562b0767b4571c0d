"""KITTI labels from what the sensors could see: occlusion, truncation, image boxes, DontCare."""

from dataclasses import dataclass

import numpy as np
from geom3d import cameras
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration, alpha_from_boxes, boxes_camera_from_lidar
from jaxtyping import Float, Int

from datasets3d.kitti.labels import KittiLabel
from datasets3d.synth.config import LabelConfig
from datasets3d.synth.sensors.camera import CameraView, camera_rays
from datasets3d.synth.sensors.lidar import LidarScan
from datasets3d.synth.sensors.rays import RayCaster
from datasets3d.synth.world.mesh import Mesh
from datasets3d.synth.world.scene import Scene, world_mesh

_NEAR_M = 0.2
"""Parts of an object closer to the image plane do not count for its image box."""
_SILHOUETTE_RAYS = 6000
"""At most about so many rays measure an object's unhidden silhouette."""


@dataclass(frozen=True, slots=True)
class Visibility:
    """How the camera and the LiDAR see one actor."""

    full_box: tuple[float, float, float, float]
    """u0 v0 u1 v1 of the complete silhouette, not clipped to the image."""
    box: tuple[float, float, float, float]
    """The same, clipped to [0, width - 1] x [0, height - 1]."""
    truncation: float
    """Share of the full box's area outside the image."""
    visible_share: float
    """Pixels that show the actor over pixels that would if nothing stood before it; 0 outside the image."""
    visible_pixels: int
    num_points: int
    range_m: float
    """From the origin of the scene's frame: the LiDAR of `build_scene`, no sensor in a drive."""

    @property
    def in_image(self) -> bool:
        """Whether any part of the box lies in the image."""
        return self.box[2] > self.box[0] and self.box[3] > self.box[1]


def silhouette_box(mesh: Mesh, camera: PinholeCamera) -> Float[np.ndarray, "4"] | None:
    """Image box u0 v0 u1 v1 around a mesh in the LiDAR frame, not clipped; None if it lies behind the camera.

    Triangles that cross the plane 0.2 m ahead of the camera are cut there.
    """
    cam = np.asarray(camera.cam_from_lidar, dtype=np.float64)
    points = mesh.vertices @ cam[:3, :3].T + cam[:3, 3]
    ahead = points[:, 2] > _NEAR_M
    if not ahead.any():
        return None
    kept = [points[ahead]]
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    crossing = edges[ahead[edges[:, 0]] != ahead[edges[:, 1]]]
    if len(crossing):
        a, b = points[crossing[:, 0]], points[crossing[:, 1]]
        share = (_NEAR_M - a[:, 2:3]) / (b[:, 2:3] - a[:, 2:3])
        kept.append(a + share * (b - a))
    uv, _ = cameras.project(np.concatenate(kept), np.asarray(camera.image_from_cam))
    return np.concatenate([uv.min(axis=0), uv.max(axis=0)])


def _unhidden_pixels(
    mesh: Mesh, camera: PinholeCamera, box: tuple[float, float, float, float]
) -> Int[np.ndarray, " k"]:
    """Pixels (flat index) that would show the mesh alone, on a grid over its box: every n-th pixel."""
    (u0, v0), (u1, v1) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    step = max(1, int(np.ceil(np.sqrt((u1 - u0 + 1) * (v1 - v0 + 1) / _SILHOUETTE_RAYS))))
    u, v = np.meshgrid(np.arange(u0, u1 + 1, step), np.arange(v0, v1 + 1, step))
    part = camera_rays(camera, pixels=(u.ravel(), v.ravel()))
    caster = RayCaster(mesh.vertices, mesh.faces)
    hit = caster.is_blocked(np.broadcast_to(part[0], part[1].shape), part[1])
    return (v.ravel() * camera.width + u.ravel())[hit]


def measure_visibility(
    scene: Scene, index: int, *, view: CameraView, scan: LidarScan, camera: PinholeCamera
) -> Visibility:
    """Compare what is seen of actor `index` (0-based) with what an empty world would show."""
    actor = scene.actors[index]
    mesh = world_mesh(actor)
    range_m = float(np.linalg.norm(actor.box_lidar[:3]))
    num_points = int(np.count_nonzero(scan.instances == index + 1))
    full = silhouette_box(mesh, camera)
    if full is None:
        nowhere = (0.0, 0.0, 0.0, 0.0)
        return Visibility(nowhere, nowhere, 1.0, 0.0, 0, num_points, range_m)
    limit = np.array([camera.width - 1, camera.height - 1] * 2, dtype=np.float64)
    clipped = np.clip(full, 0.0, limit)
    area, inside = (float((b[2] - b[0]) * (b[3] - b[1])) for b in (full, clipped))
    full_box, box = _four(full), _four(clipped)
    if inside <= 0 or area <= 0:
        return Visibility(full_box, box, 1.0, 0.0, 0, num_points, range_m)
    pixels = _unhidden_pixels(mesh, camera, box)
    seen = np.count_nonzero(view.instances.reshape(-1)[pixels] == index + 1)
    share = seen / len(pixels) if len(pixels) else 0.0
    shown = int(np.count_nonzero(_part(view.instances, box) == index + 1))
    return Visibility(full_box, box, 1.0 - inside / area, float(share), shown, num_points, range_m)


def _four(values: Float[np.ndarray, "4"]) -> tuple[float, float, float, float]:
    a, b, c, d = (float(v) for v in values)
    return a, b, c, d


def _part(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    return image[int(box[1]) : int(np.ceil(box[3])) + 1, int(box[0]) : int(np.ceil(box[2])) + 1]


def occlusion_class(visible_share: float, config: LabelConfig) -> int:
    """KITTI's 0 (visible) .. 3 (unknown) for a visible share.

    Example:
        >>> [occlusion_class(share, LabelConfig()) for share in (1.0, 0.6, 0.3, 0.1)]
        [0, 1, 2, 3]
    """
    return sum(visible_share < limit for limit in config.occlusion_limits)


def make_labels(
    scene: Scene,
    visibilities: list[Visibility],
    *,
    calibration: KittiCalibration,
    height: int,
    config: LabelConfig,
) -> tuple[list[KittiLabel], list[int]]:
    """Label lines (objects first, then DontCare) and the actor index of each object line.

    Actors outside the image or hidden completely are left out, as KITTI's annotators could not know of
    them; those too far, too small, too hidden or without LiDAR points become DontCare.

    Args:
        height: Image rows; `min_height_px` is meant for 375.
    """
    if not scene.actors:
        return [], []
    boxes = scene.boxes_lidar
    location, size_lhw, rotation_y = boxes_camera_from_lidar(boxes, calibration)
    alpha = alpha_from_boxes(boxes, calibration)
    objects, regions, owners = [], [], []
    for i, (actor, seen) in enumerate(zip(scene.actors, visibilities, strict=True)):
        if not seen.in_image or seen.visible_pixels == 0:
            continue
        if _is_dont_care(seen, height=height, config=config):
            regions.append(_dont_care(seen.box))
            continue
        length, tall, wide = (float(v) for v in size_lhw[i])
        objects.append(
            KittiLabel(
                name=actor.name,
                truncation=round(seen.truncation, 2),
                occlusion=occlusion_class(seen.visible_share, config),
                alpha=float(alpha[i]),
                box_image=seen.box,
                size_hwl=(tall, wide, length),
                location=(float(location[i, 0]), float(location[i, 1]), float(location[i, 2])),
                rotation_y=float(rotation_y[i]),
            )
        )
        owners.append(i)
    return objects + regions, owners


def _is_dont_care(seen: Visibility, *, height: int, config: LabelConfig) -> bool:
    return (
        seen.range_m > config.max_range_m
        or seen.box[3] - seen.box[1] < config.min_height_px * height / 375
        or seen.visible_share < config.min_visible
        or seen.num_points < config.min_points
        or seen.truncation > config.max_truncation
    )


def _dont_care(box: tuple[float, float, float, float]) -> KittiLabel:
    return KittiLabel(
        name="DontCare",
        truncation=-1.0,
        occlusion=-1,
        alpha=-10.0,
        box_image=box,
        size_hwl=(-1.0, -1.0, -1.0),
        location=(-1000.0, -1000.0, -1000.0),
        rotation_y=-10.0,
    )
