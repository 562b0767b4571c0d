"""`imagepg`: train, evaluate and apply the detector. Heavy libraries are imported by the sub-commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fusion3d_appkit.commands import Command, dispatch


def _train(command: str, arguments: Sequence[str]) -> int:
    from imagepg.train import run

    return run(command, arguments)


def _predict(arguments: Sequence[str]) -> int:
    from imagepg.predict import main as predict

    return predict(arguments)


def _demo(arguments: Sequence[str]) -> int:
    from imagepg.demo import main as demo

    return demo(arguments)


COMMANDS = {
    "fit": Command("train; resumes from the last checkpoint of the run", lambda words: _train("fit", words)),
    "validate": Command(
        "evaluate a checkpoint on the validation split", lambda words: _train("validate", words)
    ),
    "test": Command(
        "evaluate, write official result files and report.html", lambda words: _train("test", words)
    ),
    "predict": Command("detect in one point cloud and its image", _predict),
    "demo": Command("make synthetic data, train minutes on a CPU, evaluate, draw the report", _demo),
}
ABOUT = "ImagePG: 3D object detection from LiDAR and camera with image-guided pseudo-point generation."
EPILOG = """examples:
  imagepg demo
  imagepg fit --config apps/imagepg/configs/kitti.yaml --data.root data/kitti
  imagepg test --config apps/imagepg/configs/kitti.yaml --data.root data/kitti \\
      --ckpt_path runs/kitti/checkpoints/last.ckpt
  imagepg test --data.root data/kitti --ckpt_path imagepg.pth    (the authors' checkpoint)
  imagepg predict --ckpt runs/kitti/checkpoints/last.ckpt \\
      --points 000008.bin --image 000008.png --calib 000008.txt

`imagepg COMMAND --help` lists the options of a command; --print_config prints the resolved configuration."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    return dispatch("imagepg", COMMANDS, about=ABOUT, epilog=EPILOG, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
