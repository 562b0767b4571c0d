from datasets3d.nuscenes.records.record import Pose
from datasets3d.synth import NuscenesSynthConfig
from datasets3d.synth.layouts._nuscenes_tables import (
    AnnotationEntry,
    FileEntry,
    KeyFrameEntry,
    SceneEntry,
    build_tables,
)
from datasets3d.synth.sensors.rig import nuscenes_rig

NOWHERE = Pose(translation=(1.0, 2.0, 0.0), rotation=(1.0, 0.0, 0.0, 0.0))
RIG = {
    channel: sensor
    for channel, sensor in nuscenes_rig(NuscenesSynthConfig()).items()
    if channel in ("LIDAR_TOP", "CAM_FRONT")
}


def file(channel: str, timestamp_us: int, *, is_key_frame: bool = True) -> FileEntry:
    return FileEntry(
        channel=channel,
        timestamp_us=timestamp_us,
        is_key_frame=is_key_frame,
        filename=f"samples/{channel}/{timestamp_us}",
        ego_pose=NOWHERE,
    )


def annotation(actor: int) -> AnnotationEntry:
    return AnnotationEntry(
        actor=actor,
        category="vehicle.car",
        attribute="vehicle.moving",
        visibility=3,
        translation=(0.0, 0.0, 0.0),
        size_wlh=(2.0, 4.0, 1.5),
        rotation=(1.0, 0.0, 0.0, 0.0),
        num_lidar_pts=5,
        num_radar_pts=1,
    )


def scene(name: str = "scene-0001") -> SceneEntry:
    """Three key frames; actor 4 is hidden in the second, actor 7 is seen once."""
    seen = ((4, 7), (), (4,))
    return SceneEntry(
        name=name,
        description="",
        logfile="n000-a",
        date="2020-01-01",
        rig=RIG,
        key_frames=tuple(
            KeyFrameEntry(
                timestamp_us=1000 * (k + 1),
                files=(
                    *((file("LIDAR_TOP", 1000 * k + 500, is_key_frame=False),) if k else ()),
                    file("LIDAR_TOP", 1000 * (k + 1)),
                    file("CAM_FRONT", 1000 * (k + 1) - 35),
                ),
                annotations=tuple(annotation(actor) for actor in seen[k]),
            )
            for k in range(3)
        ),
    )


def test_an_object_is_one_instance_across_gaps():
    tables = build_tables([scene()], seed=0)
    assert [i["nbr_annotations"] for i in tables["instance"]] == [2, 1]
    first, last, single = tables["sample_annotation"]
    samples = [s["token"] for s in tables["sample"]]
    assert (first["next"], last["prev"]) == (last["token"], first["token"])
    assert (first["prev"], last["next"], single["prev"], single["next"]) == ("", "", "", "")
    assert (first["sample_token"], last["sample_token"]) == (samples[0], samples[2])
    assert tables["instance"][0]["last_annotation_token"] == last["token"]
    assert (first["size"], first["visibility_token"]) == ([2.0, 4.0, 1.5], "3")


def test_files_of_a_sensor_are_chained_by_time_and_sweeps_wait_for_their_key_frame():
    tables = build_tables([scene()], seed=0)
    sensors = {s["channel"]: s["token"] for s in tables["sensor"]}
    mounts = {c["sensor_token"]: c["token"] for c in tables["calibrated_sensor"]}
    lidar = [
        f
        for f in tables["sample_data"]
        if f["calibrated_sensor_token"] == mounts[sensors["LIDAR_TOP"]]
    ]  # fmt: skip
    assert [f["timestamp"] for f in lidar] == [1000, 1500, 2000, 2500, 3000]
    assert [f["next"] for f in lidar] == [*(f["token"] for f in lidar[1:]), ""]
    samples = [s["token"] for s in tables["sample"]]
    assert [samples.index(f["sample_token"]) for f in lidar] == [0, 1, 1, 2, 2]
    assert {f["fileformat"] for f in lidar} == {"pcd"}
    camera = next(f for f in tables["sample_data"] if f["fileformat"] == "jpg")
    assert (camera["width"], camera["height"]) == (1600, 900)


def test_only_cameras_have_an_intrinsic():
    tables = build_tables([scene()], seed=0)
    shapes = sorted(len(c["camera_intrinsic"]) for c in tables["calibrated_sensor"])
    assert shapes == [0, 3]


def test_tokens_depend_on_the_seed_and_differ_between_scenes():
    one, other = build_tables([scene()], seed=0), build_tables([scene()], seed=1)
    assert one == build_tables([scene()], seed=0)
    assert one["sample"][0]["token"] != other["sample"][0]["token"]
    both = build_tables([scene(), scene("scene-0003")], seed=0)
    tokens = [f["token"] for f in both["sample_data"]]
    assert len(set(tokens)) == len(tokens) == 2 * len(one["sample_data"])
    assert all(len(token) == 32 for token in tokens)
    assert both["map"][0]["log_tokens"] == [log["token"] for log in both["log"]]
