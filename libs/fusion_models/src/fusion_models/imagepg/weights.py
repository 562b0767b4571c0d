"""Weights of ImagePG, PG-RCNN and Voxel R-CNN as their authors released them, in our names and layouts."""

from collections.abc import Mapping

from sparseops import weight_from_spconv
from sparseops.layouts import SpconvLayout
from torch import Tensor

from fusion_models.imagepg.model import Detector
from fusion_models.imagepg.swin_weights import timm_layout
from fusion_models.weights import load_state, renamed

RELEASED_ENTRY = "model_state"
"""Entry of the released checkpoints that holds the weights."""

_SWIN = "image_backbone."


def load_released(
    model: Detector, state: Mapping[str, Tensor], *, layout: SpconvLayout = "KRSC"
) -> tuple[str, ...]:
    """Load a released state dict into a detector and return the names left out.

    What the detector does not have (the image branch, the occupancy network, the step counter) is left out,
    under our names where a part has one. Its own entries must all be present, batch counters excepted.

    Args:
        state: Entry `RELEASED_ENTRY` of a file that `fusion_models.weights.read_checkpoint` reads.
        layout: As in `convert_released`.

    Raises:
        ValueError: An entry is missing or has another shape.
    """
    converted, own = convert_released(state, layout=layout), model.state_dict()
    known = {name: value for name, value in converted.items() if name in own}
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    load_state(model, counters | known, source="the released state dict")
    return tuple(name for name in converted if name not in own)


def convert_released(state: Mapping[str, Tensor], *, layout: SpconvLayout = "KRSC") -> dict[str, Tensor]:
    """Return a released state dict, or a part of one, in the names and layouts of `Detector`.

    Names without a counterpart here stay as they are; index buffers of the Swin are dropped.

    Args:
        layout: Of the sparse kernels. `"KRSC"`, [out, kz, ky, kx, in], is that of spconv 2.2 and newer, which
            the released ImagePG has; `"RSKC"` that of 2.0 and 2.1, `"RSCK"` that of spconv 1.
    """
    swin = {name.removeprefix(_SWIN): value for name, value in state.items() if name.startswith(_SWIN)}
    others = {
        name: _own_layout(name, value, layout) for name, value in state.items() if not name.startswith(_SWIN)
    }
    return renamed(others, _NAMES) | {f"image.swin.{name}": v for name, v in timm_layout(swin).items()}


def _own_layout(name: str, value: Tensor, layout: SpconvLayout) -> Tensor:
    if name.startswith("backbone_3d.") and value.ndim == 5:
        return weight_from_spconv(value, layout=layout)
    # the released RoI head has 1x1 convolutions where ours has linear layers
    return value.flatten(1) if name.startswith("roi_head.") and value.ndim > 2 else value


