import numpy as np
import pytest
from datasets3d.synth import StreetConfig
from datasets3d.synth.nuscenes_config import NuscenesSynthConfig
from datasets3d.synth.sensors._textures import surface_at
from datasets3d.synth.sensors.rays import Hits, RayCaster
from datasets3d.synth.world._motion import draw_ego_motion, slope_velocity
from datasets3d.synth.world._moving_traffic import EGO_CENTRE_M, EGO_SIZE_M, ego_corridor
from datasets3d.synth.world.drive import Drive, build_drive, in_the_way
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, box
from geom3d.overlap import iou_bev

pytestmark = pytest.mark.slow
DURATION_S = 5.0
BUSY = {"cars_per_frame": 6.0, "pedestrians_per_frame": 5.0, "cyclists_per_frame": 2.0, "crowding": 50.0}


def drive_of(seed: int, *, layout: str | None = None, duration_s: float = DURATION_S) -> Drive:
    weights = {} if layout is None else {f"{n}_weight": float(n == layout) for n in LAYOUTS}
    config = NuscenesSynthConfig(street=StreetConfig(**BUSY, **weights, terrain_slope=0.02))
    return build_drive(config, np.random.default_rng(seed), duration_s)


LAYOUTS = ("street", "intersection", "highway")


@pytest.fixture(scope="session")
def drives() -> list[Drive]:
    return [drive_of(seed, layout=layout) for layout in LAYOUTS for seed in range(2)]


def ego_box(drive: Drive, time_s: float) -> np.ndarray:
    pose = drive.world_from_ego(time_s)
    x, y, z = (pose @ [EGO_CENTRE_M, 0, 0.8, 1])[:3]
    return np.array([[x, y, z, *EGO_SIZE_M, 1.6, np.arctan2(pose[1, 0], pose[0, 0])]])


def test_the_car_stands_on_the_road_and_leans_with_it(drives):
    for drive in drives:
        for time_s in (0.0, 2.7, DURATION_S):
            pose = drive.world_from_ego(time_s)
            np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
            assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
            # The car's own ground plane is the terrain, near the car.
            for x, y in ((0.0, 0.0), (2.0, 0.0), (0.0, 1.0), (-1.0, -1.0)):
                world = pose @ [x, y, 0.0, 1.0]
                ground = drive.plan.terrain.height(world[:1], world[1:2])
                assert ground[0] == pytest.approx(world[2], abs=2e-3)


def test_the_car_follows_its_lane(drives):
    for drive in drives:
        s = np.linspace(-0.5, 0.5, 400) * (drive.ego.length_m + 1)
        lane = np.stack(drive.plan.to_world(s, np.full_like(s, drive.plan.ego_t))[:2], axis=1)
        for time_s in np.linspace(0, DURATION_S, 7):
            off = np.linalg.norm(lane - drive.world_from_ego(float(time_s))[:2, 3], axis=1)
            assert off.min() < 0.2


def test_the_car_drives_where_it_points(drives):
    for drive in drives:
        for time_s in (0.5, 2.0, 4.3):
            after, before = (drive.world_from_ego(time_s + d)[:3, 3] for d in (0.05, -0.05))
            velocity = drive.world_from_ego(time_s)[:3, :3].T @ (after - before) / 0.1
            forward, *sideways = velocity
            np.testing.assert_allclose(sideways, 0, atol=0.02)
            x, y, yaw = drive.ego.poses(drive.plan, np.array([time_s])).T
            _, speed = drive.ego.at(np.array([time_s]))
            on_slope = slope_velocity(drive.plan, x, y, yaw, speed)[0]
            np.testing.assert_allclose(forward, np.linalg.norm(on_slope), atol=0.02)


def test_the_car_drives_smoothly_between_standing_and_twelve_metres_per_second():
    speeds = []
    for seed in range(60):
        ego = draw_ego_motion(20.0, rng=np.random.default_rng(seed))
        assert ego.speed_mps.min() >= 0
        assert ego.speed_mps.max() <= 12.0
        assert np.abs(np.diff(ego.speed_mps)).max() / 0.01 < 2.0
        speeds.append(ego.speed_mps)
    assert any(s.max() == 0 for s in speeds)
    assert any(s.min() == 0 and s.max() > 4 for s in speeds)
    assert sum(s.min() > 1 for s in speeds) > 20


def test_nobody_runs_into_anybody(drives):
    moved = 0
    for drive in drives:
        for time_s in np.linspace(0, DURATION_S, 13):
            boxes = drive.scene_at(float(time_s)).boxes_lidar
            overlap = iou_bev(boxes, boxes)
            np.fill_diagonal(overlap, 0.0)
            assert overlap.max(initial=0.0) == 0.0
            assert iou_bev(ego_box(drive, float(time_s)), boxes).max(initial=0.0) == 0.0
        moved += sum(track.speed_mps > 0 for track in drive.tracks)
    assert moved > 60


