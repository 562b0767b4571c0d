"""`cluster3dseg submit`: label the test sequences, pack the labels, check the archive; resumable."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fusion3d_appkit.files import write_text
from fusion3d_appkit.weights import add_weights_options, require_weights

MADE_BY = "made_by.json"


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="cluster3dseg submit",
        description="Label the scans of sequences 11 to 21, one file each in the layout of the benchmark, "
        "pack them into an archive for its server, and check that. Labels that are there are kept, so an "
        "interrupted run goes on when it is repeated, and ends with the same archive.",
    )
    add_weights_options(options, app="cluster3dseg")
    options.add_argument("--root", type=Path, required=True, help="folder that holds sequences/11 to 21")
    options.add_argument(
        "--out", type=Path, default=Path("runs/submit/submission.zip"), help="archive (.zip)"
    )
    options.add_argument("--labels", type=Path, help="folder of the labels (default: beside the archive)")
    options.add_argument(
        "--votes", type=int, default=1, choices=(1, 4, 12), help="views of a scan (default 1)"
    )
    options.add_argument("--device", default="cpu", help="of torch, such as cuda (default %(default)s)")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status, 1 if the archive is not ready to hand in."""
    chosen = parser().parse_args(arguments)
    require_weights(chosen.ckpt, config=chosen.config)
    if chosen.out.suffix != ".zip":
        raise ValueError(f"--out {chosen.out}: expected a name that ends in .zip")
    if not (chosen.root / "sequences").is_dir():
        raise FileNotFoundError(f"--root {chosen.root}: holds no sequences/")
    labels = chosen.out.with_suffix("") if chosen.labels is None else chosen.labels
    require_same_maker(labels, chosen.ckpt, chosen.config, chosen.votes)

    from datasets3d.segmentation import VIEWS
    from evaluators.semantickitti import check_submission, zip_submission

    from cluster3dseg.evaluation import map_of
    from cluster3dseg.weights import WEIGHTS

    loaded = WEIGHTS.load_model(chosen.ckpt, config=chosen.config)
    network, reading = loaded.model.to(chosen.device), loaded.inputs
    reading.require_classes(network.config.class_names)
    made = label_scans(network, reading, chosen.root, labels, views=VIEWS[chosen.votes])
    packed = zip_submission(labels, chosen.out)
    report = check_submission(chosen.out, dataset=chosen.root, task=map_of(reading.table))
    sys.stdout.write(f"{made} scans labelled, {packed} packed into {chosen.out}\n{report.table()}\n")
    return 0 if report.ok else 1


def require_same_maker(labels: Path, ckpt: Path, config: Path | None, votes: int) -> None:
    """Note in a folder of labels what makes them; refuse one whose labels were made by something else.

    Raises:
        ValueError: They were made by other weights, another configuration or another number of votes.
    """
    maker = {
        "weights_sha256": hashlib.sha256(ckpt.read_bytes()).hexdigest(),
        "config_sha256": None if config is None else hashlib.sha256(config.read_bytes()).hexdigest(),
        "votes": votes,
    }
    note = labels / MADE_BY
    if not note.is_file():
        write_text(note, json.dumps(maker))
    elif json.loads(note.read_text()) != maker:
        raise ValueError(
            f"{labels}: holds labels made by other weights, another configuration or other --votes; name "
            "another folder as --labels, or delete it"
        )


def label_scans(network, reading, root: Path, labels: Path, *, views) -> int:
    """Write a label file for every test scan that has none; return how many were missing."""
    from datasets3d.semantickitti import label_path, write_labels
    from tqdm import tqdm

    from cluster3dseg.inference import classes_of_points

    scans = reading.scans(root, "test")
    missing = [
        index
        for index, frame_id in enumerate(scans.frame_ids)
        if not label_path(labels, frame_id, kind="predictions").is_file()
    ]
    for index in tqdm(missing, desc="scans", unit="scan"):
        scan = scans[index]
        found = classes_of_points(network, scan, reading.sampling, views=views)
        raw = scans.table.raw_ids(found[: len(scans.points(scan.frame_id))])
        write_labels(label_path(labels, scan.frame_id, kind="predictions"), raw)
    return len(missing)
