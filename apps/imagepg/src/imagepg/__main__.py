"""`imagepg`: train, evaluate and apply the detector."""

from __future__ import annotations

import sys

from fusion3d_appkit.commands import Program, command_of

PROGRAM = Program(
    name="imagepg",
    about="ImagePG: 3D object detection from LiDAR and camera with image-guided pseudo-point generation.",
    epilog="""examples:
  imagepg demo
  imagepg fit --config apps/imagepg/configs/kitti.yaml --data.root data/kitti
  imagepg test --config apps/imagepg/configs/kitti.yaml --data.root data/kitti \\
      --ckpt_path runs/kitti/checkpoints/last.ckpt
  imagepg test --data.root data/kitti --ckpt_path imagepg.pth    (the authors' checkpoint)
  imagepg predict --ckpt runs/kitti/checkpoints/last.ckpt \\
      --points 000008.bin --image 000008.png --calib 000008.txt""",
    own={"predict": command_of("imagepg.predict", "detect in one point cloud and its image")},
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())
