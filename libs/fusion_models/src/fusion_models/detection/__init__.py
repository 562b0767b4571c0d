"""What anchor-and-RoI detectors share: batch, backbones, anchors, proposals, targets, post-processing."""
