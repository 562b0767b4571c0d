"""Weight layouts: round trips and errors; the numbers are tested in test_golden.py."""

import pytest
import torch
from sparseops import weight_from_spconv, weight_to_spconv


@pytest.mark.parametrize("kernel", [(3, 1, 2), (1, 1, 1), (3, 3), (1, 1)])
def test_conversion_to_spconv_and_back_is_exact(kernel: tuple[int, ...]) -> None:
    weight = torch.randn(*kernel, 5, 7)
    stored = weight_to_spconv(weight)
    assert stored.shape == (7, *kernel, 5)
    assert torch.equal(weight_from_spconv(stored), weight)


def test_axes_keep_their_order() -> None:
    stored = torch.randn(7, 3, 1, 2, 5)
    assert weight_from_spconv(stored)[2, 0, 1, 4, 6] == stored[6, 2, 0, 1, 4]


def test_a_flat_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weight_from_spconv: weight must be \[cout, kz, ky, kx, cin\]"):
        weight_from_spconv(torch.zeros(27, 4, 4))
    with pytest.raises(ValueError, match=r"weight_to_spconv: weight must be \[kz, ky, kx, cin, cout\]"):
        weight_to_spconv(torch.zeros(27, 4, 4))
