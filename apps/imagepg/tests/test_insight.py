from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets3d.kitti import KittiDataset
from datasets3d.surfaces import ObjectShapes, add_dense_points
from fusion3d_appkit.sampling import Draw
from fusion_models.detection.batch import ImageInput, collate
from fusion_models.detection.cloud_copies import CloudCopy
from imagepg.data import DetectionFrames
from imagepg.insight import FrameInsight, describe, look_inside
from imagepg.pictures import frame_pictures

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers and loggers

IMAGE = ImageInput(scale=0.25)
# An untrained head scores all anchors alike; this spreads the proposals over the map, of which the camera
# sees a part.
EVERYWHERE = ["--model.detector.test_proposals={pre_max: 9000, threshold: 0.01, post_max: 64}"]
LIDAR = ["--model.detector.image=null", "--model.detector.roi.image_channels=null"]
SECOND = ["--model.detector.image=null", "--model.detector.roi=null", "--model.detector.occupancy=null"]
VOXEL_RCNN = [
    *LIDAR,
    "--model.detector.occupancy=null",
    "--model.detector.roi.generator=null",
    "--model.detector.roi.abstractions=[]",
    "--model.detector.roi.losses.point_weight=0",
    "--model.detector.roi.losses.chamfer_weight=0",
]


@pytest.fixture
def make(under_test, tmp_path):
    """Return a function that builds the tiny detector with further options."""

    def detector(*options):
        torch.manual_seed(0)
        return under_test.build(tmp_path / "run", *EVERYWHERE, *options).model.detector

    return detector


@pytest.fixture
def look(street):
    """Return a function from a detector to the insight and the frame it is about."""

    def insight(detector, *, dense=True, labels=True):
        frames = DetectionFrames(KittiDataset(street, "train"), detector.config, seed=0)
        frame = frames[Draw(0, 1)]
        if dense:
            frame = add_dense_points(frame, ObjectShapes.read(street))
        if not labels:
            frame = replace(frame, objects=None)
        image = IMAGE if detector.image is not None else None
        return look_inside(detector, collate([frame], detector.config.class_names, image=image)), frame

    return insight


def _boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 7)


def _insight(**changes):
    """Two cars, RoIs 0 and 1 on the first and RoI 2 on the second, one stage after the proposals."""
    first, second = [10.0, 0, 0, 4, 2, 1.5, 0], [20.0, 5, 0, 4, 2, 1.5, 1.0]
    near, far = [10.5, 0, 0, 4, 2, 1.5, 0], [11.0, 0, 0, 4, 2, 1.5, 0]
    values = {
        "frame_id": "000000",
        "bounds": (0.0, -20.0, -3.0, 40.0, 20.0, 1.0),
        "class_names": ("Car", "Pedestrian"),
        "points": np.zeros((0, 3), np.float32),
        "truth": _boxes(first, second),
        "truth_labels": np.array([1, 1]),
        "dense": None,
        "occupancy": None,
        "stage_names": ("proposals", "as it is"),
        "boxes": np.stack([_boxes(far, far, second), _boxes(near, first, second)]),
        "labels": np.array([1, 1, 1]),
        "final_boxes": _boxes(near, first, second),
        "scores": np.array([0.9, 0.8, 0.4], np.float32),
        "generated": None,
        "point_scores": None,
        "attention": None,
    }
    return FrameInsight(**(values | changes))


def test_the_best_box_of_every_object_is_shown_best_first():
    assert _insight().shown(0.0).tolist() == [0, 2]
    assert _insight().shown(0.5).tolist() == [0]
    assert _insight().shown(0.95).tolist() == []


def test_refinement_follows_the_best_scored_box_of_each_label():
    overlaps = _insight().refinement()
    # 1 m of 4 m off: 3 / 5; half a metre: 3.5 / 4.5
    np.testing.assert_allclose(overlaps, [[3 / 5, 1.0], [3.5 / 4.5, 1.0]], atol=1e-6)


def test_boxes_of_another_class_and_labels_without_a_box_are_not_followed():
    assert _insight(labels=np.array([2, 2, 1])).refinement().shape == (2, 1)
    assert _insight(labels=np.array([2, 2, 2])).refinement().shape == (2, 0)
    assert _insight(truth=_boxes(), truth_labels=np.zeros(0, int)).refinement().shape == (2, 0)


def test_copies_are_described():
    assert describe(CloudCopy(flip_x=True, rotation_rad=-0.1)) == "front to back, turned by -5.7 degrees"


@pytest.mark.slow
def test_what_is_seen_is_what_is_detected(make, look):
    detector = make("--model.detector.post={score_threshold: 0, class_thresholds: [0, 0, 0]}")
    insight, frame = look(detector)
    batch = collate([frame], detector.config.class_names, image=IMAGE)
    found = detector.eval().predict(batch)[0]
    rows = insight.shown(0.0)
    assert len(rows) == len(found.scores) > 0
    np.testing.assert_array_equal(insight.scores[rows], found.scores)
    np.testing.assert_array_equal(insight.final_boxes[rows], found.boxes)
    np.testing.assert_array_equal(insight.labels[rows], found.labels)


