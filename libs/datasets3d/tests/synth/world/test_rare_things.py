import numpy as np
import pytest
from datasets3d.synth import RareThingsConfig, StreetConfig
from datasets3d.synth.semantickitti_config import SemanticKittiSynthConfig
from datasets3d.synth.world._rare_vehicles import bus, motorcycle, motorcyclist, trailer
from datasets3d.synth.world.drive import Drive, build_drive
from datasets3d.synth.world.props import PropKind
from datasets3d.synth.world.rare_things import add_rare_things
from geom3d.overlap import iou_bev

DURATION_S = 3.0
MANY = RareThingsConfig(
    motorcycles_per_100m=4.0,
    motorcyclists_per_100m=3.0,
    buses_per_100m=2.0,
    trailers_per_100m=4.0,
    low_signs_per_100m=6.0,
)


def drive_of(layout: str) -> Drive:
    weights = {f"{name}_weight": float(name == layout) for name in ("street", "intersection", "highway")}
    config = SemanticKittiSynthConfig(street=StreetConfig(**weights))
    return build_drive(config, np.random.default_rng(2), DURATION_S)


@pytest.fixture(scope="module")
def drives() -> dict[str, Drive]:
    return {layout: drive_of(layout) for layout in ("street", "intersection", "highway")}


@pytest.fixture(scope="module")
def fuller(drives) -> dict[str, Drive]:
    return {
        layout: add_rare_things(drive, MANY, np.random.default_rng(0)) for layout, drive in drives.items()
    }


@pytest.mark.slow
def test_the_drive_itself_stays_what_it_is(drives, fuller):
    for layout, drive in drives.items():
        more = fuller[layout]
        faces = len(drive.background.faces)
        assert np.array_equal(more.background.vertices[: len(drive.background.vertices)],
                              drive.background.vertices)  # fmt: skip
        assert np.array_equal(more.background_props[:faces], drive.background_props)
        assert more.prop_kinds[: len(drive.prop_kinds)] == drive.prop_kinds
        assert len(more.background_props) == len(more.background.faces)
        assert more.background_props.max() == len(more.prop_kinds) - 1
        assert more.actors[: len(drive.actors)] == drive.actors
        assert len(more.tracks) == len(more.actors) > len(drive.actors)


@pytest.mark.slow
def test_each_layout_gets_what_fits_there(drives, fuller):
    added = {
        layout: {a.name for a in more.actors[len(drives[layout].actors) :]} for layout, more in fuller.items()
    }
    assert added["highway"] == {"Bus", "Motorcyclist"}
    assert added["street"] | added["intersection"] == {"Bus", "Motorcyclist", "Trailer", "Motorcycle"}
    for layout in ("street", "intersection"):
        new = fuller[layout].prop_kinds[len(drives[layout].prop_kinds) :]
        assert PropKind.TRAFFIC_SIGN in new
        assert set(new) <= {PropKind.TRAFFIC_SIGN, PropKind.YARD}
    assert len(fuller["highway"].prop_kinds) == len(drives["highway"].prop_kinds)


@pytest.mark.slow
def test_nobody_runs_into_anybody(fuller):
    for drive in fuller.values():
        for time_s in np.linspace(0, DURATION_S, 7):
            boxes = drive.scene_at(float(time_s)).boxes_lidar
            overlap = iou_bev(boxes, boxes)
            np.fill_diagonal(overlap, 0.0)
            assert overlap.max(initial=0.0) == 0.0


@pytest.mark.slow
def test_nothing_added_is_nothing_changed(drives):
    nothing = RareThingsConfig(**{f"{kind}_per_100m": 0.0 for kind in KINDS})
    drive = drives["street"]
    same = add_rare_things(drive, nothing, np.random.default_rng(0))
    assert same.actors == drive.actors
    assert np.array_equal(same.background.faces, drive.background.faces)


KINDS = ("motorcycles", "motorcyclists", "buses", "trailers", "low_signs", "yards")


@pytest.mark.parametrize(
    ("draw", "low", "high"),
    [
        (motorcycle, (1.8, 0.6, 0.9), (2.3, 0.9, 1.2)),
        (motorcyclist, (1.8, 0.6, 1.6), (2.3, 0.9, 1.95)),
        (bus, (10.4, 2.4, 3.1), (12.6, 2.6, 3.3)),
        (trailer, (2.8, 1.4, 0.9), (6.5, 2.3, 2.7)),
    ],
)
def test_vehicles_have_their_size_and_stand_on_the_ground(draw, low, high):
    for seed in range(4):
        mesh = draw(np.random.default_rng(seed))
        bottom, top = mesh.extent
        assert (top - bottom >= low).all()
        assert (top - bottom <= high).all()
        assert -0.07 <= bottom[2] <= 0.001  # wheel houses reach below the tyres
        np.testing.assert_allclose((bottom + top)[1], 0.0, atol=0.1)
