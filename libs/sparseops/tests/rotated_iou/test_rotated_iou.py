from pathlib import Path

import numpy as np
import pytest
import torch
from sparseops import iou_3d, iou_bev
from sparseops.rotated_iou._api import _iou_3d, _iou_bev

GOLDEN = Path(__file__).parents[1] / "golden" / "rotated_iou.npz"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-6)])
@pytest.mark.parametrize(("function", "name"), [(iou_bev, "iou_bev"), (iou_3d, "iou_3d")])
def test_pairs_equal_the_polygon_clipping_reference(backend, function, name, dtype, tolerance) -> None:
    with np.load(GOLDEN) as golden:
        a, b = (torch.from_numpy(golden[key]).to(dtype) for key in ("boxes_a", "boxes_b"))
        ours = function(a, b).diagonal()
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours.numpy(), golden[name], rtol=0, atol=tolerance)


@pytest.mark.golden
@pytest.mark.parametrize(("function", "name"), [(iou_bev, "iou_bev"), (iou_3d, "iou_3d")])
def test_the_official_kernel_differs_only_where_it_accepts_corners_outside(
    backend, imagepg_ops, function, name
) -> None:
    ours = function(imagepg_ops["iou_boxes_a"], imagepg_ops["iou_boxes_b"])
    over = imagepg_ops[name] - ours
    # Its tolerance of 1 cm for corners adds a sliver to one grazing pair of 1200; it never takes area away.
    assert (over.abs() > 1e-4).sum() <= 1
    assert over.min() > -1e-5 and over.max() < 5e-4


def test_iou_is_symmetric_and_one_with_itself(backend: str) -> None:
    boxes = torch.rand(20, 7) * 3 + 0.1
    assert torch.allclose(iou_3d(boxes, boxes), iou_3d(boxes, boxes).T, atol=1e-6)
    assert torch.allclose(iou_bev(boxes, boxes).diagonal(), torch.ones(20), atol=1e-6)


def test_no_boxes_give_an_empty_table(backend: str) -> None:
    assert iou_bev(torch.zeros(0, 7), torch.zeros(3, 7)).shape == (0, 3)
    assert iou_3d(torch.zeros(3, 7), torch.zeros(0, 7)).shape == (3, 0)


def test_boxes_without_area_overlap_nothing(backend: str) -> None:
    assert iou_bev(torch.zeros(1, 7), torch.zeros(1, 7)).item() == 0
    assert iou_3d(torch.zeros(1, 7), torch.zeros(1, 7)).item() == 0


@pytest.mark.parametrize("op", [_iou_bev, _iou_3d])
def test_the_operator_passes_opcheck(op) -> None:
    torch.library.opcheck(op, (torch.rand(4, 7) + 0.1, torch.rand(3, 7) + 0.1))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("function", [iou_bev, iou_3d])
def test_wrong_arguments_are_named(function) -> None:
    good = torch.rand(2, 7)
    with pytest.raises(
        ValueError, match=rf"{function.__name__}: boxes_b must have shape \[N, 7\], got \[2, 5\]"
    ):
        function(good, good[:, :5])
    with pytest.raises(TypeError, match="boxes_a must be float32 or float64, got float16"):
        function(good.half(), good)
    with pytest.raises(
        ValueError, match=r"boxes_b is on meta but boxes_a is on cpu; move it with .to\('cpu'\)"
    ):
        function(good, good.to("meta"))
