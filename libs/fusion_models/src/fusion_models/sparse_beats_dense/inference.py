"""The inference path of Sparse Beats Dense alone, with normalisation folded into the convolutions."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fusion_models.sparse_beats_dense.model import MASK, ConvNorm, DeconvNorm, SparseBeatsDense


class DepthPredictor(nn.Module):
    """`SparseBeatsDense.predict` as a module of its own: faster, smaller, for torch.compile and torch.export.

    A frozen copy without what the finest depth does not need (mask decoders, last steps of the coarser
    levels), batch normalisation folded into the convolutions, weights in channels-last layout. The folding
    rounds differently: depths differ from those of `predict` by some 1e-6 of the largest. Sizes are fixed at
    export; a compiled predictor is compiled anew for another size. `torch.export.save` warns that no tensor
    is complete, as it does of every channels-last weight; the file holds them whole.

    Example:
        >>> from fusion_models.sparse_beats_dense.model import SparseBeatsDenseConfig
        >>> predictor = DepthPredictor(SparseBeatsDense(SparseBeatsDenseConfig(base_width=8)))
        >>> image, radar = torch.zeros(1, 3, 90, 160), torch.zeros(1, 1, 90, 160)
        >>> predictor(image, radar, torch.zeros(1, 200, 3), torch.tensor([0])).shape
        torch.Size([1, 1, 90, 160])
    """

    def __init__(self, model: SparseBeatsDense) -> None:
        super().__init__()
        lean = copy.deepcopy(model).eval().requires_grad_(False)
        lean.zero_grad()
        *coarse, finest = (unet for name, unet in lean.named_children() if name.startswith("G"))
        for unet in (*coarse, finest):
            spare = [name for name, _ in unet.named_children() if name.startswith(MASK)]
            for name in spare if unet is finest else (*spare, "score5", "refine5", "resize5"):
                delattr(unet, name)
        for module in lean.modules():
            _fold(module)
        for weight in lean.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.model = lean

    def forward(
        self,
        image: Float[Tensor, "b 3 h w"],
        radar: Float[Tensor, "b 1 h w"],
        points: Float[Tensor, "b p 3"],
        counts: Int[Tensor, " b"],
    ) -> Float[Tensor, "b 1 h w"]:
        """Return the depth in metres; arguments as in `DepthBatch`."""
        return self.model.predict(image, radar, points, counts)


def _fold(module: nn.Module) -> None:
    """Replace the normalisation of a block by weights of its convolution."""
    if isinstance(module, ConvNorm) and isinstance(module.bn, nn.BatchNorm2d):
        module.conv = fuse_conv_bn_eval(module.conv, module.bn)
        module.bn = nn.Identity()
    elif isinstance(module, DeconvNorm) and isinstance(module.bn, nn.BatchNorm2d):
        module.deconv = fuse_conv_bn_eval(module.deconv, module.bn, transpose=True)
        module.bn = nn.Identity()
