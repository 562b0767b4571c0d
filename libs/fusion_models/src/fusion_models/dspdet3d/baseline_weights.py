"""Weights of TR3D and FCAF3D as their authors released them, in our names and layouts.

Names are those of the released code, and of mmdetection3d where it has others; no released file was at hand.
"""

from collections.abc import Mapping

from sparseops import convert_state_dict
from torch import Tensor

from fusion_models.dspdet3d.fcaf3d import FCAF3D
from fusion_models.dspdet3d.tr3d import TR3D
from fusion_models.weights import load_state, renamed


def load_released_baseline(model: TR3D | FCAF3D, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load a released state dict into a network and return the names left out: none.

    Released ones are of networks that read colours: pass them as `point_features`, in 0..1. Names may have
    the `module.` of data-parallel training in front. All entries must agree, batch counters excepted, which
    may be missing.

    Args:
        state: Entry `RELEASED_ENTRY` of a file that `fusion_models.weights.read_checkpoint` reads.

    Raises:
        ValueError: An entry is missing, unknown or has another shape, or the classes are more or fewer than
            `class_names` of the configuration.
    """
    converted = convert_released_baseline(model, state)
    classes = converted.get("class_head.bias")
    if classes is not None and len(classes) != model.config.num_classes:
        raise ValueError(
            f"the released state dict: it is of {len(classes)} classes, class_names of the configuration has "
            f"{model.config.num_classes}; build the network with the names of its classes"
        )
    counters = {name: value for name, value in model.state_dict().items() if name.endswith(_COUNTER)}
    load_state(model, counters | converted, source="the released state dict")
    return ()


def convert_released_baseline(model: TR3D | FCAF3D, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released state dict in the names and layouts of a network, with what the network has not.

    Raises:
        ValueError: The kernel of a convolution has another shape than the network's.
    """
    names = {name: _own_layout(name, value) for name, value in renamed(state, _NAMES).items()}
    others = {name: value for name, value in names.items() if not name.startswith(_OWN)}
    converted = convert_state_dict(model, others, source="minkowski", axes="xyz")
    own = {name: value for name, value in names.items() if name.startswith(_OWN)}
    return own | converted.state_dict | {name: others[name] for name in converted.unexpected_keys}


def _own_layout(name: str, value: Tensor) -> Tensor:
    # A convolution of one cell, [in, out] with a bias [1, out], is a linear layer here.
    if name.startswith(_HEADS):
        return value.T if name.endswith(".weight") else value.flatten()
    return value.flatten() if name in _INSTANCE_NORM else value


_COUNTER = ".num_batches_tracked"
_HEADS = ("class_head.", "box_head.", "center_head.")
_OWN = (*_HEADS, "scales.")
_INSTANCE_NORM = ("backbone.stem.1.weight", "backbone.stem.1.bias")
"""[1, channels] in MinkowskiEngine; those of a batch norm are flat there, too."""

_NAMES = (
    (r"^module\.", ""),
    (r"\.bn\.", "."),
    (r"^backbone\.conv1\.(?=kernel$)", "backbone.stem.0."),
    (r"^backbone\.norm1\.", "backbone.stem.1."),
    (r"^backbone\.conv1\.([01])\.", r"backbone.stem.\1."),
    (r"^backbone\.layer(\d)\.", lambda m: f"backbone.stages.{int(m[1]) - 1}."),
    (r"\.conv(\d)\.", lambda m: f".body.{3 * int(m[1]) - 3}."),
    (r"\.norm(\d)\.", lambda m: f".body.{3 * int(m[1]) - 2}."),
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^(neck|head|neck_with_head|bbox_head)\.", ""),
    (r"^up_block_(\d)\.", lambda m: f"ups.{int(m[1]) - 1}."),
    (r"^lateral_block_", "laterals."),
    (r"^out_block_", "outs."),
    (r"^(cls_conv|conv_cls)\.", "class_head."),
    (r"^(reg_conv|bbox_conv|conv_reg)\.", "box_head."),
    (r"^(centerness_conv|center_conv|conv_center)\.", "center_head."),
    (r"^(class_head|box_head|center_head)\.kernel$", r"\1.weight"),
    (r"^scales\.(\d)\.scale$", r"scales.\1"),
)
"""Released names and ours. Kernels of convolutions are renamed where their layout is changed."""
