import pytest
from fusion3d_appkit import sampling
from fusion3d_appkit.sampling import EpochSampler


def draws(epoch: int, *, shuffle: bool = True, count: int = 10) -> list[int]:
    sampler = EpochSampler(count, seed=3, shuffle=shuffle)
    sampler.set_epoch(epoch)
    return [draw.frame for draw in sampler]


def test_every_frame_is_drawn_once_an_epoch():
    assert sorted(draws(0)) == list(range(10))


def test_the_order_depends_on_the_epoch_alone():
    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_validation_goes_in_order():
    assert draws(5, shuffle=False) == list(range(10))


@pytest.mark.parametrize(("shuffle", "expected"), [(True, 9), (False, 10)])
def test_ranks_share_the_frames(monkeypatch, shuffle, expected):
    monkeypatch.setattr(sampling, "_world_size", lambda: 3)
    seen = []
    for rank in range(3):
        monkeypatch.setattr(sampling, "_rank", lambda rank=rank: rank)
        part = draws(0, shuffle=shuffle)
        assert len(part) == len(EpochSampler(10, seed=3, shuffle=shuffle))
        seen += part
    assert len(seen) == len(set(seen)) == expected


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="holds no frame"):
        EpochSampler(0, seed=0, shuffle=True)


def test_fewer_frames_than_processes_are_refused_before_any_process_waits(monkeypatch):
    monkeypatch.setattr("fusion3d_appkit.sampling._world_size", lambda: 2)
    assert len(EpochSampler(2, seed=0, shuffle=False)) == 1
    with pytest.raises(ValueError, match=r"1 frames, fewer than the 2 processes; use at most .* 1"):
        EpochSampler(1, seed=0, shuffle=False)
