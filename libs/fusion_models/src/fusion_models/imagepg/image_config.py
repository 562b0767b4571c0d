"""Configuration of the image branch; apart from it, which brings timm and so takes seconds to import."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SwinConfig:
    """Swin Transformer; the defaults are Swin-T as imagepg.yaml sets it (IMAGE_BACKBONE)."""

    embed_dim: int = 96
    """Channels of the first stage; doubled by every further one. Source: EMBED_DIMS."""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    """Blocks per stage. Source: DEPTHS."""
    heads: tuple[int, ...] = (3, 6, 12, 24)
    """Attention heads per stage. Source: NUM_HEADS."""
    window: int = 7
    """Edge of the attention window in tokens. Source: WINDOW_SIZE."""
    mlp_ratio: float = 4.0
    """Hidden over input channels of the MLPs. Source: MLP_RATIO."""
    drop_path: float = 0.2
    """Stochastic depth of the last block; it grows linearly from 0. Source: DROP_PATH_RATE."""
    frozen_stages: int = 3
    """The patch embedding and this many stages stay fixed, in eval mode; -1 trains all. Source:
    FROZEN_STAGES."""
    pretrained: str | None = None
    """Weights to start from: a file of the Swin authors (`swin_tiny_patch4_window7_224.pth`), timm or
    mmdetection, or the name of a timm model (`swin_tiny_patch4_window7_224.ms_in1k`), which timm downloads.
    ImagePG starts from the authors' ImageNet weights."""

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.heads) or len(self.depths) < 2:
            raise ValueError(
                f"SwinConfig: depths and heads need one entry per stage and at least two stages, "
                f"got depths={self.depths}, heads={self.heads}"
            )
        if any(self.embed_dim * 2**i % heads for i, heads in enumerate(self.heads)):
            raise ValueError(
                f"SwinConfig.heads must divide the channels of their stages, got embed_dim={self.embed_dim}, "
                f"heads={self.heads}"
            )
        if not -1 <= self.frozen_stages <= len(self.depths):
            raise ValueError(
                f"SwinConfig.frozen_stages must lie in -1..{len(self.depths)}, got {self.frozen_stages}"
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of every stage."""
        return tuple(self.embed_dim * 2**i for i in range(len(self.depths)))


@dataclass(frozen=True)
class ImageBackboneConfig:
    """Swin, neck and reduction; the defaults are those of imagepg.yaml."""

    swin: SwinConfig = field(default_factory=SwinConfig)
    """The Swin Transformer."""
    neck_channels: int = 256
    """Channels of the neck. Source: NECK.OUT_CHANNELS."""
    channels: int = 64
    """Channels of the reduced map. Source: ROI_HEAD.IMG_FEATURES, conv_reduce of the released neck."""

    def __post_init__(self) -> None:
        if self.neck_channels < 1 or self.channels < 1:
            raise ValueError(
                f"ImageBackboneConfig: neck_channels and channels must be positive, got {self.neck_channels} "
                f"and {self.channels}"
            )
