import pytest
from evaluators.indoor import SCANNET, SCANNET_MD40, SUNRGBD, TABLES, TO_SCENE, ClassSubset, ClassTable
from evaluators.indoor.protocol import checked_thresholds, class_table


def test_the_tables_have_the_published_numbers_of_classes() -> None:
    sizes = {name: len(table.classes) for name, table in TABLES.items()}
    assert sizes == {"scannet": 18, "sunrgbd": 10, "scannet-md40": 22, "to-scene": 70}


def test_the_subsets_have_the_published_numbers_of_classes() -> None:
    sizes = {
        table.name: {subset.name: len(subset.classes) for subset in table.subsets}
        for table in (SCANNET_MD40, TO_SCENE)
    }
    assert sizes == {"scannet-md40": {"S": 4, "O": 18}, "to-scene": {"S": 52, "O": 18}}
    assert SCANNET_MD40.subsets[0].classes == ("bottle", "cup", "keyboard", "laptop")
    assert TO_SCENE.subsets[1].classes == SCANNET.classes


def test_the_published_means_fit_the_subsets() -> None:
    # DSPDet3D, first version, threshold 0.3: mAP 64.39, mAP_S 41.32, mAP_O 69.52 on md40, 63.26, 61.73 and
    # 67.69 on TO-SCENE.
    published = {"scannet-md40": (64.39, 41.32, 69.52), "to-scene": (63.26, 61.73, 67.69)}
    for name, (overall, small, others) in published.items():
        n_small, n_others = (len(subset.classes) for subset in TABLES[name].subsets)
        mean = (n_small * small + n_others * others) / (n_small + n_others)
        assert mean == pytest.approx(overall, abs=0.01)


def test_labels_are_positions_in_the_tables() -> None:
    assert (SCANNET.classes[13], SUNRGBD.classes[7]) == ("showercurtrain", "night_stand")
    assert (TO_SCENE.classes[18], TO_SCENE.classes[36], TO_SCENE.classes[69]) == (
        "bag",
        "remote control",
        "vegetables",
    )
    assert list(SCANNET_MD40.classes) == sorted(SCANNET_MD40.classes)


def test_tables_are_found_by_name_and_a_table_stands_for_itself() -> None:
    assert class_table("scannet") is SCANNET
    mine = ClassTable.numbered(2)
    assert class_table(mine) is mine
    with pytest.raises(
        ValueError, match="classes must be one of scannet, sunrgbd, scannet-md40, to-scene or"
    ):
        class_table("scannet200")


@pytest.mark.parametrize("classes", [(), ("a", "a")])
def test_classes_are_listed_once(classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="'mine' needs at least one class, each once"):
        ClassTable(name="mine", classes=classes)


@pytest.mark.parametrize("classes", [(), ("c",), ("a", "a")])
def test_subsets_are_made_of_classes_of_the_table(classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="subset 'S' needs classes of the table, each once"):
        ClassTable(name="m", classes=("a", "b"), subsets=(ClassSubset(name="S", classes=classes),))


def test_subsets_have_distinct_names() -> None:
    subset = ClassSubset(name="S", classes=("a",))
    with pytest.raises(ValueError, match="the subsets need distinct names"):
        ClassTable(name="m", classes=("a", "b"), subsets=(subset, subset))


@pytest.mark.parametrize("thresholds", [(), (0.5, 0.5), (1.0,), (-0.1,), (float("nan"),)])
def test_thresholds_are_overlaps(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"thresholds must be overlaps in \[0, 1\), at least one, each once"):
        checked_thresholds(thresholds)
