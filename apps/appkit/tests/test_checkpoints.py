import os

from fusion3d_appkit.checkpoints import last_checkpoint


def test_the_newest_checkpoint_is_the_last(tmp_path):
    older, newer = (tmp_path / "checkpoints" / name for name in ("last.ckpt", "epoch_0005.ckpt"))
    older.parent.mkdir()
    for path in (older, newer):
        path.touch()
    os.utime(newer, ns=(2**62, 2**62))
    assert last_checkpoint(tmp_path) == newer


def test_a_run_without_checkpoints_has_none(tmp_path):
    assert last_checkpoint(tmp_path) is None