def test_the_car_never_drives_through_a_mesh(drives):
    # Rays through the whole car, from rear to front, at every place of its way.
    across, height = (a.ravel() for a in np.meshgrid(np.linspace(-0.9, 0.9, 7), [0.35, 0.9, 1.5]))
    rear = EGO_CENTRE_M - EGO_SIZE_M[0] / 2
    start = np.stack([np.full_like(across, rear), across, height, np.ones_like(across)])
    for drive in drives:
        for time_s in np.linspace(0, DURATION_S, 4):
            scene = drive.scene_at(float(time_s))
            caster = RayCaster(scene.mesh.vertices, scene.mesh.faces)
            pose = drive.world_from_ego(float(time_s))
            origins = (pose @ start)[:3].T
            forward = np.broadcast_to(pose[:3, 0] * EGO_SIZE_M[0], origins.shape)
            assert not caster.is_blocked(origins, forward, reach=1.0).any()


def test_the_whole_way_of_the_car_is_kept_free(drives):
    along, across = (a.ravel() for a in np.meshgrid(np.linspace(-0.6, 3.4, 9), np.linspace(-0.9, 0.9, 7)))
    footprint = np.stack([along, across, np.zeros_like(along), np.ones_like(along)])
    for drive in drives:
        corridor = ego_corridor(drive.plan, drive.ego)
        discs = np.array(corridor.discs)
        for time_s in np.linspace(0, DURATION_S, 11):
            x, y = (drive.world_from_ego(float(time_s)) @ footprint)[:2]
            apart = np.hypot(x[:, None] - discs[:, 0], y[:, None] - discs[:, 1])
            assert (apart < discs[:, 2]).any(axis=1).all()
            assert not corridor.claim([(float(x[0]), float(y[0]), 0.1)])


def test_nothing_that_stands_is_in_the_cars_way(drives):
    for drive in drives:
        standing = [a for a, t in zip(drive.actors, drive.tracks, strict=True) if t.speed_mps == 0]
        boxes = np.array([a.box_lidar for a in standing]).reshape(-1, 7)
        way = np.concatenate([ego_box(drive, float(t)) for t in np.linspace(0, DURATION_S, 60)])
        assert iou_bev(way, boxes).max(initial=0.0) == 0.0
        background = RayCaster(drive.background.vertices, drive.background.faces)
        for time_s in np.linspace(0, DURATION_S, 60):
            pose = drive.world_from_ego(float(time_s))
            wide = np.stack([(pose @ [x, -1.2, 0.5, 1])[:3] for x in (-0.5, 1.4, 3.3)])
            left = np.broadcast_to(pose[:3, 1] * 2.4, wide.shape)
            assert not background.is_blocked(wide, left, reach=1.0).any()


def test_things_that_reach_over_the_kerb_or_into_people_are_left_out(drives):
    plan = drives[0].plan
    edge = plan.kerb(-1)

    def post(t: float, height_m: float) -> Mesh:
        x, y, _ = plan.point(5.0, t)
        foot = plan.terrain.height(np.array([x]), np.array([y]))[0]
        return box((0.3, 0.3, 0.3), (x, y, foot + height_m), material=Material.METAL)

    nobody = np.zeros((0, 3))
    assert in_the_way(post(-edge + 0.1, 0.5), plan, nobody)
    assert not in_the_way(post(-edge - 0.5, 0.5), plan, nobody)
    assert not in_the_way(post(-edge + 0.1, 4.0), plan, nobody)
    x, y, _ = plan.point(5.0, -edge - 1.0)
    walker = np.array([[x, y, 0.5]])
    assert in_the_way(post(-edge - 0.8, 0.5), plan, walker)
    assert not in_the_way(post(-edge - 2.0, 0.5), plan, walker)


def test_actors_stand_on_the_ground_upright_and_keep_their_size(drives):
    for drive in drives:
        first = drive.scene_at(0.0).boxes_lidar
        for time_s in (0.0, 3.1):
            scene = drive.scene_at(time_s)
            boxes = scene.boxes_lidar
            np.testing.assert_array_equal(boxes[:, 3:6], first[:, 3:6])
            lift = boxes[:, 2] - boxes[:, 5] / 2 - drive.plan.terrain.height(boxes[:, 0], boxes[:, 1])
            assert ((np.abs(lift) < 1e-9) | (np.abs(lift - 0.12) < 1e-9)).all()
            assert [a.name for a in scene.actors] == [a.name for a in drive.actors]


def test_actor_velocities_are_derivatives_and_point_where_vehicles_face(drives):
    for drive in drives:
        time_s, step = 2.0, 0.02
        after, before = (drive.scene_at(time_s + d).boxes_lidar for d in (step, -step))
        velocities = drive.actor_velocities(time_s)
        np.testing.assert_allclose(
            velocities[:, :2], ((after - before) / (2 * step))[:, :2], atol=0.06
        )  # brakes and bends within the step
        flat = np.abs(after[:, 2] - before[:, 2]) < 0.1  # no kerb between
        np.testing.assert_allclose(velocities[flat, 2], (after - before)[flat, 2] / (2 * step), atol=0.02)
        yaw = drive.scene_at(time_s).boxes_lidar[:, 6]
        speed = np.linalg.norm(velocities[:, :2], axis=1)
        along = velocities[:, 0] * np.cos(yaw) + velocities[:, 1] * np.sin(yaw)
        np.testing.assert_allclose(along, speed, atol=1e-9)


