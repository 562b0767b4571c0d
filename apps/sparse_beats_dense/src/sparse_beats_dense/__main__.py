"""`sparse_beats_dense`: train, evaluate and apply the model."""

from __future__ import annotations

import sys

from fusion3d_appkit.commands import Program, command_of

PROGRAM = Program(
    name="sparse_beats_dense",
    about="Sparse Beats Dense: depth completion from a camera and radar, trained with single LiDAR sweeps.",
    epilog="""examples:
  sparse_beats_dense demo
  sparse_beats_dense masks --root data/nuscenes --model transformers:NAME
  sparse_beats_dense fit --config apps/sparse_beats_dense/configs/nuscenes.yaml --data.root data/nuscenes
  sparse_beats_dense test --config apps/sparse_beats_dense/configs/nuscenes.yaml \\
      --data.root data/nuscenes --ckpt_path model.ckpt    (the authors' checkpoint, or ours)
  sparse_beats_dense predict --ckpt model.ckpt --root data/nuscenes --token SAMPLE_TOKEN
  sparse_beats_dense export --ckpt model.ckpt --out depth.pt2""",
    own={
        "predict": command_of("sparse_beats_dense.predict", "depth of one picture and its radar file"),
        "masks": command_of(
            "sparse_beats_dense.make_masks", "segment the pictures of a tree: the masks that training needs"
        ),
        "export": command_of(
            "sparse_beats_dense.export", "write the inference path as one file that runs without this code"
        ),
    },
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())
