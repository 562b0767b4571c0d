import dataclasses
import re

import pytest
import timm
import torch
from fusion_models.imagepg.image_backbone import SwinBackbone
from fusion_models.imagepg.image_config import SwinConfig
from fusion_models.imagepg.swin_weights import read_swin_weights, timm_layout
from safetensors.torch import save_file

CONFIG = SwinConfig(embed_dim=8, depths=(1, 2, 1), heads=(1, 2, 4), window=4, frozen_stages=-1)


@pytest.fixture(scope="module")
def reference():
    """A timm model with random weights."""
    torch.manual_seed(3)
    model = timm.create_model(
        "swin_tiny_patch4_window7_224",
        embed_dim=8,
        depths=(1, 2, 1),
        num_heads=(1, 2, 4),
        window_size=4,
        img_size=64,
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def authors(state):
    """The same weights as the Swin authors store them: merging at the end of a stage, and buffers."""
    renamed = {
        re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name): value
        for name, value in state.items()
    }
    return renamed | {
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16, dtype=torch.int64),
        "layers.1.blocks.1.attn_mask": torch.zeros(4, 16, 16),
    }


def mmdet(state):
    """The same weights as mmdetection stores them; its unfold takes patches channel by channel."""
    renamed = {}
    for name, value in state.items():
        if name.startswith(("norm.", "head.")):
            continue
        if "downsample" in name:
            # maps (0,0) (1,0) (0,1) (1,1) to row-major positions, then channel-major
            maps = value.unflatten(-1, (4, -1))
            value = torch.stack([maps[..., i, :] for i in (0, 2, 1, 3)], dim=-1).flatten(-2)
            name = re.sub(r"layers\.(\d)", lambda m: f"layers.{int(m[1]) - 1}", name)
        for old, new in (
            ("layers.", "stages."), ("patch_embed.proj.", "patch_embed.projection."),
            ("attn.", "attn.w_msa."), ("mlp.fc1.", "ffn.layers.0.0."), ("mlp.fc2.", "ffn.layers.1."),
        ):  # fmt: skip
            name = name.replace(old, new)
        renamed[f"backbone.{name}"] = value
    return renamed | {"neck.conv.weight": torch.zeros(1)}


WRITERS = {
    "authors.pth": lambda state, path: torch.save({"model": authors(state)}, path),
    "timm.pth": torch.save,
    "timm.safetensors": lambda state, path: save_file(state, path),
    "mmdet.pth": lambda state, path: torch.save({"state_dict": mmdet(state), "meta": {}}, path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_layout_gives_the_maps_of_the_same_model(reference, tmp_path, name):
    WRITERS[name](reference.state_dict(), tmp_path / name)
    loaded = SwinBackbone(dataclasses.replace(CONFIG, pretrained=str(tmp_path / name))).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = reference.layers[1](reference.layers[0](reference.patch_embed(images)))
        found = loaded.layers[1](loaded.layers[0](loaded.patch_embed(images)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert all(not (norm.bias != 0).any() for norm in loaded.norms)


def test_merged_patches_are_taken_in_the_order_of_the_published_unfold(reference):
    """mmdetection merges by `nn.Unfold`: its weight on unfolded patches equals timm's on its own."""
    merging = reference.layers[1].downsample
    stored = mmdet(reference.state_dict())
    image = torch.randn(1, 8, 6, 4)
    unfolded = torch.nn.functional.unfold(image, 2, stride=2).mT
    start = "backbone.stages.0.downsample."
    normed = torch.nn.functional.layer_norm(
        unfolded, (32,), stored[f"{start}norm.weight"], stored[f"{start}norm.bias"]
    )
    found = normed @ stored[f"{start}reduction.weight"].T
    expected = merging(image.permute(0, 2, 3, 1)).flatten(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_norms_of_a_detector_are_taken_along():
    state = {"patch_embed.projection.weight": torch.zeros(1), "norm2.weight": torch.full((2,), 7.0)}
    assert timm_layout(state)["norms.1.weight"].tolist() == [7, 7]


def test_a_missing_file_names_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such file; expected swin_tiny.*microsoft"):
        SwinBackbone(dataclasses.replace(CONFIG, pretrained=str(tmp_path / "none.pth")))


def test_other_files_are_named(tmp_path):
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pth: cannot be read"):
        read_swin_weights(str(tmp_path / "text.pth"))
    torch.save({"model": {"conv1.weight": torch.zeros(1)}}, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"resnet\.pth: no entry is named patch_embed"):
        read_swin_weights(str(tmp_path / "resnet.pth"))


def test_a_name_that_timm_does_not_have_is_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"swin_tinny.*no Swin of timm.*nearest: swin_tiny_patch4"):
        read_swin_weights("swin_tinny_patch4_window7_224")


def test_weights_that_cannot_be_fetched_are_told_with_the_way_without_a_network(monkeypatch):
    import timm

    def unreachable(name, *, pretrained):
        raise RuntimeError("Name or service not known\nmore")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(OSError, match=r"not known\); without a network, fetch .* image\.swin\.pretrained"):
        read_swin_weights("swin_tiny_patch4_window7_224.ms_in1k")


def test_another_size_is_refused_with_both_shapes(reference, tmp_path):
    torch.save(reference.state_dict(), tmp_path / "small.pth")
    wider = dataclasses.replace(CONFIG, embed_dim=16, pretrained=str(tmp_path / "small.pth"))
    with pytest.raises(ValueError, match=r"patch_embed.proj.weight: expected shape \[16, .*got shape \[8, "):
        SwinBackbone(wider)
    deeper = dataclasses.replace(CONFIG, depths=(1, 3, 1), pretrained=str(tmp_path / "small.pth"))
    with pytest.raises(ValueError, match="got nothing"):
        SwinBackbone(deeper)
