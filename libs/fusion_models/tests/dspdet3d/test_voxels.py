import pytest
import torch
from fusion_models.dspdet3d import RoomBatch
from fusion_models.dspdet3d.voxels import voxels_of_points


def batch_of(*rooms: torch.Tensor) -> RoomBatch:
    return RoomBatch(
        names=tuple(map(str, range(len(rooms)))),
        points=torch.cat(rooms),
        point_counts=tuple(map(len, rooms)),
    )


def test_every_occupied_voxel_of_either_sign_has_its_first_point():
    rooms = [torch.randn(400, 3) * 0.1, torch.zeros(0, 3), torch.randn(300, 3) * 0.1 - 5]
    voxels, frame = voxels_of_points(batch_of(*rooms), voxel_size_m=0.05, coarsest=8)
    expected = {}
    for number, points in enumerate(rooms):
        for point in points:
            x, y, z = (point / torch.tensor(0.05)).floor().int().tolist()
            expected.setdefault((number, z, y, x), point.tolist())
    coords = [tuple(row) for row in frame.coords(voxels.coords).tolist()]
    assert coords == sorted(expected)
    assert voxels.features.tolist() == [expected[cell] for cell in coords]
    assert voxels.batch_size == 3 and torch.equal(voxels.sites.order, torch.arange(len(coords)))


def test_rooms_without_points_have_no_voxels():
    voxels, _ = voxels_of_points(batch_of(torch.zeros(0, 3)), voxel_size_m=0.01, coarsest=32)
    assert voxels.features.shape == (0, 3)


def test_counts_and_places_that_cannot_be_are_refused():
    batch = RoomBatch(names=("a",), points=torch.zeros(3, 3), point_counts=(2,))
    with pytest.raises(ValueError, match=r"point_counts: \(2,\) must add up to the 3 rows"):
        voxels_of_points(batch, voxel_size_m=0.01, coarsest=32)
    far = batch_of(torch.tensor([[0.0, 0.0, 0.0], [1e6, 1e6, 1e6]]))
    with pytest.raises(ValueError, match="remove points that lie far from the others"):
        voxels_of_points(far, voxel_size_m=0.01, coarsest=32)
    with pytest.raises(ValueError, match="remove points that lie far from the others"):
        voxels_of_points(batch_of(torch.tensor([[torch.nan, 0.0, 0.0]])), voxel_size_m=0.01, coarsest=32)
