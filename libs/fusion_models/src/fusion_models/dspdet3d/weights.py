"""Weights of DSPDet3D as its authors released them, in our names and layouts."""

from collections.abc import Mapping

from sparseops import convert_state_dict
from torch import Tensor

from fusion_models.dspdet3d.network import DSPDet3D
from fusion_models.weights import load_state, renamed

RELEASED_ENTRY = "state_dict"
"""Entry of the released checkpoints that holds the weights."""


def load_released(model: DSPDet3D, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load a released state dict into a network and return the names left out: none.

    Released are networks of 22 classes (ScanNet-md40), 70 (TO-SCENE) and 1 (any object). Names may have the
    `module.` of data-parallel training in front. All entries must agree, batch counters excepted, which may
    be missing.

    Args:
        state: Entry `RELEASED_ENTRY` of a file that `fusion_models.weights.read_checkpoint` reads.

    Raises:
        ValueError: An entry is missing, unknown or has another shape, or the classes are more or fewer than
            `DSPDet3DConfig.class_names`.
    """
    converted = convert_released(model, state)
    classes = converted.get("class_head.bias")
    if classes is not None and len(classes) != model.config.num_classes:
        raise ValueError(
            f"the released state dict: it is of {len(classes)} classes, DSPDet3DConfig.class_names has "
            f"{model.config.num_classes}; build the network with the names of its classes"
        )
    counters = {name: value for name, value in model.state_dict().items() if name.endswith(_COUNTER)}
    load_state(model, counters | converted, source="the released state dict")
    return ()


def convert_released(model: DSPDet3D, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released state dict in the names and layouts of a network, with what the network has not.

    Raises:
        ValueError: The kernel of a convolution has another shape than the network's.
    """
    names = {name: _own_layout(name, value) for name, value in renamed(state, _NAMES).items()}
    heads = {name: value for name, value in names.items() if name.startswith(_HEADS)}
    others = {name: value for name, value in names.items() if name not in heads}
    converted = convert_state_dict(model, others, source="minkowski", axes="xyz")
    return heads | converted.state_dict | {name: others[name] for name in converted.unexpected_keys}


def _own_layout(name: str, value: Tensor) -> Tensor:
    # a convolution of one cell, [in, out] with a bias [1, out], is a linear layer here
    if not name.startswith(_HEADS):
        return value
    return value.T if name.endswith(".weight") else value.flatten()


_COUNTER = ".num_batches_tracked"
_HEADS = ("class_head.", "box_head.", "prune_heads.")

_NAMES = (
    (r"^module\.", ""),
    (r"\.bn\.", "."),
    (r"^backbone\.conv1\.", "backbone.stem.0."),
    (r"^backbone\.norm1\.", "backbone.stem.1."),
    (r"^backbone\.layer(\d)\.", lambda m: f"backbone.stages.{int(m[1]) - 1}."),
    (r"\.conv(\d)\.", lambda m: f".body.{3 * int(m[1]) - 3}."),
    (r"\.norm(\d)\.", lambda m: f".body.{3 * int(m[1]) - 2}."),
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"^head\.up_block_(\d)\.", lambda m: f"ups.{int(m[1]) - 1}."),
    (r"^head\.lateral_block_", "laterals."),
    (r"^head\.out_block_", "outs."),
    (r"^head\.cls_conv\.", "class_head."),
    (r"^head\.bbox_conv\.", "box_head."),
    (r"^head\.keep_conv\.", "prune_heads."),
    (r"^(class_head|box_head|prune_heads\.\d)\.kernel$", r"\1.weight"),
)
"""Released names and ours. Kernels of convolutions are renamed where their layout is changed."""
