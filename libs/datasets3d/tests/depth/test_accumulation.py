import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d import _atomic
from datasets3d.depth import DepthReading, read_training_sample
from datasets3d.depth.accumulation import Accumulation, dense_map, interpolated, write_dense_supervision
from datasets3d.depth.pictures import read_depth_picture
from datasets3d.nuscenes import Pose, SampleRecord, SensorRecord
from datasets3d.nuscenes.lidar import write_lidar

AHEAD = (0.5, -0.5, 0.5, -0.5)
"""A camera that looks along x, its x to the right, in a LiDAR frame with x forward, y left, z up."""
WIDTH, HEIGHT = 40, 30
CAMERA = ((20.0, 0.0, 20.0), (0.0, 20.0, 15.0), (0.0, 0.0, 1.0))
POSTS = np.array([[12.0, y, z] for y in (-3.0, 0.0, 3.0) for z in (-1.0, 0.0, 1.0)])
"""World points that stand still."""
UNFILTERED = Accumulation(query_radius_px=None)


def write_scene(root: Path, scene: str, *, key_frames: int = 4, seen_by: int = 3) -> list[SampleRecord]:
    """Write a car that drives 1 m along x a key frame.

    Key frame number k sees the k-th third of the posts, and a thing that it always sees at 5 m ahead.
    """
    records = []
    for k in range(key_frames):
        files = {}
        ego = Pose(translation=(float(k), 0.0, 0.0), rotation=(1.0, 0.0, 0.0, 0.0))
        for channel, rotation in (("CAM_FRONT", AHEAD), ("LIDAR_TOP", (1.0, 0.0, 0.0, 0.0))):
            camera = channel == "CAM_FRONT"
            files[channel] = (
                SensorRecord(
                    channel=channel,
                    filename=f"samples/{channel}/{scene}{k}" + (".jpg" if camera else ".pcd.bin"),
                    token=f"{scene}{k}{channel}",
                    timestamp_us=k,
                    calibration=Pose(translation=(0.0, 0.0, 0.0), rotation=rotation),
                    ego_pose=ego,
                    intrinsic=CAMERA if camera else None,
                    size_wh=(WIDTH, HEIGHT) if camera else None,
                ),
            )
        seen = POSTS[k % seen_by :: seen_by] - [k, 0, 0]
        points = np.zeros((len(seen) + 1, 5), np.float32)
        points[:, :3] = [*seen, (5.0, 0.08, 0.08)]
        write_lidar(files["LIDAR_TOP"][0].path(root), points)
        records.append(
            SampleRecord(
                token=f"{scene}{k}", scene_token=scene, scene_name=scene, timestamp_us=k, sensors=files
            )
        )
    return records


def read(root: Path, record: SampleRecord, folder: str = "dense") -> np.ndarray:
    return read_depth_picture(root / folder / "CAM_FRONT" / f"{record.token}.png")


def mover(record: SampleRecord, lidar: SensorRecord) -> np.ndarray:
    return np.array([[5.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]])


def test_neighbours_land_where_the_world_has_them(tmp_path):
    records = write_scene(tmp_path, "s")
    assert (
        write_dense_supervision(records, tmp_path, "dense", UNFILTERED, moving_boxes=mover, progress=False)
        == 4
    )
    for k, record in enumerate(records):
        found = read(tmp_path, record)
        # What the picture's own sweep saw of the mover stays; the posts come from three sweeps.
        assert found[14, 19] == 5
        expected = np.zeros((HEIGHT, WIDTH), np.float32)
        for x, y, z in POSTS - [k, 0, 0]:
            expected[int(15 - 20 * z / x), int(20 - 20 * y / x)] = x
        expected[14, 19] = 5
        assert np.array_equal(found, expected)


def test_without_boxes_movers_smear(tmp_path):
    records = write_scene(tmp_path, "s")
    write_dense_supervision(records, tmp_path, "dense", UNFILTERED, progress=False)
    # Seen 5 m ahead from 0, 1, 2 and 3: the nearest lies 4 m ahead of 1, 2 m ahead of 3.
    assert [read(tmp_path, record)[14, 19] for record in records] == [5, 4, 3, 2]


