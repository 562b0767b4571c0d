from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets3d.depth.sample import DepthSample
from fusion_models.sparse_beats_dense.batch import DepthBatch, collate_depth


def _sample(name="a", *, returns=3, size=(4, 6), **maps):
    rng = np.random.default_rng(len(name) + returns)
    return DepthSample(
        frame_id=name,
        image=rng.integers(0, 255, (*size, 3), np.uint8),
        radar_points=rng.random((returns, 3), np.float32),
        radar_map=rng.random(size, np.float32),
        **maps,
    )


def _maps(size=(4, 6)):
    return {
        "lidar_map": np.full(size, 7, np.float32),
        "radar_classes": np.ones(size, bool),
        "true_depth": np.full(size, 8, np.float32),
    }


def test_images_become_bgr_of_0_to_255():
    sample = _sample()
    batch = collate_depth([sample])
    assert batch.image.dtype == torch.float32
    for channel, source in enumerate((2, 1, 0)):
        np.testing.assert_array_equal(batch.image[0, channel].numpy(), sample.image[:, :, source])


def test_points_are_padded_with_zeros_and_counted():
    batch = collate_depth([_sample("a", returns=3), _sample("b", returns=0)], max_points=5)
    assert batch.points.shape == (2, 5, 3) and batch.counts.tolist() == [3, 0]
    assert batch.points[0, :3].all() and not batch.points[0, 3:].any() and not batch.points[1].any()


def test_of_too_many_points_some_are_drawn_in_their_order():
    sample = _sample(returns=40)
    batch = collate_depth([sample], max_points=30)
    rows = [sample.radar_points.tolist().index(point) for point in batch.points[0].tolist()]
    assert rows == sorted(set(rows)) and len(rows) == 30 and rows != list(range(30))
    assert batch.counts.tolist() == [30]


def test_the_draw_depends_on_the_seed_and_not_on_the_place_in_the_batch():
    sample = _sample(returns=40)
    alone = collate_depth([sample], max_points=30).points[0]
    second = collate_depth([_sample("other"), sample], max_points=30).points[1]
    assert torch.equal(alone, second)
    assert not torch.equal(alone, collate_depth([sample], max_points=30, seed=1).points[0])


def test_as_many_points_as_fit_are_all_kept():
    sample = _sample(returns=30)
    assert torch.equal(
        collate_depth([sample], max_points=30).points[0], torch.from_numpy(sample.radar_points)
    )


def test_maps_get_a_channel():
    batch = collate_depth([_sample("a", **_maps()), _sample("b", **_maps())])
    assert batch.radar.shape == batch.label.shape == batch.true_depth.shape == (2, 1, 4, 6)
    assert batch.radar_classes.dtype == torch.bool and batch.radar_classes.all()
    assert (batch.label == 7).all() and (batch.true_depth == 8).all()


def test_maps_that_no_sample_has_are_none():
    batch = collate_depth([_sample()])
    assert batch.label is None and batch.radar_classes is None and batch.true_depth is None


def test_a_batch_knows_its_length_and_moves():
    batch = collate_depth([_sample("a", **_maps()), _sample("b", **_maps())])
    moved = batch.to("meta")
    assert len(batch) == 2 and moved.frame_ids == ("a", "b")
    assert moved.image.is_meta and moved.counts.is_meta and moved.label.is_meta
    assert replace(batch, label=None).to("meta").label is None
    assert isinstance(moved, DepthBatch)


def test_what_cannot_be_joined_is_named():
    with pytest.raises(ValueError, match="collate_depth: expected at least one sample, got none"):
        collate_depth([])
    with pytest.raises(ValueError, match=r"images of one batch must have one size, got .*\(4, 6\).*\(4, 8\)"):
        collate_depth([_sample("a"), _sample("b", size=(4, 8))])
    with pytest.raises(ValueError, match=r"samples \['b'\] have no lidar_map, the others do"):
        collate_depth([_sample("a", lidar_map=_maps()["lidar_map"]), _sample("b")])
    with pytest.raises(ValueError, match="max_points must be at least 1, got 0"):
        collate_depth([_sample()], max_points=0)
