import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d.check import CheckReport, check_kitti
from datasets3d.check.kitti_mistakes import Columns
from datasets3d.kitti import KittiDataset, read_labels, write_labels
from geom3d.kitti import read_calibration
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

REAL_IOU = {
    "000000": [0.89],
    "000001": [0.94, 0.98, 0.96],
    "000002": [0.97, 0.97],
    "000003": [0.96],
    "000004": [0.98, 0.98],
    "000005": [0.81],
    "000008": [0.99, 0.99, 0.99, 0.97, 0.96, 0.97],
}
REAL_SHARE = {"000000": 17.6, "000001": 15.5, "000002": 15.9, "000003": 16.7, "000004": 16.4, "000005": 16.0}


def wrong(report: CheckReport) -> str:
    assert not report.ok
    return "\n".join(report.problems())


def change_labels(root: Path, change: Callable[[list[str]], list[str]]) -> None:
    for path in (root / "training/label_2").glob("*.txt"):
        lines = [line.split() for line in path.read_text().splitlines()]
        changed = [words if words[0] == "DontCare" else change(words) for words in lines]
        path.write_text("".join(" ".join(words) + "\n" for words in changed))


def test_a_good_tree_has_no_complaint(tiny_root: Path) -> None:
    report = check_kitti(tiny_root)
    assert report.problems() == []
    assert report.ok and report.splits == ("test", "train", "val")
    assert [f.frame_id for f in report.frames] == ["000000", "000000", "000001", "000002"]
    assert report.class_counts() == {"Car": 3, "Cyclist": 1, "Pedestrian": 1, "Van": 1}
    first = next(f for f in report.frames if f.subset == "training")
    assert [o.num_points for o in first.objects] == [200, 60]
    assert min(o.iou_image for o in first.objects) > 0.99
    assert first.num_dont_care == 1
    assert first.has_road_plane
    assert any("6 of 6 objects have no dense target" in note for note in report.notes())


def test_one_split_can_be_checked_alone(tiny_root: Path) -> None:
    assert [f.frame_id for f in check_kitti(tiny_root, split="val").frames] == ["000002"]


def test_an_empty_split_is_skipped_unless_asked_for(tiny_root: Path) -> None:
    (tiny_root / "ImageSets/test.txt").write_text("")
    assert check_kitti(tiny_root).splits == ("train", "val")
    with pytest.raises(ValueError, match=r"test\.txt lists no frame"):
        check_kitti(tiny_root, split="test")


def test_missing_and_damaged_files_are_listed_together(tiny_root: Path) -> None:
    training = tiny_root / "training"
    (training / "calib/000000.txt").unlink()
    (training / "image_2/000001.png").write_bytes(b"no picture")
    (training / "label_2/000002.txt").write_text("Car 1 2\n")
    (tiny_root / "testing/velodyne/000000.bin").write_bytes(b"123")
    text = wrong(check_kitti(tiny_root))
    for part in (
        "calib/000000.txt",
        "000001.png is no readable picture",
        "000002.txt, line 1: expected 15 columns",
        "has 3 bytes, not a multiple of 16",
    ):
        assert part in text
    assert "training/000000  unreadable" in check_kitti(tiny_root).table()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda w: [*w[:12], str(float(w[12]) - float(w[8]) / 2), *w[13:]], "y seems to be the box centre"),
        (lambda w: [*w[:12], str(float(w[12]) - float(w[8])), *w[13:]], "y seems to be the box top"),
        (lambda w: [*w[:9], w[10], w[9], *w[11:]], "width and length seem swapped"),
        (lambda w: [*w[:11], str(-float(w[11])), *w[12:]], "left and right seem swapped"),
        (lambda w: [*w[:8], w[10], w[9], w[8], *w[11:]], "sizes seem to be written as length width height"),
        (lambda w: [*w[:8], w[9], w[10], w[8], *w[11:]], "sizes seem to be written as width length height"),
        (lambda w: [*w[:14], str(math.degrees(float(w[14])))], "it seems to be in degrees"),
        (
            lambda w: [*w[:14], str(-math.pi / 2 - float(w[14]))],
            "rotation_y seems to be the yaw in the LiDAR",
        ),
    ],
)
def test_common_mistakes_of_labels_are_recognised(
    tiny_root: Path, change: Callable[[list[str]], list[str]], advice: str
) -> None:
    change_labels(tiny_root, change)
    report = check_kitti(tiny_root)
    assert advice in wrong(report)
    assert len(report.problems()) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("order", ["h w l", "l w h", "w l h"])
