from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d.segmentation import (
    IGNORED,
    InstanceCutter,
    InstanceStore,
    LabelledScan,
    PasteConfig,
    paste,
)
from datasets3d.semantickitti import SINGLE_SCAN, SemanticKittiDataset

ROAD, CAR, PERSON, BUILDING = (SINGLE_SCAN.index(name) for name in ("road", "car", "person", "building"))


def scan_of(parts: list[tuple[np.ndarray, int, int]], frame_id: str = "00/000000") -> LabelledScan:
    points = np.concatenate([part for part, _, _ in parts])
    intensity = np.linspace(0, 1, len(points))
    return LabelledScan(
        frame_id=frame_id,
        points=np.column_stack([points, intensity]).astype(np.float32),
        classes=np.concatenate([np.full(len(p), c) for p, c, _ in parts]).astype(np.uint8),
        instances=np.concatenate([np.full(len(p), i) for p, _, i in parts]).astype(np.int32),
    )


def box(x: float, y: float, z: float, *, size: tuple[float, float, float] = (0.6, 0.6, 1.8), seed: int = 0):
    """Points in a box whose bottom middle is x y z."""
    rng = np.random.default_rng(seed)
    corners = np.array([[-0.5, -0.5, 0.0], [0.5, 0.5, 1.0]])
    local = np.concatenate([rng.uniform([-0.5, -0.5, 0.0], [0.5, 0.5, 1.0], (50, 3)), corners])
    return local * size + [x, y, z]


def plain(half: float = 20.0, height: float = -1.7) -> np.ndarray:
    places = np.stack(np.meshgrid(*2 * [np.arange(-half, half, 0.5)]), axis=-1).reshape(-1, 2)
    return np.column_stack([places, np.full(len(places), height)])


@pytest.fixture
def store() -> InstanceStore:
    cutter = InstanceCutter(SINGLE_SCAN)
    cutter.add(scan_of([(plain(), ROAD, 0), (box(6.0, 8.0, -1.6), PERSON, 3), (box(0, 5, -1.7), PERSON, 0)]))
    return cutter.store(split="train")


def test_an_object_is_kept_upright_as_its_sensor_saw_it(store: InstanceStore) -> None:
    assert len(store) == 1 and store.class_counts() == {"person": 1}
    assert store.source_ids == ("00/000000#3",) and store.split == "train"
    assert store.ranges_m[0] == pytest.approx(10.0, abs=1e-5)
    points = store.points_of(0)
    assert points[:, 2].min() == 0 and points[:, 2].max() == pytest.approx(1.8, abs=1e-5)
    # Turned so that x points away from the sensor, which was at an angle of atan2(8, 6).
    seen = box(6.0, 8.0, 0.0)
    np.testing.assert_allclose(points[:, 0], seen[:, :2] @ [0.6, 0.8] - 10.0, atol=1e-5)
    np.testing.assert_allclose(points[:, 1], seen[:, :2] @ [-0.8, 0.6], atol=1e-5)


def test_only_things_with_enough_points_are_cut() -> None:
    parts = [(plain(), ROAD, 5), (box(5, 5, -1.7), CAR, 1), (box(9, 0, -1.7)[:10], PERSON, 2)]
    cutter = InstanceCutter(SINGLE_SCAN)
    cutter.add(scan_of(parts))
    assert len(cutter.store()) == 0
    cutter = InstanceCutter(SINGLE_SCAN, classes=("car", "person"), min_points=10)
    cutter.add(scan_of(parts))
    assert cutter.store().class_counts() == {"car": 1, "person": 1}


def test_points_far_apart_are_no_object() -> None:
    cutter = InstanceCutter(SINGLE_SCAN)
    cutter.add(scan_of([(np.concatenate([box(5, 5, -1.7), box(40, 5, -1.7)]), PERSON, 1)]))
    assert len(cutter.store()) == 0


def test_a_fair_sample_is_kept_of_many() -> None:
    cutter = InstanceCutter(SINGLE_SCAN, max_per_class=20)
    for number in range(200):
        cutter.add(scan_of([(box(5, 5, -1.7), PERSON, 1)], f"00/{number:06d}"))
    numbers = [int(source[3:9]) for source in cutter.store().source_ids]
    assert len(numbers) == 20 and numbers == sorted(set(numbers))
    assert 60 < np.mean(numbers) < 140


def test_unlabelled_scans_have_no_objects_and_classes_must_be_things() -> None:
    cutter = InstanceCutter(SINGLE_SCAN)
    cutter.add(replace(scan_of([(box(5, 5, 0), PERSON, 1)]), classes=None, instances=None))
    assert len(cutter.store()) == 0
    with pytest.raises(ValueError, match="unknown class 'road'"):
        InstanceCutter(SINGLE_SCAN, classes=("road",))
    with pytest.raises(ValueError, match="min_points must be at least 1, got 0"):
        InstanceCutter(SINGLE_SCAN, min_points=0)
    scan = scan_of([(box(5, 5, 0), PERSON, 1)])
    with pytest.raises(ValueError, match=r"has the columns x y z lag; expected x y z intensity"):
        cutter.add(replace(scan, point_columns=("x", "y", "z", "lag")))


