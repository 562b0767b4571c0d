"""Operators for steps whose size or error depends on values."""

import pytest
import torch
from sparseops import sites
from sparseops._stacked import first_rows
from sparseops._values import ANY_BELOW, batch_column, checked_rows, distinct, true_rows

CELLS = torch.tensor([[1, 0, 2], [0, 1, 1], [0, 0, 2]], dtype=torch.int32)
CLOUD = torch.tensor([[0.0, 0.1, 0.1, 0.1], [1.0, 0.6, 0.1, 9.0]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (true_rows, (torch.tensor([False, True, True]),)),
        (distinct, (torch.tensor([7, 3, 7]),)),
        (checked_rows, (torch.tensor([[2, -1]], dtype=torch.int32), ANY_BELOW, 3, "below {limit}")),
        (batch_column, (CLOUD, 2, "voxelize_batch", True)),
        (first_rows, (torch.tensor([2, 0, 1]), 3, "knn_stacked", "point_counts", True)),
        (sites._order, (CELLS, [2, 3], 2)),
        (sites.cell_keys, (CELLS, [2, 3], 2, "merge_duplicates")),
    ],
    ids=lambda value: value.name() if isinstance(value, torch._ops.OpOverload) else "",
)
def test_the_operators_pass_opcheck(operator, arguments) -> None:
    torch.library.opcheck(operator, arguments)


def test_rows_out_of_range_are_named_with_what_came() -> None:
    words = "group: idx must lie in 0 to {last}, below {limit}, got {low} to {high}"
    with pytest.raises(IndexError, match="group: idx must lie in 0 to 2, below 3, got -1 to 3"):
        checked_rows(torch.tensor([3, -1]), 0, 3, words)
    assert checked_rows(torch.tensor([2, 0], dtype=torch.int32), 0, 3, words).tolist() == [2, 0]


def test_checked_rows_are_new_ones() -> None:
    rows = torch.tensor([1, 0])
    assert checked_rows(rows, 0, 2, "").data_ptr() != rows.data_ptr()


@pytest.mark.slow
def test_the_column_of_a_graph_is_checked_when_it_runs(no_shape_checks) -> None:
    from sparseops import points_in_boxes_batch

    run = torch.compile(points_in_boxes_batch, fullgraph=True, backend="eager")
    boxes = torch.tensor([[[0.0, 0, 0, 2, 2, 2, 0]]])
    assert run(torch.zeros(2, 4), boxes).tolist() == [0, 0]
    with pytest.raises(
        ValueError, match="points_in_boxes_batch: column 0 of points must hold samples 0 to 0"
    ):
        run(torch.ones(2, 4), boxes)