@pytest.mark.parametrize("raised", [0.0, 0.5], ids=["bottom", "centre"])
def test_labels_in_the_lidar_frame_are_recognised(tiny_root: Path, order: str, raised: float) -> None:
    for path in (tiny_root / "training/label_2").glob("*.txt"):
        calibration = read_calibration(tiny_root / "training/calib" / path.name)
        lines = []
        for label in read_labels(path):
            if label.is_dont_care:
                continue
            columns = Columns.of([label], calibration)
            (box,) = columns.boxes()
            sizes = dict(zip("hwl", label.size_hwl, strict=True))
            place = [*box[:2], box[2] + (raised - 0.5) * label.size_hwl[0]]
            size_hwl = tuple(sizes[letter] for letter in order.split())
            lines.append(replace(label, location=tuple(place), size_hwl=size_hwl, rotation_y=box[6]))
        write_labels(path, lines)
    also = "" if order == "h w l" else f", and the sizes {order} instead of h w l"
    assert f"seem to be given in the LiDAR frame{also}; KITTI's are" in wrong(check_kitti(tiny_root))


def test_names_that_differ_in_case_alone_are_wrong(tiny_root: Path) -> None:
    change_labels(tiny_root, lambda w: [w[0].lower(), *w[1:]])
    problems = check_kitti(tiny_root).problems()
    assert len(problems) == 4
    assert problems[0].startswith("class 'car' differs from KITTI's 'Car' in upper and lower case")


def test_2d_boxes_without_area_are_wrong(tiny_root: Path) -> None:
    change_labels(tiny_root, lambda w: [*w[:4], "0", "0", "0", "0", *w[8:]])
    (problem,) = check_kitti(tiny_root).problems()
    assert "6 of 6 labelled 2D boxes have no area" in problem


def test_split_files_that_cannot_be_used_are_reported_beside_the_others(tiny_root: Path) -> None:
    (tiny_root / "ImageSets/train.txt").write_text("000000\n000000\n")
    shutil.rmtree(tiny_root / "testing")
    report = check_kitti(tiny_root)
    assert report.splits == ("val",)
    text = wrong(report)
    assert "lists frame 000000 more than once" in text
    assert "lacks testing/" in text


def test_an_empty_split_is_noted(tiny_root: Path) -> None:
    (tiny_root / "ImageSets/test.txt").write_text("\n")
    assert "ImageSets/test.txt lists no frame, so that split cannot be used" in check_kitti(tiny_root).notes()


def test_damaged_targets_and_databases_are_reported(tiny_root: Path) -> None:
    (tiny_root / "training/object_shapes").mkdir()
    (tiny_root / "training/object_shapes/000000_0.npy").write_bytes(b"nothing")
    (tiny_root / "gt_database").mkdir()
    (tiny_root / "gt_database/index.json").write_text("{")
    text = wrong(check_kitti(tiny_root))
    assert "000000_0.npy is no readable array" in text
    assert "index.json is no JSON" in text


