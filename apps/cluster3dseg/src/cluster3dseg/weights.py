"""The files of weights: checkpoints of `cluster3dseg fit`, safetensors, the authors' and those of SPVNAS."""

from __future__ import annotations

from fusion3d_appkit.weights import Kept, WeightFiles
from fusion_models.segmentation import RELEASED_ENTRY, SegmentationNet, SegmentationNetConfig, load_released

from cluster3dseg.reading import Reading

WEIGHTS = WeightFiles(
    app="cluster3dseg",
    model=Kept(SegmentationNetConfig, option="model.network", entry="network_config"),
    inputs=Kept(Reading, option="data.reading", entry="reading"),
    build=SegmentationNet,
    released=RELEASED_ENTRY,
    load_released=load_released,
    classes=lambda config: config.class_names,
)
