"""The evaluation itself: one call on arrays, or a class that collects samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from evaluators._evaluator import FrameEvaluator, Layout
from evaluators._pairs import update_all
from evaluators._validation import Missing, OnInvalid, require_choice
from evaluators.nuscenes._checks import check_names, check_surroundings, checked
from evaluators.nuscenes._packing import COUNT_COLUMNS, VALUE_COLUMNS, PackedSample, Packer
from evaluators.nuscenes.boxes import NuscenesBoxes, NuscenesSample
from evaluators.nuscenes.protocol import DETECTION_CVPR_2019, NuscenesProtocol
from evaluators.nuscenes.result import NuscenesCounts, NuscenesResult
from evaluators.state import State

_SIDES = ("gt", "pred")
_ROWS = tuple(f"{side}_{kind}" for side in _SIDES for kind in ("codes", "values"))
_LAYOUT: Layout = {
    "lengths": ("i", ("frames", 2)),
    "counts": ("i", ("frames", len(COUNT_COLUMNS))),
    **{f"{side}_codes": ("i", (side, 2)) for side in _SIDES},
    **{f"{side}_values": ("f", (side, VALUE_COLUMNS)) for side in _SIDES},
}


def evaluate(
    gt: Mapping[str, NuscenesSample],
    pred: Mapping[str, NuscenesBoxes],
    *,
    protocol: NuscenesProtocol = DETECTION_CVPR_2019,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
) -> NuscenesResult:
    """Return mAP, NDS and everything behind them for `pred` against `gt`, both by sample token.

    Follows the official development kit exactly: filters (class range, ground truth without points, bicycle
    racks), nearest free ground truth by centre distance, 101 recall positions. float64 throughout. Of equal
    scores the later goes first, in the order of `pred` and of its rows, as in the kit.

    Args:
        missing: What to do with samples of `gt` that `pred` lacks.
        on_invalid: What to do with a row that holds a NaN (a velocity of ground truth may), a size that is
            not positive, a quaternion whose length is not 1 (within 0.01), or a score below 0. A protocol
            with `accepts="devkit"` takes predictions as the official kit takes them.

    Raises:
        ValueError: No samples; samples that `gt` lacks; missing samples; more boxes than allowed; unknown
            classes or attributes, also under "drop"; invalid rows; detections without score.

    Example:
        >>> from evaluators.nuscenes import NuscenesBoxes, NuscenesSample, rotation_from_yaw
        >>> car = NuscenesBoxes.predictions(
        ...     ["car"], translation=[[10, 2, 1]], size_wlh=[[1.9, 4.5, 1.6]],
        ...     rotation=rotation_from_yaw([0.1]), velocity=[[0, 0]], score=[0.8],
        ...     attributes=["vehicle.parked"],
        ... )
        >>> sample = NuscenesSample(boxes=car)
        >>> result = evaluate({"a": sample, "b": sample}, {"a": car, "b": car})
        >>> round(result.ap("car"), 6), round(result.mean_ap, 6), result.tp_error("car", "trans_err")
        (1.0, 0.1, 0.0)
    """
    evaluator = NuscenesEvaluator(protocol=protocol, on_invalid=on_invalid)
    nothing = "give NuscenesBoxes.empty() where nothing was found"
    update_all(evaluator, gt, pred, missing=missing, nothing=nothing)
    return evaluator.compute(order=[*pred, *(token for token in gt if token not in pred)])


class NuscenesEvaluator(FrameEvaluator):
    """Collects samples, on one process or many, and evaluates them together.

    Only the rows that count are kept, about 90 bytes each. Samples are put in the order of their tokens
    before anything is counted: neither the order of updates nor the split over processes changes a digit.
    Instances can be pickled, to be merged elsewhere.

    Example:
        >>> evaluator = NuscenesEvaluator()
        >>> evaluator.update("a", NuscenesSample(boxes=NuscenesBoxes.empty()), NuscenesBoxes.empty())
        >>> evaluator.compute().mean_ap
        0.0
    """

    def __init__(
        self, *, protocol: NuscenesProtocol = DETECTION_CVPR_2019, on_invalid: OnInvalid = "error"
    ) -> None:
        require_choice(on_invalid, OnInvalid, name="on_invalid")
        self._protocol = protocol
        self._on_invalid: OnInvalid = on_invalid
        self._packer = Packer(protocol)
        self.reset()

    def update(self, frame_id: str, gt: NuscenesSample, pred: NuscenesBoxes | None) -> None:
        """Add one sample; `pred` None is a sample without predictions, counted as missing, taken as empty.

        Raises:
            ValueError: The sample is there already; detections without score or too many of them; unknown
                names; an invalid row (policy "error").
        """
        self._require_new(frame_id)
        where = f"frame {frame_id!r}"
        check_surroundings(gt, where=where)
        # Scores of ground truth mean nothing; with them its velocities could not be unknown.
        true = gt.boxes if gt.boxes.score is None else replace(gt.boxes, score=None)
        check_names(true, self._protocol, where=f"{where}, ground truth", is_gt=True)
        kept_gt = checked(true, self._on_invalid, where=f"{where}, ground truth")
        kept_pred = None if pred is None else self._checked_predictions(pred, where=f"{where}, predictions")
        # What is too far away to be squared is out of range.
        with np.errstate(over="ignore"):
            packed = self._packer.pack(gt, kept_gt, kept_pred)
        packed.counts[COUNT_COLUMNS.index("n_dropped_gt")] = len(true) - len(kept_gt)
        packed.counts[COUNT_COLUMNS.index("n_dropped_pred")] = len(pred or ()) - len(kept_pred or ())
        self._frames[frame_id] = packed

    def _checked_predictions(self, pred: NuscenesBoxes, *, where: str) -> NuscenesBoxes:
        if pred.score is None:
            raise ValueError(f"{where} have no score; build them with NuscenesBoxes.predictions")
        check_count(pred, self._protocol, where=where)
        check_names(pred, self._protocol, where=where, is_gt=False)
        return checked(pred, self._on_invalid, where=where, accepts=self._protocol.accepts)

    def reset(self) -> None:
        """Forget all samples."""
        self._frames: dict[str, PackedSample] = {}

    def compute(self, *, order: Sequence[str] | None = None) -> NuscenesResult:
        """Return the scores of all samples so far. Cost: about two seconds for the validation split.

        Args:
            order: All sample tokens, in the order that decides between equal scores (the later goes first);
                the official kit takes the order in the submission file. Sorted tokens if None.

        Raises:
            ValueError: No samples; `order` does not name each sample once.
        """
        from evaluators.nuscenes._matching import count_ties, curves

        self._require_frames()
        tokens = sorted(self._frames) if order is None else list(order)
        if len(tokens) != len(self._frames) or set(tokens) != self._frames.keys():
            raise ValueError(
                f"order must name each of the {len(self._frames)} frames once, got {len(tokens)} names"
            )
        samples = [self._frames[token] for token in tokens]
        totals = np.sum([sample.counts for sample in samples], axis=0).tolist()
        counts = dict(zip(COUNT_COLUMNS, totals, strict=True))
        return NuscenesResult(
            protocol=self._protocol,
            curves=curves(samples, self._protocol),
            counts=NuscenesCounts(n_frames=len(samples), n_tied_scores=count_ties(samples), **counts),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far, for `merge_state` of one with the same configuration."""
        tokens = sorted(self._frames)
        samples = [self._frames[token] for token in tokens]
        lengths = [[len(sample.gt_codes), len(sample.pred_codes)] for sample in samples]
        no_codes, no_values = np.empty((0, 2), dtype=np.int64), np.empty((0, VALUE_COLUMNS))
        return {
            "settings": np.array(self._settings()),
            "frames": np.array(tokens, dtype=np.str_),
            "lengths": np.array(lengths, dtype=np.int64).reshape(len(samples), 2),
            "counts": np.array([s.counts for s in samples], dtype=np.int64).reshape(-1, len(COUNT_COLUMNS)),
            "gt_codes": np.concatenate([no_codes, *(sample.gt_codes for sample in samples)]),
            "gt_values": np.concatenate([no_values, *(sample.gt_values for sample in samples)]),
            "pred_codes": np.concatenate([no_codes, *(sample.pred_codes for sample in samples)]),
            "pred_values": np.concatenate([no_values, *(sample.pred_values for sample in samples)]),
        }

    def merge_state(self, state: State) -> None:
        """Add what the `state()` of an evaluator with the same configuration holds.

        Raises:
            ValueError: It is not such a state, has another configuration, or holds a sample that is here too.
        """
        tokens = self._checked_frames(state, _LAYOUT)
        lengths = state["lengths"]
        if (lengths < 0).any() or lengths.sum(axis=0).tolist() != [len(state[f"{s}_codes"]) for s in _SIDES]:
            raise ValueError("the arrays of the state do not belong together; save it anew")
        ends = np.cumsum(lengths, axis=0)[:-1]
        rows = {name: np.split(state[name], ends[:, name.startswith("pred") * 1]) for name in _ROWS}
        for at, token in enumerate(tokens):
            columns = {name: rows[name][at] for name in _ROWS}
            self._frames[token] = PackedSample(counts=state["counts"][at], **columns)

    def _settings(self) -> str:
        return json.dumps(asdict(self._protocol), sort_keys=True)


def check_count(pred: NuscenesBoxes, protocol: NuscenesProtocol, *, where: str) -> None:
    """Refuse more boxes than the protocol lets into one sample."""
    if len(pred) > protocol.max_boxes_per_sample:
        raise ValueError(
            f"{where}: {len(pred)} boxes, at most {protocol.max_boxes_per_sample} are allowed;"
            " keep those with the highest scores"
        )
