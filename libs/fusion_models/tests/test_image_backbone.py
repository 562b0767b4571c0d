import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.image_backbone import (
    ImageBackbone,
    SwinConfig,
    convert_official,
)

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
TINY = SwinConfig(embed_dim=8, depths=(1, 2, 2), heads=(1, 2, 4), window=4, frozen_stages=-1)


def _padded_batch(arrays):
    images = [torch.from_numpy(arrays[f"f{i}_image_uint8"]).float() / 255 for i in range(2)]
    images = [((image - MEAN) / STD).permute(2, 0, 1) for image in images]
    height, width = (max(image.shape[i] for image in images) for i in (1, 2))
    return torch.stack([F.pad(x, (0, width - x.shape[2], 0, height - x.shape[1])) for x in images])


def _assert_close(value, checksum, *, rtol=1e-3):
    assert list(value.shape) == checksum["shape"]
    flat = value.detach().double().flatten().numpy()
    bound = rtol * checksum["abs_max"]
    np.testing.assert_allclose(flat[: len(checksum["first64"])], checksum["first64"], rtol=0, atol=bound)
    samples = flat[:: checksum["sample_stride"]][: len(checksum["sample"])]
    np.testing.assert_allclose(samples, checksum["sample"], rtol=0, atol=bound)
    assert abs(flat.mean() - checksum["mean"]) < bound and abs(flat.std() - checksum["std"]) < bound


@pytest.mark.golden
def test_image_branch_equals_the_official_one(imagepg_golden, seeded_imagepg_state):
    golden = imagepg_golden("eval_batched")
    backbone = ImageBackbone().eval()
    backbone.load_state_dict(convert_official(seeded_imagepg_state(golden["gain_json"])), strict=False)
    with torch.no_grad():
        maps = backbone.swin(_padded_batch(imagepg_golden("eval_inputs")))
        merged = backbone.neck(maps)
        reduced = backbone.reduce(merged[0])
    sums = golden["checksums"]
    for i, value in enumerate(maps):
        _assert_close(value, sums[f"swin_out{i}"], rtol=1e-4)
    _assert_close(merged[1], sums["fpn_level1_256"], rtol=1e-4)
    _assert_close(merged[0], sums["fpn_level0_256"], rtol=1e-4)
    _assert_close(reduced, sums["conv_reduce_64"], rtol=1e-4)
