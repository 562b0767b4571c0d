"""`cluster3dseg`: train, evaluate and apply the networks, and hand results in."""

from __future__ import annotations

import sys

from fusion3d_appkit.commands import Program, command_of

PROGRAM = Program(
    name="cluster3dseg",
    about="Cluster3DSeg: a class for every LiDAR point, by SPVNAS, SPVCNN or MinkUNet, with clusters.",
    epilog="""examples:
  cluster3dseg demo
  cluster3dseg fit --config apps/cluster3dseg/configs/semantickitti.yaml --data.root data/semantickitti
  cluster3dseg test --config apps/cluster3dseg/configs/semantickitti.yaml \\
      --data.root data/semantickitti --ckpt_path model.ckpt    (ours, or the authors')
  cluster3dseg predict --ckpt model.ckpt --scans my_scans/
  cluster3dseg submit --ckpt model.ckpt --root data/semantickitti --out submission.zip""",
    own={
        "predict": command_of(
            "cluster3dseg.predict", "a class for every point of any scan, or of a folder of them"
        ),
        "submit": command_of("cluster3dseg.submit", "label the test sequences, pack and check the archive"),
    },
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())
