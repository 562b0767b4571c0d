"""Frames and batches: what the range does to points and objects, dense targets, and bad files."""

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d import augment
from datasets3d.database import SamplingConfig
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from datasets3d.prepare import cut_objects
from datasets3d.surfaces import ObjectShapes
from fusion3d_appkit.sampling import Draw
from fusion_models.detection.batch import ImageInput, collate
from fusion_models.imagepg import DetectorConfig
from imagepg.data import DetectionFrames, KittiData, TrainingConfig
from PIL import Image

MODEL = DetectorConfig()
NEAR = (0.0, -8.0, -3.0, 20.0, 8.0, 1.0)
PLAIN = TrainingConfig(augmentation=None)


@pytest.fixture
def root(street, tmp_path) -> Path:
    return Path(shutil.copytree(street, tmp_path / "kitti"))


def near_model() -> DetectorConfig:
    return replace(MODEL, voxels=replace(MODEL.voxels, bounds=NEAR))


def frames(root, training=PLAIN, *, model=MODEL, split="train", **parts) -> DetectionFrames:
    return DetectionFrames(KittiDataset(root, split), model, seed=0, training=training, **parts)


def by_place(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(points.T)]


@pytest.mark.parametrize("training", [PLAIN, None])
def test_points_outside_the_range_stay_and_objects_go(root, training):
    model = near_model()
    dataset = frames(root, training, model=model)
    lost = 0
    for index in range(len(dataset)):
        whole, frame = dataset.source[index], dataset[Draw(0, index)]
        np.testing.assert_array_equal(by_place(frame.points), by_place(whole.points))
        assert (frame.points[:, 0] > NEAR[3]).any()
        named = whole if training is None else augment.filter_objects(whole, names=model.class_names)
        cut = augment.crop_range(named, NEAR)
        if training is not None:
            cut = augment.filter_objects(cut, min_points=1)
        assert frame.objects.source_id == cut.objects.source_id
        lost += len(named.objects) - len(frame.objects)
    assert lost > 0


def test_training_frames_are_shuffled_and_those_for_evaluation_are_not(root):
    source = KittiDataset(root, "train")[0]
    np.testing.assert_array_equal(frames(root, None)[Draw(0, 0)].points, source.points)
    shuffled = frames(root)[Draw(0, 0)].points
    assert not np.array_equal(shuffled, source.points)


@pytest.mark.slow
def test_objects_need_as_many_points_as_asked_inside_the_range(root):
    dataset = frames(root, replace(PLAIN, min_points=40))
    for index in range(len(dataset)):
        frame = dataset[Draw(0, index)]
        assert (augment.count_points(frame, frame.objects) >= 40).all()
    assert sum(len(dataset[Draw(0, i)].objects) for i in range(4)) < sum(
        len(frames(root)[Draw(0, i)].objects) for i in range(4)
    )


def test_dense_points_follow_the_augmentation(root):
    shapes = ObjectShapes.read(root)
    frame = frames(root, TrainingConfig(), shapes=shapes)[Draw(3, 1)]
    assert len(frame.objects) and len(frame.dense_points)
    owners = frame.dense_points[:, 3].astype(int)
    wider = replace(
        frame.objects, boxes_lidar=frame.objects.boxes_lidar + np.array([0, 0, 0, 0.3, 0.3, 0.3, 0], "f4")
    )
    inside = augment.points_in_boxes(frame.dense_points, wider.boxes_lidar)
    assert inside[np.arange(len(owners)), owners].all()


def loader_of(root, monkeypatch, training=TrainingConfig(), model=MODEL):  # noqa: B008
    monkeypatch.setattr(KittiData, "model_config", model)
    return KittiData(str(root), training=training, workers=0).train_dataloader()


def test_missing_targets_name_the_command_and_the_options(root, monkeypatch):
    shutil.rmtree(root / "training/object_shapes")
    with pytest.raises(FileNotFoundError) as caught:
        loader_of(root, monkeypatch)
    for cure in (
        f"python -m datasets3d complete kitti --root {root}",
        "--data.training.dense_points false",
        "--model.detector.roi.losses.chamfer_weight 0",
        "--model.detector.occupancy.loss_weight 0",
    ):
        assert cure in str(caught.value)
    loader = loader_of(root, monkeypatch, TrainingConfig(dense_points=False))
    assert next(iter(loader)).dense_points is None


def test_a_single_object_may_lack_its_target(root, monkeypatch):
    for path in (root / "training/object_shapes").glob("*.npy"):
        path.unlink()
    batch = next(iter(loader_of(root, monkeypatch)))
    assert batch.dense_points is not None and len(batch.dense_points) == 0


