"""DSPDet3D (arXiv 2305.03716): small objects in rooms, from points, by dynamic spatial pruning."""

from fusion_models.dspdet3d.batch import RoomBatch, collate_rooms
from fusion_models.dspdet3d.config import DSPDet3DConfig
from fusion_models.dspdet3d.inference import RoomDetections, detect
from fusion_models.dspdet3d.losses import DSPDet3DLosses, dspdet3d_loss
from fusion_models.dspdet3d.network import DSPDet3D
from fusion_models.dspdet3d.outputs import DSPDet3DOutputs, LevelOutputs
from fusion_models.dspdet3d.weights import RELEASED_ENTRY, load_released

__all__ = [
    "RELEASED_ENTRY",
    "DSPDet3D",
    "DSPDet3DConfig",
    "DSPDet3DLosses",
    "DSPDet3DOutputs",
    "LevelOutputs",
    "RoomBatch",
    "RoomDetections",
    "collate_rooms",
    "detect",
    "dspdet3d_loss",
    "load_released",
]