_NAMES = (
    (r"^backbone_3d\.", "backbone."),
    # the released blocks of 2D backbones start with a padding layer, so every index is one higher
    (r"\bbackbone_2d\.blocks\.(\d)\.(\d+)\.", lambda m: f"bev.blocks.{m[1]}.{int(m[2]) - 1}."),
    (r"\bbackbone_2d\.deblocks\.", "bev.ups."),
    (r"^backbone_2d\.bev_fuse_blocks\.", "guidance.mix."),
    (r"^backbone_2d\.ADF_blocks\.ca\.shared_MLP\.", "guidance.channels."),
    (r"^backbone_2d\.ADF_blocks\.sa\.conv1\.", "guidance.places."),
    (r"^dense_head\.conv_cls\.", "anchors.classes."),
    (r"^dense_head\.conv_box\.", "anchors.boxes."),
    (r"^dense_head\.conv_dir_cls\.", "anchors.directions."),
    (r"^neck\.conv_reduce\.", "image.reduce."),
    (r"^neck\.lateral_convs\.", "image.neck.laterals."),
    (r"^neck\.fpn_convs\.", "image.neck.outputs."),
    (r"^(image\.neck\..*)\.conv\.", r"\1.0."),
    (r"^(image\.neck\..*)\.bn\.", r"\1.1."),
    # the attention to the image, which pillars and grid points have
    (r"\.(deform_attn|deform_attn_grid)\.", ".fusion."),
    (r"\.fusion\.pts_key_proj\.", ".fusion.key."),
    (r"\.fusion\.pts_transform\.", ".fusion.query."),
    (r"\.fusion\.fuse_blocks\.self_attn\.sampling_offsets\.", ".fusion.offsets."),
    (r"\.fusion\.fuse_blocks\.self_attn\.attention_weights\.", ".fusion.weights."),
    (r"\.fusion\.fuse_blocks\.self_attn\.value_proj\.", ".fusion.value."),
    (r"\.fusion\.fuse_blocks\.self_attn\.output_proj\.", ".fusion.output."),
    (r"\.fusion\.fuse_conv\.", ".fusion.fuse."),
    (r"^bev_heatmap_head\.", "occupancy."),
    (r"^occupancy\.pfn_layers\.(\d)\.linear\.", r"occupancy.pillars.layers.\1."),
    (r"^occupancy\.pfn_layers\.(\d)\.norm\.", r"occupancy.pillars.norms.\1."),
    (r"^occupancy\.head\.(\d)\.", lambda m: f"occupancy.head.{int(m[1]) + 3}."),
    (r"^occupancy\.shared_conv\.", "occupancy.head."),
    (r"^roi_head\.fusion\.", "roi.image.fusion."),
    (r"^roi_head\.", "roi."),
    (r"^roi\.roi_grid_pool_layers\.(\d)\.mlps_in\.0\.", r"roi.pools.\1.feature."),
    (r"^roi\.roi_grid_pool_layers\.(\d)\.mlps_pos\.0\.0\.", r"roi.pools.\1.position."),
    (r"^roi\.roi_grid_pool_layers\.(\d)\.mlps_pos\.0\.1\.", r"roi.pools.\1.position_norm."),
    (r"^roi\.roi_grid_pool_layers\.(\d)\.mlps_out\.0\.", r"roi.pools.\1.output."),
    (r"^roi\.pos_encoder(_attn)?\.ffn\.", "roi.transformer.position."),
    (r"^roi\.attention_head\.blocks\.0\.norm", "roi.transformer.norm"),
    (r"^roi\.attention_head\.blocks\.0\.attn\.qkv\.", "roi.transformer.qkv."),
    (r"^roi\.attention_head\.blocks\.0\.attn\.proj\.", "roi.transformer.projection."),
    (r"^roi\.attention_head\.blocks\.0\.mlp\.fc1\.", "roi.transformer.mlp.0."),
    (r"^roi\.attention_head\.blocks\.0\.mlp\.fc2\.", "roi.transformer.mlp.2."),
    (r"^roi\.ffn\.", "roi.image.query."),
    (r"^roi\.up_ffn\.", "roi.image.expand."),
    (r"^roi\.gen_fc_layers\.7\.", "roi.generator.generate."),
    (r"^roi\.gen_fc_layers\.", "roi.generator.hidden."),
    (r"^roi\.point_pred_layer\.", "roi.generator.foreground."),
    (r"^roi\.xyz_up_layer\.", "roi.generator.embed."),
    (r"^roi\.merge_down_layer\.", "roi.generator.merge."),
    (r"^roi\.SA_modules\.(\d)\.mlps\.0\.0\.", r"roi.abstractions.\1.layers.0."),
    (r"^roi\.SA_modules\.(\d)\.mlps\.0\.1\.", r"roi.abstractions.\1.norms.0."),
    (r"^roi\.SA_modules\.(\d)\.mlps\.0\.3\.", r"roi.abstractions.\1.layers.1."),
    (r"^roi\.SA_modules\.(\d)\.mlps\.0\.4\.", r"roi.abstractions.\1.norms.1."),
    (r"^roi\.cross_attention_layers\.Q_linear\.", "roi.history.query."),
    (r"^roi\.cross_attention_layers\.K_linear\.", "roi.history.key."),
    (r"^roi\.cross_attention_layers\.V_linear\.", "roi.history.value."),
    (r"^roi\.shared_fc_layer\.", "roi.shared."),
    (r"^roi\.cls_fc_layers\.", "roi.score."),
    (r"^roi\.cls_pred_layer\.", "roi.score_out."),
    (r"^roi\.reg_fc_layers\.", "roi.box."),
    (r"^roi\.reg_pred_layer\.", "roi.box_out."),
)
"""Released names and ours, by part of the detector. The Swin has tables of its own (`swin_weights.py`)."""
