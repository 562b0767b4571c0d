"""The evaluation itself: one call on arrays, or a class that collects samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from evaluators._pairs import require_pairs
from evaluators._validation import Missing, OnInvalid, require_choice, require_disjoint, require_state
from evaluators.nuscenes._checks import check_names, check_surroundings, checked
from evaluators.nuscenes._packing import COUNT_COLUMNS, VALUE_COLUMNS, PackedSample, Packer
from evaluators.nuscenes.boxes import NuscenesBoxes, NuscenesSample
from evaluators.nuscenes.protocol import DETECTION_CVPR_2019, NuscenesConfig
from evaluators.nuscenes.result import NuscenesCounts, NuscenesResult
from evaluators.state import State


def evaluate(
    gt: Mapping[str, NuscenesSample],
    pred: Mapping[str, NuscenesBoxes],
    *,
    config: NuscenesConfig = DETECTION_CVPR_2019,
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
            not positive, a quaternion whose length is not 1 (within 0.01), or a score below 0.

    Raises:
        ValueError: No samples; samples that `gt` lacks; missing samples; more boxes than allowed; unknown
            classes or attributes, also under "drop"; invalid rows; detections without score.

    Example:
        >>> from evaluators.nuscenes import NuscenesBoxes, NuscenesSample, rotation_from_yaw
        >>> car = NuscenesBoxes.detections(
        ...     ["car"], translation=[[10, 2, 1]], size_wlh=[[1.9, 4.5, 1.6]],
        ...     rotation=rotation_from_yaw([0.1]), velocity=[[0, 0]], score=[0.8],
        ...     attributes=["vehicle.parked"],
        ... )
        >>> sample = NuscenesSample(boxes=car)
        >>> result = evaluate({"a": sample, "b": sample}, {"a": car, "b": car})
        >>> round(result.ap("car"), 6), round(result.mean_ap, 6), result.tp_error("car", "trans_err")
        (1.0, 0.1, 0.0)
    """
    require_pairs(
        gt.keys(),
        pred.keys(),
        missing=missing,
        kind="samples",
        nothing="give NuscenesBoxes.empty() where nothing was found",
    )
    evaluator = NuscenesEvaluator(config=config, on_invalid=on_invalid)
    for token, sample in gt.items():
        evaluator.update(token, sample, pred.get(token))
    return evaluator.compute(order=[*pred, *(token for token in gt if token not in pred)])