@pytest.mark.slow
def test_published_targets_are_used_where_they_are(root, monkeypatch):
    source = KittiDataset(root, "train")
    shutil.rmtree(root / "training/object_shapes")
    for name, weight in (("Car", 50), ("Pedestrian", 5), ("Cyclist", 5)):
        folder = root / f"train_mirror_target/bm_{weight}maxdist_2num_{name}"
        folder.mkdir(parents=True)
        for frame in (source[i] for i in range(len(source))):
            for row, label in enumerate(frame.objects.names):
                if label == name:
                    points = np.full((3, 3), 0.01 * row, np.float32)
                    (folder / f"{int(frame.frame_id)}_{row}.pkl").write_bytes(pickle.dumps(points))
    frame = frames(root, shapes=ObjectShapes.read(root))[Draw(0, 0)]
    owners = frame.dense_points[:, 3].astype(int)
    assert np.bincount(owners).tolist() == [3] * len(frame.objects)
    rows = [int(source_id.split("_")[1]) for source_id in frame.objects.source_id]
    offset = np.linalg.norm(frame.dense_points[:, :3] - frame.objects.boxes_lidar[owners, :3], axis=1)
    np.testing.assert_allclose(offset, np.array(rows)[owners] * 0.01 * 3**0.5, atol=1e-4)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("content", [b"", b"\x80\x04damaged", pickle.dumps(Hostile())])
def test_a_bad_target_is_named_and_not_executed(root, content, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(root / "training/object_shapes")
    for weight, name in ((50, "Car"), (5, "Pedestrian"), (5, "Cyclist")):
        (root / f"train_mirror_target/bm_{weight}maxdist_2num_{name}").mkdir(parents=True)
    dataset = frames(root, shapes=ObjectShapes.read(root))
    index, source_id = next(
        (i, dataset.source[i].objects.source_id[0]) for i in range(4) if len(dataset.source[i].objects)
    )
    name = f"{int(source_id.split('_')[0])}_0.pkl"
    (root / "train_mirror_target/bm_50maxdist_2num_Car" / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is no pickled point array"):
        dataset[Draw(0, index)]
    assert not (tmp_path / "executed").exists()


def test_pictures_of_several_sizes_share_a_batch(root):
    frame_ids = KittiDataset(root, "train").frame_ids[:2]
    path = root / f"training/image_2/{frame_ids[1]}.png"
    Image.open(path).crop((0, 0, 400, 120)).save(path)
    dataset = frames(root)
    both = [dataset[Draw(0, index)] for index in range(2)]
    batch = collate(both, MODEL.class_names, image=ImageInput())
    assert batch.images.shape == (2, 3, 125, 414)
    assert batch.image_sizes.tolist() == [[125, 414], [120, 400]]
    assert (batch.images[1, :, 120:] == 0).all() and (batch.images[1, :, :, 400:] == 0).all()


def test_pictures_that_are_missing_or_broken_are_named(root):
    dataset = frames(root)
    frame_id = dataset.source.frame_ids[0]
    path = root / f"training/image_2/{frame_id}.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=rf"{frame_id}\.png is no readable picture"):
        dataset[Draw(0, 0)]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"no picture .*{frame_id}\.png"):
        dataset[Draw(0, 0)]
    with pytest.raises(FileNotFoundError, match=rf"no image_2/{frame_id}\.png"):
        frames(root)


def test_a_frame_without_picture_is_no_input_for_an_image_branch(root):
    frame = replace(frames(root)[Draw(0, 0)], images={})
    with pytest.raises(ValueError, match="has no image 'image_2', it has"):
        collate([frame], MODEL.class_names, image=ImageInput())
    assert collate([frame], MODEL.class_names).images is None


@pytest.mark.slow
def test_frames_without_objects_or_with_all_of_them_out_of_view_are_kept(root):
    source = KittiDataset(root, "train")
    empty, behind = (root / f"training/label_2/{name}.txt" for name in source.frame_ids[:2])
    empty.write_text("")
    # A car behind the camera: its 2D box is empty, and no point that the camera sees is on it.
    behind.write_text("Car 0.00 0 0.00 0.00 0.00 0.00 0.00 1.50 1.60 3.90 1.00 1.70 -15.00 0.00\n")
    (root / "recipe.json").unlink()  # the targets are meant for these labels, too
    database = cut_objects(root, "train", progress=False)
    pasting = TrainingConfig(sampling=SamplingConfig(min_points=1, excluded_difficulties=()))
    for training in (TrainingConfig(), pasting):
        dataset = frames(root, training, database=database, shapes=ObjectShapes.read(root))
        both: list[Frame] = [dataset[Draw(0, index)] for index in range(2)]
        batch = collate(both, MODEL.class_names)
        assert len(batch.points) > 0 and batch.dense_points is not None
        behind_id = f"{source.frame_ids[1]}_0"
        assert all(behind_id not in frame.objects.source_id for frame in both)
    assert frames(root, None)[Draw(0, 0)].objects.names == ()
