"""`sparse_beats_dense`: train, evaluate and apply the model. Sub-commands import the heavy libraries."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fusion3d_appkit.commands import Command, dispatch


def _train(command: str, arguments: Sequence[str]) -> int:
    from sparse_beats_dense.train import run

    return run(command, arguments)


def _predict(arguments: Sequence[str]) -> int:
    from sparse_beats_dense.predict import main as predict

    return predict(arguments)


def _demo(arguments: Sequence[str]) -> int:
    from sparse_beats_dense.demo import main as demo

    return demo(arguments)


def _masks(arguments: Sequence[str]) -> int:
    from sparse_beats_dense.make_masks import main as masks

    return masks(arguments)


def _export(arguments: Sequence[str]) -> int:
    from sparse_beats_dense.export import main as export

    return export(arguments)


COMMANDS = {
    "fit": Command("train; resumes from the last checkpoint of the run", lambda words: _train("fit", words)),
    "validate": Command(
        "evaluate a checkpoint on the validation frames", lambda words: _train("validate", words)
    ),
    "test": Command(
        "evaluate, write depth maps, metrics.json and report.html", lambda words: _train("test", words)
    ),
    "predict": Command("depth of one picture and its radar file", _predict),
    "masks": Command("segment the pictures of a tree: the masks that training needs", _masks),
    "export": Command("write the inference path as one file that runs without this code", _export),
    "demo": Command("make synthetic data, train minutes on a CPU, evaluate, draw the report", _demo),
}
ABOUT = "Sparse Beats Dense: depth completion from a camera and radar, trained with single LiDAR sweeps."
EPILOG = """examples:
  sparse_beats_dense demo
  sparse_beats_dense masks --root data/nuscenes --model transformers:NAME
  sparse_beats_dense fit --config apps/sparse_beats_dense/configs/nuscenes.yaml --data.root data/nuscenes
  sparse_beats_dense test --config apps/sparse_beats_dense/configs/nuscenes.yaml \\
      --data.root data/nuscenes --ckpt_path model.ckpt    (the authors' checkpoint, or ours)
  sparse_beats_dense predict --ckpt model.ckpt --root data/nuscenes --token SAMPLE_TOKEN
  sparse_beats_dense export --ckpt model.ckpt --out depth.pt2

`sparse_beats_dense COMMAND --help` lists the options of a command; --print_config prints the resolved
configuration."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    return dispatch("sparse_beats_dense", COMMANDS, about=ABOUT, epilog=EPILOG, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