class NuscenesEvaluator:
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
        self, *, config: NuscenesConfig = DETECTION_CVPR_2019, on_invalid: OnInvalid = "error"
    ) -> None:
        require_choice(on_invalid, OnInvalid, name="on_invalid")
        self._config = config
        self._on_invalid: OnInvalid = on_invalid
        self._packer = Packer(config)
        self._samples: dict[str, PackedSample] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def update(self, sample_token: str, gt: NuscenesSample, pred: NuscenesBoxes | None) -> None:
        """Add one sample; `pred` None is a sample without predictions, counted as missing, taken as empty.

        Raises:
            ValueError: The sample is there already; detections without score or too many of them; unknown
                names; an invalid row (policy "error").
        """
        where = f"sample {sample_token!r}"
        if sample_token in self._samples:
            raise ValueError(f"{where} was added before; every sample counts once (see reset)")
        check_surroundings(gt, where=where)
        # Scores of ground truth mean nothing; with them its velocities could not be unknown.
        true = gt.boxes if gt.boxes.score is None else replace(gt.boxes, score=None)
        check_names(true, self._config, where=f"{where}, ground truth", is_gt=True)
        kept_gt = checked(true, self._on_invalid, where=f"{where}, ground truth")
        kept_pred = None if pred is None else self._checked_predictions(pred, where=f"{where}, predictions")
        # What is too far away to be squared is out of range.
        with np.errstate(over="ignore"):
            packed = self._packer.pack(gt, kept_gt, kept_pred)
        packed.counts[COUNT_COLUMNS.index("n_dropped_gt")] = len(true) - len(kept_gt)
        packed.counts[COUNT_COLUMNS.index("n_dropped_pred")] = len(pred or ()) - len(kept_pred or ())
        self._samples[sample_token] = packed

    def _checked_predictions(self, pred: NuscenesBoxes, *, where: str) -> NuscenesBoxes:
        if pred.score is None:
            raise ValueError(f"{where} have no score; build them with NuscenesBoxes.detections")
        check_count(pred, self._config, where=where)
        check_names(pred, self._config, where=where, is_gt=False)
        return checked(pred, self._on_invalid, where=where)

    def merge(self, other: NuscenesEvaluator) -> None:
        """Add all samples of `other`, for example from another process; `other` is left as it is.

        Raises:
            ValueError: Both hold the same sample, or follow different configurations.
        """
        if other._config != self._config:
            raise ValueError(
                f"cannot merge configuration {other._config.name!r} into {self._config.name!r}:"
                " make both evaluators with the same one"
            )
        self._add(other._samples)

    def reset(self) -> None:
        """Forget all samples."""
        self._samples.clear()

    def compute(self, *, order: Sequence[str] | None = None) -> NuscenesResult:
        """Return the scores of all samples so far. Cost: about two seconds for the validation split.

        Args:
            order: All sample tokens, in the order that decides between equal scores (the later goes first);
                the official kit takes the order in the submission file. Sorted tokens if None.

        Raises:
            ValueError: No samples; `order` does not name each sample once.
        """
        from evaluators.nuscenes._matching import count_ties, curves

        if not self._samples:
            raise ValueError("no samples to evaluate; add some with update(sample_token, gt, pred)")
        tokens = sorted(self._samples) if order is None else list(order)
        if len(tokens) != len(self._samples) or set(tokens) != self._samples.keys():
            raise ValueError(
                f"order must name each of the {len(self._samples)} samples once, got {len(tokens)} names"
            )
        samples = [self._samples[token] for token in tokens]
        totals = np.sum([sample.counts for sample in samples], axis=0).tolist()
        counts = dict(zip(COUNT_COLUMNS, totals, strict=True))
        return NuscenesResult(
            config=self._config,
            curves=curves(samples, self._config),
            counts=NuscenesCounts(n_samples=len(samples), n_tied_scores=count_ties(samples), **counts),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far, for `merge_state` of one with the same configuration."""
        tokens = sorted(self._samples)
        samples = [self._samples[token] for token in tokens]
        lengths = [[len(sample.gt_codes), len(sample.pred_codes)] for sample in samples]
        no_codes, no_values = np.empty((0, 2), dtype=np.int64), np.empty((0, VALUE_COLUMNS))
        return {
            "settings": np.array(_settings(self._config)),
            "sample_tokens": np.array(tokens, dtype=np.str_),
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
        self._add(_unpacked(state, self._config))

    def _add(self, samples: Mapping[str, PackedSample]) -> None:
        require_disjoint(self._samples, samples, kind="samples")
        self._samples.update(samples)


def check_count(pred: NuscenesBoxes, config: NuscenesConfig, *, where: str) -> None:
    """Refuse more boxes than the protocol lets into one sample."""
    if len(pred) > config.max_boxes_per_sample:
        raise ValueError(
            f"{where}: {len(pred)} boxes, at most {config.max_boxes_per_sample} are allowed;"
            " keep those with the highest scores"
        )


def _settings(config: NuscenesConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)


def _unpacked(state: State, config: NuscenesConfig) -> dict[str, PackedSample]:
    _check_state(state, config)
    ends = np.cumsum(state["lengths"], axis=0)
    rows = {kind: np.split(state[kind], ends[:-1, kind.startswith("pred") * 1]) for kind in _ROWS}
    tokens: list[str] = state["sample_tokens"].tolist()
    return {
        token: PackedSample(counts=state["counts"][at], **{kind: rows[kind][at] for kind in _ROWS})
        for at, token in enumerate(tokens)
    }


_ROWS = ("gt_codes", "gt_values", "pred_codes", "pred_values")


def _check_state(state: State, config: NuscenesConfig) -> None:
    arrays = ("sample_tokens", "lengths", "counts", *_ROWS)
    require_state(state, owner="NuscenesEvaluator", settings=_settings(config), arrays=arrays)
    count = len(state["sample_tokens"])
    lengths = state["lengths"]
    fits = lengths.shape == (count, 2) and state["counts"].shape == (count, len(COUNT_COLUMNS))
    fits = fits and bool((lengths >= 0).all())
    if fits:
        n_gt, n_pred = lengths.sum(axis=0).tolist()
        shapes = ((n_gt, 2), (n_gt, VALUE_COLUMNS), (n_pred, 2), (n_pred, VALUE_COLUMNS))
        fits = all(state[kind].shape == shape for kind, shape in zip(_ROWS, shapes, strict=True))
    if not fits or len(set(state["sample_tokens"].tolist())) != count:
        raise ValueError("the arrays of the state do not belong together; save it anew")