def test_a_store_is_read_as_it_was_written(store: InstanceStore, tmp_path: Path) -> None:
    store = replace(store, sources={"a.label": "12"})
    store.save(tmp_path / "a.npz")
    found = InstanceStore.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.points, store.points)
    np.testing.assert_array_equal(found.starts, store.starts)
    names = ("classes", "source_ids", "split", "sources")
    assert all(getattr(found, name) == getattr(store, name) for name in names)
    InstanceCutter(SINGLE_SCAN).store().save(tmp_path / "b.npz")
    assert len(InstanceStore.load(tmp_path / "b.npz")) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-40], r"a\.npz is no instance store"),
        (lambda content: b"nothing", r"a\.npz is no instance store"),
        (lambda content: b"", r"a\.npz is no instance store"),
    ],
)
def test_damaged_stores_are_named(
    store: InstanceStore, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    store.save(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(change((tmp_path / "a.npz").read_bytes()))
    with pytest.raises(ValueError, match=rf"{message}.*; make it with `python -m datasets3d prepare"):
        InstanceStore.load(tmp_path / "a.npz")


def test_other_archives_are_no_stores(store: InstanceStore, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", points=np.zeros(3))
    with pytest.raises(ValueError, match="is no instance store"):
        InstanceStore.load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", header=np.frombuffer(b'{"format": "x", "version": 1}', np.uint8))
    with pytest.raises(ValueError, match=r"is 'x' version 1, expected 'datasets3d\.instances' version 1"):
        InstanceStore.load(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"no instance store .*b\.npz; make it with"):
        InstanceStore.load(tmp_path / "b.npz")


def test_arrays_that_do_not_fit_are_refused(store: InstanceStore) -> None:
    with pytest.raises(ValueError, match="starts: expected rows from 0"):
        replace(store, starts=store.starts + 1)
    with pytest.raises(ValueError, match=r"labels: expected 0\.\.18, got 99"):
        replace(store, labels=np.array([99], np.uint8))
    with pytest.raises(ValueError, match="NaN or infinite"):
        replace(store, points=np.full_like(store.points, np.nan))


def test_a_pasted_object_stands_on_the_ground_at_its_distance(store: InstanceStore) -> None:
    scan = scan_of([(plain(height=-2.5), ROAD, 0), (box(0, 15, -2.5), CAR, 4)])
    found = paste(scan, store, np.random.default_rng(0), PasteConfig(counts={"person": 1}))
    new = found.points[len(scan) :]
    np.testing.assert_array_equal(found.points[: len(scan)], scan.points)
    assert len(new) == 52 and new[:, 2].min() == pytest.approx(-2.5, abs=1e-5)
    middle = (new[:, :2].min(axis=0) + new[:, :2].max(axis=0)) / 2
    assert np.hypot(*middle) == pytest.approx(10.0, abs=0.2)
    assert found.classes is not None and set(found.classes[len(scan) :]) == {PERSON}
    assert found.instances is not None and set(found.instances[len(scan) :]) == {5}
    np.testing.assert_array_equal(new[:, 3], store.points_of(0)[:, 3])


def test_the_same_numbers_give_the_same_scan(store: InstanceStore) -> None:
    scan, config = scan_of([(plain(), ROAD, 0)]), PasteConfig(counts={"person": 1})
    found = [paste(scan, store, np.random.default_rng(seed), config).points for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_objects_are_not_pasted_into_others(store: InstanceStore) -> None:
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    ring = np.concatenate([box(10 * np.cos(a), 10 * np.sin(a), -1.7) for a in angles])
    scan = scan_of([(plain(), ROAD, 0), (ring, BUILDING, 0)])
    assert paste(scan, store, np.random.default_rng(0), PasteConfig(counts={"person": 1})) is scan


def test_without_ground_nothing_is_pasted(store: InstanceStore) -> None:
    config = PasteConfig(counts={"person": 1})
    for scan in (
        scan_of([(plain(), BUILDING, 0)]),
        scan_of([(plain(half=3.0), ROAD, 0)]),
        scan_of([(plain()[:0], 0, 0)]),
    ):
        assert paste(scan, store, np.random.default_rng(0), config) is scan


def test_a_scan_without_instances_gets_none(store: InstanceStore) -> None:
    scan = replace(scan_of([(plain(), ROAD, 0)]), instances=None)
    found = paste(scan, store, np.random.default_rng(0), PasteConfig(counts={"person": 3}))
    assert found.instances is None and len(found) == len(scan) + 52


def test_what_cannot_be_pasted_is_named(store: InstanceStore) -> None:
    scan, rng = scan_of([(plain(), ROAD, 0)]), np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown class 'dog'"):
        paste(scan, store, rng, PasteConfig(counts={"dog": 1}))
    with pytest.raises(ValueError, match=r"scan 00/000000 needs classes and .* it has no classes"):
        paste(replace(scan, classes=None), store, rng, PasteConfig(counts={"person": 1}))
    with pytest.raises(ValueError, match="counts must be at least 0"):
        PasteConfig(counts={"person": -1})
    with pytest.raises(ValueError, match="tries must be at least 1"):
        PasteConfig(counts={}, tries=0)


@pytest.mark.real_data
def test_real_people_are_pasted_into_their_scan(real_semantickitti: Path) -> None:
    (scan,) = SemanticKittiDataset(real_semantickitti, "val")
    cutter = InstanceCutter(SINGLE_SCAN)
    cutter.add(scan)
    store = cutter.store()
    assert store.class_counts() == {"person": 2}
    found = paste(scan, store, np.random.default_rng(0), PasteConfig(counts={"person": 2}))
    assert found.classes is not None and scan.classes is not None
    added = len(found) - len(scan)
    assert (
        0 < added <= len(store.points)
        and (found.classes != IGNORED).sum() == (scan.classes != IGNORED).sum() + added
    )
