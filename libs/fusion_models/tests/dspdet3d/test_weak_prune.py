import itertools

import pytest
import torch
from fusion_models.dspdet3d.weak_prune import child_scores, weak_prune
from sparseops import Sites, sites_from_coords


def sites_of(coords_zyx: list[tuple[int, ...]], size: int, batch: int = 1) -> Sites:
    coords = torch.tensor(coords_zyx, dtype=torch.int32)
    if coords.shape[1] == 3:
        coords = torch.nn.functional.pad(coords, (1, 0))
    return sites_from_coords(coords, spatial_shape=(size,) * 3, batch_size=batch)


@pytest.mark.parametrize("limit", [0, 1, 7, 50, 1000])
def test_the_best_rows_of_every_room_stay_whatever_their_order(limit):
    rooms = torch.randint(0, 4, (200,))
    rooms[rooms == 2] = 3
    scores = torch.randn(200)
    keep = weak_prune(scores, rooms, limit)
    for room in range(5):
        own = scores[rooms == room]
        expected = own.sort(descending=True).values[:limit]
        assert torch.equal(own[keep[rooms == room]].sort(descending=True).values, expected)


def test_of_equal_scores_the_lower_rows_stay():
    scores = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    rooms = torch.tensor([1, 0, 0, 1, 0, 1])
    assert weak_prune(scores, rooms, 2).nonzero()[:, 0].tolist() == [0, 1, 2, 3]
    many = weak_prune(torch.zeros(100_000), torch.zeros(100_000, dtype=torch.int64), 777)
    assert bool(many[:777].all()) and not bool(many[777:].any())


def test_no_rows_keep_none_and_limits_below_zero_are_refused():
    nothing = torch.zeros(0)
    assert weak_prune(nothing, nothing.long(), 3).shape == (0,)
    with pytest.raises(ValueError, match="limit must not be negative, got -1"):
        weak_prune(nothing, nothing.long(), -1)


def test_scores_between_coarse_cells_are_interpolated_with_zeros_where_there_is_none():
    coarse_cells = [cell for cell in itertools.product(range(1, 3), repeat=3) if cell != (2, 2, 2)]
    scores = torch.randn(len(coarse_cells), requires_grad=True)
    fine_cells = list(itertools.product(range(1, 7), repeat=3))
    found = child_scores(scores, sites_of(coarse_cells, 4), sites_of(fine_cells, 8))
    dense = torch.zeros(5, 5, 5)
    for cell, score in zip(coarse_cells, scores.tolist(), strict=True):
        dense[cell] = score
    for fine, score in zip(fine_cells, found.tolist(), strict=True):
        (low, share) = zip(*(divmod(axis / 2, 1) for axis in fine), strict=True)
        expected = 0.0
        for corner in itertools.product((0, 1), repeat=3):
            weight = 1.0
            for step, part in zip(corner, share, strict=True):
                weight *= part if step else 1 - part
            place = tuple(int(axis) + step for axis, step in zip(low, corner, strict=True))
            expected += weight * float(dense[place])
        assert score == pytest.approx(expected, abs=1e-6)
    assert not found.requires_grad


def test_scores_do_not_leak_into_other_rooms():
    coarse = sites_of([(0, 1, 1, 1), (1, 1, 1, 1)], 4, batch=2)
    fine = sites_of([(0, 2, 2, 2), (1, 2, 2, 2), (1, 2, 2, 3)], 8, batch=2)
    assert child_scores(torch.tensor([1.0, -4.0]), coarse, fine).tolist() == [1.0, -4.0, -2.0]
