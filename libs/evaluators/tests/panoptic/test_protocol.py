from dataclasses import replace

import pytest
from evaluators.panoptic import NUSCENES, PROTOCOLS, SEMANTIC_KITTI, SEMANTIC_KITTI_MULTI, panoptic_protocol
from evaluators.semantickitti.protocol import MULTI_SCAN


def test_the_smallest_segments_are_those_of_the_tools() -> None:
    assert {name: protocol.min_points for name, protocol in PROTOCOLS.items()} == {
        "semantic-kitti-api": 50,
        "semantic-kitti-api-class": 30,
        "semantic-kitti-api-multi": 50,
        "nuscenes-panoptic": 15,
    }


def test_things_and_stuff_of_semantic_kitti() -> None:
    assert SEMANTIC_KITTI.things == (
        *("car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist"),
    )
    assert len(SEMANTIC_KITTI.stuff) == 11
    assert set(MULTI_SCAN.evaluated_names) - set(SEMANTIC_KITTI_MULTI.things) - set(
        SEMANTIC_KITTI_MULTI.stuff
    ) == {name for name in MULTI_SCAN.classes if name.startswith("moving-")}


def test_a_protocol_can_be_changed() -> None:
    assert panoptic_protocol("nuscenes-panoptic") is NUSCENES
    assert panoptic_protocol(NUSCENES, min_points=3) == replace(NUSCENES, min_points=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"things": ()}, "expected at least one thing and one stuff class"),
        ({"things": ("car", "road")}, "must be distinct evaluated classes of the label map, got car, road, "),
        ({"stuff": ("unlabeled",)}, "must be distinct evaluated classes"),
        ({"stuff": ("tree",)}, "must be distinct evaluated classes"),
        ({"gt_label_map": MULTI_SCAN}, "both label maps must have the same classes"),
        ({"min_points": -1}, "min_points must be at least 0, got -1"),
    ],
)
def test_a_protocol_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SEMANTIC_KITTI, **change)  # type: ignore[arg-type]