def test_there_is_every_kind_of_road_user(drives):
    street = drives[0]
    kinds = {(a.name, t.speed_mps > 0) for a, t in zip(street.actors, street.tracks, strict=True)}
    assert {("Car", True), ("Car", False), ("Pedestrian", True), ("Cyclist", True)} <= kinds
    waiting = [t for d in drives[2:4] for t in d.tracks if t.along_t and t.reach_m < 40]
    assert waiting
    assert not any(a.name in ("Pedestrian", "Cyclist") for d in drives[4:] for a in d.actors)


def test_the_background_and_its_texture_never_move(drives):
    drive = drives[0]
    count = len(drive.background.vertices)
    for time_s in (0.0, 4.0):
        scene = drive.scene_at(time_s)
        assert np.array_equal(scene.mesh.vertices[:count], drive.background.vertices)
        assert (scene.face_instance[: len(drive.background.faces)] == 0).all()


def test_textures_travel_with_the_actors(drives):
    drive = drives[0]
    index, track = next(
        (i, t) for i, t in enumerate(drive.tracks) if drive.actors[i].name == "Pedestrian" and t.speed_mps > 0
    )
    first, later = (drive.scene_at(t) for t in (0.0, 1.37))
    moved = np.linalg.norm(later.boxes_lidar[index, :2] - first.boxes_lidar[index, :2])
    assert moved == pytest.approx(1.37 * track.speed_mps, rel=1e-2)
    seen = [actor_albedo(s, index) for s in (first, later)]
    assert np.std(seen[0]) > 0.01
    np.testing.assert_allclose(seen[1], seen[0], atol=2e-3)


def actor_albedo(scene, index: int) -> np.ndarray:
    """The colour in the middle of each face of an actor, seen from 3 m beside it."""
    faces = np.nonzero(scene.face_instance == index + 1)[0]
    points = scene.mesh.vertices[scene.mesh.faces[faces]].mean(axis=1)
    yaw = scene.boxes_lidar[index, 6]
    origin = (scene.boxes_lidar[index, :3] + 3 * np.array([-np.sin(yaw), np.cos(yaw), 0])).astype(np.float32)
    rays = (points - origin).astype(np.float32)
    range_m = np.linalg.norm(rays, axis=1)
    hits = Hits(faces, range_m, np.full((len(faces), 2), 1 / 3, dtype=np.float32))
    surface = surface_at(scene, hits, origin=origin, directions=rays / range_m[:, None], pixel_rad=1e-3)
    return surface.albedo


def test_drives_repeat_with_their_seed():
    first, second, other = (drive_of(seed, duration_s=2.0) for seed in (4, 4, 5))
    assert np.array_equal(first.background.vertices, second.background.vertices)
    assert np.array_equal(first.scene_at(1.0).boxes_lidar, second.scene_at(1.0).boxes_lidar)
    assert not np.array_equal(first.background.vertices[:50], other.background.vertices[:50])


def test_the_road_is_long_enough_and_never_meets_itself():
    for seed in range(2):
        drive = build_drive(NuscenesSynthConfig(), np.random.default_rng(seed), 20.0)
        ends = drive.ego.road_s(drive.plan, np.array([0.0, 20.0]))
        assert np.abs(ends).max() + 100 < drive.plan.length_m
        assert abs(drive.plan.curvature) * drive.plan.length_m <= 1.5 + 1e-9
        reach = [np.abs(t.road(drive.plan, np.array([0.0, 20.0]))).max() for t in drive.tracks]
        assert max(reach) < drive.plan.length_m - 20


def test_a_street_may_be_empty():
    names = ("cars", "vans", "trucks", "pedestrians", "cyclists")
    nobody = StreetConfig(**{f"{n}_per_frame": 0.0 for n in names})
    drive = build_drive(NuscenesSynthConfig(street=nobody), np.random.default_rng(0), 1.0)
    scene = drive.scene_at(0.5)
    assert scene.boxes_lidar.shape == (0, 7)
    assert drive.actor_velocities(0.5).shape == (0, 3)


@pytest.mark.parametrize("time_s", [-0.1, DURATION_S + 0.1, float("nan")])
@pytest.mark.parametrize("name", ["world_from_ego", "scene_at", "actor_velocities"])
def test_times_outside_the_drive_are_refused(drives, name, time_s):
    with pytest.raises(ValueError, match=rf"Drive.{name}: time_s must lie in 0..5.0 s, got {time_s}"):
        getattr(drives[0], name)(time_s)


@pytest.mark.parametrize("duration_s", [0.0, -1.0, 61.0])
def test_bad_durations_are_refused(duration_s):
    with pytest.raises(ValueError, match=rf"duration_s must lie in \(0, 60\], got {duration_s}"):
        build_drive(NuscenesSynthConfig(), np.random.default_rng(0), duration_s)
