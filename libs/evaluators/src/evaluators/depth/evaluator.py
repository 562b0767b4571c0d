"""The evaluation itself: one call on arrays, or a class that collects images."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real

from evaluators._evaluator import FrameEvaluator, Layout
from evaluators._validation import OnInvalid, first_names, require_choice
from evaluators.depth._sums import COLUMNS
from evaluators.depth.protocol import DELTAS, PROTOCOLS, RANGE_EDGES_M, DepthProtocol, Fill
from evaluators.depth.result import DepthResult, summarize
from evaluators.depth.stripes import beam_contrast, row_ripple
from evaluators.state import State


def evaluate(
    gt: Mapping[str, Real[np.ndarray, "_ _"]],
    pred: Mapping[str, Real[np.ndarray, "_ _"]],
    *,
    protocol: str = "kitti-devkit",
    caps_m: Sequence[float | int] | None = None,
    fill: Fill = "none",
    clamp_min_m: float | int | None = None,
    masks: Mapping[str, Bool[np.ndarray, "_ _"]] | None = None,
    on_invalid: OnInvalid = "error",
) -> DepthResult:
    """Return the depth errors of `pred` against `gt`, both by image name, in metres.

    True depth 0 is "none"; only pixels with true depth count. float64 throughout.
    Cost: about 3 ms for an image of KITTI's size, and 10 ms for its stripes.

    Args:
        protocol: "kitti-devkit" (all figures, no cap), "sparse-beats-dense" (MAE and RMSE up to 50, 70, 80 m)
            or "nlspn"; see `PROTOCOLS`.
        caps_m: Largest true depths that count, several at once; those of the protocol if None.
        fill: "none" compares predictions as they are. "kitti" fills pixels without prediction as the KITTI
            kit does before it compares (see `fill_kitti`); what it leaves open counts as depth -1 m.
        clamp_min_m: Raise every prediction to at least this, for all figures; after filling.
        masks: Images with a mask count only where it is True.
        on_invalid: A NaN, an infinity or a negative true depth: refuse it, or leave the pixel out and count
            it.

    Raises:
        ValueError: No images; names that differ; shapes that differ; invalid pixels; predictions of zero or
            less where a figure of the protocol is undefined for them.

    Example:
        >>> gt = {"a": np.array([[10.0, 0.0, 40.0]])}
        >>> result = evaluate(gt, {"a": np.array([[11.0, 5.0, 38.0]])})
        >>> result.value("mae_m")
        1.5
    """
    if gt.keys() != pred.keys():
        only_gt, only_pred = gt.keys() - pred.keys(), pred.keys() - gt.keys()
        raise ValueError(
            f"gt and pred must hold the same frames; only in gt: {first_names(only_gt) or 'none'};"
            f" only in pred: {first_names(only_pred) or 'none'}"
        )
    unknown = (masks or {}).keys() - gt.keys()
    if unknown:
        raise ValueError(f"masks for frames that gt lacks: {first_names(unknown)}")
    evaluator = DepthEvaluator(
        protocol=protocol, caps_m=caps_m, fill=fill, clamp_min_m=clamp_min_m, on_invalid=on_invalid
    )
    for name, depth in gt.items():
        evaluator.update(name, depth, pred[name], mask=None if masks is None else masks.get(name))
    return evaluator.compute()


@dataclass(frozen=True, slots=True)
class _Image:
    sums: Float64[np.ndarray, "bands columns"]
    stripes: Float64[np.ndarray, " 2"]
    n_dropped: int
    n_filled: int


class DepthEvaluator(FrameEvaluator):
    """Collects images, on one process or many, and evaluates them together.

    Only sums per image and band of depth are kept (some 2 kB an image). Images are taken in the order of
    their names: neither the order of updates nor the split over processes changes a digit. Can be pickled.

    The arguments are those of `evaluate`, and:
        range_edges_m: Upper ends of the bins of the range table.
        stripes: Also measure stripes, see `row_ripple` and `beam_contrast`; most of the time.

    Example:
        >>> evaluator = DepthEvaluator(protocol="sparse-beats-dense", caps_m=(50, 80))
        >>> evaluator.update("a", np.full((4, 5), 60.0), np.full((4, 5), 61.0))
        >>> result = evaluator.compute()
        >>> result.value("mae_m", cap_m=80), result.counts.n_empty
        (1.0, (1, 0))
    """

    def __init__(
        self,
        *,
        protocol: str = "kitti-devkit",
        caps_m: Sequence[float | int] | None = None,
        fill: Fill = "none",
        clamp_min_m: float | int | None = None,
        on_invalid: OnInvalid = "error",
        range_edges_m: Sequence[float | int] = RANGE_EDGES_M,
        stripes: bool = True,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {', '.join(map(repr, PROTOCOLS))}, got {protocol!r}")
        require_choice(fill, Fill, name="fill")
        require_choice(on_invalid, OnInvalid, name="on_invalid")
        if clamp_min_m is not None and not 0.0 < clamp_min_m < math.inf:
            raise ValueError(f"clamp_min_m must be a positive number of metres, got {clamp_min_m}")
        self._protocol: DepthProtocol = PROTOCOLS[protocol]
        self._caps_m = _depths(self._protocol.caps_m if caps_m is None else caps_m, "caps_m")
        self._ranges_m = _depths(range_edges_m, "range_edges_m")
        self._edges_m = np.union1d(np.union1d(self._caps_m, self._ranges_m), [math.inf])
        self._fill: Fill = fill
        self._clamp_min_m = clamp_min_m
        self._on_invalid: OnInvalid = on_invalid
        self._stripes = stripes
        self.reset()

    def update(
        self,
        frame_id: str,
        gt: Real[np.ndarray, "_ _"],
        pred: Real[np.ndarray, "_ _"],
        *,
        mask: Bool[np.ndarray, "_ _"] | None = None,
    ) -> None:
        """Add one image, in metres; true depth 0 is none. Arrays are not changed and not kept.

        Raises:
            ValueError: The image is there already, or see `evaluate`.
        """
        from evaluators.depth import _kernels

        self._require_new(frame_id)
        if gt.ndim != 2 or pred.shape != gt.shape or (mask is not None and mask.shape != gt.shape):
            shapes = [list(array.shape) for array in (gt, pred, mask) if array is not None]
            raise ValueError(f"frame {frame_id!r}: gt, pred and mask must be equal [h, w], got {shapes}")
        true = np.ascontiguousarray(gt, dtype=np.float64)
        guess = np.ascontiguousarray(pred, dtype=np.float64)
        if mask is not None:
            true = np.where(mask, true, 0.0)
        true, guess, n_dropped = self._clean(frame_id, true, guess)
        counts = true > self._protocol.min_gt_m
        n_filled = 0
        if self._fill == "kitti":
            filled = fill_kitti(guess)
            n_filled = int(np.count_nonzero(counts & ~(guess > 0) & (filled > 0)))
            guess = filled
        if self._clamp_min_m is not None:
            guess = np.maximum(guess, self._clamp_min_m)
        elif self._fill == "none" and self._protocol.needs_positive:
            _require_positive(frame_id, counts, guess)
        protocol = self._protocol
        settings = (protocol.min_gt_m, protocol.epsilon, protocol.min_pred_m)
        sums = _kernels.pixel_sums(true, guess, self._edges_m, np.array(DELTAS), settings)
        stripes = _stripes(true, guess) if self._stripes else np.full(2, np.nan)
        self._frames[frame_id] = _Image(sums, stripes, n_dropped, n_filled)

    def reset(self) -> None:
        """Forget all images."""
        self._frames: dict[str, _Image] = {}

    def compute(self) -> DepthResult:
        """Return the figures of all images so far.

        Raises:
            ValueError: No images.
        """
        self._require_frames()
        names = sorted(self._frames)
        images = [self._frames[name] for name in names]
        return summarize(
            self._protocol,
            frames=tuple(names),
            caps_m=self._caps_m,
            range_edges_m=self._ranges_m,
            edges_m=self._edges_m,
            sums=np.stack([image.sums for image in images]),
            stripes=np.stack([image.stripes for image in images]),
            counts=(
                sum(image.n_dropped for image in images),
                sum(image.n_filled for image in images),
            ),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far: names and settings as text, the rest as numbers."""
        images = self._frames.values()
        bands = len(self._edges_m)
        return {
            "settings": np.array(self._settings()),
            "frames": np.array(list(self._frames), dtype=np.str_),
            "sums": np.array([image.sums for image in images]).reshape(-1, bands, len(COLUMNS)),
            "stripes": np.array([image.stripes for image in images]).reshape(-1, 2),
            "counts": np.array([[i.n_dropped, i.n_filled] for i in images], dtype=np.int64).reshape(-1, 2),
        }

    def merge_state(self, state: State) -> None:
        """Add what the `state()` of an evaluator with the same settings holds.

        Raises:
            ValueError: Other settings, an image that is there already, or not such a state.
        """
        per_band = ("frames", len(self._edges_m), len(COLUMNS))
        layout: Layout = {
            "sums": ("f", per_band),
            "stripes": ("f", ("frames", 2)),
            "counts": ("i", ("frames", 2)),
        }
        names = self._checked_frames(state, layout)
        for row, name in enumerate(names):
            dropped, filled = state["counts"][row].tolist()
            sums, stripes = state["sums"][row].copy(), state["stripes"][row].copy()
            self._frames[name] = _Image(sums, stripes, dropped, filled)

    def _settings(self) -> str:
        return json.dumps(
            {
                "protocol": f"{self._protocol.name} ({self._protocol.version})",
                "caps_m": self._caps_m,
                "range_edges_m": self._ranges_m,
                "fill": self._fill,
                "clamp_min_m": self._clamp_min_m,
                "on_invalid": self._on_invalid,
                "stripes": self._stripes,
            }
        )

    def _clean(
        self, frame_id: str, true: np.ndarray, guess: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return both maps with invalid pixels at 0 if the policy allows, and how many had true depth."""
        bad_true = ~(np.isfinite(true) & (true >= 0))
        bad = bad_true | ~np.isfinite(guess)
        if not bad.any():
            return true, guess, 0
        if self._on_invalid == "error":
            v, u = np.argwhere(bad)[0].tolist()
            what = "a finite true depth, 0 for none" if bad_true[v, u] else "a finite prediction"
            got = true[v, u] if bad_true[v, u] else guess[v, u]
            raise ValueError(
                f"frame {frame_id!r}, row {v}, column {u}: expected {what}, got {got};"
                " repair it, or leave such pixels out with on_invalid='drop'"
            )
        n_dropped = int(np.count_nonzero(bad & (true != 0)))
        return np.where(bad, 0.0, true), np.where(bad, 0.0, guess), n_dropped


def fill_kitti(depth: Real[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    """Return the map with its holes (values not above zero) filled as the KITTI depth kit does.

    In each row, a gap gets the smaller of the two depths beside it, and both ends the nearest depth of the
    row; then, in each column, the rows above the first and below the last depth get that depth. An empty row
    between others stays empty: -1.

    Example:
        >>> fill_kitti(np.array([[0.0, 5.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]])).tolist()
        [[5.0, 5.0, 3.0, 3.0, 3.0], [5.0, 5.0, 3.0, 3.0, 3.0]]
    """
    from evaluators.depth import _kernels

    filled = np.array(depth, dtype=np.float64, order="C")
    _kernels.fill_holes(filled)
    return filled


def _depths(values: Sequence[float | int], name: str) -> tuple[float, ...]:
    depths = tuple(float(value) for value in values)
    if not depths or sorted(set(depths)) != list(depths) or not depths[0] > 0:
        raise ValueError(f"{name} must be positive metres in ascending order, got {list(values)}")
    return depths


def _require_positive(frame_id: str, counts: np.ndarray, guess: np.ndarray) -> None:
    wrong = counts & ~(guess > 0)
    if wrong.any():
        v, u = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            f"frame {frame_id!r}: {np.count_nonzero(wrong)} of {np.count_nonzero(counts)} pixels with true"
            f" depth have no positive prediction (first: row {v}, column {u}, {guess[v, u]:g} m), for which"
            " inverse and log errors do not exist; fill holes with fill='kitti' (--fill kitti), or set a"
            " smallest depth with clamp_min_m (--clamp-min)"
        )


def _stripes(true: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return ripple and beam contrast, the ripple over the rows that have true depth."""
    rows = np.flatnonzero((true > 0).any(axis=1))
    if rows.size == 0:
        return np.full(2, np.nan)
    span = int(rows[0]), int(rows[-1]) + 1
    return np.array([row_ripple(guess, rows=span), beam_contrast(true, guess)])