def test_boxes_are_widened_by_the_margin(tmp_path):
    records = write_scene(tmp_path, "s", key_frames=2)

    def beside(record: SampleRecord, lidar: SensorRecord) -> np.ndarray:
        return np.array([[5.6, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]])

    for margin_m, depth_m in ((0.05, 4), (0.15, 5)):
        config, folder = replace(UNFILTERED, box_margin_m=margin_m), f"margin{margin_m}"
        write_dense_supervision(records, tmp_path, folder, config, moving_boxes=beside, progress=False)
        assert read(tmp_path, records[1], folder)[14, 19] == depth_m


def test_scenes_do_not_mix_and_the_window_is_kept(tmp_path):
    first, second = write_scene(tmp_path, "s"), write_scene(tmp_path, "r", seen_by=9)
    alone = replace(UNFILTERED, key_frames_before=0, key_frames_after=0)
    write_dense_supervision([*first, *second][::-1], tmp_path, "own", alone, progress=False)
    assert np.count_nonzero(read(tmp_path, first[0], "own")) == 4
    assert np.count_nonzero(read(tmp_path, second[0], "own")) == 2
    before = replace(UNFILTERED, key_frames_before=1, key_frames_after=0)
    write_dense_supervision(
        [*first, *second][::-1], tmp_path, "before", before, moving_boxes=mover, progress=False
    )
    assert np.count_nonzero(read(tmp_path, first[0], "before")) == 4
    assert np.count_nonzero(read(tmp_path, first[1], "before")) == 7
    assert np.count_nonzero(read(tmp_path, second[1], "before")) == 3


def test_sweeps_between_key_frames(tmp_path):
    records = write_scene(tmp_path, "s", key_frames=2)
    sweep = records[0].key("LIDAR_TOP")
    later = records[1].key("LIDAR_TOP")
    record = replace(records[1], sensors={**records[1].sensors, "LIDAR_TOP": (later, sweep)})
    for count, pixels in ((1, 4), (2, 7)):
        alone = replace(UNFILTERED, key_frames_before=0, key_frames_after=0, sweeps=count)
        folder = f"dense{count}"
        write_dense_supervision([record], tmp_path, folder, alone, moving_boxes=mover, progress=False)
        assert np.count_nonzero(read(tmp_path, record, folder)) == pixels


def test_training_reads_what_was_written(tmp_path, small):
    write_dense_supervision([small.record], small.root, "dense", UNFILTERED, progress=False)
    sample = read_training_sample(small.record, small.root, DepthReading(supervision_folder="dense"))
    assert np.argwhere(sample.lidar_map).tolist() == [[2, 3]]


def test_a_finished_folder_is_kept_and_another_recipe_refused(tmp_path):
    records = write_scene(tmp_path, "s")
    write_dense_supervision(records, tmp_path, "dense", UNFILTERED, progress=False)
    assert write_dense_supervision(records, tmp_path, "dense", UNFILTERED, progress=False) == 0
    with pytest.raises(FileExistsError, match="dense exists and was made of other data"):
        write_dense_supervision(records, tmp_path, "dense", Accumulation(), progress=False)
    with pytest.raises(FileExistsError, match="dense exists and was made of other data"):
        write_dense_supervision(records[:2], tmp_path, "dense", UNFILTERED, progress=False)
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="mine exists"):
        write_dense_supervision(records, tmp_path, "mine", UNFILTERED, progress=False)


def test_interpolation_without_a_limit_is_written_too(tmp_path):
    records = write_scene(tmp_path, "s", key_frames=2, seen_by=1)
    config = Accumulation(query_radius_px=None, interpolate_within_px=np.inf)
    assert write_dense_supervision(records, tmp_path, "dense", config, progress=False) == 2
    assert write_dense_supervision(records, tmp_path, "dense", config, progress=False) == 0
    # The posts stand 12 m ahead of 0, at rows 13 to 16; the lowest row has no mover beside it.
    found = read(tmp_path, records[0])
    assert (found[16, 15:26] == 12).all()
    assert not found[17:].any()


