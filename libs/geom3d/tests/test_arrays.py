"""Every function that takes either library gives the same numbers in both, and keeps kind and dtype."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from geom3d import angles, boxes, cameras, depth, frustum, nuscenes, scannet, transforms

RNG = np.random.default_rng(3)
BOXES = RNG.uniform([5, -10, -2, 1, 1, 1, -4], [60, 10, 1, 5, 3, 2, 4], (6, 7))
POINTS = np.concatenate([BOXES[:, :3] + 0.2, RNG.uniform([5, -10, -2], [60, 10, 1], (50, 3))])
RIGID = transforms.from_parts(transforms.rotation_z(0.4), np.array([1.0, 2.0, 3.0]))
IMAGE_FROM_CAM = np.array([[70.0, 0, 60, 4.4], [0, 70.0, 17, 0.2], [0, 0, 1, 0.003]])
CAM_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.07], [1, 0, 0, -0.27], [0, 0, 0, 1]])
CAMERA = cameras.PinholeCamera(
    image_from_cam=IMAGE_FROM_CAM, cam_from_lidar=CAM_FROM_LIDAR, width=124, height=37
)
UV, DEPTH = cameras.project(POINTS, CAMERA.image_from_lidar)
DEPTH_MAP = depth.depth_map_from_points(UV, DEPTH, width=124, height=37)
IMAGE_BOXES = np.array([[10.0, 5, 50, 30], [0, 0, 124, 37]])
QUATERNIONS = RNG.normal(size=(6, 4))

# Function, arguments, keywords. Arrays among the arguments are handed over in the library under test.
CALLS: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = [
    (angles.wrap_angle, [BOXES[:, 6]], {"period": math.pi, "offset": 0.25}),
    (angles.angle_difference, [BOXES[:, 6], BOXES[:, 0]], {}),
    (boxes.corners, [BOXES], {}),
    (boxes.corners_bev, [BOXES], {}),
    (boxes.contains, [POINTS, BOXES], {"margin": 0.1}),
    (boxes.flip_y, [BOXES], {}),
    (boxes.flip_x, [BOXES], {}),
    (boxes.rotate_z, [BOXES, 0.3], {}),
    (boxes.rotate_z, [BOXES, BOXES[:, 0]], {}),
    (boxes.scale, [BOXES, 1.05], {}),
    (boxes.translate, [BOXES, (1.0, 2.0, 3.0)], {}),
    (boxes.translate, [BOXES, BOXES[:, :3]], {}),
    (boxes.transform, [RIGID, BOXES], {}),
    (boxes.to_canonical, [POINTS, BOXES[0]], {}),
    (boxes.from_canonical, [POINTS, BOXES[0]], {}),
    (boxes.volume, [BOXES], {}),
    (boxes.bev_aabb, [BOXES], {}),
    (cameras.project, [POINTS, CAMERA.image_from_lidar], {}),
    (cameras.in_image, [UV, DEPTH], {"width": 124, "height": 37}),
    (cameras.unproject, [UV, DEPTH, CAMERA.image_from_lidar], {}),
    (depth.depth_map_from_points, [UV, DEPTH], {"width": 124, "height": 37}),
    (depth.points_from_depth_map, [DEPTH_MAP, CAMERA], {}),
    (frustum.frustum_mask, [POINTS, CAMERA], {}),
    (frustum.frustum_of_box2d, [IMAGE_BOXES, CAMERA], {"near": 1.0, "far": 50.0}),
    (nuscenes.boxes_from_nuscenes, [BOXES[:, :3], BOXES[:, 3:6], QUATERNIONS], {}),
    (nuscenes.boxes_to_nuscenes, [BOXES], {}),
    (scannet.boxes_from_min_max, [BOXES[:, :3], BOXES[:, :3] + 1], {}),
    (scannet.boxes_from_center_size, [BOXES[:, :6]], {}),
    (transforms.apply, [RIGID, POINTS], {}),
    (transforms.invert, [RIGID], {}),
    (transforms.compose, [RIGID, RIGID, RIGID], {}),
    (transforms.from_parts, [RIGID[:3, :3], RIGID[:3, 3]], {}),
    (transforms.rotation_z, [BOXES[:, 6]], {}),
    (transforms.rotation_from_quaternion, [QUATERNIONS], {}),
]
IDS = [call[0].__name__ for call in CALLS]
# Files and helpers shared between modules: not for arrays of either library.
LEFT_OUT = {"read_axis_alignment", "check_size", "invert_3x3"}


def as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def converted(arguments: list[Any], convert: Callable[[np.ndarray], Any]) -> list[Any]:
    return [convert(value) if isinstance(value, np.ndarray) else value for value in arguments]


def test_no_function_is_forgotten():
    modules = (angles, boxes, cameras, depth, frustum, nuscenes, scannet, transforms)
    public = {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public - LEFT_OUT == set(IDS)


@pytest.mark.parametrize(("function", "arguments", "keywords"), CALLS, ids=IDS)
def test_torch_gives_the_numbers_of_numpy(function, arguments, keywords):
    torch = pytest.importorskip("torch", reason="torch is not installed; the numpy half ran elsewhere")
    expected = as_tuple(function(*arguments, **keywords))
    found = as_tuple(function(*converted(arguments, torch.asarray), **keywords))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert isinstance(ours, torch.Tensor)
        assert tuple(ours.shape) == theirs.shape
        assert np.allclose(ours.numpy(), theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("function", "arguments", "keywords"), CALLS, ids=IDS)
def test_float32_stays_float32(function, arguments, keywords, to_library):
    single = converted(arguments, lambda array: to_library(array.astype(np.float32)))
    expected = as_tuple(function(*arguments, **keywords))
    for ours, theirs in zip(as_tuple(function(*single, **keywords)), expected, strict=True):
        assert str(ours.dtype).removeprefix("torch.") == ("bool" if theirs.dtype == bool else "float32")


def test_mixing_libraries_is_refused(unchecked):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    message = r"expected arrays of one library .* got numpy\.ndarray, torch\.Tensor; convert them"
    with pytest.raises(TypeError, match=message):
        boxes.contains(torch.asarray(POINTS), BOXES)


def test_lists_are_refused(unchecked):
    with pytest.raises(TypeError, match=r"expected arrays of one library .* got builtins\.list"):
        angles.wrap_angle([0.0])
