import numpy as np
import pytest
from datasets3d.synth.world._people import cyclist, pedestrian
from datasets3d.synth.world._vehicles import NOMINAL, draw_vehicle, template, vehicle
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import (
    box,
    concatenate,
    ellipsoid,
    face_normals,
    place,
    smooth,
    stretch,
    tube,
)


def volume(mesh):
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_box_faces_point_outwards_and_enclose_its_volume():
    assert volume(box((2.0, 3.0, 4.0), (5, 6, 7), material=Material.BRICK)) == pytest.approx(24.0)


def test_tube_has_the_volume_of_a_prism():
    mesh = tube(np.array([[0, 0, 0], [0, 0, 2.0]]), np.full(2, 0.5), sides=64, material=Material.METAL)
    assert abs(volume(mesh)) == pytest.approx(np.pi * 0.25 * 2, rel=0.01)


def test_place_turns_counter_clockwise_and_then_moves():
    mesh = place(box((2, 0.1, 0.1), material=Material.BRICK), position=(1, 2, 3), yaw_rad=np.pi / 2)
    np.testing.assert_allclose(mesh.extent.mean(axis=0), [1, 2, 3], atol=1e-12)
    np.testing.assert_allclose(np.ptp(mesh.extent, axis=0), [0.1, 2, 0.1], atol=1e-12)


def test_concatenate_keeps_faces_on_their_own_vertices():
    a = box((1, 1, 1), material=Material.BRICK)
    b = box((1, 1, 1), (5, 0, 0), material=Material.GLASS)
    both = concatenate([a, b])
    glass = both.vertices[both.faces[both.material == Material.GLASS]]
    assert glass[..., 0].min() > 4


def test_smooth_leaves_sharp_edges_flat():
    mesh = smooth(box((1, 1, 1), material=Material.BRICK), crease_deg=40.0)
    flat = face_normals(mesh.vertices, mesh.faces)
    np.testing.assert_allclose(mesh.normals, np.repeat(flat[:, None], 3, axis=1), atol=1e-6)


def test_smooth_makes_an_ellipsoid_round():
    mesh = ellipsoid((1, 1, 1), material=Material.SKIN, rings=15, sides=24)
    corners = mesh.vertices[mesh.faces]
    radial = corners / np.linalg.norm(corners, axis=-1, keepdims=True)
    equator = np.abs(radial[..., 2]) < 0.8
    assert np.einsum("fci,fci->fc", mesh.normals, radial)[equator].min() > 0.97


def test_stretch_keeps_normals_perpendicular():
    mesh = stretch(ellipsoid((1, 1, 1), material=Material.SKIN), (3.0, 1.0, 1.0))
    assert np.allclose(np.linalg.norm(mesh.normals, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("style", sorted(NOMINAL))
def test_vehicles_fill_their_box_exactly(style):
    size = np.array([4.2, 1.8, 1.6])
    mesh = vehicle(style, size=size, color=np.array([0.2, 0.2, 0.2]))
    np.testing.assert_allclose(mesh.extent, [-size / 2, size / 2], atol=1e-9)


@pytest.mark.parametrize("style", sorted(NOMINAL))
def test_vehicles_have_windows_wheels_and_lamps(style):
    materials = set(template(style).material.tolist())
    assert {
        Material.GLASS,
        Material.TYRE,
        Material.PAINT,
        Material.LAMP_RED,
        Material.LAMP_WHITE,
    } <= materials


def test_car_sizes_are_those_of_kitti():
    rng = np.random.default_rng(0)
    sizes = np.array([np.ptp(draw_vehicle("Car", rng).extent, axis=0) for _ in range(200)])
    np.testing.assert_allclose(sizes.mean(axis=0), [3.88, 1.63, 1.53], rtol=0.05)
    np.testing.assert_allclose(sizes.std(axis=0), [0.43, 0.1, 0.13], rtol=0.4)


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [(pedestrian, (0.25, 0.4, 1.4), (1.4, 0.9, 2.05)), (cyclist, (1.5, 0.45, 1.5), (2.1, 0.8, 2.0))],
)
def test_people_are_human_size(make, low, high):
    rng = np.random.default_rng(1)
    for _ in range(12):
        size = np.ptp(make(rng).extent, axis=0)
        assert (size > low).all(), size
        assert (size < high).all(), size