def damage(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Do to a file what copying, editing and full disks do."""
    content = path.read_bytes()
    if kind == "gone":
        path.unlink()
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    elif kind == "cut":
        path.write_bytes(content[: int(rng.integers(len(content)))])
    elif kind == "zeros":
        at = int(rng.integers(len(content)))
        path.write_bytes(content[:at] + bytes(len(content) - at))
    elif kind == "flipped":
        at = int(rng.integers(len(content)))
        path.write_bytes(
            content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]
        )
    elif kind == "swapped":
        other = sorted(p for p in path.parents[1].rglob("*.*") if p.is_file())
        path.write_bytes(other[int(rng.integers(len(other)))].read_bytes())
    else:
        words = content.split(b" ")
        words[int(rng.integers(len(words)))] = kind.encode()
        path.write_bytes(b" ".join(words))


KINDS = ["gone", "a folder", "cut", "zeros", "flipped", "swapped", "nan", "1e40", "-1", "x", ""]


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), pick=st.integers(0, 1000), seed=st.integers(0, 10_000))
def test_what_the_loader_refuses_is_reported_and_the_other_way_round(
    tiny_root: Path, kind: str, pick: int, seed: int
) -> None:
    files = sorted(path for path in tiny_root.rglob("*.*") if path.is_file())
    path = files[pick % len(files)]
    content = path.read_bytes()
    try:
        damage(path, kind, np.random.default_rng(seed))
        listed = [split.stem for split in (tiny_root / "ImageSets").glob("*.txt")]
        refused = [split for split in listed if refuses(tiny_root, split)]
        report = check_kitti(tiny_root)
        found = [*report.tree_problems, *(p for frame in report.frames for p in frame.problems)]
        found += [f"empty {name}" for name in report.empty_splits]
        assert bool(found) == bool(refused), (path, found, refused)
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)


def refuses(root: Path, split: str) -> bool:
    try:
        for _ in KittiDataset(root, split):
            pass
    except (OSError, ValueError):
        return True
    return False


def test_labels_far_off_get_general_advice(tiny_root: Path) -> None:
    change_labels(tiny_root, lambda w: [*w[:13], str(float(w[13]) + 30), *w[14:]])
    text = wrong(check_kitti(tiny_root))
    assert "visible objects have no point in their box: compare Tr_velo_to_cam" in text
    assert "projected 3D boxes and labelled 2D boxes agree badly" in text


def change_scans(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in root.glob("*/velodyne/*.bin"):
        scan = np.fromfile(path, "<f4").reshape(-1, 4)
        path.write_bytes(change(scan).astype("<f4").tobytes())


def test_millimetres_are_recognised(tiny_root: Path) -> None:
    change_scans(tiny_root, lambda scan: scan * [1000, 1000, 1000, 1])
    assert "coordinates must be metres in the LiDAR frame; millimetres?" in wrong(check_kitti(tiny_root))


def test_points_in_another_frame_are_recognised(tiny_root: Path) -> None:
    change_scans(tiny_root, lambda scan: scan[scan[:, 0] > 1] * [-1, 1, 1, 1])
    assert "of the points fall into the picture (KITTI: 16%)" in wrong(check_kitti(tiny_root))


def test_points_with_another_axis_up_are_recognised(tiny_root: Path) -> None:
    change_scans(tiny_root, lambda scan: scan[:, [1, 2, 0, 3]])
    assert "heights span 80 m: z must be up" in wrong(check_kitti(tiny_root))


def test_notes_tell_of_harmless_oddities(tiny_root: Path) -> None:
    change_scans(tiny_root, lambda scan: scan * [1, 1, 1, 255])
    (tiny_root / "testing/velodyne/000000.bin").write_bytes(b"")
    change_labels(tiny_root, lambda w: ["Cart" if w[0] == "Car" else w[0], *w[1:]])
    for path in tiny_root.glob("*/planes/*.txt"):
        path.unlink()
    report = check_kitti(tiny_root)
    assert report.ok
    notes = "\n".join(report.notes())
    for part in (
        "some scans hold no point",
        "intensities exceed 1",
        "no road planes",
        "class 'Cart' is none of KITTI's; did you mean 'Car'?",
    ):
        assert part in notes


def test_a_few_empty_boxes_are_a_note(tiny_root: Path) -> None:
    path = tiny_root / "training/label_2/000001.txt"
    labels = read_labels(path)
    write_labels(path, [*labels, *labels])
    scan = tiny_root / "training/velodyne/000002.bin"
    scan.write_bytes(np.fromfile(scan, "<f4")[: 2000 * 4].tobytes())
    report = check_kitti(tiny_root)
    assert report.ok
    assert any("1 of 9 boxes hold no point" in note for note in report.notes())


def test_the_table_shows_figures_and_verdict(tiny_root: Path) -> None:
    table = check_kitti(tiny_root).table()
    assert "Car 200 (1.00), Pedestrian 60 (1.00), 1 DontCare" in table
    assert table.endswith("nothing wrong")


def test_the_report_is_json(tiny_root: Path) -> None:
    content = json.loads(json.dumps(check_kitti(tiny_root).to_json()))
    assert content["ok"] is True
    assert content["frames"][1]["objects"][0]["num_points"] == 200


def test_a_wrong_root_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="official KITTI object tree"):
        check_kitti(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder"):
        check_kitti(tmp_path / "nowhere")


def test_a_picture_of_another_size_shifts_the_boxes(tiny_root: Path) -> None:
    for path in tiny_root.glob("*/image_2/*.png"):
        with Image.open(path) as image:
            small = image.resize((160, 48))
        small.save(path)
    assert not check_kitti(tiny_root).ok


@pytest.mark.real_data
def test_real_frames_have_no_complaint_and_their_known_figures(real_kitti: Path) -> None:
    report = check_kitti(real_kitti)
    assert report.problems() == []
    assert len(report.frames) == 8
    for frame in report.frames:
        if frame.subset == "training":
            assert [round(o.iou_image, 2) for o in frame.objects] == REAL_IOU[frame.frame_id]
            if frame.frame_id in REAL_SHARE:
                assert round(100 * frame.image_share, 1) == REAL_SHARE[frame.frame_id]
    first = next(f for f in report.frames if f.subset == "training")
    assert first.least is not None and first.greatest is not None
    np.testing.assert_allclose(first.least[:3], (-71.0, -21.1, -5.2), atol=0.06)
    np.testing.assert_allclose(first.greatest[:3], (73.0, 53.8, 2.7), atol=0.06)
