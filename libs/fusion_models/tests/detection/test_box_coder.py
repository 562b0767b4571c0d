from pathlib import Path

import numpy as np
import torch
from fusion_models.detection.box_coder import decode_boxes, encode_boxes
from hypothesis import given, settings
from hypothesis import strategies as st

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detector_units.npz")


@settings(deadline=None)  # the first call imports the array-type checks
@given(st.integers(0, 8), st.integers(0, 2**31 - 1))
def test_decoding_undoes_encoding(count, seed):
    generator = torch.Generator().manual_seed(seed)
    boxes = 4 * torch.randn(count, 7, generator=generator, dtype=torch.float64)
    anchors = 4 * torch.randn(count, 7, generator=generator, dtype=torch.float64)
    boxes[:, 3:6] = boxes[:, 3:6].abs() + 0.1
    anchors[:, 3:6] = anchors[:, 3:6].abs() + 0.1
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, anchors), anchors), boxes)


def test_codes_equal_the_released_coder():
    box, anchor = torch.from_numpy(GOLDEN["coder_box"]), torch.from_numpy(GOLDEN["coder_anchor"])
    codes = encode_boxes(box, anchor)
    np.testing.assert_allclose(codes, GOLDEN["coder_encoding"], rtol=1e-5, atol=1e-5)
    decoded = decode_boxes(torch.from_numpy(GOLDEN["coder_encoding"]), anchor)
    np.testing.assert_allclose(decoded, GOLDEN["coder_decoded"], rtol=1e-5, atol=1e-5)


def test_a_box_without_extent_has_finite_codes():
    assert torch.isfinite(encode_boxes(torch.zeros(1, 7), torch.ones(1, 7))).all()
