from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets3d.depth import (
    DepthAugmentation,
    DepthReading,
    IntrinsicsDisruption,
    read_evaluation_sample,
    read_training_sample,
)
from datasets3d.nuscenes import read_records, write_published_infos
from fusion3d_appkit.sampling import Draw
from fusion_models.sparse_beats_dense.model import SparseBeatsDenseConfig
from sparse_beats_dense.data import DepthData, DepthFrames, Splits
from sparse_beats_dense.records import load_records

READING = DepthReading(query_radius_px=1.0, true_depth_folder="depth")


def data_of(street, network=SparseBeatsDenseConfig(base_width=4, levels=2), **options) -> DepthData:  # noqa: B008
    options = {"splits": Splits("train.json", "val.json"), "reading": READING, "workers": 0, **options}
    data = DepthData(str(street), **options)
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(config=network))
    return data


def test_a_training_batch_has_what_the_loss_reads(street):
    data = data_of(street, batch_size=4)
    (batch,) = list(data.train_dataloader())
    assert sorted(batch.frame_ids) == ["frame0", "frame1", "frame2", "frame3"]
    assert batch.image.shape == (4, 3, 54, 96) and batch.points.shape == (4, 200, 3)
    assert batch.counts.tolist() == [4] * 4
    assert all((batch.label[i] > 0).sum() > 300 for i in range(4))
    assert 0.1 < batch.radar_classes.float().mean() < 0.9
    assert all(batch.radar[i].max() > 0 for i in range(4))


def test_evaluation_takes_the_frames_in_order_and_as_they_are(street):
    data = data_of(street)
    batches = list(data.val_dataloader())
    assert [batch.frame_ids for batch in batches] == [("frame4",), ("frame5",)]
    (expected, _) = [read_evaluation_sample(r, street, READING) for r in read_records(street / "val.json")]
    assert np.array_equal(batches[0].label[0, 0].numpy(), expected.lidar_map)
    assert batches[0].radar_classes is None
    assert np.array_equal(batches[0].image[0].numpy(), expected.image[..., ::-1].transpose(2, 0, 1))


def test_the_test_split_is_that_of_validation_unless_named(street):
    assert data_of(street).test_split == "val.json"
    data = data_of(street, splits=Splits("train.json", "val.json", "train.json"))
    assert next(iter(data.test_dataloader())).frame_ids == ("frame0",)


def test_a_frame_depends_on_seed_epoch_and_index_alone(street):
    records = read_records(street / "train.json")

    def frame(seed, epoch, index):
        frames = DepthFrames(
            records,
            street,
            READING,
            read=read_training_sample,
            augmentation=DepthAugmentation(),
            seed=seed,
        )
        return frames[Draw(epoch, index)].image

    assert np.array_equal(frame(1, 2, 3), frame(1, 2, 3))
    assert not np.array_equal(frame(1, 2, 3), frame(1, 3, 3))
    assert not np.array_equal(frame(1, 2, 3), frame(2, 2, 3))


def test_without_disruption_the_beams_stay_in_their_rows(street):
    still = DepthAugmentation(disruption=None)
    records = read_records(street / "train.json")
    kwargs = {"read": read_training_sample, "seed": 0}
    frames = DepthFrames(records, street, READING, augmentation=still, **kwargs)
    plain = read_training_sample(records[0], street, READING)
    assert np.array_equal(frames[Draw(0, 0)].lidar_map, plain.lidar_map)
    moved = DepthAugmentation(disruption=IntrinsicsDisruption(zoom=(1.2, 1.3)))
    moved = DepthFrames(records, street, READING, augmentation=moved, **kwargs)
    rows = [set(np.flatnonzero(f[Draw(0, 0)].lidar_map.any(axis=1))) for f in (frames, moved)]
    assert rows[0] != rows[1]


def test_dense_supervision_is_a_switch_of_the_data(street):
    reading = replace(READING, supervision_folder="depth")
    label = next(iter(data_of(street, batch_size=1, reading=reading).train_dataloader())).label
    sparse = next(iter(data_of(street, batch_size=1).train_dataloader())).label
    assert (label > 0).float().mean() > 3 * (sparse > 0).float().mean()


def test_a_model_without_mask_decoder_needs_no_masks(street):
    network = SparseBeatsDenseConfig(base_width=4, levels=2, mask_decoder=False)
    reading = replace(READING, mask_folder="nowhere")
    batch = next(iter(data_of(street, network, reading=reading, batch_size=1).train_dataloader()))
    assert batch.radar_classes is None


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_masks_are_named_with_the_cure(street, workers):
    data = data_of(street, reading=replace(READING, mask_folder="nowhere"), workers=workers)
    with pytest.raises(FileNotFoundError, match=r"no mask .*nowhere/frame\d\.png; .*seg_mask\.tar"):
        list(data.train_dataloader())


@pytest.mark.slow
def test_the_authors_info_files_are_taken(street, tmp_path):
    records = read_records(street / "val.json")
    write_published_infos(tmp_path / "infos.json", records)
    found = load_records(street, str(tmp_path / "infos.json"), READING)
    assert [record.key("CAM_FRONT") for record in found] == [
        replace(record.key("CAM_FRONT"), token=again.key("CAM_FRONT").token)
        for record, again in zip(records, found, strict=True)
    ]


def test_missing_records_are_named(street):
    with pytest.raises(FileNotFoundError, match=r"records nowhere\.json: no such file, neither .*nuscenes"):
        load_records(street, "nowhere.json", READING)


def test_missing_tables_are_named(street):
    with pytest.raises(FileNotFoundError, match=r"v1\.0-mini"):
        load_records(street, "v1.0-mini/mini_val", READING)


@pytest.mark.parametrize("split", ["train", "/train", ""])
def test_a_split_without_version_is_refused(street, split):
    with pytest.raises(ValueError, match=r"expected VERSION/SPLIT, such as v1\.0-trainval/train"):
        load_records(street, split, READING)


@pytest.mark.slow
def test_batches_need_a_trainer(street):
    with pytest.raises(ValueError, match="no trainer yet"):
        DepthData(str(street), Splits("train.json")).train_dataloader()


@pytest.mark.slow
def test_a_batch_moves_as_a_whole(street):
    data = data_of(street)
    batch = next(iter(data.val_dataloader()))
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.image.is_meta and moved.label.is_meta and moved.frame_ids == batch.frame_ids
