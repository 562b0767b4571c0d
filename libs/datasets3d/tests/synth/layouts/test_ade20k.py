from dataclasses import replace

import numpy as np
from datasets3d.synth import Actor, CameraConfig, render
from datasets3d.synth.layouts._kitti_calibration import calibration
from datasets3d.synth.layouts.ade20k import ade20k_ids
from datasets3d.synth.sensors.camera import CameraView
from datasets3d.synth.sensors.rays import RayCaster
from datasets3d.synth.world._people import cyclist, pedestrian
from datasets3d.synth.world._props import parked_bicycles
from datasets3d.synth.world._vehicles import draw_vehicle
from datasets3d.synth.world.materials import Semantic
from datasets3d.synth.world.mesh import place
from datasets3d.synth.world.scene import assemble

CAMERA = calibration(width=310, height=94).camera(310, 94)


def view_of(scene):
    caster = RayCaster(scene.mesh.vertices, scene.mesh.faces)
    config = CameraConfig(width=310, height=94, shadows=False)
    return render(scene, caster, CAMERA, config, rng=np.random.default_rng(0))


def standing(name, mesh, y):
    low, high = mesh.extent
    size = high - low
    box = np.array([14.0, y, -1.73 + size[2] / 2, *size, np.pi / 2])
    return Actor(name, place(mesh, position=-(low + high) / 2), box)


def test_actors_have_the_ids_of_their_kind(make_scene):
    rng = np.random.default_rng(0)
    actors = (
        standing("Truck", draw_vehicle("Truck", rng), 7.0),
        standing("Car", draw_vehicle("Car", rng), 0.0),
        standing("Van", draw_vehicle("Van", rng), -5.5),
        standing("Pedestrian", pedestrian(rng), -8.5),
        standing("Cyclist", cyclist(rng), -9.8),
    )
    empty = make_scene([])
    scene = assemble(actors, [empty.mesh], plan=empty.plan, sun=empty.sun, texture_seed=1)
    view = view_of(scene)
    ids = ade20k_ids(view, scene)
    assert ids.dtype == np.uint8
    found = [set(np.unique(ids[view.instances == i + 1]).tolist()) for i in range(5)]
    assert found == [{83}, {20}, {102}, {12}, {12, 127}]


def test_parked_bicycles_are_bicycles(make_scene):
    empty = make_scene([])
    bikes = place(parked_bicycles(np.random.default_rng(0)), position=(6.0, 0.0, -1.73))
    scene = assemble((), [empty.mesh, bikes], plan=empty.plan, sun=empty.sun, texture_seed=1)
    view = view_of(scene)
    tyres = view.semantics == Semantic.VEHICLE
    assert tyres.any()
    assert (ade20k_ids(view, scene)[tyres] == 127).all()


def test_every_class_of_the_background_has_its_id(make_scene):
    classes = np.array([list(Semantic)], dtype=np.uint8)
    shape = classes.shape
    view = CameraView(
        image=np.zeros((*shape, 3), dtype=np.uint8),
        depth=np.ones(shape, dtype=np.float32),
        semantics=classes,
        instances=np.zeros(shape, dtype=np.int32),
    )
    scene = make_scene([])
    expected = [2, 6, 6, 11, 9, 1, 32, 4, 4, 93, 43, 127, 12, 127, 138]
    assert ade20k_ids(view, scene)[0].tolist() == expected
    as_car = replace(view, instances=np.ones(shape, dtype=np.int32))
    assert ade20k_ids(as_car, make_scene([(9.0, 0.0, 0.0)]))[0, Semantic.VEHICLE] == 20
