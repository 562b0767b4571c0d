"""Raw scans: boxes of instances in the aligned frame, and every way in which the files may not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets3d.indoor import SCANNET18, SCANNET_MD40
from datasets3d.scannet import ScanNetDataset, read_categories, read_raw

NAME = "scene0000_00"


def _change(tree: Path, suffix: str, **changes):
    path = tree / f"scans/{NAME}/{NAME}{suffix}"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_objects_are_boxes_around_their_aligned_vertices(tree):
    (room,) = ScanNetDataset(tree)
    assert room.objects.names == ("table", "cup") and room.objects.instances.tolist() == [0, 1]
    # x y z of the scan become y + 2, 3 - x, z + 0.5
    np.testing.assert_allclose(room.points[0], [2, 3, 1.2], atol=1e-6)
    np.testing.assert_allclose(room.objects.boxes[0], [3, 2.5, 0.85, 2, 1, 0.7], atol=1e-6)
    np.testing.assert_allclose(room.objects.boxes[1], [3.05, 2.55, 1.25, 0.1, 0.1, 0.1], atol=1e-6)
    assert room.instances.tolist() == [0, 0, 0, 1, 1, -1, -1, 2]
    assert room.classes.tolist() == [19, 19, 19, 6, 6, -1, -1, -1]
    assert room.colors[1].tolist() == [3, 4, 5]


def test_test_scans_have_no_objects(tree):
    (room,) = ScanNetDataset(tree, split="test")
    assert room.objects is None and room.instances is None and len(room) == 8


def test_the_table_of_the_tree_is_asked_first(tree):
    table = "id\traw_category\tnyu40id\tModelNet40\n1\tmug\t40\tbottle\n2\tcoffee table\t7\t\n"
    (tree / "scannetv2-labels.combined.tsv").write_text(table)
    assert ScanNetDataset(tree)[0].objects.names == ("bottle",)
    assert ScanNetDataset(tree, label_set=SCANNET18)[0].objects.names == ("table",)
    (tree / "scannetv2-labels.combined.tsv").write_text("id\traw_category\n")
    with pytest.raises(ValueError, match="no column ModelNet40"):
        read_categories(tree / "scannetv2-labels.combined.tsv", SCANNET_MD40)


def test_without_the_table_numbers_of_nyu_are_unknown(tree):
    with pytest.raises(ValueError, match=r"'scannet' needs the table .*combined\.tsv"):
        ScanNetDataset(tree, label_set=SCANNET18)


def test_without_an_alignment_the_frame_is_that_of_the_scan(tree):
    (tree / f"scans/{NAME}/{NAME}.txt").write_text("numDepthFrames = 5\n")
    room = ScanNetDataset(tree)[0]
    assert (room.aligned_from_scan == np.eye(4)).all() and room.points[6].tolist() == [6, 6, 0]


def test_a_segment_that_two_objects_claim_belongs_to_the_later(tree):
    groups = [{"label": "table", "segments": [7, 4]}, {"label": "cup", "segments": [4]}]
    _change(tree, ".aggregation.json", segGroups=groups)
    assert ScanNetDataset(tree)[0].instances[:5].tolist() == [0, 0, -1, 1, 1]


@pytest.mark.parametrize(
    ("suffix", "changes", "message"),
    [
        (
            ".aggregation.json",
            {"segGroups": [{"label": "cup", "segments": [4, 55]}]},
            r"no vertex has \(55\)",
        ),
        (
            ".aggregation.json",
            {"segGroups": [{"label": "cup"}]},
            r"segGroups\[0\] needs a label and segments",
        ),
        (".aggregation.json", {"segGroups": 3}, "expected a list 'segGroups'"),
        ("_vh_clean_2.0.010000.segs.json", {"segIndices": [1, 2]}, "each of 8 vertices, got 2"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(tree, suffix, changes, message):
    _change(tree, suffix, **changes)
    with pytest.raises(ValueError, match=message):
        ScanNetDataset(tree)[0]


@pytest.mark.parametrize("suffix", [".aggregation.json", ".txt", "_vh_clean_2.ply"])
def test_a_missing_file_is_named(tree, suffix):
    (tree / f"scans/{NAME}/{NAME}{suffix}").unlink()
    with pytest.raises(FileNotFoundError, match=NAME + suffix.replace(".", r"\.")):
        ScanNetDataset(tree)[0]


def test_a_mesh_cut_short_or_with_nan_is_refused(tree):
    mesh = tree / f"scans/{NAME}/{NAME}_vh_clean_2.ply"
    whole = mesh.read_bytes()
    mesh.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="vh_clean_2"):
        ScanNetDataset(tree)[0]
    start = whole.index(b"end_header\n") + len(b"end_header\n")
    mesh.write_bytes(whole[:start] + np.float32(np.nan).tobytes() + whole[start + 4 :])
    with pytest.raises(ValueError, match="1 of 8 vertices are not finite"):
        ScanNetDataset(tree)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "vall"}, "splits there: test, train"),
        ({"form": "arrays"}, "no folder scannet_instance_data"),
    ],
)
def test_what_the_tree_lacks_is_said(tree, arguments, message):
    with pytest.raises(FileNotFoundError, match=message):
        ScanNetDataset(tree, **arguments)


def test_several_forms_are_never_mixed(tree):
    (tree / "scannet_instance_data").mkdir()
    with pytest.raises(ValueError, match="say form="):
        ScanNetDataset(tree)
    assert ScanNetDataset(tree, form="raw")[0].objects.names == ("table", "cup")


@pytest.mark.real_data
def test_the_real_scan_is_the_one_of_the_arrays(real_scannet):
    raw = read_raw(
        real_scannet / "scans/scene0000_00", SCANNET18, categories={"chair": "chair"}, with_labels=False
    )
    (stored,) = ScanNetDataset(real_scannet, label_set=SCANNET18, form="arrays")
    np.testing.assert_allclose(raw.points, stored.points, atol=1e-4)
    assert (raw.colors == stored.colors).all() and len(stored.objects) == 27
