"""What an evaluation returns: figures per cap, image and range, and their forms for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from evaluators._report import JsonValue, fields_json, finite_json
from evaluators._validation import require_choice
from evaluators.depth import _text
from evaluators.depth._sums import COLUMNS, NONPOSITIVE, N, figures, pooled
from evaluators.depth.protocol import Aggregate, DepthProtocol, cap_name
from evaluators.page import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthCounts:
    """How much was evaluated, and what was set aside. Per cap where it is a tuple."""

    n_frames: int
    n_pixels: tuple[int, ...]
    """Pixels with true depth that count."""
    n_empty: tuple[int, ...]
    """Images without such pixels; they are left out of the mean over images."""
    n_nonpositive: tuple[int, ...]
    """Counted pixels whose prediction, filled and clamped as asked for, is zero or less."""
    n_filled: int
    """Counted pixels that got their prediction from `fill`."""
    n_dropped: int
    """Pixels with an invalid number, left out because `on_invalid` was "drop"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeBin:
    """The errors of all pixels whose true depth lies in (from_m, to_m]; NaN in an empty bin."""

    from_m: float
    to_m: float
    n_pixels: int
    mae_m: float
    rmse_m: float
    bias_m: float
    """mean (p - g): positive where the prediction is too far."""
    abs_rel: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthResult:
    """The evaluation of one set of images under one protocol."""

    protocol: DepthProtocol
    caps_m: tuple[float, ...]
    frames: tuple[str, ...]
    """In sorted order, the order of the rows of `per_image` and `stripes_per_image`."""
    per_image: Mapping[float, Float64[np.ndarray, "images metrics"]]
    """By cap, columns as in `protocol.metrics`; NaN for an image without counted pixels."""
    image_mean: Mapping[float, Mapping[str, float]]
    """By cap and metric: the plain mean over the images that have counted pixels."""
    pixel_mean: Mapping[float, Mapping[str, float]]
    """By cap and metric: over the pixels of all images together."""
    ranges: tuple[RangeBin, ...]
    """All pixels by true depth, whatever the caps."""
    row_ripple: float
    """Mean over images, NaN if not measured; see `evaluators.depth.row_ripple`."""
    beam_contrast: float
    """Mean over images of the absolute contrast; see `evaluators.depth.beam_contrast`."""
    stripes_per_image: Float64[np.ndarray, "images 2"]
    """Ripple and signed beam contrast; NaN where it cannot be told."""
    counts: DepthCounts

    def value(
        self, metric: str, *, cap_m: float | int | None = None, aggregate: Aggregate = "image"
    ) -> float:
        """Return one figure; NaN if no pixel counts or the figure is undefined (see the notes).

        Args:
            cap_m: One of `caps_m`; the largest if None.
            aggregate: "image" is what the public tools print.

        Raises:
            ValueError: A metric or cap that was not evaluated.
        """
        require_choice(aggregate, Aggregate, name="aggregate")
        cap = self.caps_m[-1] if cap_m is None else float(cap_m)
        if cap not in self.caps_m:
            raise ValueError(f"cap_m must be one of {list(self.caps_m)}, got {cap_m}")
        if metric not in self.protocol.metrics:
            raise ValueError(f"{self.protocol.name} has {', '.join(self.protocol.metrics)}; got {metric!r}")
        return (self.image_mean if aggregate == "image" else self.pixel_mean)[cap][metric]

    def evaluated(self, cap_m: float | int) -> bool:
        """Return whether any pixel counts up to that cap."""
        return self.counts.n_pixels[self.caps_m.index(float(cap_m))] > 0

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        return _text.notes(self)

    def table(self) -> str:
        """Return the figures as text in the units of the KITTI leaderboard, the range table and the notes."""
        return _text.table(self)

    def sections(self) -> list[Section]:
        """Return the figures as tables and a chart for a page."""
        return _text.sections(self)

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes; what is not a number is None."""
        caps: dict[str, JsonValue] = {
            cap_name(cap): {
                "evaluated": self.evaluated(cap),
                "n_pixels": self.counts.n_pixels[index],
                "n_empty_images": self.counts.n_empty[index],
                "n_nonpositive": self.counts.n_nonpositive[index],
                "image": dict(self.image_mean[cap]),
                "pixel": dict(self.pixel_mean[cap]),
                "per_image": [
                    dict(zip(self.protocol.metrics, row, strict=True)) for row in self.per_image[cap].tolist()
                ],
            }
            for index, cap in enumerate(self.caps_m)
        }
        ripples, contrasts = self.stripes_per_image.T.tolist()
        report: dict[str, JsonValue] = {
            "protocol": {"name": self.protocol.name, "version": self.protocol.version},
            "counts": {
                "n_frames": self.counts.n_frames,
                "n_filled": self.counts.n_filled,
                "n_dropped": self.counts.n_dropped,
            },
            "notes": list(self.notes()),
            "frames": list(self.frames),
            "caps": caps,
            "ranges": list(map(fields_json, self.ranges)),
            "stripes": {
                "row_ripple": self.row_ripple,
                "beam_contrast": self.beam_contrast,
                "row_ripple_per_image": ripples,
                "beam_contrast_per_image": contrasts,
            },
        }
        return {name: finite_json(value) for name, value in report.items()}


def summarize(
    protocol: DepthProtocol,
    *,
    frames: tuple[str, ...],
    caps_m: tuple[float, ...],
    range_edges_m: tuple[float, ...],
    edges_m: Float64[np.ndarray, " bands"],
    sums: Float64[np.ndarray, "images bands columns"],
    stripes: Float64[np.ndarray, "images 2"],
    counts: tuple[int, int],
) -> DepthResult:
    """Return the result of images in sorted order; `counts` are dropped and filled pixels."""
    per_image: dict[float, np.ndarray] = {}
    image_mean: dict[float, dict[str, float]] = {}
    pixel_mean: dict[float, dict[str, float]] = {}
    totals: list[np.ndarray] = []
    names = protocol.metrics
    for cap in caps_m:
        by_image = np.stack([pooled(image[edges_m <= cap]) for image in sums])
        rows = np.stack([figures(row, names) for row in by_image])
        full = by_image[:, N] > 0
        mean = rows[full].mean(axis=0) if full.any() else np.full(len(names), np.nan)
        total = pooled(by_image)
        per_image[cap] = rows
        image_mean[cap] = dict(zip(names, mean.tolist(), strict=True))
        pixel_mean[cap] = dict(zip(names, figures(total, names).tolist(), strict=True))
        totals.append(np.append(total, np.count_nonzero(~full)))
    return DepthResult(
        protocol=protocol,
        caps_m=caps_m,
        frames=frames,
        per_image=per_image,
        image_mean=image_mean,
        pixel_mean=pixel_mean,
        ranges=_ranges(range_edges_m, edges_m, sums),
        row_ripple=_known_mean(stripes[:, 0]),
        beam_contrast=_known_mean(np.abs(stripes[:, 1])),
        stripes_per_image=stripes,
        counts=DepthCounts(
            n_frames=len(frames),
            n_pixels=tuple(int(total[N]) for total in totals),
            n_empty=tuple(int(total[-1]) for total in totals),
            n_nonpositive=tuple(int(total[NONPOSITIVE]) for total in totals),
            n_dropped=counts[0],
            n_filled=counts[1],
        ),
    )


def _ranges(range_edges_m: tuple[float, ...], edges_m: np.ndarray, sums: np.ndarray) -> tuple[RangeBin, ...]:
    ends = [*range_edges_m, *([] if np.isinf(range_edges_m[-1]) else [float("inf")])]
    bins: list[RangeBin] = []
    for near, far in zip([0.0, *ends], ends, strict=False):
        inside = (edges_m > near) & (edges_m <= far)
        total = pooled(sums[:, inside].reshape(-1, len(COLUMNS)))
        mae, rmse, rel = figures(total, ("mae_m", "rmse_m", "abs_rel")).tolist()
        bias = float(total[COLUMNS.index("error")] / total[N]) if total[N] else float("nan")
        bins.append(
            RangeBin(
                from_m=near,
                to_m=far,
                n_pixels=int(total[N]),
                mae_m=mae,
                rmse_m=rmse,
                bias_m=bias,
                abs_rel=rel,
            )
        )
    return tuple(bins)


def _known_mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
