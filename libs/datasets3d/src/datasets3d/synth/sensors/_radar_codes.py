"""The verdicts that an ARS 408 attaches to its returns: what moves, what may be false, how exact it is.

The meanings are those of the sensor's interface description, as the official nuScenes kit lists them; how
often and with what each occurs is fitted to the one real file at hand.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from datasets3d.synth.sensors._echoes import beside_stronger
from datasets3d.synth.sensors.radar_config import RadarConfig, RadarScanConfig

_VALID, _UNCONFIRMED, _LOW_RCS, _OUTSIDE, _CHILD, _FIFTY_DEGREES = 0, 3, 4, 7, 9, 10
_NO_MAXIMUM, _ARTEFACT, _ABOVE_95_M, _MULTI_TARGET = 11, 12, 15, 16
"""`invalid_state`."""
_MOVING, _STATIONARY, _ONCOMING, _CANDIDATE, _UNKNOWN, _CROSSING, _STOPPED = 0, 1, 2, 3, 4, 6, 7
"""`dyn_prop`; 5, crossing and then stationary, needs a past and does not occur."""
_MOVING_M_S = 0.5
"""Speed over ground from which a return moves (our choice: twice the grid of the speeds)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """N returns of one scan by range, as measured, and what else the verdicts depend on."""

    range_m: Float64[np.ndarray, " n"]
    azimuth_rad: Float64[np.ndarray, " n"]
    over_ground_m_s: Float64[np.ndarray, " n"]
    """Radial speed freed of the car's own; positive away from the sensor."""
    rcs_dbsm: Float64[np.ndarray, " n"]
    margin_db: Float64[np.ndarray, " n"]
    """Over the limit of detection."""
    mirrored: Bool[np.ndarray, " n"]
    velocity: Float64[np.ndarray, "n 2"]
    """True velocity over ground of what returned it, radar frame."""
    is_vehicle: Bool[np.ndarray, " n"]


def codes(
    judged: Judged, *, config: RadarConfig, scan: RadarScanConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The columns `dyn_prop` to `vy_rms` that are codes."""
    count = len(judged.range_m)
    state = _states(judged, config=config, scan=scan, rng=rng)
    unknown = state == _OUTSIDE
    doubtful = rng.random(count) < np.select([state == _VALID, state == _MULTI_TARGET], [0.09, 0.15], 0.0)
    doubtful |= np.isin(state, [_LOW_RCS, _CHILD, _FIFTY_DEGREES, _NO_MAXIMUM, _ARTEFACT])
    pdh0 = np.select([unknown | (state == _UNCONFIRMED), doubtful], [6, 3], 1)
    motion = _motions(judged, doubtful=doubtful, config=config, rng=rng)
    moves = np.isin(motion, [_MOVING, _ONCOMING])
    ambiguous = moves & (judged.margin_db < 3) & (rng.random(count) < 0.5)
    x_rms, y_rms = _place_deviations(judged, is_far=scan is config.far)
    measured = {
        "x_rms": rms_code(x_rms),
        "y_rms": rms_code(y_rms),
        # The real file's codes are those of the speed's grid, 0.25 m/s, over the cosine of the azimuth.
        "vx_rms": rms_code(0.25 / np.maximum(np.cos(judged.azimuth_rad), 0.1)),
        "vy_rms": np.full(count, 3),
        "ambig_state": np.where(ambiguous, 1, 3),
    }
    return {
        "dyn_prop": np.where(unknown, _UNKNOWN, motion),
        "invalid_state": state,
        "pdh0": pdh0,
        "is_quality_valid": np.ones(count),
        **{name: np.where(unknown, 0, column) for name, column in measured.items()},
    }


def rms_code(deviation: Float64[np.ndarray, " n"]) -> np.ndarray:
    """The sensor's code 0..30 of a standard deviation: 0 up to 0.005, 30 up to 10, in equal ratios.

    Example:
        >>> rms_code(np.array([0.25, 0.55, 100.0])).tolist()
        [16, 19, 30]
    """
    steps = 30 * np.log(np.maximum(deviation, 1e-9) / 0.005) / np.log(10 / 0.005)
    return np.clip(np.ceil(steps), 0, 30).astype(np.int64)


def _states(
    judged: Judged, *, config: RadarConfig, scan: RadarScanConfig, rng: np.random.Generator
) -> np.ndarray:
    """`invalid_state`: the first reason that applies."""
    count, is_far = len(judged.range_m), scan is config.far
    dice = rng.random((4, count))
    degrees = np.abs(np.rad2deg(judged.azimuth_rad))
    beside = beside_stronger(judged.range_m, judged.azimuth_rad, judged.rcs_dbsm, scan)
    reasons = (
        (dice[0] < config.unknown_share, _OUTSIDE),
        (judged.mirrored & (dice[1] < 0.5), _ARTEFACT),
        (beside, np.where(dice[2] < 0.4, _CHILD, _NO_MAXIMUM)),
        (np.full(count, not is_far) & (judged.range_m > 95), _ABOVE_95_M),
        ((degrees > 47) & (degrees < 52) & (dice[2] < 0.5), _FIFTY_DEGREES),
        ((judged.rcs_dbsm < 3) & (judged.margin_db < 8), _LOW_RCS),
        (np.full(count, is_far) & (judged.range_m < 95) & (dice[2] < 0.05), _UNCONFIRMED),
        (dice[3] < config.multi_target_share, _MULTI_TARGET),
    )
    return np.select([when for when, _ in reasons], [code for _, code in reasons], _VALID)


def _motions(
    judged: Judged, *, doubtful: np.ndarray, config: RadarConfig, rng: np.random.Generator
) -> np.ndarray:
    """`dyn_prop` of returns that can be judged."""
    dice = rng.random((2, len(doubtful)))
    speed = np.linalg.norm(judged.velocity, axis=1)
    crossing = (speed > 2 * _MOVING_M_S) & (np.abs(judged.over_ground_m_s) < 0.5 * speed)
    away, towards = judged.over_ground_m_s > _MOVING_M_S, judged.over_ground_m_s < -_MOVING_M_S
    stopped = judged.is_vehicle & (speed < 0.1) & (judged.range_m < 40) & (dice[0] < config.stopped_share)
    candidate = dice[1] < np.where(doubtful, 0.66, 0.09)
    return np.select(
        [crossing, away, towards, stopped, candidate],
        [_CROSSING, _MOVING, _ONCOMING, _STOPPED, _CANDIDATE],
        _STATIONARY,
    )


def _place_deviations(judged: Judged, *, is_far: bool) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations the sensor states for x and y: larger than its data sheet's accuracies."""
    weak = 10 ** (-np.maximum(judged.margin_db, 0) / 10)
    along = (0.75 if is_far else 0.52) * (1 + 0.4 * weak)
    across = judged.range_m * np.deg2rad(0.12 + (1.4 if is_far else 0.4) * weak)
    across = np.hypot(0.52, across)
    cosine, sine = np.cos(judged.azimuth_rad), np.sin(judged.azimuth_rad)
    return np.hypot(along * cosine, across * sine), np.hypot(along * sine, across * cosine)