def test_a_stopped_run_goes_on(tmp_path):
    records = write_scene(tmp_path, "s")
    lidar = records[3].key("LIDAR_TOP").path(tmp_path)
    content = lidar.read_bytes()
    lidar.unlink()
    alone = replace(UNFILTERED, key_frames_before=0, key_frames_after=0)
    with pytest.raises(FileNotFoundError, match="s3"):
        write_dense_supervision(records, tmp_path, "dense", alone, progress=False)
    assert not (tmp_path / "dense").exists()
    lidar.write_bytes(content)
    assert write_dense_supervision(records, tmp_path, "dense", alone, progress=False) == 1
    assert len(list((tmp_path / "dense" / "CAM_FRONT").iterdir())) == 4
    assert not (tmp_path / "dense" / _atomic.INCOMPLETE_MARKER).exists()
    assert json.loads((tmp_path / "dense" / "recipe.json").read_text())["camera"] == "CAM_FRONT"


def test_records_that_do_not_say_their_scene_are_refused(tmp_path):
    records = [replace(record, scene_token="") for record in write_scene(tmp_path, "s")]
    with pytest.raises(ValueError, match="a record does not say its scene"):
        write_dense_supervision(records, tmp_path, "dense", UNFILTERED, progress=False)


def test_the_nearest_wins_and_what_shows_through_goes():
    eye = np.eye(4)
    near, far = np.array([[0.0, 0.0, 10.0]]), np.array([[0.0, 0.0, 20.0], [2.0, 0.0, 20.0], [8.0, 0.0, 20.0]])
    camera = np.array(CAMERA)
    for clouds in ([(near, eye), (far, eye)], [(far, eye), (near, eye)]):
        plain = dense_map(clouds, camera, UNFILTERED, width=WIDTH, height=HEIGHT)
        assert plain[15, [20, 22, 28]].tolist() == [10, 20, 20]
        filtered = dense_map(clouds, camera, Accumulation(), width=WIDTH, height=HEIGHT)
        assert filtered[15, [20, 22, 28]].tolist() == [10, 0, 20]


@pytest.mark.parametrize("config", [UNFILTERED, Accumulation(), Accumulation(interpolate_within_px=5.0)])
@pytest.mark.parametrize(
    "clouds", [[], [(np.zeros((0, 3)), np.eye(4))], [(np.array([[0, 0, -5.0]]), np.eye(4))]]
)
def test_nothing_to_put_together(config, clouds):
    found = dense_map(clouds, np.array(CAMERA), config, width=WIDTH, height=HEIGHT)
    assert found.shape == (HEIGHT, WIDTH)
    assert not found.any()


def test_interpolation_gives_back_a_plane():
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    plane = 10 + rows / 4 + columns / 2
    sparse = np.zeros_like(plane)
    sparse[::19, ::29] = plane[::19, ::29]
    np.testing.assert_allclose(interpolated(sparse, within_px=np.inf), plane, rtol=1e-6)
    near = interpolated(sparse, within_px=3.0)
    assert near[0, 3] != 0
    assert near[0, 4] == near[10, 15] == 0


@pytest.mark.parametrize("places", [[], [(1, 1)], [(1, 1), (2, 3)], [(0, 0), (1, 1), (2, 2)]])
def test_too_little_to_interpolate(places):
    sparse = np.zeros((4, 5), np.float32)
    for place in places:
        sparse[place] = 7
    found = interpolated(sparse, within_px=9.0)
    assert np.array_equal(found, sparse)
    assert found is not sparse


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key_frames_before": -1}, "key_frames_before must be at least 0, got -1"),
        ({"sweeps": 0}, "sweeps must be at least 1, got 0"),
        ({"box_margin_m": -0.1}, "box_margin_m must be at least 0, got -0.1"),
        ({"max_depth_m": 0.0}, "max_depth_m must be positive, got 0.0"),
        ({"query_radius_px": -2.0}, "query_radius_px must be at least 0, got -2.0"),
        ({"interpolate_within_px": -2.0}, "interpolate_within_px must be at least 0, got -2.0"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Accumulation(**changes)
