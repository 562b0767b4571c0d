from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets3d.segmentation import LabelledScan, SamplingConfig, SegmentationSample, make_sample
from fusion_models.segmentation import collate_segmentation


def sample(points: int, *, seed: int = 0, max_voxels: int | None = None) -> SegmentationSample:
    rng = np.random.default_rng(seed)
    scan = LabelledScan(
        frame_id=f"00/{seed:06}",
        points=rng.uniform(0, 1, (points, 4)).astype(np.float32),
        classes=rng.integers(0, 19, points).astype(np.uint8),
    )
    draws = None if max_voxels is None else rng
    return make_sample(scan, SamplingConfig(max_voxels=max_voxels), rng=draws)


def test_every_point_finds_the_features_and_the_cell_of_its_voxel_in_the_batch():
    samples = [sample(500, seed=1), sample(0, seed=2), sample(300, seed=3)]
    batch = collate_segmentation(samples)
    assert (len(batch), batch.point_counts) == (3, (500, 0, 300))
    assert batch.frame_ids == ("00/000001", "00/000002", "00/000003")
    parts = batch.inverse.split(list(batch.point_counts))
    for number, (one, inverse) in enumerate(zip(samples, parts, strict=True)):
        assert np.array_equal(batch.features[inverse].numpy(), one.features[one.inverse])
        cells = batch.coords_bzyx[inverse].numpy()
        assert np.array_equal(cells[:, :0:-1], one.cells_xyz[one.inverse]) and (cells[:, 0] == number).all()
        assert np.array_equal(batch.classes[inverse].numpy(), one.classes[one.inverse])


def test_classes_of_points_are_joined_as_whole_numbers():
    samples = [sample(50, seed=1), sample(30, seed=3)]
    batch = collate_segmentation(samples)
    assert batch.classes.dtype == batch.point_classes.dtype == torch.int64
    assert batch.point_classes.tolist() == [c for one in samples for c in one.point_classes.tolist()]


def test_points_whose_voxel_was_not_drawn_have_no_row():
    samples = [sample(200, seed=1), sample(200, seed=2, max_voxels=20)]
    inverse = collate_segmentation(samples).inverse[200:]
    assert inverse.max() == len(samples[0]) + 19
    assert np.array_equal((inverse == -1).numpy(), samples[1].inverse == -1) and (inverse == -1).any()


def test_samples_without_labels_give_a_batch_without():
    bare = replace(sample(10), classes=None, point_classes=None)
    batch = collate_segmentation([bare, bare])
    assert batch.classes is None and batch.point_classes is None


def test_moving_a_batch_moves_every_tensor():
    moved = collate_segmentation([sample(10)]).to("meta")
    tensors = (moved.features, moved.coords_bzyx, moved.inverse, moved.classes, moved.point_classes)
    assert all(tensor.device.type == "meta" for tensor in tensors) and moved.point_counts == (10,)


def test_samples_that_do_not_go_together_are_refused():
    one = sample(10)
    with pytest.raises(ValueError, match="at least one sample, got none"):
        collate_segmentation([])
    with pytest.raises(ValueError, match=r"\['b'\] have no classes, the others do; do not mix"):
        collate_segmentation([one, replace(one, frame_id="b", classes=None)])
    with pytest.raises(ValueError, match=r"as many columns of features, got \{'00/000000': 4, 'b': 3\}"):
        collate_segmentation([one, replace(one, frame_id="b", features=one.features[:, :3])])
