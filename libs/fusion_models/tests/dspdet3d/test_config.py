from dataclasses import replace

import pytest
from fusion_models.dspdet3d import DSPDet3DConfig


def test_cells_grow_with_the_voxels():
    config = DSPDet3DConfig(voxel_size_m=0.02, class_names=("object",))
    assert config.num_classes == 1
    assert config.cells_m == (0.08, 0.16, 0.32, 0.64)
    assert replace(config, stage_blocks=(1, 1), stage_channels=(8, 8)).strides == (4, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ()}, "class_names must be distinct names"),
        ({"class_names": ("cup", "cup")}, "class_names must be distinct names"),
        ({"stage_blocks": (3, 4, 6)}, r"one number per level.*got \(3, 4, 6\)"),
        ({"stage_blocks": (3,), "stage_channels": (64,)}, "for two or more levels"),
        ({"stage_blocks": (3, 0, 6, 3)}, "must be at least 1"),
        ({"out_channels": 0}, "must be at least 1"),
        ({"keep_rule": "v2"}, r"keep_rule must be one of \('v4', 'v1'\), got 'v2'"),
        ({"nms_overlap": "iou"}, r"nms_overlap must be one of \('bev', '3d'\)"),
        ({"prune_threshold": 1.5}, "prune_threshold must lie in 0 to 1, got 1.5"),
        ({"nms_iou": float("nan")}, "nms_iou must lie in 0 to 1"),
        ({"voxel_size_m": 0.0}, "voxel_size_m must lie in"),
        ({"keep_weight": -1.0}, "keep_weight must lie in 0"),
        ({"max_train_voxels": 0}, "max_train_voxels must lie in 1"),
        ({"assign_cells": 0}, "assign_cells must lie in 1"),
    ],
)
def test_what_does_not_fit_is_refused(change, message, unchecked_shapes):
    with pytest.raises(ValueError, match=f"DSPDet3DConfig.*{message}"):
        replace(DSPDet3DConfig(), **change)