@pytest.mark.slow
def test_the_whole_model_shows_every_part_in_the_frame_of_the_scene(make, look):
    insight, frame = look(make())
    stages, rois, _ = insight.boxes.shape
    assert stages == 4 == len(insight.stage_names)
    assert insight.stage_names[0] == "proposals" and insight.stage_names[-1] == "as it is"
    assert insight.generated.shape == (rois, 27, 3) and insight.point_scores.shape == (rois, 27)
    assert ((insight.point_scores > 0) & (insight.point_scores < 1)).all()
    # an untrained generator hardly moves the grid points of the RoI that the last stage was given
    distance = np.linalg.norm(insight.generated - insight.boxes[-2, :, None, :3], axis=2)
    assert (distance < np.linalg.norm(insight.boxes[-2, :, 3:6], axis=1)[:, None] / 2 + 2).all()
    # every stage starts from the boxes of the last and hardly moves them either
    np.testing.assert_allclose(insight.boxes[1:, :, :3], insight.boxes[:-1, :, :3], atol=1.0)
    assert len(insight.truth) == len(frame.objects)
    x0, y0, _, x1, y1, _ = insight.bounds
    target = insight.occupancy.target
    y, x = np.nonzero(target == 1)
    cells = np.array([(x1 - x0) / target.shape[1], (y1 - y0) / target.shape[0]])
    centres = (np.stack([x, y], axis=1) + 0.5) * cells + [x0, y0]
    gaps = np.linalg.norm(centres[:, None] - insight.dense[None, :, :2], axis=2).min(axis=1)
    assert len(gaps) and (gaps <= np.linalg.norm(cells) / 2 + 1e-5).all()
    assert insight.occupancy.probability.shape == target.shape
    assert (insight.occupancy.guides == (insight.occupancy.probability > 0.5)).all()


@pytest.mark.slow
def test_an_untrained_model_reads_the_image_on_a_ring_around_the_projected_points(make, look):
    detector = make()
    insight, _ = look(detector)
    attention = insight.attention
    assert 0 < len(attention.rois) <= len(insight.labels) * 27
    assert attention.rois.max() < len(insight.labels)
    np.testing.assert_allclose(attention.weights.sum(axis=2), 1, atol=1e-6)
    height, width = attention.image_size
    assert ((attention.pixels >= 0) & (attention.pixels < [width, height])).all()
    ring = detector.roi.image.fusion.offsets.bias.detach().view(4, 4, 2).numpy()
    expected = np.broadcast_to(ring, attention.locations.shape)
    np.testing.assert_allclose(attention.locations - attention.pixels[:, None, None], expected, atol=1e-4)


@pytest.mark.slow
def test_attention_points_belong_to_their_rois(make, look, street):
    insight, frame = look(make())
    attention, camera = insight.attention, frame.cameras["image_2"]
    height, width = attention.image_size
    camera = camera.resized(width, height)
    rois = insight.boxes[-2]  # what the last stage was given
    for roi in np.unique(attention.rois):
        pixels = attention.pixels[attention.rois == roi]
        centre = np.append(rois[roi, :3], 1.0) @ camera.image_from_lidar.T
        reach = np.linalg.norm(rois[roi, 3:6]) / 2 * camera.image_from_cam[0, 0] / max(centre[2], 0.1)
        if centre[2] > 5:
            off = np.linalg.norm(pixels - centre[:2] / centre[2], axis=1)
            assert (off <= 2 * reach + 2).all()


@pytest.mark.slow
def test_looking_leaves_the_detector_as_it_was(make, look):
    detector = make().train()
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    look(detector)
    assert detector.training
    after = detector.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert not changed
    assert not any(module._forward_pre_hooks for module in detector.modules())


@pytest.mark.slow
def test_one_frame_is_looked_at(make, street):
    detector = make(*SECOND)
    frame = KittiDataset(street, "train")[0]
    batch = collate([frame, frame], detector.config.class_names)
    with pytest.raises(ValueError, match="expected a batch of one frame, got 2"):
        look_inside(detector, batch)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "stages", "kinds"),
    [
        ([], 4, {"generated", "object", "attention", "occupancy", "stages"}),
        (LIDAR, 4, {"generated", "object", "occupancy", "stages"}),
        (["--model.detector.copies_test=[]"], 2, {"generated", "object", "attention", "occupancy", "stages"}),
        (VOXEL_RCNN, 4, {"stages"}),
        (SECOND, 1, {"stages"}),
    ],
    ids=["imagepg", "lidar", "one refinement", "voxel r-cnn", "second"],
)
@pytest.mark.parametrize("labels", [True, False])
def test_every_kind_of_model_shows_the_parts_it_has(make, look, options, stages, kinds, labels):
    insight, frame = look(make(*options), dense=labels, labels=labels)
    assert len(insight.boxes) == stages == len(insight.refinement())
    assert (insight.dense is not None) == labels
    pictures = frame_pictures(insight, frame, min_score=0.0, objects=8)
    assert {name.split("_")[0] for name in pictures} == kinds


@pytest.mark.slow
def test_without_objects_only_the_scene_is_drawn(make, look):
    insight, frame = look(make())
    assert set(frame_pictures(insight, frame, min_score=1.0)) == {"generated", "occupancy"}


@pytest.mark.slow
def test_pictures_show_the_points_that_were_generated(make, look):
    insight, frame = look(make())
    some = frame_pictures(insight, frame, min_score=0.0)
    none = frame_pictures(insight, frame, min_score=1.0)
    differs = (np.asarray(some["generated"]) != np.asarray(none["generated"])).any(axis=2)
    size, bounds = some["generated"].size, insight.bounds
    rows, columns = np.nonzero(differs)
    scale = size[0] / (bounds[4] - bounds[1])
    drawn = np.stack([bounds[3] - rows / scale, bounds[4] - columns / scale], axis=1)
    points = insight.generated[insight.shown(0.0)].reshape(-1, 3)[:, :2]
    assert len(drawn)
    assert (np.linalg.norm(drawn[:, None] - points[None], axis=2).min(axis=1) < 4 / scale).all()
