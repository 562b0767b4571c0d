"""Weights of Swin Transformers, whoever wrote the file: in timm's names and order.

Three layouts are in use. The authors' (`swin_tiny_patch4_window7_224.pth`, entry `model`) has timm's names
but puts the patch merging at the end of a stage, timm at the start of the next. mmdetection has names and an
order of the merged patches of its own. Facts: the released code of each, and timm's `checkpoint_filter_fn`.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fusion_models.weights import read_checkpoint, renamed

_FILES = (".pth", ".pt", ".safetensors")
_CONTAINERS = ("model", "state_dict")
_AUTHORS_NAMES = ((r"^layers\.(\d+)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample"),)
_MMDET_NAMES = (
    (r"^norm(\d)\.", lambda match: f"norms.{int(match[1]) - 1}."),
    (r"^stages\.", "layers."),
    *_AUTHORS_NAMES,
    (r"^patch_embed\.projection", "patch_embed.proj"),
    (r"attn\.w_msa\.", "attn."),
    (r"ffn\.layers\.0\.0\.", "mlp.fc1."),
    (r"ffn\.layers\.1\.", "mlp.fc2."),
)


def read_swin_weights(source: str) -> dict[str, Tensor]:
    """Return the weights of a Swin in timm's names; entries of a classifier may be among them.

    Args:
        source: A file (`.pth`, `.pt`, `.safetensors`) in any of the three layouts, the Swin alone or the
            backbone of a larger model, or the name of a timm model, which timm downloads.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The download failed.
        ValueError: The file cannot be read, or holds no Swin; or timm has no such Swin.
    """
    path = Path(source)
    if path.suffix not in _FILES:
        return _fetched(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"Swin weights {path}: no such file; expected swin_tiny_patch4_window7_224.pth of "
            "microsoft/Swin-Transformer, a file of timm or mmdetection, or the name of a timm model"
        )
    content = read_checkpoint(path, entries=())
    for name in _CONTAINERS:
        content = content.get(name, content)
    starts = [name.split("patch_embed.")[0] for name in content if "patch_embed." in name]
    if not starts:
        raise ValueError(f"Swin weights {path}: no entry is named patch_embed.*; is it a Swin Transformer?")
    return timm_layout(
        {name.removeprefix(starts[0]): value for name, value in content.items() if name.startswith(starts[0])}
    )


def _fetched(name: str) -> dict[str, Tensor]:
    import timm  # seconds, for those who name one of its models

    known = timm.list_models("swin*", pretrained=True)
    if not any(name in (other, other.partition(".")[0]) for other in known):
        nearest = difflib.get_close_matches(name, known, n=3)
        raise ValueError(
            f"Swin weights {name}: no file ({', '.join(_FILES)}), and no Swin of timm with weights; "
            f"nearest: {', '.join(nearest) or 'none'}"
        )
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever the library below timm that fetches files raises
        raise OSError(
            f"Swin weights {name}: timm could not fetch them ({str(error).splitlines()[0][:200]}); without "
            "a network, fetch swin_tiny_patch4_window7_224.pth of microsoft/Swin-Transformer elsewhere and "
            "give its path as image.swin.pretrained, or give null there to start from random weights"
        ) from error


def timm_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a Swin in timm's layout, from any of the three; buffers are left out."""
    state = {
        name: value
        for name, value in state.items()
        if not name.endswith(("relative_position_index", "attn_mask"))
    }
    if any(name.startswith(("stages.", "patch_embed.projection")) for name in state):
        return renamed({name: _patches_in_order(name, value) for name, value in state.items()}, _MMDET_NAMES)
    if "layers.0.downsample.reduction.weight" in state:
        return renamed(state, _AUTHORS_NAMES)
    return state


def _patches_in_order(name: str, value: Tensor) -> Tensor:
    """Patch merging of mmdetection takes 2x2 patches channel by channel, row-major.

    That of timm takes four sub-sampled maps in the order (0, 0), (1, 0), (0, 1), (1, 1), as the authors do.
    """
    if ".downsample." not in name:
        return value
    patches = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return patches[..., [0, 2, 1, 3], :].flatten(-2)
